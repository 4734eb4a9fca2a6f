"""Reports of one Page with one or more secrets, before and after writing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sync.core.judge.decide import Candidate, Current
from sync.core.memory.problems import Reported
from sync.core.model import Key, Page, State, SystemUserToken, Verdict
from sync.core.plan.checksum import checksum
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.plan.plan import Plan
from sync.core.report.build import Outcome, report
from sync.core.report.report import Frame, Report, Traffic
from tests.support.values import INSTANCE, KEY, NOW, USER_TOKEN, current, decided, facts, fetched, judged, page, stored

PAGE = page()
AWS = Key("aws", "meta/pages/berlin")
MAIN = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.VALID, facts=facts(type="SYSTEM_USER")))
FRAME = Frame(
    instance=INSTANCE,
    cycle="01JD0000000000000000000000",
    started_at=NOW,
    finished_at=NOW + timedelta(seconds=2),
    duration_seconds=1.9004,
    verify_interval_seconds=86400,
    traffic=Traffic(3, 5, 4),
)
GOOD = current(stored(), judged())


def of(candidate: Candidate, *there: Current, name: str = "berlin", system_user: str = "main") -> PagePlan:
    """Plan for a Page that has one secret for each ``there``: the first in vault, the second in aws."""
    keys = [Key(key.store, f"meta/pages/{name}") for key in (KEY, AWS)][: len(there)]
    whole: Page = page(name=name, targets=tuple(keys), system_user=system_user)
    targets = tuple(TargetPlan(key, one, decided(candidate, one)) for key, one in zip(keys, there, strict=True))
    return PagePlan(whole, candidate, targets)


def account(
    *pages: PagePlan,
    outcomes: Mapping[Key, Outcome] | None = None,
    user_tokens: tuple[SystemUserToken, ...] = (MAIN,),
    orphans: tuple[Key, ...] = (),
    frame: Frame = FRAME,
    before: Reported | None = None,
) -> Report:
    """Account for Pages; after writing where ``outcomes`` is given."""
    plan = Plan(pages, user_tokens, orphans, {}, checksum(pages))
    return report(plan, frame, outcomes, instance=INSTANCE, before=before)


def entry(
    there: Current, *, candidate: Candidate | None = None, outcome: Outcome | None = None, of_page: Page = PAGE
) -> Any:
    """Return the one entry of a Page with one secret; after writing where an outcome is given."""
    candidate = candidate or fetched()
    target = TargetPlan(KEY, there, decided(candidate, there, of_page))
    outcomes = None if outcome is None else {KEY: outcome}
    return account(PagePlan(of_page, candidate, (target,)), outcomes=outcomes).pages[0].stores[0]
