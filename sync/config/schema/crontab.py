"""A trigger of APScheduler with the meaning of crontab(5); imported only where cycles are scheduled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from sync.config.schema.cron import Cron

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class CrontabTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires as cron(8) does, later by up to ``jitter``.

    APScheduler 3.11 numbers weekdays from Monday, so they are given by name; it demands day of the month and weekday both,
    where crontab(5) is content with either if both are restricted, so that then two triggers are joined. In the hour that
    a change of the clock repeats, a fixed hour fires once; in one that is left out, it fires an hour later by the clock.
    """

    __slots__ = ("_cron", "_jitter", "_steady")

    def __init__(self, cron: Cron, timezone: str, jitter: timedelta) -> None:
        self._cron = cron
        self._jitter = jitter.total_seconds()
        common: dict[str, Any] = {
            "minute": _numbers(cron.minutes),
            "hour": _numbers(cron.hours),
            "month": _numbers(cron.months),
            "timezone": ZoneInfo(timezone),
        }
        days = {"day": _numbers(cron.days)}
        weekdays = {"day_of_week": ",".join(_WEEKDAYS[day] for day in sorted(cron.weekdays))}
        if cron.either:
            self._steady = OrTrigger([CronTrigger(**common, **days), CronTrigger(**common, **weekdays)])
        else:
            self._steady = CronTrigger(**common, **days, **weekdays)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next time to fire, as APScheduler asks for it."""
        following: datetime = self._steady.get_next_fire_time(previous_fire_time, now)
        while not self._cron.any_hour and _repeated(following):
            following = self._steady.get_next_fire_time(following, following)
        # In UTC, since the sum of a time and a delay is by the wall clock elsewhere.
        later: datetime = self._apply_jitter(following.astimezone(UTC), self._jitter, now)
        return later.astimezone(following.tzinfo)


def _repeated(moment: datetime) -> bool:
    """Tell whether the clock has shown this time before, an hour ago."""
    return moment.fold == 1 and moment.utcoffset() != moment.replace(fold=0).utcoffset()


def _numbers(values: Iterable[int]) -> str:
    return ",".join(str(value) for value in sorted(values))
