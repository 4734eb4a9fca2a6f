"""From the plan of a cycle, and what came of it, to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sync.core.judge.decide import Kind, store_problem
from sync.core.memory.renewal import told
from sync.core.model import Key, State, Stored, StoreError, Verdict, Written
from sync.core.plan.model import PagePlan, PlacePlan
from sync.core.plan.plan import Plan
from sync.core.plan.served import Served, as_last_heard, as_stored, serve, served_by
from sync.core.report.report import Frame, PageEntry, Report, StoreEntry
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True)
class ProofLost:
    """A write was not done, since the token's proof was lost before it: Meta was asked again, and this is the answer."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A write was not begun, since shutdown was asked for before its turn; the next start decides anew."""


Outcome = Written | StoreError | ProofLost | NotBegun


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
