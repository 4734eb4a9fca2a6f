"""Days of the program under one event each: what Meta said stays, what is broken is found, and nobody pays for another's trouble."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sync.core.report.report import Report
from sync.sandbox.world.business import TASKS
from sync.sandbox.world.tokens import invalidated
from tests.simulation.answers import without
from tests.simulation.days import AWAY, Days

pytestmark = pytest.mark.slow

ALL_FIELDS = ("type", "app_id", "profile_id", "scopes", "expires_at", "is_valid")


def states(report: Report, names: Iterable[str] | None = None) -> set[str]:
    """Return what the Pages of these names serve, without repetition."""
    wanted = None if names is None else set(names)
    return {page.served for page in report.pages if wanted is None or page.name in wanted}


def of_user(days: Days, user: str) -> list[str]:
    """Return the names of a system user's Pages."""
    return [days.world.pages[page_id].name for page_id in days.users[user].assigned]


def assert_true(days: Days) -> None:
    """Check that no report of the days broke an invariant."""
    assert days.checker.violations[:5] == []


@pytest.mark.parametrize("missing", ALL_FIELDS)
def test_a_partial_answer_is_asked_again_in_the_next_cycle(tmp_path: Path, missing: str) -> None:
    """A field that one answer of debug_token lacks delays a new Page by one cycle."""
    days = Days(tmp_path, (3,), compared=True)
    days.weather.edit = without(missing, times=3)
    days.cycle()
    report = days.cycle()
    assert states(report) == {"verified"}
    assert_true(days)


@pytest.mark.parametrize("missing", ALL_FIELDS)
def test_partial_answers_make_nothing_stale_before_its_time(tmp_path: Path, missing: str) -> None:
    """While debug_token leaves a field out for a day, what was verified stays verified."""
    days = Days(tmp_path, (5,), schedule={"every": "1h"}, compared=False)
    days.run(3)
    days.weather.edit = without(missing)
    for _ in range(30):
        assert states(days.cycle()) == {"verified"}
    days.weather.edit = None
    assert states(days.run(2)) == {"verified"}
    assert_true(days)


def test_a_cycle_without_graph_and_store_forgets_nothing(tmp_path: Path) -> None:
    """One cycle in which nothing can be read costs no verdict, and none is stale after it."""
    days = Days(tmp_path, (120,))
    days.run(2.5)
    before = days.facts.questions.total()
    days.weather.down, days.stores["disk"].down = True, AWAY
    days.cycle()
    days.weather.down, days.stores["disk"].down = False, None
    assert states(days.cycle()) == {"verified"}
    assert days.facts.questions.total() - before <= 10
    assert_true(days)


@pytest.mark.parametrize("hours", [2, 20])
def test_a_start_before_the_network_is_up_forgets_nothing(tmp_path: Path, hours: int) -> None:
    """A process that starts hours later with its state file and without a network loses no verdict by its first cycles."""
    days = Days(tmp_path, (120,))
    days.run(2.5)
    days.clock.passed += hours * 3600
    days.configure()
    days.weather.down, days.stores["disk"].down = True, AWAY
    days.run(0.5)
    days.weather.down, days.stores["disk"].down = False, None
    before = days.facts.questions.total()
    assert states(days.cycle()) == {"verified"}
    assert days.facts.questions.total() - before <= 120 * hours / 24 + 10
    assert_true(days)


@pytest.mark.parametrize("page_tokens_die", [True, False])
def test_a_system_user_that_dies_takes_no_turn_of_another(tmp_path: Path, *, page_tokens_die: bool) -> None:
    """While 320 Pages of one system user are lost for two days, the 20 of another are always verified."""
    days = Days(tmp_path, (320, 20), schedule={"every": "1h"})
    days.run(6)
    others = of_user(days, "user1")
    days.world.page_tokens_follow_user_token = page_tokens_die
    days.world.invalidate(days.users["user0"])
    for _ in range(56):
        assert states(days.cycle(), others) == {"verified"}
    assert_true(days)


@pytest.mark.parametrize("stores", [("disk",), ("disk", "second")])
def test_a_template_that_changes_waits_for_the_quota(tmp_path: Path, stores: tuple[str, ...]) -> None:
    """Where the quota does not suffice for the proofs, what is served stays verified, and the writes wait."""
    days = Days(tmp_path, (60,), stores=stores, brake={"share": "100%"})
    days.run(2)
    pool = days.world.quotas.app
    assert pool is not None
    pool.calls.extend([days.world.time()] * 190)
    days.cycle()
    days.configure(defaults={"stores": list(stores), "payload": {"access_token": "{token}", "id": "{id}"}})
    report = days.cycle()
    assert states(report) == {"verified"}
    assert report.result != "failed"
    assert days.refusals() == 0
    days.run(3)
    assert all("id" in value for value in days.held())
    assert_true(days)


def test_templates_that_change_leave_the_reserve_to_repairs(tmp_path: Path) -> None:
    """Above the budget a change of templates asks nothing, so that a token that is revoked then is replaced in its cycle."""
    days = Days(tmp_path, (60,), brake={"share": "100%"})
    days.run(2)
    pool = days.world.quotas.app
    assert pool is not None
    pool.calls.extend([days.world.time()] * 160)
    days.cycle()
    before = len(pool.calls)
    days.world.revoke_page(days.page(3))
    days.configure(defaults={"stores": ["disk"], "payload": {"access_token": "{token}", "id": "{id}"}})
    report = days.cycle()
    assert days.served(report)[days.page(3).name] == "verified"
    assert len(pool.calls) - before <= 10
    assert_true(days)


def test_a_quota_that_grows_makes_nothing_stale(tmp_path: Path) -> None:
    """A verdict that was good under the long interval of a small quota stays good when the quota grows."""
    days = Days(tmp_path, (300,), schedule={"every": "1h"}, quota=1000)
    days.run(3)
    pool = days.world.quotas.app
    assert pool is not None
    pool.limit = 10
    assert states(days.run(70)) == {"verified"}
    pool.limit = 1000
    for _ in range(30):
        assert states(days.cycle()) == {"verified"}
    assert_true(days)


def test_a_refused_token_that_is_invalid_is_not_called_valid(tmp_path: Path) -> None:
    """A token that the probe and debug_token refuse has no notice that debug_token calls it valid."""
    days = Days(tmp_path, (3,), compared=True)
    days.run(1)
    days.users["user0"].assigned.pop(gone := days.page().id)
    report = days.cycle()
    page = next(page for page in report.pages if page.id == gone)
    assert page.served == "broken"
    assert [notice.code for entry in page.stores for notice in entry.notices] == []
    assert_true(days)


def test_secrets_that_nobody_may_write_cost_no_more_than_others(tmp_path: Path) -> None:
    """Broken tokens in secrets with rotation enabled take neither the reserve of the quota nor the turn of others."""
    days = Days(tmp_path, (100, 2))
    days.run(3)
    store, pool = days.stores["disk"], days.world.quotas.app
    assert pool is not None
    for page_id in days.users["user0"].assigned:
        page = days.world.pages[page_id]
        store.secrets[days.key(page)] = replace(store.secrets[days.key(page)], blocked="rotation-enabled")
        days.world.revoke_page(page)
    for _ in range(16):
        assert states(days.cycle(), of_user(days, "user1")) == {"verified"}
        assert pool.used(days.world.time()) <= 80
    assert_true(days)


def test_a_clock_that_was_ahead_leaves_no_page_out(tmp_path: Path) -> None:
    """A Page whose alarm began under a clock a month ahead is asked for again within six hours of real time."""
    days = Days(tmp_path, (5,))
    days.run(1)
    page_id = days.page().id
    days.set_clock(timedelta(days=30))
    days.users["user0"].assigned.pop(page_id)
    days.run(40)
    days.set_clock(timedelta(0))
    days.cycle()
    days.users["user0"].assigned[page_id] = TASKS
    assert states(days.run(7)) == {"verified"}
    assert_true(days)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=30)])
@pytest.mark.parametrize("used", [0, 190])
def test_a_refusal_voids_an_answer_of_the_future(tmp_path: Path, ahead: timedelta, used: int) -> None:
    """A token that is revoked after the clock was put right is never called verified, whatever the date of its last answer."""
    days = Days(tmp_path, (5,), compared=True)
    pool = days.world.quotas.app
    assert pool is not None
    days.set_clock(ahead)
    days.run(1)
    days.set_clock(timedelta(0))
    pool.calls.extend([days.world.time()] * used)
    days.cycle()
    days.world.revoke_page(days.page())
    days.users["user0"].assigned.pop(days.page(1).id)
    days.run(1)
    assert_true(days)


@pytest.mark.parametrize("back", [timedelta(hours=-3), timedelta(days=-30)])
def test_a_clock_that_is_set_back_hides_nothing(tmp_path: Path, back: timedelta) -> None:
    """After the clock is set back a revoked token is replaced in its cycle, and everything is verified in the next."""
    days = Days(tmp_path, (5,), compared=True)
    days.run(1)
    days.set_clock(back)
    days.world.revoke_page(days.page())
    days.cycle()
    assert states(days.cycle()) == {"verified"}
    days.set_clock(timedelta(0))
    assert states(days.run(1)) == {"verified"}
    assert_true(days)


def test_a_page_that_is_assigned_again_is_verified_in_the_next_cycle(tmp_path: Path) -> None:
    """A Page is unassigned for some cycles, and assigned again: ``run`` says what ``once`` would say, cycle by cycle."""
    days = Days(tmp_path, (5,), compared=True)
    days.run(1)
    for cycles in (1, 3, 12):
        days.unassign(cycles=cycles)
        days.cycle()
        assert states(days.cycle()) == {"verified"}
    assert_true(days)


def test_a_system_user_that_is_revived_is_right_in_the_next_cycle(tmp_path: Path) -> None:
    """A system user's token is invalid for some hours, and valid again: ``run`` says what ``once`` would say."""
    days = Days(tmp_path, (5, 3), compared=True)
    days.run(1)
    for hours in (0.25, 3.0):
        days.world.invalidate(days.users["user0"])
        days.run(hours)
        days.world.restore(days.users["user0"])
        days.cycle()
        assert states(days.cycle()) == {"verified"}
    assert_true(days)


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("shape", ["no-role", "impersonation", "field-missing"])
def test_a_page_that_is_refused_within_the_hour_is_judged_in_its_cycle(tmp_path: Path, after: int, shape: str) -> None:
    """A Page whose reads and tokens are refused soon after they were judged is broken in the same cycle."""
    days = Days(tmp_path, (5,), compared=True)
    for _ in range(after):
        days.cycle()
    days.page().refusal = shape
    gone = days.page()
    days.users["user0"].assigned.pop(gone.id)
    assert days.served(days.cycle())[gone.name] == "broken"
    assert_true(days)


@pytest.mark.parametrize("shape", ["no-role", "impersonation"])
def test_a_refusal_between_two_probes_is_judged_in_its_cycle(tmp_path: Path, shape: str) -> None:
    """Cycles of 20 seconds probe every 15 minutes, and a read that is refused as an invalid token is asked about at once."""
    days = Days(tmp_path, (5,), schedule={"every": "20s"}, probe_every="15m")
    for _ in range(3):
        days.cycle()
    gone = days.page()
    gone.refusal = shape
    days.users["user0"].assigned.pop(gone.id)
    assert days.served(days.cycle())[gone.name] == "broken"
    assert_true(days)


def test_a_weaker_token_of_the_same_system_user_waits_for_a_person(tmp_path: Path) -> None:
    """A new token with fewer permissions replaces none that has more: it is held."""
    scopes = ("pages_messaging", "pages_manage_metadata", "pages_show_list")
    days = Days(tmp_path, (10,))
    user = days.users["user0"]
    days.world.rotate(user, scopes=scopes)
    days.store_credential("user0")
    days.run(1)
    before = {key: days.stored(key)[1] for key in days.checker.served}
    days.world.rotate(user, scopes=("pages_messaging", "pages_show_list"))
    days.store_credential("user0")
    report = days.run(1)
    assert {key: days.stored(key)[1] for key in days.checker.served} == before
    assert {entry.reason for page in report.pages for entry in page.stores} == {"weaker"}
    assert report.result == "held"
    assert states(report) == {"verified"}
    assert_true(days)


def test_an_older_token_that_somebody_wrote_is_known_as_foreign(tmp_path: Path) -> None:
    """Marks claim no origin of a token that somebody else wrote over one of this instance, and a notice names it."""
    days = Days(tmp_path, (5,))
    days.put_older()
    reports = [days.cycle() for _ in range(8)]
    notices = [
        notice.code for report in reports for page in report.pages for entry in page.stores for notice in entry.notices
    ]
    assert notices == ["foreign-write"]
    assert_true(days)


def test_a_token_of_another_person_is_replaced(tmp_path: Path) -> None:
    """A working token of the Page that hangs on another system user is replaced by the present one's."""
    days = Days(tmp_path, (5, 0))
    world = days.world
    days.run(1)
    other = days.users["user1"]
    other.assigned[days.page().id] = TASKS
    foreign = world.page_token(days.page(), world.tokens[other.token])
    days.put(days.key(days.page()), foreign.value)
    days.run(1)
    assert days.stored(days.key(days.page()))[1] != foreign.value
    assert_true(days)


def test_a_credential_in_a_store_that_is_away_is_no_refusal_of_metas(tmp_path: Path) -> None:
    """While the store of the system user's token is away nothing is stale, and the operator has to act."""
    token = {"store": "second", "path": "graph", "key": "token"}
    days = Days(tmp_path, (5,), stores=("disk", "second"), defaults={"stores": ["disk"]})
    days.keep_credential("second", "graph", {"token": days.users["user0"].token})
    days.configure(system_users={"user0": {"token": token}})
    assert states(days.run(1)) == {"verified"}
    days.stores["second"].down = AWAY
    for _ in range(30):
        report = days.cycle()
        assert states(report) == {"verified"}
        codes = {problem.code for user in report.user_tokens for problem in user.verdict.problems}
        assert codes == {"credential-unavailable"}
    days.stores["second"].down = None
    assert states(days.cycle()) == {"verified"}
    assert_true(days)


def test_a_quota_that_changes_is_exceeded_once_a_change(tmp_path: Path) -> None:
    """Meta's quota goes from 200 to 1,000 and to 40 an hour: at most one refused hour follows each change."""
    days = Days(tmp_path, (100,), schedule={"every": "1h"})
    days.run(6)
    for quota in (1000, 40, 200):
        pool = days.world.quotas.app
        assert pool is not None
        pool.limit = quota
        hours = 0
        for _ in range(30):
            days.cycle()
            hours += days.refusals() > 0
        assert hours <= 1
    assert_true(days)


def test_a_throttle_under_a_clock_that_was_ahead_ends_with_its_time(tmp_path: Path) -> None:
    """An app that is throttled while the clock is ahead is asked again within hours of real time."""
    days = Days(tmp_path, (5,))
    pool = days.world.quotas.app
    assert pool is not None
    days.run(1)
    days.set_clock(timedelta(days=30))
    pool.calls.extend([days.world.time()] * 300)
    days.run(0.5)
    days.set_clock(timedelta(0))
    days.world.revoke_page(days.page())
    assert states(days.run(5)) == {"verified"}
    assert_true(days)


@pytest.mark.parametrize("subcode", [458, 459, 460, 463, 464, 466, 467, 490, 492, 493])
def test_a_token_that_any_subcode_refuses_is_replaced_in_its_cycle(tmp_path: Path, subcode: int) -> None:
    """A stored token that Meta refuses, for whatever reason, is replaced in the cycle that finds it."""
    days = Days(tmp_path, (5,), compared=True)
    days.run(1)
    page = days.page()
    _, token = days.stored(days.key(page))
    assert token is not None
    days.world.tokens[token].invalid_reason = invalidated(subcode)
    page.generation += 1
    assert days.served(days.cycle())[page.name] == "verified"
    assert days.stored(days.key(page))[1] != token
    assert_true(days)


def test_a_mass_of_revoked_tokens_is_replaced_in_the_second_cycle(tmp_path: Path) -> None:
    """All tokens are revoked at once: it is said twice, and then everything is replaced."""
    days = Days(tmp_path, (40, 5))
    days.run(1)
    for page in days.world.pages.values():
        days.world.revoke_page(page)
    days.cycle()
    assert states(days.cycle()) == {"verified"}
    assert_true(days)


def test_labels_that_change_cost_no_question(tmp_path: Path) -> None:
    """New labels are written in the cycle that reads them, and debug_token is asked about nothing for them."""
    days = Days(tmp_path, (40,))
    days.run(1)
    before = days.facts.questions.total()
    days.configure(defaults={"stores": ["disk"], "labels": {"team": "crm"}})
    report = days.cycle()
    assert {entry.reason for page in report.pages for entry in page.stores} == {"labels"}
    assert days.facts.questions.total() - before <= 5
    assert_true(days)
