"""Which Pages are read by their id, for which no list speaks."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from sync.core.ask.routes import DAY, by_id, passed
from tests.support.values import NOW, page

QUARTER = timedelta(minutes=15)
PAGES = [page(id=str(10**14 + number), name=f"p{number}") for number in range(200)]


def test_each_page_is_read_by_its_id_once_a_day() -> None:
    """Over three days of quarters of an hour each Page comes three times, a day apart, and few of them at a time."""
    turns: dict[str, list[int]] = {one.name: [] for one in PAGES}
    for quarter in range(1, 3 * 96 + 1):
        now = NOW + quarter * QUARTER
        named = by_id(PAGES, short_lists={}, read_at=now - QUARTER, now=now)
        assert len(named) <= 0.02 * len(PAGES) + 5
        for name in named:
            turns[name].append(quarter)
    assert {len(of_page) for of_page in turns.values()} == {3}
    assert all(second - first == 96 for of_page in turns.values() for first, second in itertools.pairwise(of_page))


@pytest.mark.parametrize(
    ("since", "all_of_them"),
    [
        pytest.param(timedelta(0), True, id="just now"),
        pytest.param(DAY - QUARTER, True, id="almost a day ago"),
        pytest.param(DAY, False, id="a day ago"),
        pytest.param(-QUARTER, False, id="in the future"),
    ],
)
def test_a_short_list_is_left_alone_for_a_day(since: timedelta, all_of_them: bool) -> None:
    """After a list that showed too little all Pages of its system user are read by id, and no others."""
    pages = [PAGES[0], page(id="7", name="other", system_user="other")]
    named = by_id(pages, short_lists={"main": NOW - since}, read_at=NOW, now=NOW)
    assert named == (frozenset({"p0"}) if all_of_them else frozenset())


def test_nothing_is_known_at_a_start() -> None:
    """Without a memory the list is as good as it ever was; after a long sleep every Page is read by its id."""
    assert by_id(PAGES, short_lists={}, read_at=None, now=NOW) == frozenset()
    assert len(by_id(PAGES, short_lists={}, read_at=NOW - 2 * DAY, now=NOW)) == len(PAGES)


def test_a_moment_in_the_future_has_passed() -> None:
    """After a clock was set back nothing waits until it has caught up."""
    assert passed("1", DAY, since=NOW + QUARTER, now=NOW)
