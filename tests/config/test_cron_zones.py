"""Cron expressions in time zones that change their clocks, against a clock that is read every quarter of an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from sync.config.schedule import next_runs
from sync.config.schema.settings import Schedule

STEP = timedelta(minutes=15)
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
ZONES = (
    "Europe/Berlin",  # an hour at 02:00
    "Africa/Cairo",  # an hour at midnight
    "America/Santiago",  # an hour at midnight, south of the equator
    "Australia/Lord_Howe",  # half an hour
    "America/Havana",  # an hour at midnight, back at 01:00
    "Asia/Beirut",  # an hour at midnight
    "America/Nuuk",  # an hour before midnight
    "Antarctica/Troll",  # two hours
    "Africa/Casablanca",  # around Ramadan
    "Asia/Kathmandu",  # an offset of 45 minutes, without changes
    "UTC",
)


@cache
def wall_clock(zone: str) -> list[tuple[datetime, datetime]]:
    """Return each quarter of an hour of two years, in UTC, with what the zone's clocks show."""
    count, local = (END - START) // STEP, ZoneInfo(zone)
    times = (START + number * STEP for number in range(count))
    return [(at, at.astimezone(local).replace(tzinfo=None)) for at in times]


@cache
def times_of_day(zone: str) -> list[tuple[datetime, datetime, bool]]:
    """Return what a zone's clocks show or leave out, when that is, in UTC, and whether they have shown it before.

    What the clocks leave out comes later by as much as they go forward.
    """
    times: list[tuple[datetime, datetime, bool]] = []
    seen: set[datetime] = set()
    before: datetime | None = None
    for at, shown in wall_clock(zone):
        if before is not None and shown - before > STEP:
            left_out = (shown - before) // STEP - 1
            times += [(at + number * STEP, shown - (left_out - number) * STEP, False) for number in range(left_out)]
        times.append((at, shown, shown in seen))
        seen.add(shown)
        before = shown
    return times


def fixed_times(zone: str, hours: set[int], minutes: set[int], *, twice: bool) -> list[datetime]:
    """Return when a fixed time of the day runs."""
    return sorted(
        {
            at
            for at, shown, repeated in times_of_day(zone)
            if shown.minute in minutes and shown.hour in hours and (twice or not repeated)
        }
    )


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("cron", "hours", "minutes", "twice"),
    [
        ("@daily", {0}, {0}, False),
        ("30 2 * * *", {2}, {30}, False),
        ("15,45 1-3 * * *", {1, 2, 3}, {15, 45}, False),
        ("45 23 * * *", {23}, {45}, False),
        ("*/30 0,23 * * *", {0, 23}, {0, 30}, True),
    ],
)
def test_a_change_of_clocks_skips_no_fixed_time(
    zone: str, cron: str, hours: set[int], minutes: set[int], twice: bool
) -> None:
    """In two years every date has its runs, one that the clocks leave out included, and none runs twice that should not."""
    wanted = fixed_times(zone, hours, minutes, twice=twice)
    runs = next_runs(Schedule(cron=cron, timezone=zone), count=len(wanted), now=START)
    assert [run.astimezone(UTC) for run in runs] == wanted


@pytest.mark.parametrize("zone", ZONES[:4])
def test_every_hour_follows_the_clocks(zone: str) -> None:
    """With a star for the hour a run belongs to each time that the clocks show, twice where they show it twice."""
    wanted = [at for at, shown in wall_clock(zone) if shown.minute == 0][: 120 * 24]
    runs = next_runs(Schedule(cron="@hourly", timezone=zone), count=len(wanted), now=START)
    assert [run.astimezone(UTC) for run in runs] == wanted
