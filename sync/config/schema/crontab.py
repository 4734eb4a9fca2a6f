"""A trigger of APScheduler that follows crontab(5); imported only when cycles are scheduled."""

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
    """Fires as cron(8) does, delayed by up to ``jitter``.

    APScheduler 3.11 numbers weekdays from Monday, so they are passed by name. It requires day of the month and weekday to match
    both; crontab(5) requires only one of them if both are restricted, so two triggers are joined then. In the hour that summer
    time repeats, a fixed hour fires once; in the hour that it skips, a fixed hour fires an hour later.
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
        # In UTC: in another time zone the delay would be added to the wall clock.
        later: datetime = self._apply_jitter(following.astimezone(UTC), self._jitter, now)
        return later.astimezone(following.tzinfo)


def _repeated(moment: datetime) -> bool:
    """Check whether the clock shows this time for the second time."""
    return moment.fold == 1 and moment.utcoffset() != moment.replace(fold=0).utcoffset()


def _numbers(values: Iterable[int]) -> str:
    return ",".join(str(value) for value in sorted(values))
