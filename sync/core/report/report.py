"""The report of a cycle, which the command line, the log and everything else read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sync.core.judge.decide import WRITTEN, Kind
from sync.core.memory.renewal import Renewal
from sync.core.model import Key, State, SystemUserToken
from sync.core.report.causes import Cause, causes
from sync.core.report.changes import Changes
from sync.core.report.entries import PageEntry

Result = Literal["ok", "degraded", "failed", "held"]

EXIT_CODES: Mapping[Result, int] = {"ok": 0, "degraded": 1, "failed": 3, "held": 4}


Counts = Mapping[tuple[str, ...], int]
"""How often something occurred, by the values of its labels."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a cycle cost: HTTP requests to Graph, calls as Meta counts them, and requests to stores.

    ``graph_outcomes`` are the ended requests to Graph by endpoint and outcome, ``calls_by_kind`` the calls by the quota that
    they count on. ``store_outcomes`` are the ended requests by store, operation and outcome.
    """

    graph_requests: int = 0
    graph_calls: int = 0
    store_requests: int = 0
    graph_outcomes: Counts = field(default_factory=dict)
    calls_by_kind: Counts = field(default_factory=dict)
    store_outcomes: Counts = field(default_factory=dict)

    @property
    def logins(self) -> Counts:
        """The logins that succeeded, by store."""
        return {(store,): count for (store, *how), count in self.store_outcomes.items() if how == ["login", "ok"]}

    def plus(self, other: Traffic) -> Traffic:
        """Return the traffic of both together."""
        return Traffic(
            self.graph_requests + other.graph_requests,
            self.graph_calls + other.graph_calls,
            self.store_requests + other.store_requests,
            added(self.graph_outcomes, other.graph_outcomes),
            added(self.calls_by_kind, other.calls_by_kind),
            added(self.store_outcomes, other.store_outcomes),
        )


def added(one: Counts, other: Counts) -> Counts:
    """Return the sum of two counts, label by label."""
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a cycle's results: which instance and cycle, when, and what comes next.

    ``another_plan``: the plan is not the one that a person released, so nothing was written. ``alarms`` is since when Pages
    count as lost, by name, and ``recovered`` names those that no longer do. ``renewals`` are the last tries to renew system
    users' tokens, by system user, and ``ending`` names those whose token's expiry is to be logged now. ``cut_short``:
    shutdown left something undone. ``needs_state_file``: without it no later run knows enough to carry out this plan.
    ``quota_used`` is the share of Meta's quotas in use, by app and kind of quota; of many quotas of a kind the highest.
    ``credentials_expire`` is when the login of a store expires, by store, where that is known.
    """

    instance: str
    cycle: str
    started_at: datetime
    finished_at: datetime
    duration_seconds: float
    verify_interval_seconds: int
    traffic: Traffic
    warnings: tuple[str, ...] = ()
    next_cycle_at: datetime | None = None
    another_plan: bool = False
    alarms: Mapping[str, datetime] = field(default_factory=dict)
    recovered: tuple[str, ...] = ()
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    ending: tuple[str, ...] = ()
    cut_short: bool = False
    needs_state_file: bool = False
    quota_used: Mapping[tuple[str, str], float] = field(default_factory=dict)
    credentials_expire: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole cycle, as a value without a token. ``reached`` is False where not one secret could be read.

    ``checksum`` names the writes that are planned and not done; None where there are none.
    ``planned``: nothing but a plan was asked for. ``changes`` is what the log reports of the causes of problems.
    ``known_causes`` are these causes, where they were derived when the report was made.
    """

    frame: Frame
    pages: tuple[PageEntry, ...]
    user_tokens: tuple[SystemUserToken, ...]
    orphans: tuple[Key, ...]
    checksum: str | None
    planned: bool
    reached: bool
    changes: Changes = field(default_factory=Changes)
    known_causes: tuple[Cause, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Each cause of problems once, problems before notices."""
        return causes(self.pages, self.user_tokens) if self.known_causes is None else self.known_causes

    @property
    def result(self) -> Result:
        """The cycle in one word; the exit code follows from it."""
        entries = [entry for page in self.pages for entry in page.stores]
        judged = any(page.fetched is not State.UNKNOWN for page in self.pages) or any(entry.judged for entry in entries)
        if self.pages and not (judged and self.reached):
            return "failed"
        if self.frame.another_plan or self.braked or self.weaker:
            return "held"
        healthy = (
            not self.frame.cut_short
            and all(not page.problems for page in self.pages)
            and all(
                entry.served == "verified" and not entry.problems and entry.action not in (Kind.FAILED, Kind.REFUSED)
                for entry in entries
            )
        )
        return "ok" if healthy else "degraded"

    @property
    def tried(self) -> Mapping[str, Renewal]:
        """The tries of this cycle to renew system users' tokens, by system user."""
        return {name: last for name, last in self.frame.renewals.items() if last.at >= self.frame.started_at}

    @property
    def braked(self) -> int:
        """How many writes the brake holds."""
        return self._held("brake")

    @property
    def weaker(self) -> int:
        """How many writes are held because applications would lose something by them."""
        return self._held("weaker")

    def _held(self, reason: str) -> int:
        return sum(entry.action is Kind.HELD and entry.reason == reason for page in self.pages for entry in page.stores)

    @property
    def not_begun(self) -> int:
        """How many writes were not begun because of shutdown."""
        return sum(entry.reason == "shutdown" for page in self.pages for entry in page.stores)

    @property
    def exit_code(self) -> int:
        """The exit code of a command that prints this report; a plan with something to do ends with 1."""
        code = EXIT_CODES[self.result]
        to_do = self.planned and any(entry.action in WRITTEN for page in self.pages for entry in page.stores)
        return 1 if code == 0 and to_do else code

    @property
    def summary(self) -> dict[str, int]:
        """Pages by the worst they serve, actions per secret, writes not begun if there are any, and what the cycle cost."""
        served = Counter(page.served for page in self.pages)
        actions = Counter(entry.action for page in self.pages for entry in page.stores)
        traffic = self.frame.traffic
        return {
            "pages": len(self.pages),
            **{word: served[word] for word in ("verified", "stale", "broken", "absent", "foreign")},
            **{kind.value: actions[kind] for kind in Kind if kind is not Kind.FAILED},
            "failed": actions[Kind.FAILED],
            **({"not_begun": self.not_begun} if self.not_begun else {}),
            "graph_requests": traffic.graph_requests,
            "graph_calls": traffic.graph_calls,
            "store_requests": traffic.store_requests,
        }
