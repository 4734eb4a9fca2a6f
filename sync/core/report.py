"""The one account of a cycle, which the command line, the log and everything else read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from sync.core.decide import Kind, Would, store_problem
from sync.core.model import Expiry, Key, Parent, State, Stored, StoreError, Verdict, Written
from sync.core.plan import Plan
from sync.core.planned import PagePlan, PlacePlan
from sync.core.problems import Problem
from sync.core.refresh import Renewal, told
from sync.core.secret import Secret
from sync.core.served import Served, as_last_heard, as_stored, serve, served_by

Result = Literal["ok", "degraded", "failed", "held"]

WORST_FIRST: tuple[Served, ...] = ("broken", "absent", "foreign", "stale", "verified")
"""The order in which a Page's places are summed up: the worst one speaks for the Page."""

EXIT_CODES: Mapping[Result, int] = {"ok": 0, "degraded": 1, "failed": 3, "held": 4}


@dataclass(frozen=True, slots=True)
class ProofLost:
    """A write was not done, since the token's proof was lost before it: Meta was asked again, and this is the answer."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A write was not begun, since shutdown was asked for before its turn; the next start decides anew."""


Outcome = Written | StoreError | ProofLost | NotBegun


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
    error: str | None
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
    verdict: State
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
    parents: tuple[Parent, ...]
    orphans: tuple[Key, ...]
    checksum: str
    planned: bool
    reached: bool

    @property
    def result(self) -> Result:
        """The cycle in one word; the exit code says the same."""
        entries = [entry for page in self.pages for entry in page.stores]
        judged = any(page.verdict is not State.UNKNOWN for page in self.pages) or any(entry.judged for entry in entries)
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


def report(
    plan: Plan,
    frame: Frame,
    outcomes: Mapping[Key, Outcome] | None,
    *,
    instance: str,
    planned_only: bool | None = None,
) -> Report:
    """Account for a cycle. ``outcomes`` has an entry for each place that was to be written; None where nothing was.

    ``planned_only``: that was because nothing but a plan was asked for, which is what None means if nothing is said.
    """
    return Report(
        frame=frame,
        pages=tuple(_page_entry(page, outcomes, instance, frame.alarms.get(page.page.name)) for page in plan.pages),
        parents=tuple(told(parent, frame.renewals.get(parent.system_user)) for parent in plan.parents),
        orphans=plan.orphans,
        checksum=plan.checksum,
        planned=outcomes is None if planned_only is None else planned_only,
        reached=any(not isinstance(place.held.content, StoreError) for page in plan.pages for place in page.places),
    )


def _page_entry(
    planned: PagePlan, outcomes: Mapping[Key, Outcome] | None, instance: str, alarm: datetime | None
) -> PageEntry:
    plan = as_last_heard(planned, _lost(planned, outcomes or {}))
    page, verdict, facts = plan.page, plan.candidate.verdict, plan.candidate.verdict.facts
    return PageEntry(
        name=page.name,
        id=page.id,
        system_user=page.system_user,
        app=page.app,
        verdict=verdict.state,
        verified_at=_judged_at(verdict) or plan.candidate.judged_at,
        problems=verdict.problems,
        notices=verdict.notices,
        fingerprint=plan.candidate.token.fingerprint if plan.candidate.token else None,
        expires_at=facts.expires_at if facts else None,
        stores=tuple(
            _store_entry(plan, place, outcomes.get(place.key) if outcomes is not None else None, instance)
            for place in plan.places
        ),
        alarm=alarm,
    )


def _lost(plan: PagePlan, outcomes: Mapping[Key, Outcome]) -> Mapping[Secret, Verdict]:
    lost: dict[Secret, Verdict] = {}
    for place in plan.places:
        outcome, write = outcomes.get(place.key), place.action.write
        if isinstance(outcome, ProofLost) and write is not None:
            lost[write.token] = outcome.verdict
    return lost


def _store_entry(page: PagePlan, place: PlacePlan, outcome: Outcome | None, instance: str) -> StoreEntry:
    before = _before(page, place, instance)
    match outcome:
        case None:
            return before
        case Written():
            return _after_write(page, place, outcome, before)
        case StoreError():
            # What applications read is in doubt only where a payload was on its way; marks alone change none.
            served: Served = "stale" if outcome.maybe_written and _puts_payload(place) else before.served
            return replace(
                before,
                action=Kind.FAILED,
                reason=None,
                served=served,
                confirmed=None,
                problems=(*before.problems, store_problem(outcome)),
                error=outcome.reason,
            )
        case ProofLost():
            return replace(before, action=Kind.KEPT, reason="proof-lost")
        case NotBegun():
            return replace(before, action=Kind.KEPT, reason="shutdown")


def _puts_payload(place: PlacePlan) -> bool:
    return place.action.write is not None and place.action.write.payload is not None


def _before(page: PagePlan, place: PlacePlan, instance: str) -> StoreEntry:
    content, verdict, action = place.held.content, place.held.verdict, place.action
    of_token = verdict.problems if place.held.token is not None else ()
    error = content.reason if isinstance(content, StoreError) else None
    return StoreEntry(
        key=place.key,
        action=action.kind,
        reason=action.reason,
        would=action.would,
        served=serve(page, place, instance),
        verified_at=(_judged_at(verdict) or place.held.judged_at) if place.held.token is not None else None,
        fingerprint=place.held.token.fingerprint if place.held.token else None,
        previous_fingerprint=None,
        version=content.version or None if isinstance(content, Stored) else None,
        confirmed=None if error else True,
        problems=action.problems + of_token,
        notices=verdict.notices,
        error=error,
        judged=place.held.token is not None and _judged_at(verdict) is not None,
    )


def _after_write(page: PagePlan, place: PlacePlan, written: Written, before: StoreEntry) -> StoreEntry:
    """Account for an acknowledged write: what applications read now is the token of the write."""
    write = place.action.write
    new = write is not None and write.token != place.held.token
    verdict = as_stored(page.candidate.verdict, page.page) if new else place.held.verdict
    token = write.token if write is not None else place.held.token
    unconfirmed: Served = "stale" if _puts_payload(place) else before.served
    return replace(
        before,
        served=served_by(verdict) if written.confirmed else unconfirmed,
        verified_at=_judged_at(verdict),
        judged=_judged_at(verdict) is not None,
        fingerprint=token.fingerprint if token else None,
        previous_fingerprint=place.held.token.fingerprint if new and place.held.token else None,
        version=written.version,
        confirmed=written.confirmed,
        problems=verdict.problems,
        notices=verdict.notices,
    )


def _judged_at(verdict: Verdict) -> datetime | None:
    return verdict.facts.asked_at if verdict.facts is not None and verdict.state is not State.UNKNOWN else None
