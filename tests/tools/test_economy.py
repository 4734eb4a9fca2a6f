"""Weeks of cycles under a small quota: no two calls in a row are throttled, no verdict is too old, and repairs go first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.core.ask.due import asks
from sync.core.model import Ask
from tools.economy.account import APP, OnePage
from tools.economy.simulate import CYCLE, DAY, RunStats, Simulation
from tools.economy.table import table

pytestmark = pytest.mark.slow

AT_ONCE = 2 * CYCLE
"""A token that is revoked just after a cycle is found and replaced by the next or the one after it."""


def assert_economical(stats: RunStats, most: int = 160) -> None:
    """Check what holds for every run under 200 calls an hour."""
    assert (stats.throttles, stats.stale, stats.urgent_skipped) == (0, 0, 0)
    assert stats.oldest < stats.bound
    assert max(stats.per_hour.values()) <= most


@pytest.mark.parametrize(("pages", "days"), [(10, 21), (100, 21), (1000, 3)])
def test_a_small_quota_is_enough(pages: int, days: int) -> None:
    """With tokens revoked daily and the system user token replaced no call is refused, and each repair is done at once."""
    stats = Simulation(pages, rotations=(1,)).run(timedelta(days=days))
    assert_economical(stats)
    assert stats.interval == DAY
    assert stats.repaired > 0
    assert stats.rotated >= 0.9 * pages
    assert stats.longest_repair <= AT_ONCE


def test_an_idle_cycle_costs_two_hundredths_of_a_call_for_each_page() -> None:
    """A day's calls for a thousand unchanged Pages are one for each, and an hourly one for the system user token."""
    simulation = Simulation(1000, revoked=0, rotations=())
    simulation.run(2 * DAY)
    before = sum(simulation.stats.per_hour.values())
    simulation.run(DAY)
    calls = sum(simulation.stats.per_hour.values()) - before
    assert 1000 <= calls <= 1100
    assert calls / (DAY / CYCLE) <= 0.02 * 1000 + 5


def test_an_interval_that_the_quota_does_not_allow_is_stretched() -> None:
    """Under half of the usual quota 1,600 Pages take more than a day, and no verdict is older than twice the interval."""
    stats = Simulation(1600, limit=100, revoked=0.001, rotations=()).run(3 * DAY)
    assert_economical(stats, most=80)
    assert timedelta(hours=26) < stats.interval < timedelta(hours=31)


def test_a_quota_that_shrinks_overnight_is_refused_once_at_most() -> None:
    """The learned size of the quota is corrected after one refusal."""
    simulation = Simulation(200, rotations=(2,))
    simulation.run(DAY)
    simulation.meta.limit = 40
    stats = simulation.run(3 * DAY)
    assert stats.throttles <= 1
    assert stats.in_a_row <= 1
    assert stats.urgent_skipped == 0


def test_without_usage_headers_no_two_calls_in_a_row_are_refused() -> None:
    """After each refusal the daemon waits, and makes fewer calls."""
    simulation = Simulation(600)
    simulation.meta.silent = True
    stats = simulation.run(2 * DAY)
    assert stats.throttles >= 1
    assert stats.in_a_row == 1
    assert stats.throttles <= 12


def test_a_system_user_that_dies_costs_another_nothing() -> None:
    """While the 320 Pages of one system user have an invalid parent, no answer for 20 Pages of another runs out."""
    simulation = Simulation((320, 20), rotations=(5,), deaths=(2,))
    simulation.run(2 * DAY)
    stats = simulation.run(4 * DAY)
    assert (stats.throttles, stats.stale) == (0, 0)
    assert stats.longest_repair > 2 * DAY


def test_partial_answers_make_nothing_stale() -> None:
    """A third of the answers lack a field: they are asked again, and no earlier answer runs out meanwhile."""
    stats = Simulation(600, partial=0.3, rotations=(2,)).run(4 * DAY)
    assert (stats.throttles, stats.stale) == (0, 0)
    assert stats.repaired > 0


def test_a_quota_that_grows_and_shrinks_makes_nothing_stale() -> None:
    """A quota of 40, then 1,000, then 200 calls an hour: an answer counts as long as it did under the longest interval."""
    stats = Simulation(1200, limit=40, limits={6: 1000, 7: 200}, revoked=0.001, rotations=()).run(9 * DAY)
    assert stats.stale == 0
    assert stats.in_a_row <= 1


class Compared(Simulation):
    """A simulation that also computes the result for all Pages, and compares."""

    compared = 0

    def wanted(self) -> list[tuple[Ask, OnePage]]:
        """Return the asks, after comparing them with ``due.asks`` over all Pages."""
        found = super().wanted()
        whole = list(asks(self.inputs(self.account.pages, self.now)).get(APP, ()))
        assert [ask for ask, _ in found] == whole[: len(found)]
        assert len(found) == min(len(whole), 400)
        self.compared += len(found)
        return found


@pytest.mark.parametrize(("pages", "limit"), [((60,), 200), ((60,), 30), ((45, 15), 30)])
def test_the_agenda_equals_a_computation_over_all_pages(pages: tuple[int, ...], limit: int) -> None:
    """The simulation computes only the Pages that have changed, with the same result."""
    simulation = Compared(pages, limit=limit, revoked=0.2, rotations=(1,))
    stats = simulation.run(3 * DAY)
    assert simulation.compared > 300
    assert stats.repaired > 10
    assert stats.rotated > 30


def test_the_table_fits_a_terminal() -> None:
    """The table has at most 80 columns, whatever its values."""
    stats = Simulation(10).run(DAY)
    stats.pages, stats.throttles, stats.oldest = 20_000, 12, timedelta(days=13, hours=23)
    written = table([stats], 24)
    assert all(len(line) <= 80 for line in written.splitlines())
    assert "13d 23h" in written
