"""The schedule of cycles, as triggers of APScheduler, times and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sync.config.schema.cron import parse_cron
from sync.config.schema.settings import Schedule, Settings
from sync.config.schema.types import duration_text
from sync.core.ask.due import GRACE, verify_interval
from sync.core.memory.pace import calls_per_hour
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import Page

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger


_LOOKED_AHEAD = timedelta(days=8)
_LEAST_DEADLINE = timedelta(minutes=10)


def trigger(schedule: Schedule) -> BaseTrigger:
    """Return APScheduler's trigger. Its jitter only delays (read in the source of APScheduler 3.11.3)."""
    # Imported here, so that commands that only read a configuration start without APScheduler.
    if schedule.cron is not None:
        from sync.config.schema.crontab import CrontabTrigger  # noqa: PLC0415 - see above

        return CrontabTrigger(parse_cron(schedule.cron), schedule.timezone, schedule.jitter)
    from apscheduler.triggers.interval import IntervalTrigger  # noqa: PLC0415 - see above

    jitter = schedule.jitter.total_seconds() or None
    return IntervalTrigger(seconds=_every(schedule).total_seconds(), timezone=UTC, jitter=jitter)


def in_words(schedule: Schedule) -> str:
    """Return the schedule in words, for the first log line of the daemon."""
    if schedule.cron is None:
        rhythm = f"every {duration_text(_every(schedule))}"
    else:
        rhythm = f"by cron {schedule.cron!r} in {schedule.timezone}"
    later = f", each up to {duration_text(schedule.jitter)} later" if schedule.jitter else ""
    return f"a cycle now, then {rhythm}{later}"


def next_runs(schedule: Schedule, *, count: int, now: datetime) -> list[datetime]:
    """Return the next runs after ``now``, without jitter; an interval starts at ``now``."""
    if schedule.cron is None:
        return [now + _every(schedule) * number for number in range(1, count + 1)]
    steady = trigger(schedule.model_copy(update={"jitter": timedelta(0)}))
    runs: list[datetime] = []
    after = now
    while len(runs) < count:
        after = steady.get_next_fire_time(runs[-1] if runs else None, after)
        runs.append(after)
    return runs


def interval_seconds(schedule: Schedule, *, now: datetime | None = None) -> int:
    """Return the seconds from one run to the next, without jitter and at least 1; for cron, between the next two runs."""
    if schedule.cron is None:
        return max(1, round(_every(schedule).total_seconds()))
    first, second = next_runs(schedule, count=2, now=now or datetime.now(UTC))
    # The difference of the two would be that of the wall clock, since both are in one time zone.
    return max(1, round(second.timestamp() - first.timestamp()))


def verify_every(settings: Settings, pages: Sequence[Page], pools: Mapping[QuotaKey, Pool] | None = None) -> timedelta:
    """Return the time in which every stored token is verified: the configured one, or what the slowest app's quota allows.

    ``pools`` is what is known of the quotas. Without it the minimum that Meta allows is assumed.
    """
    pools = pools or {}
    counts = Counter(page.app_id for page in pages)
    hourly = {app_id: calls_per_hour(pools.get(QuotaKey(app_id)), settings.graph.budget) for app_id in counts}
    return max(
        (
            verify_interval(settings.verify_every, tokens=count, calls_per_hour=hourly[app_id])
            for app_id, count in counts.items()
        ),
        default=settings.verify_every,
    )


def needs_state_file(settings: Settings, pages: Sequence[Page]) -> bool:
    """Check whether a process that starts from nothing may be unable to judge all Pages in one cycle, and there is no state file.

    For each Page two tokens may have to be judged, the stored one and the fetched one. The quota is the minimum that Meta
    allows.
    """
    counts = Counter(page.app_id for page in pages)
    return settings.state is None and any(
        2 * count > calls_per_hour(None, settings.graph.budget) for count in counts.values()
    )


def longest_repair(settings: Settings, *, now: datetime) -> timedelta:
    """Return how long after a stored token became invalid it is found and replaced, at the latest.

    A token may become invalid right after a cycle has used it. It is used again in the first cycle in which ``probe_every``
    has passed since then, and judged and replaced in the same one. The duration of a cycle comes on top.
    """
    every, jitter = longest_gap(settings.schedule, now=now), settings.schedule.jitter
    wait = max(probe_after(settings) - GRACE, timedelta(0))
    # Either so many cycles later, whatever the delays, or one cycle after that in which the time had almost passed.
    by_cycles = max(-(-(wait + jitter) // every), 1) * every + jitter
    return min(by_cycles, wait + every + jitter)


def probe_after(settings: Settings) -> timedelta:
    """Return the time after which a stored token is used again: earlier than ``probe_every`` where cycles are delayed at random.

    Otherwise a token that was used in a delayed cycle would be left out by the next one, which was not delayed.
    """
    return max(settings.probe_every - settings.schedule.jitter, timedelta(0))


def longest_gap(schedule: Schedule, *, now: datetime) -> timedelta:
    """Return the longest time between two runs, without jitter; for cron, among the runs of the next eight days."""
    if schedule.cron is None:
        return _every(schedule)
    cron, zone = parse_cron(schedule.cron), ZoneInfo(schedule.timezone)
    runs = cron.runs_between(now, now + _LOOKED_AHEAD, zone) or [cron.next_run(now, zone)]
    moments = [run.timestamp() for run in (*runs, cron.next_run(runs[-1], zone))]
    return timedelta(seconds=max(after - before for before, after in pairwise(moments)))


def stuck_after(schedule: Schedule, *, now: datetime) -> timedelta:
    """Return how long a running cycle may go on without a request that begins or ends."""
    return schedule.deadline or max(longest_gap(schedule, now=now), _LEAST_DEADLINE)


def _every(schedule: Schedule) -> timedelta:
    return schedule.every or timedelta(minutes=15)
