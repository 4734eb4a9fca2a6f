"""A check of some Pages between two cycles: what is logged and remembered of it, and its part of the last report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from sync.core.judge.decide import Candidate
from sync.core.judge.verify import verify
from sync.core.memory.problems import Reported
from sync.core.model import Absent, Key, SourceError, State, Stored, StoreError, Written
from sync.core.plan.guards import hold
from sync.core.plan.model import PagePlan
from sync.core.plan.plan import Plan
from sync.core.problems import Problem
from sync.core.report.build import Outcome, report
from sync.core.report.check import checked_page, fingerprints, with_check
from sync.core.report.events import check_events, events
from sync.core.report.report import Report
from tests.support.reports import AWS, FRAME, GOOD, MAIN, account, of
from tests.support.values import FETCHED, INSTANCE, KEY, NOW, OTHER, STORE_DOWN, current, fetched, judged, page, stored

LATER = timedelta(minutes=5)
BROKEN = current(stored(OTHER), judged(is_valid=False))
DENIED = current(StoreError("denied", "The policy denies update.", "Grant it."))
DOWN = current(STORE_DOWN)
NO_ACCESS = Candidate(
    None, verify(SourceError(Problem("no-access", "No token."), State.INVALID, "page"), page=page(), now=NOW)
)
HEALED: dict[Key, Outcome] = {KEY: Written("2", True)}


class Daemon:
    """Cycles and checks one after the other, each of which knows what was reported before it."""

    def __init__(self) -> None:
        self.now = NOW
        self.reported = Reported()

    def cycle(self, *pages: PagePlan) -> Sequence[tuple[str, str | None]]:
        """Return the events of a cycle over all Pages, with the Page or the problem that they are about."""
        return _short(events(self._report(pages, {}, is_check=False)))

    def check(self, *pages: PagePlan, outcomes: dict[Key, Outcome] | None = None) -> Sequence[tuple[str, str | None]]:
        """Return the events of a check of these Pages."""
        return _short(check_events(self._report(pages, outcomes or {}, is_check=True)))

    def _report(self, pages: Sequence[PagePlan], outcomes: dict[Key, Outcome], *, is_check: bool) -> Report:
        self.now += LATER
        plan = Plan(tuple(pages), (MAIN,), (), {}, "sha256:one")
        frame = replace(FRAME, started_at=self.now)
        made = report(plan, frame, outcomes, instance=INSTANCE, before=self.reported, is_check=is_check)
        self.reported = made.changes.reported
        return made


def _short(found: object) -> Sequence[tuple[str, str | None]]:
    return [
        (event.name, event.fields.get("problem"))
        for event in found  # type: ignore[attr-defined]
        if event.name not in ("cycle_finished", "page_checked")
    ]


def test_what_a_check_healed_is_logged_once() -> None:
    """A check logs that a secret was written and serves again; the next cycle has nothing to log."""
    daemon = Daemon()
    berlin, rome = of(fetched(), GOOD, name="berlin"), of(fetched(), GOOD, name="rome")
    assert daemon.cycle(berlin, rome) == []
    assert daemon.check(of(fetched(), BROKEN, name="berlin"), outcomes=HEALED) == [("page_written", None)]
    assert daemon.cycle(berlin, rome) == []


def test_what_a_check_found_broken_is_logged_once() -> None:
    """A check that finds a Page's token invalid and no other logs both; the next cycle does not log them again."""
    daemon = Daemon()
    rome = of(fetched(), GOOD, name="rome")
    daemon.cycle(of(fetched(), GOOD, name="berlin"), rome)
    lost = of(NO_ACCESS, BROKEN, name="berlin")
    found = daemon.check(lost)
    assert ("served_changed", "token-invalid") in found
    assert ("problem_started", "no-access") in found
    assert daemon.check(lost) == []
    assert daemon.cycle(lost, rome) == []


def test_a_check_ends_the_problems_of_its_page_alone() -> None:
    """A problem that a check no longer finds ends for the checked Page; the other Page's lasts, and is not logged again."""
    daemon = Daemon()
    lost = [of(NO_ACCESS, GOOD, name=name) for name in ("berlin", "rome")]
    daemon.cycle(*lost)
    assert daemon.check(of(fetched(), GOOD, name="berlin")) == [("problem_ended", "no-access")]
    assert daemon.cycle(of(fetched(), GOOD, name="berlin"), lost[1]) == []


def test_a_check_ends_no_cause_that_other_pages_share() -> None:
    """A store that is down for all Pages is not over because one Page can be read; that is for the next cycle to find."""
    daemon = Daemon()
    daemon.cycle(of(fetched(), DOWN, name="berlin"), of(fetched(), DOWN, name="rome"))
    assert ("problem_ended", "store-failed") not in daemon.check(of(fetched(), GOOD, name="berlin"))
    assert ("problem_ended", "store-failed") in daemon.cycle(
        of(fetched(), GOOD, name="berlin"), of(fetched(), GOOD, name="rome")
    )


def test_a_shared_cause_that_a_check_finds_first_begins_there() -> None:
    """A store that a check finds down is logged by the check, and not again by the cycle that finds the same."""
    daemon = Daemon()
    pages = [of(fetched(), GOOD, name=name) for name in ("berlin", "rome")]
    daemon.cycle(*pages)
    assert ("store_failed", "store-failed") in daemon.check(of(fetched(), DOWN, name="berlin"))
    found = daemon.cycle(*(of(fetched(), DOWN, name=name) for name in ("berlin", "rome")))
    assert ("store_failed", "store-failed") not in found
    assert daemon.reported.problems[next(iter(daemon.reported.problems))].page_count == 2


def test_a_check_reminds_of_nothing() -> None:
    """A reminder that is due names all Pages of a cause, so that it waits for the next cycle."""
    daemon = Daemon()
    lost = [of(NO_ACCESS, GOOD, name=name) for name in ("berlin", "rome")]
    daemon.cycle(*lost)
    daemon.now += timedelta(days=1)
    assert daemon.check(lost[0]) == []
    assert daemon.cycle(*lost) == [("problem_reminder", "no-access")]


def test_held_writes_are_not_logged_again_and_name_no_plan_of_a_check() -> None:
    """No command carries out the plan of a check, so that a write it holds names none; one that lasts is not logged."""
    planned = of(fetched(), current(stored(OTHER), judged(scopes=frozenset())), name="berlin")
    held = replace(planned, targets=tuple(replace(one, action=hold(one.action, "brake")) for one in planned.targets))
    before = Daemon()
    before.cycle(held)
    assert before.check(held) == []
    made = report(Plan((held,), (MAIN,), (), {}, "sha256:part"), FRAME, {}, instance=INSTANCE, is_check=True)
    line = next(event for event in check_events(made) if event.name == "brake_held")
    assert "remedy" not in line.fields


def test_a_check_is_one_line_more_than_what_it_changed() -> None:
    """The last line of a check names its Pages and how long it took, and counts nothing of a cycle."""
    (last,) = check_events(account(of(fetched(), GOOD), outcomes={}))
    assert (last.name, last.level) == ("page_checked", "info")
    assert last.fields == {
        "page": "berlin",
        "page_id": "101010101010101",
        "system_user": "main",
        "app": "messenger",
        "served": "verified",
        "duration_ms": 1900,
    }


def test_the_last_report_has_what_a_check_found() -> None:
    """A check replaces its Pages in the last report, in their order, and the result follows; the cycle's frame stays."""
    last = account(
        of(fetched(), GOOD, name="rome"),
        of(fetched(), BROKEN, name="berlin"),
        outcomes={},
        orphans=(Key("vault", "x"),),
    )
    check = account(of(fetched(), BROKEN, name="berlin"), outcomes=HEALED, frame=replace(FRAME, cycle="other"))
    merged = with_check(last, check)
    assert [one.name for one in merged.pages] == ["rome", "berlin"]
    assert merged.pages[0] is last.pages[0]
    assert merged.pages[1] is check.pages[0]
    assert (last.result, merged.result) == ("degraded", "ok")
    assert [cause.key.code for cause in last.causes] == ["token-invalid"]
    assert not merged.causes
    assert (merged.frame.cycle, merged.frame.traffic, merged.orphans) == (FRAME.cycle, FRAME.traffic, last.orphans)
    assert merged.changes.reported is check.changes.reported


def test_the_last_report_keeps_its_plan_while_the_same_writes_are_held() -> None:
    """A check that finds a held write unchanged leaves the checksum of the plan; one that finds another state removes it."""
    planned = of(fetched(), current(stored(OTHER), judged(scopes=frozenset())))
    held = replace(planned, targets=tuple(replace(one, action=hold(one.action, "brake")) for one in planned.targets))
    last = replace(account(held, outcomes={}), checksum="sha256:whole")
    assert with_check(last, account(held, outcomes={})).checksum == "sha256:whole"
    assert with_check(last, account(of(fetched(), GOOD), outcomes={})).checksum is None


@pytest.mark.parametrize(
    ("before", "now", "outcomes", "served", "changed"),
    [
        pytest.param(BROKEN, BROKEN, HEALED, "verified", True, id="healed"),
        pytest.param(BROKEN, GOOD, {}, "verified", True, id="somebody else wrote another token"),
        pytest.param(current(Absent()), current(Absent()), HEALED, "verified", True, id="created"),
        pytest.param(GOOD, GOOD, {}, "verified", False, id="it works"),
        pytest.param(BROKEN, BROKEN, {KEY: STORE_DOWN}, "broken", False, id="not written"),
        pytest.param(GOOD, DENIED, {}, "stale", False, id="could not be read"),
    ],
)
def test_an_app_learns_whether_another_token_is_stored(
    before: object, now: object, outcomes: dict[Key, Outcome], served: str, changed: bool
) -> None:
    """``changed`` is true where a secret holds another token than before, and only there."""
    last = account(of(fetched(), before), outcomes={})  # type: ignore[arg-type]
    check = account(of(fetched(), now), outcomes=outcomes)  # type: ignore[arg-type]
    answer = checked_page(check.pages[0], fingerprints(last, "berlin")).as_json()
    assert (answer["page"], answer["served"], answer["changed"]) == ("berlin", served, changed)


def test_the_worst_secret_stands_for_a_page() -> None:
    """Of several secrets the answer has each, and at its top the one that serves the worst."""
    foreign = current(Stored(stored().payload, "2", None))
    check = account(of(fetched(), GOOD, foreign), outcomes={})
    answer = checked_page(check.pages[0], {KEY: FETCHED.fingerprint, AWS: FETCHED.fingerprint}).as_json()
    assert (answer["served"], answer["changed"]) == ("foreign", False)
    assert [(one["store"], one["served"]) for one in answer["stores"]] == [("vault", "verified"), ("aws", "foreign")]
