"""Build the report from a cycle's plan and from the outcome of each write. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sync.core.judge.decide import Kind, store_problem
from sync.core.memory.problems import Reported
from sync.core.memory.renewal import with_renewal
from sync.core.model import Key, State, Stored, StoreError, Verdict, Written
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.plan.plan import Plan
from sync.core.plan.served import Served, as_stored, serve, served_by, with_verdicts
from sync.core.problems import CATALOGUE, Owner, Problem
from sync.core.report.causes import Warned, causes, held_writes, warned
from sync.core.report.changes import changes
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.report import Frame, Report
from sync.core.report.unseen import configured, unseen
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True)
class ProofLost:
    """A write was not done: debug_token was asked again just before it and did not confirm the token.

    ``verdict`` is what the token has lost its old one to. An unknown one says why there was no answer; then the old one
    counts as long as it did before.
    """

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A write was not begun because of shutdown; the next start decides again."""


Outcome = Written | StoreError | ProofLost | NotBegun


def report(
    plan: Plan,
    frame: Frame,
    outcomes: Mapping[Key, Outcome] | None,
    *,
    instance: str,
    planned_only: bool | None = None,
    before: Reported | None = None,
    done: Sequence[PageEntry] = (),
    order: Sequence[str] = (),
    is_check: bool = False,
    rejected: Warned | None = None,
) -> Report:
    """Return the report of a cycle. ``outcomes`` has an entry for each secret that was to be written; None where none was.

    ``planned_only``: nothing but a plan was asked for; by default that is so where ``outcomes`` is None. ``before`` is
    what the log had reported before this cycle. ``done`` are the entries of Pages that are not in the plan; ``order`` has
    the names of all Pages where the plan has them in another order. ``is_check``: these are some Pages of the whole, between
    two cycles. No command carries out their plan alone, so that none is named. ``rejected``: the newest edit of the
    configuration is invalid.
    """
    planned = [page_entry(page, outcomes, instance, frame.alarms.get(page.page.name)) for page in plan.pages]
    pages = tuple(_in_order([*planned, *done], order) if order else planned)
    user_tokens = tuple(
        with_renewal(user_token, frame.renewals.get(user_token.system_user)) for user_token in plan.user_tokens
    )
    found = causes(pages, user_tokens)
    return Report(
        frame=frame,
        pages=pages,
        user_tokens=user_tokens,
        orphans=plan.orphans,
        checksum=plan.checksum,
        planned=outcomes is None if planned_only is None else planned_only,
        reached=any(
            not isinstance(target.current.content, StoreError) for page in plan.pages for target in page.targets
        )
        or bool(done),
        changes=changes(
            (
                *found,
                *held_writes(pages, None if is_check else plan.checksum),
                *warned(frame.warnings),
                *((rejected,) if rejected is not None else ()),
            ),
            pages,
            before or Reported(),
            configured=configured(pages, user_tokens),
            unseen=unseen(pages, user_tokens),
            now=frame.started_at,
            is_check=is_check,
        ),
        known_causes=found,
    )


def _in_order(entries: Iterable[PageEntry], order: Iterable[str]) -> Iterator[PageEntry]:
    by_name = {entry.name: entry for entry in entries}
    return (by_name[name] for name in order)


def page_entry(
    planned: PagePlan, outcomes: Mapping[Key, Outcome] | None, instance: str, alarm: datetime | None = None
) -> PageEntry:
    """Return the entry of one Page. ``alarm`` is since when it counts as lost."""
    plan = with_verdicts(planned, _lost(planned, outcomes or {}))
    page, verdict, facts = plan.page, plan.candidate.verdict, plan.candidate.verdict.facts
    return PageEntry(
        name=page.name,
        id=page.id,
        system_user=page.system_user,
        app=page.app,
        fetched=verdict.state,
        verified_at=_judged_at(verdict) or plan.candidate.judged_at,
        problems=verdict.problems,
        notices=verdict.notices,
        fingerprint=plan.candidate.token.fingerprint if plan.candidate.token else None,
        expires_at=facts.expires_at if facts else None,
        stores=tuple(
            _store_entry(plan, target, outcomes.get(target.key) if outcomes is not None else None, instance)
            for target in plan.targets
        ),
        alarm=alarm,
    )


def _lost(plan: PagePlan, outcomes: Mapping[Key, Outcome]) -> Mapping[Secret, Verdict]:
    lost: dict[Secret, Verdict] = {}
    for target in plan.targets:
        outcome, write = outcomes.get(target.key), target.action.write
        if isinstance(outcome, ProofLost) and write is not None and outcome.verdict.state is State.INVALID:
            lost[write.token] = outcome.verdict
    return lost


def _store_entry(page: PagePlan, target: TargetPlan, outcome: Outcome | None, instance: str) -> StoreEntry:
    before = _before(page, target, instance)
    match outcome:
        case None:
            return before
        case Written():
            return _after_write(page, target, outcome, before)
        case StoreError():
            # Applications may read another token now only if a payload was being written; marks do not change it.
            served: Served = "stale" if outcome.maybe_written and _puts_payload(target) else before.served
            return replace(
                before,
                action=Kind.FAILED,
                reason=None,
                served=served,
                confirmed=None,
                problems=_and_why(before.problems, (store_problem(outcome),)),
                error_code=outcome.error_code,
            )
        case ProofLost():
            kept = replace(before, action=Kind.KEPT, reason="proof-lost")
            if outcome.verdict.state is State.INVALID:
                return kept
            # What is verified stays so while the write waits; elsewhere the lack of an answer is a problem.
            why = outcome.verdict.problems
            if before.served == "verified":
                return replace(kept, notices=(*before.notices, *why))
            return replace(kept, problems=_and_why(before.problems, why))
        case NotBegun():
            return replace(before, action=Kind.KEPT, reason="shutdown")


def _puts_payload(target: TargetPlan) -> bool:
    return target.action.write is not None and target.action.write.payload is not None


def _before(page: PagePlan, target: TargetPlan, instance: str) -> StoreEntry:
    content, verdict, action = target.current.content, target.current.verdict, target.action
    of_token = _not_healed(page, target) if target.current.token is not None else ()
    return StoreEntry(
        key=target.key,
        action=action.kind,
        reason=action.reason,
        would=action.would,
        served=serve(page, target, instance),
        verified_at=(_judged_at(verdict) or target.current.judged_at) if target.current.token is not None else None,
        fingerprint=target.current.token.fingerprint if target.current.token else None,
        previous_fingerprint=None,
        version=content.version or None if isinstance(content, Stored) else None,
        confirmed=None if action.kind is Kind.FAILED else True,
        problems=action.problems + of_token,
        notices=target.notices + verdict.notices,
        error_code=action.error_code,
        judged=target.current.token is not None and _judged_at(verdict) is not None,
    )


def _not_healed(page: PagePlan, target: TargetPlan) -> tuple[Problem, ...]:
    """Return the problems of a stored token; where it is invalid and nothing replaces it, with what prevents that, and who must act."""
    problems, action = target.current.verdict.problems, target.action
    if target.current.verdict.state is State.UNKNOWN:
        return problems  # What could not be judged is not replaced.
    if action.kind is Kind.HELD:
        why = f"A valid token is ready, but its write is held (reason {action.reason})."
        return _left_to(problems, "operator", why)
    causes = (*action.problems, *page.candidate.verdict.problems)
    return _left_to_owner(problems, causes[0]) if causes else problems


def _and_why(problems: tuple[Problem, ...], why: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems of a secret that was not written, and why it was not."""
    acts = bool(why) and why[0].owner != "nobody"
    return (*(_left_to_owner(problems, why[0]) if acts else problems), *why)


def _left_to_owner(problems: tuple[Problem, ...], cause: Problem) -> tuple[Problem, ...]:
    return _left_to(problems, cause.owner, f"It is replaced as soon as {cause.code} is solved: {cause.remedy}")


def _left_to(problems: tuple[Problem, ...], owner: Owner | Literal[""], remedy: str) -> tuple[Problem, ...]:
    """Return the problems with this owner and remedy where they would resolve themselves otherwise."""
    return tuple(
        replace(problem, owner=owner, remedy=remedy) if CATALOGUE[problem.code].owner == "nobody" else problem
        for problem in problems
    )


def _after_write(page: PagePlan, target: TargetPlan, written: Written, before: StoreEntry) -> StoreEntry:
    """Return the entry after an acknowledged write: applications now read the token that was written."""
    write = target.action.write
    new = write is not None and write.token != target.current.token
    verdict = as_stored(page.candidate.verdict, page.page) if new else target.current.verdict
    token = write.token if write is not None else target.current.token
    unconfirmed: Served = "stale" if _puts_payload(target) else before.served
    return replace(
        before,
        served=served_by(verdict) if written.confirmed else unconfirmed,
        verified_at=_judged_at(verdict),
        judged=_judged_at(verdict) is not None,
        fingerprint=token.fingerprint if token else None,
        previous_fingerprint=target.current.token.fingerprint if new and target.current.token else None,
        version=written.version,
        confirmed=written.confirmed,
        problems=verdict.problems,
        notices=target.notices + verdict.notices,
    )


def _judged_at(verdict: Verdict) -> datetime | None:
    return verdict.facts.asked_at if verdict.facts is not None and verdict.state is not State.UNKNOWN else None
