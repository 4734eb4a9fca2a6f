"""When a Page that cannot be reached becomes an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from sync.core.memory.access import Lost, Reading, advance, left_out, read_as, to_read_individually
from sync.core.model import SourceError, State
from sync.core.problems import Problem
from tests.support.values import NOW, page

MINUTE = timedelta(minutes=1)
NO_ACCESS = SourceError(Problem("no-access", "Graph says no."), State.INVALID)
UNKNOWN = SourceError(Problem("graph-unavailable", "Graph is away."), State.UNKNOWN)


class Watch:
    """Reads Pages cycle by cycle, as the daemon does."""

    def __init__(self, pages: int = 1) -> None:
        self.names = [f"p{number}" for number in range(pages)]
        self.lost: Mapping[str, Lost] = {}
        self.now: datetime = NOW
        self.monotonic = 0.0
        self.read_as = "100 1 main 0123456789ab"
        self.asked: list[set[str]] = []
        self.degraded: frozenset[str] = frozenset()

    def cycle(
        self,
        refused: Mapping[str, SourceError] | None = None,
        *,
        worked: bool = True,
        proven: bool = True,
        after: timedelta = 15 * MINUTE,
    ) -> set[str]:
        """Run one cycle and give the Pages that are alarms after it."""
        refused = refused or {}
        skipped = left_out(self.lost, read_as=dict.fromkeys(self.names, self.read_as), monotonic=self.monotonic)
        individually = to_read_individually(self.lost, self.now)
        self.asked.append(set(self.names) - set(skipped))
        readings = {
            name: Reading(refused.get(name), "main", worked, name in individually, self.read_as)
            for name in self.names
            if name not in skipped
        }
        self.lost, self.degraded = advance(
            self.lost,
            readings,
            skipped=skipped,
            proven={"main"} if proven else set(),
            now=self.now,
            monotonic=self.monotonic,
        )
        self.now += after
        self.monotonic += after.total_seconds()
        return {name for name, page in self.lost.items() if page.alarm is not None}


def test_page_that_worked_is_an_alarm_in_the_third_cycle_after_half_an_hour() -> None:
    """Three readings, half an hour and one read of the Page's own must say so."""
    watch = Watch()
    assert [watch.cycle({"p0": NO_ACCESS}) for _ in range(3)] == [set(), set(), {"p0"}]


def test_short_interval_does_not_make_it_sooner() -> None:
    """Three readings within minutes are not lasting."""
    watch = Watch()
    alarms = [watch.cycle({"p0": NO_ACCESS}, after=MINUTE) for _ in range(32)]
    assert [bool(one) for one in alarms] == [False] * 30 + [True] * 2


def test_page_that_never_worked_is_an_alarm_at_once() -> None:
    """Somebody is setting it up and waits for the word."""
    assert Watch().cycle({"p0": NO_ACCESS}, worked=False) == {"p0"}


@pytest.mark.parametrize("worked", [True, False])
def test_nothing_is_an_alarm_while_the_system_user_is_not_proven(worked: bool) -> None:
    """A system user whose token may be invalid loses no Page."""
    watch = Watch()
    for _ in range(5):
        assert watch.cycle({"p0": NO_ACCESS}, worked=worked, proven=False) == set()


def test_one_good_reading_clears_it() -> None:
    """A Page that is reached again is no alarm, and what was counted of it is forgotten."""
    watch = Watch()
    for _ in range(3):
        watch.cycle({"p0": NO_ACCESS})
    watch.now += timedelta(hours=6)
    watch.monotonic += 6 * 3600
    assert watch.cycle() == set()
    assert watch.lost == {}
    assert [watch.cycle({"p0": NO_ACCESS}) for _ in range(2)] == [set(), set()]


def test_what_says_nothing_changes_nothing() -> None:
    """An outage of Graph neither adds to what is lost nor takes from it."""
    watch = Watch()
    watch.cycle({"p0": NO_ACCESS})
    before = watch.lost
    assert watch.cycle({"p0": UNKNOWN}) == set()
    assert watch.lost == before
    assert [watch.cycle({"p0": NO_ACCESS}) for _ in range(2)] == [set(), {"p0"}]


def test_alarmed_page_is_asked_for_less_and_less() -> None:
    """It is left out for one cycle, then two, then four, and never for more than six hours."""
    watch = Watch()
    for _ in range(3):
        watch.cycle({"p0": NO_ACCESS})
    watch.asked.clear()
    for _ in range(100):
        watch.cycle({"p0": NO_ACCESS})
    asked = [number for number, names in enumerate(watch.asked) if names]
    gaps = [after - before for before, after in pairwise(asked)]
    assert asked[0] == 1
    assert gaps[:4] == [3, 5, 9, 17]
    assert max(gaps) == 24


def test_mass_event_is_no_loss_of_pages_before_it_has_lasted_an_hour() -> None:
    """Many Pages lost at once are one event of their system user; after an hour it is believed."""
    watch = Watch(10)
    refused = {f"p{number}": NO_ACCESS for number in range(3)}
    for _ in range(4):
        assert watch.cycle(refused) == set()
        assert watch.degraded == {"main"}
    assert watch.cycle(refused) == set(refused)
    assert watch.degraded == set()


def test_two_pages_of_few_are_no_mass_event() -> None:
    """Two Pages may always be lost, and a fifth of many."""
    for pages, lost in ((3, 2), (10, 2), (20, 4)):
        watch = Watch(pages)
        refused = {f"p{number}": NO_ACCESS for number in range(lost)}
        assert [watch.cycle(refused) for _ in range(3)][-1] == set(refused)


def test_page_is_confirmed_by_a_read_of_its_own_half_a_minute_later() -> None:
    """The read that confirms stands alone, and not before half a minute has passed."""
    watch = Watch()
    watch.cycle({"p0": NO_ACCESS}, after=timedelta(seconds=29))
    assert to_read_individually(watch.lost, watch.now) == frozenset()
    watch.now += timedelta(seconds=1)
    assert to_read_individually(watch.lost, watch.now) == {"p0"}
    watch.cycle({"p0": NO_ACCESS})
    assert to_read_individually(watch.lost, watch.now) == frozenset()


def test_page_that_left_the_configuration_is_forgotten() -> None:
    """What is neither read nor left out on purpose is not in the configuration any more."""
    watch = Watch(2)
    watch.cycle({"p0": NO_ACCESS, "p1": NO_ACCESS})
    watch.names.remove("p1")
    watch.cycle({"p0": NO_ACCESS})
    assert set(watch.lost) == {"p0"}


def alarmed(cycles: int = 20) -> Watch:
    """Return a watch whose Page has been an alarm for long, and is skipped in the next cycle."""
    watch = Watch()
    for _ in range(3 + cycles):
        watch.cycle({"p0": NO_ACCESS})
    while watch.asked[-1]:
        watch.cycle({"p0": NO_ACCESS})
    watch.asked.clear()
    return watch


@pytest.mark.parametrize("days", [30, -30])
def test_clock_that_is_set_makes_no_wait_longer(days: int) -> None:
    """An alarmed Page is read again within six hours of the monotonic clock, wherever the wall clock is set in between."""
    watch = alarmed(100)
    watch.now += timedelta(days=days)
    watch.cycle({"p0": NO_ACCESS})
    watch.now -= timedelta(days=days)
    for _ in range(30):
        watch.cycle({"p0": NO_ACCESS})
    read = [number for number, names in enumerate(watch.asked) if names]
    assert max(after - before for before, after in pairwise([0, *read])) <= 24


def test_loss_that_began_under_a_clock_that_was_ahead_lasts_no_longer() -> None:
    """A loss that lies in the future, after a clock was set back, becomes an alarm as one of now does."""
    watch = Watch()
    watch.now += timedelta(days=30)
    watch.cycle({"p0": NO_ACCESS})
    watch.now -= timedelta(days=30)
    assert [watch.cycle({"p0": NO_ACCESS}) for _ in range(4)][-1] == {"p0"}


def test_alarmed_page_is_read_at_once_with_another_token() -> None:
    """A new token of its system user, or another system user or id, ends the wait, and a refusal begins it from one cycle."""
    watch = alarmed()
    watch.read_as = "100 1 main ba9876543210"
    for _ in range(5):
        watch.cycle({"p0": NO_ACCESS})
    assert [bool(names) for names in watch.asked] == [True, False, True, False, False]
    assert read_as(page(), None) != read_as(page(id="2"), None) != read_as(page(system_user="second"), None)


def test_page_that_the_list_shows_is_remembered_as_listed() -> None:
    """What the list shows of a skipped Page is kept until it changes."""
    watch = alarmed()
    for shown in (True, False, True):
        watch.lost, _ = advance(
            watch.lost, {}, skipped={"p0"}, proven=(), now=watch.now, monotonic=0.0, listed={"p0"} if shown else ()
        )
        assert watch.lost["p0"].listed is shown
