"""From an observation to a plan: one pure function, whose result is printed or carried out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sync.core.judge.decide import Action, Candidate, Current, Kind, decide, failed
from sync.core.judge.ownership import foreign_write, rollback_hold
from sync.core.judge.skew import judging_times
from sync.core.judge.verify import verify
from sync.core.model import Key, Page, SourceError, State, StoreError, SystemUserToken, Verdict
from sync.core.plan.checksum import checksum, line_checksum
from sync.core.plan.guards import (
    Brake,
    braked,
    held_by_a_person,
    held_if_weaker,
    hold,
    kept_until_confirmed,
    unconfirmed,
    unread_targets,
)
from sync.core.plan.model import PagePlan, TargetPlan, targets
from sync.core.plan.observation import Observation, stored_token
from sync.core.plan.prune import orphans
from sync.core.problems import Problem
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds decided writes back. ``released``: a person has reviewed this exact plan, and lets all of it through.

    ``overwritten`` is when a token that worked was last overwritten, and ``waiting`` since when the brake holds a write, by
    target. ``let_through`` has the lines of an earlier plan that a person let through and that are still to be written.
    """

    observe: bool = False
    brake: Brake = field(default_factory=Brake)
    overwritten: Mapping[Key, datetime] = field(default_factory=dict)
    waiting: Mapping[Key, datetime] = field(default_factory=dict)
    let_through: Mapping[Key, str] = field(default_factory=dict)
    released: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All decisions of a cycle. ``unlisted`` holds the stores whose orphans could not be listed, with the reason.

    ``checksum`` is None where nothing would be written.
    """

    pages: tuple[PagePlan, ...]
    user_tokens: tuple[SystemUserToken, ...]
    orphans: tuple[Key, ...]
    unlisted: Mapping[str, StoreError]
    checksum: str | None


def plan(
    observed: Observation,
    *,
    now: datetime,
    policy: Policy | None = None,
    named: Collection[Key] | None = None,
    apart: Collection[Key] = (),
    in_other_stores: Collection[Key] = (),
) -> Plan:
    """Judge every token and decide for every target of the observed Pages.

    ``named`` are the targets of the whole configuration where only selected Pages were observed. A target that carries the
    instance's mark and is not among them is an orphan. ``apart`` are the targets of Pages that are planned apart from these,
    and hold nothing. ``in_other_stores`` are named targets as another store lists them, in which they are no orphans.
    """
    policy = policy or Policy()
    named = {key for page in observed.pages for key in page.targets} if named is None else named
    judged = judged_plans(observed, now=now)
    plans = _held_back(judged, observed, policy, now, unread_targets(judged, frozenset(named) - frozenset(apart)))
    unlisted = {store: found for store, found in observed.owned.items() if isinstance(found, StoreError)}
    return Plan(
        pages=plans,
        user_tokens=tuple(observed.user_tokens.values()),
        orphans=tuple(orphans(observed.owned, observed.instance, {*named, *in_other_stores})),
        unlisted=unlisted,
        checksum=checksum(plans),
    )


def judged_plans(observed: Observation, *, now: datetime) -> Sequence[PagePlan]:
    """Judge every token and decide for every target, before anything is held back."""
    return [_page(page, observed, now) for page in observed.pages]


def _held_back(
    plans: Sequence[PagePlan], observed: Observation, policy: Policy, now: datetime, unread: Mapping[str, int]
) -> tuple[PagePlan, ...]:
    pending = unconfirmed(plans, policy.brake, unread) - set(observed.invalid_twice)
    plans = _changed(plans, lambda page, target: kept_until_confirmed(page, target, pending))
    plans = _changed(plans, lambda page, target: held_by_a_person(page.page, target, observe=policy.observe))
    if policy.released:
        return plans
    passing = {
        target.key
        for page, target in targets(plans)
        if target.key in policy.let_through and policy.let_through[target.key] == line_checksum(page, target)
    }
    plans = _changed(
        plans, lambda page, target: target.action if target.key in passing else held_if_weaker(page, target)
    )
    holding = braked(
        plans, brake=policy.brake, overwritten=policy.overwritten, waiting=policy.waiting, now=now, unread=unread
    )
    holding -= passing
    return _changed(plans, lambda _, target: hold(target.action, "brake") if target.key in holding else target.action)


def _changed(plans: Sequence[PagePlan], action: Callable[[PagePlan, TargetPlan], Action]) -> tuple[PagePlan, ...]:
    return tuple(_with(page, [action(page, target) for target in page.targets]) for page in plans)


def _with(page: PagePlan, actions: Sequence[Action]) -> PagePlan:
    if all(action is target.action for action, target in zip(actions, page.targets, strict=True)):
        return page
    pairs = zip(page.targets, actions, strict=True)
    return replace(page, targets=tuple(replace(target, action=action) for target, action in pairs))


def refused(planned: Plan, refusals: Mapping[Key, StoreError]) -> Plan:
    """Return the plan with the writes that a store would refuse as failed ones."""

    def action(_: PagePlan, target: TargetPlan) -> Action:
        error = refusals.get(target.key)
        return target.action if error is None else failed(error)

    pages = _changed(planned.pages, action)
    return replace(planned, pages=pages, checksum=checksum(pages))


def withheld(planned: Plan) -> Plan:
    """Return the plan with every write held, since a person released another plan than this one."""

    def action(_: PagePlan, target: TargetPlan) -> Action:
        return target.action if target.action.write is None else hold(target.action, "another-plan")

    return replace(planned, pages=_changed(planned.pages, action))


def _page(page: Page, observed: Observation, now: datetime) -> PagePlan:
    candidate = _candidate(page, observed, now)
    return PagePlan(page, candidate, tuple(_target(page, key, candidate, observed, now) for key in page.targets))


def _candidate(page: Page, observed: Observation, now: datetime) -> Candidate:
    fetched = observed.fetched.get(page.name)
    if fetched is None:
        return Candidate(None, Verdict(State.UNKNOWN))
    if isinstance(fetched, SourceError):
        return Candidate(None, Verdict(fetched.state, (fetched.problem,)))
    user_token = observed.user_tokens.get(page.system_user)
    facts = user_token.verdict.facts if user_token else None
    return Candidate(
        token=fetched.token,
        verdict=_verdict(page, fetched.token, observed, now=now),
        system_user_fingerprint=observed.system_user_fingerprint(page),
        system_user_id=facts.user_id if facts else None,
        judged_at=observed.judged_at.get((page.app, fetched.token)),
    )


def _target(page: Page, key: Key, candidate: Candidate, observed: Observation, now: datetime) -> TargetPlan:
    content = observed.current[key]
    token = stored_token(page, content)
    verdict = _verdict(page, token, observed, now=now, stored=True) if token is not None else Verdict(State.UNKNOWN)
    current = Current(content, token, verdict, observed.judged_at.get((page.app, token)) if token is not None else None)
    action, *others = (
        decide(page=page, key=key, instance=observed.instance, candidate=candidate, current=current, now=when)
        for when in judging_times(now, observed.skew)
    )
    agreed = all((other.kind, other.reason) == (action.kind, action.reason) for other in others)
    notices = (
        foreign_write(content, token, candidate.token, page=page, instance=observed.instance),
        rollback_hold(content, page=page, instance=observed.instance),
    )
    return TargetPlan(key, current, action if agreed else Action(Kind.KEPT), tuple(filter(None, notices)))


def _verdict(page: Page, token: Secret, observed: Observation, *, now: datetime, stored: bool = False) -> Verdict:
    facts = observed.facts.get((page.app, token))
    verdict, *others = (verify(facts, page=page, now=when, stored=stored) for when in judging_times(now, observed.skew))
    if any(_summary(other) != _summary(verdict) for other in others):
        verdict = _undecided(verdict, stored=stored)
    doubt = observed.doubts.get((page.app, token))
    return verdict if doubt is None else replace(verdict, notices=(*verdict.notices, doubt))


def _summary(verdict: Verdict) -> tuple[State, Sequence[str]]:
    return verdict.state, [notice.code for notice in verdict.notices]


def _undecided(verdict: Verdict, *, stored: bool) -> Verdict:
    """Return the verdict on a token whose expiry the two clocks judge differently: a fetched one is unknown, a stored one stays as it is."""
    wrong = Problem("clock-skew", "This machine's clock and Meta's are too far apart to judge when the token expires.")
    return replace(verdict, notices=(wrong,)) if stored else Verdict(State.UNKNOWN, (wrong,), facts=verdict.facts)


def writes(plan: Plan) -> Iterator[tuple[PagePlan, TargetPlan]]:
    """Return the targets that are to be written, in the order of the configuration."""
    return ((page, target) for page, target in targets(plan.pages) if target.action.write is not None)


def user_token_problems(user_token: SystemUserToken) -> tuple[Problem, ...]:
    """Return what is wrong with a system user's token; its expiry is included, though it changes no result."""
    return user_token.verdict.problems + user_token.verdict.notices
