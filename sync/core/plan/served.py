"""What applications are served by a target, by the last verdict on what is stored in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from sync.core.judge.ownership import foreign_problem, is_interrupted_create
from sync.core.judge.verify import FATAL, verify
from sync.core.model import Absent, Page, State, StoreError, Verdict
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.secret import Secret

Served = Literal["verified", "stale", "broken", "absent", "foreign"]
"""What applications are served now by one target."""


def serve(page: PagePlan, target: TargetPlan, instance: str) -> Served:
    """Return what applications are served by a target as it was read, before anything is written."""
    content = target.current.content
    if isinstance(content, StoreError):
        return "stale"
    if isinstance(content, Absent):
        return "absent"
    if content.state != "live" or content.blocked == "scheduled-deletion":
        return "absent"
    if content.blocked is not None or is_interrupted_create(content, page.page):
        return "foreign"
    if foreign_problem(content, page.page, instance) is not None:
        return "foreign"
    return "broken" if target.current.token is None else served_by(target.current.verdict)


def served_by(verdict: Verdict) -> Served:
    """Return what applications are served by a stored token with this verdict."""
    if is_broken(verdict):
        return "broken"
    return "verified" if verdict.state is State.VALID else "stale"


def is_broken(verdict: Verdict) -> bool:
    """Check whether debug_token calls a stored token invalid, or it is of a wrong type, app or Page."""
    return verdict.state is State.INVALID and any(problem.code in FATAL for problem in verdict.problems)


def with_verdicts(plan: PagePlan, later: Mapping[Secret, Verdict]) -> PagePlan:
    """Return the plan of a Page with later verdicts on its tokens in place of the earlier ones."""

    def updated(target: TargetPlan) -> TargetPlan:
        verdict = later.get(target.current.token) if target.current.token else None
        if verdict is None:
            return target
        return replace(target, current=replace(target.current, verdict=as_stored(verdict, plan.page)))

    verdict = later.get(plan.candidate.token) if plan.candidate.token else None
    candidate = replace(plan.candidate, verdict=verdict) if verdict else plan.candidate
    return replace(plan, candidate=candidate, targets=tuple(updated(target) for target in plan.targets))


def as_stored(verdict: Verdict, page: Page) -> Verdict:
    """Judge a token by the rules for stored ones: what a fetched one lacks does not make it invalid."""
    facts = verdict.facts
    return verdict if facts is None else verify(facts, page=page, now=facts.asked_at, stored=True)
