"""The one account of a cycle, which the command line, the log and everything else read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sync.core.judge.decide import Kind, Would
from sync.core.memory.renewal import Renewal
from sync.core.model import Expiry, Key, State, SystemUserToken
from sync.core.plan.served import Served
from sync.core.problems import Problem

Result = Literal["ok", "degraded", "failed", "held"]

WORST_FIRST: tuple[Served, ...] = ("broken", "absent", "foreign", "stale", "verified")
"""The order in which a Page's places are summed up: the worst one speaks for the Page."""

EXIT_CODES: Mapping[Result, int] = {"ok": 0, "degraded": 1, "failed": 3, "held": 4}


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One place of one Page in the report. ``fingerprint`` is that of the token stored now; None where there is none.

    ``would`` is what a held write would be; None for everything else. ``verified_at`` is when Meta last judged that token,
    and ``judged`` whether that word counts.
    """

    key: Key
    action: Kind
    reason: str | None
    would: Would | None
    served: Served
    verified_at: datetime | None
    fingerprint: str | None
    previous_fingerprint: str | None
    version: str | None
    confirmed: bool | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...]
    error_code: str | None
    judged: bool = False


@dataclass(frozen=True, slots=True)
class PageEntry:
    """One Page in the report: verdict and problems of the fetched token, then the places.

    ``alarm`` is since when the Page counts as lost to its system user, and not as out of reach for a moment.
    """

    name: str
    id: str
    system_user: str
    app: str
    fetched: State
    verified_at: datetime | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...]
    fingerprint: str | None
    expires_at: Expiry | None
    stores: tuple[StoreEntry, ...]
    alarm: datetime | None = None

    @property
    def served(self) -> Served:
        """The worst of the Page's places."""
        return min((entry.served for entry in self.stores), key=WORST_FIRST.index)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a cycle cost: HTTP requests to Graph, calls as Meta counts them, and requests to stores."""

    graph_requests: int = 0
    graph_calls: int = 0
    store_requests: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a cycle's results: whose, when, and what comes next.

    ``another_plan``: what is to be done is not what a person let through, so nothing was. ``degraded`` names the system
    users that lost many Pages at once. ``alarms`` is since when Pages count as lost, by name, and ``recovered`` names those
    that do so no more. ``renewals`` are the last tries to renew system users' tokens, by system user, and ``ending`` names
    those whose token's end is to be spoken of now. ``cut_short``: shutdown left something undone that was to be done.
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
    degraded: tuple[str, ...] = ()
    alarms: Mapping[str, datetime] = field(default_factory=dict)
    recovered: tuple[str, ...] = ()
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    ending: tuple[str, ...] = ()
    cut_short: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A whole cycle, as a value. ``reached`` is False where not one place could be read."""

    frame: Frame
    pages: tuple[PageEntry, ...]
    user_tokens: tuple[SystemUserToken, ...]
    orphans: tuple[Key, ...]
    checksum: str
    planned: bool
    reached: bool

    @property
    def result(self) -> Result:
        """The cycle in one word; the exit code says the same."""
        entries = [entry for page in self.pages for entry in page.stores]
        judged = any(page.fetched is not State.UNKNOWN for page in self.pages) or any(entry.judged for entry in entries)
        if self.pages and not (judged and self.reached):
            return "failed"
        if self.frame.another_plan or self.braked:
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
        """The tries of this very cycle to renew system users' tokens, by system user."""
        return {name: last for name, last in self.frame.renewals.items() if last.at >= self.frame.started_at}

    @property
    def braked(self) -> int:
        """How many places the brake holds."""
        return sum(
            entry.action is Kind.HELD and entry.reason == "brake" for page in self.pages for entry in page.stores
        )

    @property
    def not_begun(self) -> int:
        """How many writes shutdown came before."""
        return sum(entry.reason == "shutdown" for page in self.pages for entry in page.stores)

    @property
    def exit_code(self) -> int:
        """What a command that prints this report ends with; a plan with something to do ends with 1."""
        code = EXIT_CODES[self.result]
        to_do = self.planned and any(
            entry.action in (Kind.CREATED, Kind.UPDATED, Kind.REPLACED) for page in self.pages for entry in page.stores
        )
        return 1 if code == 0 and to_do else code

    @property
    def summary(self) -> dict[str, int]:
        """Pages by their worst place, actions per place, what shutdown came before if it did, and what the cycle cost."""
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
