"""How much may be asked of Meta: what its answers teach, how calls are spread, and when nothing goes at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.memory.pace import BATCH, Allowance, allowance, calls_per_hour, record_asks
from sync.core.memory.quota import (
    LEAST_CEILING,
    Pool,
    QuotaKey,
    freeze,
    frozen_until,
    is_worth_keeping,
    record_usage,
    without_future,
)
from sync.core.model import Ask
from sync.core.secret import Secret

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BUDGET = 0.75


def pool(used: float | None = None, *, ago: timedelta = timedelta(0), **more: object) -> Pool:
    """Make a quota of 200 calls an hour of which so much was used so long ago."""
    known = {"ceiling": 200.0, "measured": True} if used is not None else {}
    return replace(Pool(used, None if used is None else NOW - ago), **{**known, **more})  # type: ignore[arg-type]


def at(found: Pool, now: datetime = NOW) -> Allowance:
    """Return what is allowed under the usual budget."""
    return allowance(found, BUDGET, now)


def asks(ordinary: int, urgent: int = 0) -> list[Ask]:
    """Make asks, the urgent ones first."""
    return [Ask(Secret(f"u{number}"), urgent=True) for number in range(urgent)] + [
        Ask(Secret(f"o{number}")) for number in range(ordinary)
    ]


def test_without_any_report_one_batch_is_sent_at_a_time() -> None:
    """There is no other limit: the report is read after each batch."""
    assert at(Pool()) == Allowance(None, None, BATCH)
    assert at(pool(90, ago=HOUR)) == Allowance(None, None, BATCH)


def test_below_half_of_an_unknown_quota_there_is_no_limit() -> None:
    """Its size is learnt by one batch."""
    found = at(Pool(10.0, NOW))
    assert (found.ordinary, found.at_once) == (None, BATCH)


@pytest.mark.parametrize("used", [0.0, 10.0, 30.0, 49.0])
def test_below_half_ordinary_calls_are_allowed_up_to_half(used: float) -> None:
    """There is no other limit on them."""
    assert at(pool(used)).ordinary == int((50 - used) * 2)


def test_what_is_left_up_to_the_budget_is_spread_over_an_hour() -> None:
    """A quarter of it after a quarter of an hour, all of it after the hour."""
    half = record_usage(pool(49.0), 50.0, 0, NOW)
    levels = [at(replace(half, reported_at=NOW + n * 15 * MINUTE), NOW + n * 15 * MINUTE).ordinary for n in range(5)]
    assert levels == [0, 12, 25, 37, 50]


def test_after_that_hour_what_leaves_metas_count_is_used_again() -> None:
    """While half or more was in use within the last hour, the level stays at the budget."""
    pressed = pool(60.0, busy_from=NOW - 2 * HOUR, busy_at=NOW - 15 * MINUTE)
    assert at(pressed).ordinary == 30
    calm = pool(60.0, busy_from=NOW - 3 * HOUR, busy_at=NOW - 61 * MINUTE)
    assert at(calm).ordinary == 0


@pytest.mark.parametrize("used", [75.0, 80.0, 94.0])
def test_above_the_budget_only_urgent_calls_are_allowed(used: float) -> None:
    """They are allowed up to 95 percent, and the allowance says when the others resume."""
    found = at(pool(used))
    assert (found.ordinary, found.urgent) == (0, int((95 - used) * 2))
    assert found.next_allowed_at == NOW + HOUR * (1 - 75 / used)


@pytest.mark.parametrize("used", [95.0, 99.0, 100.0, 140.0])
def test_from_95_percent_nothing_is_allowed_until_much_has_left_the_count(used: float) -> None:
    """Not even urgent calls; then a single call reads the next report."""
    full = pool(used)
    found = at(full)
    assert (found.ordinary, found.urgent, found.at_once) == (0, 0, 0)
    assert found.next_allowed_at is not None
    assert at(full, found.next_allowed_at - MINUTE).at_once == 0
    assert at(full, found.next_allowed_at + MINUTE).at_once == 1


def test_an_old_report_is_checked_before_much_is_asked() -> None:
    """A report of a quarter of an hour ago may still hold, since all calls of a minute leave the count together."""
    assert at(pool(74.0, ago=15 * MINUTE)).at_once == 1
    assert at(pool(35.0, ago=15 * MINUTE)).at_once == 40


def test_a_report_ages_to_zero_over_the_window() -> None:
    """Its percent decrease by the minute."""
    assert [at(pool(60.0, ago=n * 15 * MINUTE)).ordinary for n in (0, 1, 2, 3)] == [0, 10, 40, 70]


def test_at_most_half_of_the_capacity_is_used_before_the_next_report() -> None:
    """So a quota that is smaller than was learnt is not exceeded."""
    assert at(pool(5.0)).at_once == 90
    assert at(pool(92.0)).at_once == 6


@pytest.mark.parametrize(("first", "last", "calls"), [(10, 35, 50), (0, 25, 50), (10, 12, 50), (40, 90, 10_000)])
def test_the_size_of_a_quota_is_learnt_from_a_rise(first: float, last: float, calls: int) -> None:
    """So many calls for so many percent; a larger rise changes the estimate more."""
    found = record_usage(record_usage(Pool(), first, 1, NOW), last, calls, NOW + MINUTE / 2)
    truth = 100 * calls / (last - first)
    assert found.measured
    assert found.ceiling is not None
    assert min(LEAST_CEILING, truth) <= found.ceiling <= max(LEAST_CEILING, truth) * 1.05
    if last - first >= 25:
        assert abs(found.ceiling - truth) < abs(LEAST_CEILING - truth) / 2 + 5


def test_the_size_is_learnt_from_single_calls() -> None:
    """The headers of a batch's items report each call, cut off to whole percent."""
    found, made = Pool(), 0
    for made in range(1, 101):
        found = record_usage(found, float(made * 100 // 400), 1, NOW)
    assert found.ceiling is not None
    assert 360 < found.ceiling < 440


def test_a_rise_over_more_than_a_minute_is_not_used() -> None:
    """Calls that left the count meanwhile are not reported."""
    found = record_usage(record_usage(Pool(), 10.0, 1, NOW), 40.0, 500, NOW + 2 * MINUTE)
    assert (found.ceiling, found.measured, found.used) == (None, False, 40.0)


def test_many_calls_without_a_rise_show_a_large_quota() -> None:
    """Then many batches are sent side by side."""
    found = record_usage(record_usage(Pool(), 1.0, 1, NOW), 1.0, 50, NOW)
    assert (found.ceiling, found.measured) == (2500.0, False)
    assert at(found).at_once > 1000


def test_a_measured_size_counts_more_than_a_guess() -> None:
    """The first large rise lowers a large guess at once."""
    found = record_usage(record_usage(record_usage(Pool(), 1.0, 1, NOW), 1.0, 50, NOW), 40.0, 78, NOW)
    assert found.ceiling is not None
    assert found.ceiling < 1200


def test_an_overtaken_answer_does_not_lower_the_use() -> None:
    """Side by side an earlier report may arrive later."""
    found = record_usage(record_usage(pool(10.0), 40.0, 50, NOW), 30.0, 50, NOW)
    assert found.used == 40.0
    assert record_usage(found, 30.0, 1, NOW + 2 * MINUTE).used == 30.0


def test_a_missing_header_does_not_mean_zero() -> None:
    """The last report is kept."""
    found = record_usage(pool(80.0, ago=MINUTE), None, 5, NOW)
    assert (found.used, found.reported_at, found.counted) == (80.0, NOW - MINUTE, 5)


def test_the_planned_rate_does_not_follow_each_answer() -> None:
    """It changes where the size is off by more than a seventh."""
    assert calls_per_hour(None, BUDGET) == calls_per_hour(Pool(), BUDGET) == 150
    near = record_usage(record_usage(Pool(), 0.0, 1, NOW), 27.0, 50, NOW)
    assert near.ceiling is not None
    assert near.ceiling != LEAST_CEILING
    assert calls_per_hour(near, BUDGET) == 150
    far = record_usage(record_usage(Pool(), 0.0, 1, NOW), 50.0, 1000, NOW)
    assert far.ceiling is not None
    assert calls_per_hour(far, BUDGET) == far.ceiling * BUDGET


@pytest.mark.parametrize("freezes", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_throttled_app_waits_an_hour_then_twice_as_long_up_to_four(freezes: int, jitter: float) -> None:
    """At most a tenth of jitter is added."""
    found = freeze(Pool(freezes=freezes), "backoff", None, NOW, jitter)
    hours = min(2**freezes, 4) * (1 + jitter / 10)
    assert frozen_until(found, NOW) == NOW + timedelta(hours=hours)
    assert at(found) == Allowance(0, 0, 0, found.frozen_until)


@pytest.mark.parametrize(
    ("minutes", "waits"), [(None, 5), (0, 5), (1, 5), (15, 15), (180, 180), (1440, 1440), (99_999, 1440)]
)
def test_the_time_that_meta_states_is_respected(minutes: int | None, waits: int) -> None:
    """Without a time it is five minutes, and no freeze is longer than a day."""
    wait = timedelta(minutes=minutes) if minutes is not None else None
    assert freeze(Pool(), "stated", wait, NOW, 0.0).frozen_until == NOW + waits * MINUTE
    assert freeze(Pool(), "stated", wait, NOW, 1.0).frozen_until == NOW + min(waits * 1.1, 1440) * MINUTE


def test_several_refusals_at_once_are_one_freeze() -> None:
    """Batches side by side are refused together."""
    once = freeze(Pool(), "backoff", None, NOW, 0.0)
    assert freeze(once, "backoff", None, NOW + MINUTE, 0.0) == once


def test_after_a_freeze_comes_one_call_and_then_a_quarter_of_the_rate() -> None:
    """For an hour, urgent calls too; after it the freeze is forgotten."""
    frozen = freeze(pool(30.0), "backoff", None, NOW, 0.0)
    then = NOW + HOUR
    assert at(frozen, then) == Allowance(1, 1, 1)
    thawed = record_usage(frozen, 2.0, 1, then)
    assert (at(thawed, then).ordinary, at(thawed, then).urgent) == (0, 0)
    later = at(thawed, then + 20 * MINUTE)
    assert (later.ordinary, later.urgent) == (12, 12)
    after = record_asks(thawed, asks(6), BUDGET, then + 20 * MINUTE)
    assert at(after, then + 20 * MINUTE).ordinary == 6
    over = record_usage(after, 2.0, 1, then + HOUR)
    assert (over.frozen_until, over.freezes) == (None, 0)
    assert at(over, then + HOUR).ordinary == 96


def test_a_refusal_right_after_a_freeze_is_a_longer_freeze() -> None:
    """Two in a row double the time."""
    frozen = freeze(pool(30.0), "backoff", None, NOW, 0.0)
    again = freeze(frozen, "backoff", None, NOW + HOUR, 0.0)
    assert again.frozen_until == NOW + 3 * HOUR
    thawed = record_usage(frozen, 2.0, 1, NOW + HOUR)
    assert freeze(thawed, "backoff", None, NOW + HOUR + MINUTE, 0.0).freezes == 2


def test_a_clock_that_is_set_back_freezes_nothing_for_days() -> None:
    """An end further off than any freeze is ignored; a report from the future counts as none, so that one batch is sent."""
    frozen = freeze(Pool(), "backoff", None, NOW, 0.0)
    assert frozen_until(frozen, NOW - timedelta(days=3)) is None
    assert at(pool(80.0), NOW - timedelta(days=3)) == Allowance(None, None, BATCH)


@pytest.mark.parametrize("back", [HOUR, 20 * HOUR, timedelta(days=30)])
def test_what_was_recorded_under_a_clock_that_was_ahead_closes_nothing(back: timedelta) -> None:
    """Neither a freeze nor a use counts that lies in the future; what was learnt of the quota's size stays."""
    frozen = replace(freeze(pool(80.0), "backoff", None, NOW, 0.0), ceiling=400.0, measured=True)
    after = without_future(frozen, NOW - back)
    assert frozen_until(after, NOW - back) is None
    assert at(after, NOW - back).ordinary != 0
    assert (after.ceiling, after.measured) == (400.0, True)
    assert without_future(frozen, NOW - MINUTE) == frozen


def test_closed_quotas_are_kept_while_they_matter() -> None:
    """A Page's quota is forgotten two hours after it opened, and one that was never closed is not kept."""
    frozen = freeze(Pool(), "stated", 10 * MINUTE, NOW, 0.0)
    assert is_worth_keeping(frozen, NOW + HOUR)
    assert not is_worth_keeping(frozen, NOW + 3 * HOUR)
    assert not is_worth_keeping(Pool(), NOW)


def test_choosing_keeps_the_order_and_skips_what_must_wait() -> None:
    """Ordinary asks wait where only urgent ones are allowed, and never come before them."""
    wanted = asks(5, urgent=3)
    assert Allowance(2, 4, 50).choose(wanted) == wanted[:3]
    assert Allowance(4, 9, 50).choose(wanted) == wanted[:4]
    assert Allowance(0, 2, 50).choose(wanted) == wanted[:2]
    assert Allowance(None, None, 6).choose(wanted) == wanted[:6]
    assert Allowance(0, 2, 50).choose(wanted[3:]) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (QuotaKey("123"), "123/app"),
        (QuotaKey("123", "system_user", "main"), "123/system_user/main"),
        (QuotaKey("123", "system_user", "a/b"), "123/system_user/a/b"),
        (QuotaKey("123", "page", "456"), "123/page/456"),
    ],
)
def test_the_key_of_a_quota_has_a_text_form(key: QuotaKey, text: str) -> None:
    """The state file holds the text, and the next process finds the quota by it."""
    assert str(key) == text
    assert QuotaKey.parse(text) == key


@pytest.mark.parametrize("text", ["", "123", "/app", "123/app/x", "123/page", "123/page/", "123/other/x", "app:123"])
def test_another_text_is_no_key(text: str) -> None:
    """A key that this version does not write is not used."""
    assert QuotaKey.parse(text) is None


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 3600), st.sampled_from(["reported", "silent", "throttle"]), st.integers(0, 150))),
    st.floats(0.05, 1.0),
)
def test_every_sequence_of_reports_has_an_allowance(said: list[tuple[int, str, int]], budget: float) -> None:
    """Nothing raises, no number is negative, and ordinary calls are never allowed where urgent ones are not."""
    now, found = NOW, Pool()
    for seconds, kind, number in said:
        now += timedelta(seconds=seconds)
        found = {
            "reported": lambda: record_usage(found, float(number), number, now),  # noqa: B023 - called at once
            "silent": lambda: record_usage(found, None, number, now),  # noqa: B023 - called at once
            "throttle": lambda: freeze(found, "backoff", None, now, 0.5),  # noqa: B023 - called at once
        }[kind]()
        allowed = allowance(found, budget, now)
        assert allowed.at_once >= 0
        for most in (allowed.ordinary, allowed.urgent):
            assert most is None or most >= 0
        if allowed.urgent is not None and allowed.urgent == 0:
            assert allowed.ordinary == 0 or allowed.at_once == 0
        found = record_asks(found, allowed.choose(asks(60, urgent=2)), budget, now)


def test_use_above_the_whole_quota_is_full_and_teaches_nothing() -> None:
    """A report of far more than 100 percent stops all calls, and the quota's size stays what was learnt."""
    known = Pool(10.0, NOW, ceiling=200.0, measured=True, base=10.0)
    pool = record_usage(known, 1000.0, 1, NOW + timedelta(seconds=5))
    allowed = allowance(pool, 0.75, NOW + timedelta(seconds=5))
    assert (allowed.ordinary, allowed.urgent) == (0, 0)
    assert (pool.ceiling, pool.steady) == (200.0, 200.0)


@pytest.mark.parametrize(("ahead", "counts"), [(4 * MINUTE, True), (6 * MINUTE, False), (12 * HOUR, False)])
def test_a_report_from_before_the_clock_was_set_back_closes_nothing(ahead: timedelta, counts: bool) -> None:
    """A full quota and a freeze that were reported in the future, beyond the usual skew, do not hold until then."""
    assert (at(pool(100.0, ago=-ahead)).urgent == 0) == counts
    frozen = freeze(Pool(), "stated", 10 * MINUTE, NOW + ahead, 0.0)
    assert (frozen_until(frozen, NOW) is not None) == counts
    assert (at(frozen).urgent == 0) == counts
