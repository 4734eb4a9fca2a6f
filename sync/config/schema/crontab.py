"""A trigger of APScheduler that follows crontab(5); imported only when cycles are scheduled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

from sync.config.schema.cron import Cron


class CrontabTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires as cron(8) does, delayed by up to ``jitter``."""

    __slots__ = ("_cron", "_jitter", "_zone")

    def __init__(self, cron: Cron, timezone: str, jitter: timedelta) -> None:
        self._cron, self._zone, self._jitter = cron, ZoneInfo(timezone), jitter.total_seconds()

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next time to fire, as APScheduler asks for it."""
        # Runs that were missed, as while the machine was suspended, are not made up for one by one.
        after = max(previous_fire_time, now) if previous_fire_time else now - timedelta(microseconds=1)
        following = self._cron.next_run(after, self._zone)
        # In UTC: in another time zone the delay would be added to the wall clock.
        later: datetime = self._apply_jitter(following.astimezone(UTC), self._jitter, now)
        return later.astimezone(self._zone)
