"""Read cron expressions as crontab(5) defines them, and find their times in a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(r"(?:(\*)|([0-9]{1,4}|[a-z]{3})(?:-([0-9]{1,4}|[a-z]{3}))?)(?:/([0-9]{1,4}))?")
_DAY = timedelta(days=1)
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class CronError(ValueError):
    """The text is not a cron expression; the message has the field that is wrong, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The values of each field; ``weekdays`` count from Sunday, 0.

    ``either``: neither of the two fields for days begins with a star, so that one of them must match as in crontab(5);
    otherwise both must. ``any_hour`` and ``any_minute``: the field begins with a star, so that it is not a fixed time.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    any_hour: bool
    any_minute: bool

    def next_run(self, after: datetime, zone: ZoneInfo) -> datetime:
        """Return the first time after ``after``, in ``zone``.

        A change of the clocks skips no run: a fixed hour that the clocks leave out runs later by as much as they go forward.
        In an hour that occurs twice a fixed time runs once, and what has a star for hour or minute runs both times, as with cron(8).
        """
        day, limit = after.astimezone(zone).date() - _DAY, after.astimezone(UTC)
        while not (runs := [run for run in self._runs(day, zone) if run > limit]):
            day += _DAY
        # What the clocks leave out before midnight runs on the next day, perhaps after that day's first run.
        runs += (run for run in self._runs(day + _DAY, zone) if run > limit)
        return min(runs).astimezone(zone)

    def runs_between(self, after: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
        """Return the times after ``after`` and not after ``until``, in order and in UTC, each day's times found once."""
        first, last = (moment.astimezone(zone).date() for moment in (after, until))
        # What the clocks leave out before midnight runs on the next day.
        days = (first + _DAY * number for number in range(-1, (last - first).days + 2))
        return sorted({run for day in days for run in self._runs(day, zone) if after < run <= until})

    def _runs(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the runs of one date of the zone's clocks, in UTC."""
        on_day, on_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if day.month not in self.months or not ((on_day or on_weekday) if self.either else (on_day and on_weekday)):
            return
        for clock in (time(hour, minute) for hour in self.hours for minute in self.minutes):
            # Before the end of a gap fold 0 has the offset that was valid before it, and so the later of the two times.
            first, second = (datetime.combine(day, clock.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
            if first <= second or not self.any_hour:
                yield first
            if first < second and (self.any_hour or self.any_minute):
                yield second


def parse_cron(text: str) -> Cron:
    """Return the values of an expression; raises CronError."""
    fields = _NICKNAMES.get(text.strip().lower(), text).lower().split()
    if len(fields) != 5:  # noqa: PLR2004 - minute, hour, day, month and weekday
        raise CronError("neither five fields nor a word such as @hourly")
    minute, hour, day, month, weekday = fields
    cron = Cron(
        minutes=_field("minute", minute, 0, 59),
        hours=_field("hour", hour, 0, 23),
        days=_field("day of the month", day, 1, 31),
        months=_field("month", month, 1, 12, _MONTHS),
        weekdays=frozenset(value % 7 for value in _field("weekday", weekday, 0, 7, _WEEKDAYS)),
        either=not day.startswith("*") and not weekday.startswith("*"),
        any_hour=hour.startswith("*"),
        any_minute=minute.startswith("*"),
    )
    if not cron.either and not any(day <= _LONGEST_MONTH[month - 1] for month in cron.months for day in cron.days):
        raise CronError("none of the months has this day")
    return cron


def _field(name: str, text: str, least: int, most: int, words: tuple[str, ...] = ()) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise CronError(f"the {name} is invalid")
        star, first, last, step = match.groups()
        start = least if star else _number(name, first, least, words)
        end = most if star or (step and last is None) else start if last is None else _number(name, last, least, words)
        if not least <= start <= end <= most:
            raise CronError(f"the {name} is not within {least} to {most}, or its range is reversed")
        if step == "0" or (step and int(step) == 0):
            raise CronError(f"the {name} has a step of zero")
        values.update(range(start, end + 1, int(step or 1)))
    return frozenset(values)


def _number(name: str, text: str, least: int, words: tuple[str, ...]) -> int:
    if text.isdigit():
        return int(text)
    if text not in words:
        raise CronError(f"the {name} has an unknown name")
    return words.index(text) + (least if name == "month" else 0)
