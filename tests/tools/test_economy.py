"""Weeks of cycles under a small quota: nothing is throttled twice in a row, no verdict is too old, and heals go first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.core.ask.due import asks
from sync.core.model import Ask
from tools.economy.account import APP, OnePage
from tools.economy.simulate import CYCLE, DAY, RequestStats, Simulation
from tools.economy.table import table

pytestmark = pytest.mark.slow

AT_ONCE = 2 * CYCLE
"""A token that is revoked just after a cycle is found and replaced by the next, or the one after it."""


def assert_economical(tally: RequestStats, most: int = 160) -> None:
    """Check what holds for every run under 200 calls an hour."""
    assert (tally.throttles, tally.past_bound, tally.passed_over) == (0, 0, 0)
    assert tally.oldest < tally.bound
    assert max(tally.per_hour.values()) <= most


@pytest.mark.parametrize(("pages", "days"), [(10, 21), (100, 21), (1000, 3)])
def test_a_small_quota_is_enough(pages: int, days: int) -> None:
    """With tokens revoked daily and the system user rotated nothing is refused, and each heal is done at once."""
    tally = Simulation(pages, rotations=(1,)).run(timedelta(days=days))
    assert_economical(tally)
    assert tally.interval == DAY
    assert tally.heals > 0
    assert tally.rotated >= 0.9 * pages
    assert tally.longest_heal <= AT_ONCE


def test_an_idle_cycle_costs_two_hundredths_of_a_call_for_each_page() -> None:
    """A day's calls of a thousand Pages that nothing happens to are theirs, and an hourly one for the system user."""
    simulation = Simulation(1000, revoked=0, rotations=())
    simulation.run(2 * DAY)
    before = sum(simulation.tally.per_hour.values())
    simulation.run(DAY)
    calls = sum(simulation.tally.per_hour.values()) - before
    assert 1000 <= calls <= 1100
    assert calls / (DAY / CYCLE) <= 0.02 * 1000 + 5


def test_an_interval_that_the_quota_does_not_allow_is_stretched() -> None:
    """Under half of the usual quota, which is learnt, 1,600 Pages take more than a day; all are judged within twice that."""
    tally = Simulation(1600, limit=100, revoked=0.001, rotations=()).run(3 * DAY)
    assert_economical(tally, most=80)
    assert timedelta(hours=26) < tally.interval < timedelta(hours=31)


def test_a_quota_that_shrinks_overnight_is_refused_once_at_most() -> None:
    """What was learnt of its size is wrong then, and is learnt again."""
    simulation = Simulation(200, rotations=(2,))
    simulation.run(DAY)
    simulation.meta.limit = 40
    tally = simulation.run(3 * DAY)
    assert tally.throttles <= 1
    assert tally.in_a_row <= 1
    assert tally.passed_over == 0


def test_a_meta_that_never_tells_what_is_used_refuses_no_two_calls_in_a_row() -> None:
    """Each refusal is waited out, and followed by fewer calls."""
    simulation = Simulation(600)
    simulation.meta.silent = True
    tally = simulation.run(2 * DAY)
    assert tally.throttles >= 1
    assert tally.in_a_row == 1
    assert tally.throttles <= 12


class Compared(Simulation):
    """A simulation that looks at all Pages beside those that have changed."""

    compared = 0

    def wanted(self) -> list[tuple[Ask, OnePage]]:
        """Return the asks, after a look at whether ``due.asks`` over all Pages says the same."""
        found = super().wanted()
        whole = list(asks(self.look(self.account.pages, self.now)).get(APP, ()))
        assert [ask for ask, _ in found] == whole[: len(found)]
        assert len(found) == min(len(whole), 400)
        self.compared += len(found)
        return found


@pytest.mark.parametrize("limit", [200, 30])
def test_the_short_cut_asks_what_a_look_at_all_pages_would(limit: int) -> None:
    """The simulation looks only at Pages for which something has changed, and misses nothing by it."""
    simulation = Compared(60, limit=limit, revoked=0.2, rotations=(1,))
    tally = simulation.run(3 * DAY)
    assert simulation.compared > 300
    assert tally.heals > 10
    assert tally.rotated > 30


def test_the_table_fits_a_terminal() -> None:
    """Eighty columns at most, whatever it says."""
    tally = Simulation(10).run(DAY)
    tally.pages, tally.throttles, tally.oldest = 20_000, 12, timedelta(days=13, hours=23)
    written = table([tally], 24)
    assert all(len(line) <= 80 for line in written.splitlines())
    assert "13d 23h" in written
