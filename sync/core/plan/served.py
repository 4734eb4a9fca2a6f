"""What applications are served at a place, by the last word that Meta said on what is stored there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from sync.core.judge.decide import foreign_problem, is_interrupted_create
from sync.core.judge.verify import FATAL, verify
from sync.core.model import Absent, Page, State, StoreError, Verdict
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.secret import Secret

Served = Literal["verified", "stale", "broken", "absent", "foreign"]
"""What applications are served now at one place."""


def serve(page: PagePlan, target: TargetPlan, instance: str) -> Served:
    """Return what applications are served at a place by what was read there, before anything is written."""
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
    """Return what a stored token of this verdict is to its applications."""
    if is_broken(verdict):
        return "broken"
    return "verified" if verdict.state is State.VALID else "stale"


def is_broken(verdict: Verdict) -> bool:
    """Check whether Meta refuses a stored token, or it is of a wrong type, app or Page."""
    return verdict.state is State.INVALID and any(problem.code in FATAL for problem in verdict.problems)


def as_last_heard(plan: PagePlan, heard: Mapping[Secret, Verdict]) -> PagePlan:
    """Put Meta's later word on a token wherever a plan rests on an earlier one."""

    def told(target: TargetPlan) -> TargetPlan:
        word = heard.get(target.current.token) if target.current.token else None
        return replace(target, current=replace(target.current, verdict=as_stored(word, plan.page))) if word else target

    word = heard.get(plan.candidate.token) if plan.candidate.token else None
    candidate = replace(plan.candidate, verdict=word) if word else plan.candidate
    return replace(plan, candidate=candidate, targets=tuple(told(target) for target in plan.targets))


def as_stored(verdict: Verdict, page: Page) -> Verdict:
    """Judge a token by the rules for stored ones: what a fetched one lacks does not make it invalid."""
    facts = verdict.facts
    return verdict if facts is None else verify(facts, page=page, now=facts.asked_at, stored=True)
