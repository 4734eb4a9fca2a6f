"""The daemon: cycles on the schedule, and its end. It owns no judgement."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from ulid import ULID

from sync.core.report.events import Event, events
from sync.core.report.report import Report
from sync.ops.process import location_of
from sync.runtime.threads import Clock, Stopping, SystemClock

_JOB = "cycle"
_LOOK_SECONDS = 1.0
_PARTED = timedelta(seconds=2)
"""A wall clock that is slewed stays within this of the monotonic one from one look to the next; one that is set does not."""


class Cycles(Protocol):
    """What can run cycles: an app, built from a configuration."""

    def cycle(self, *, write: bool, cycle: str | None = None, continuous: bool = False) -> Report:
        """Run one cycle; ``goes_on``: it is not the last one of this process."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Sink(Protocol):
    """Where events go."""

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Take one event."""
        ...


def run(app: Cycles, *, trigger: BaseTrigger, clock: SystemClock, log: Sink) -> None:
    """Run a cycle now and then whenever ``trigger`` says so, until ``clock.stop`` is set.

    A cycle that runs when the next one is due is not joined by a second one; the next follows at the time after that.
    Ends as soon as the running cycle has ended, which ``clock.stop`` makes it do.
    """
    one = threading.Lock()
    watch = WallWatch(clock)

    def job() -> None:
        with one:
            watch.begun = clock.monotonic()
            one_cycle(app, clock=clock, log=log, following=lambda: _following(scheduler))

    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_listener(lambda event: _tell_trouble(event, log), EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
    with app:
        scheduler.add_job(
            job,
            trigger,
            id=_JOB,
            next_run_time=clock.now(),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        scheduler.start()
        while not clock.stop.wait(_LOOK_SECONDS):
            if watch.was_set():
                watch.follow(scheduler.get_job(_JOB), trigger)
        scheduler.shutdown(wait=False)
        # The lock is free once the running cycle has ended.
        with one:
            pass


def one_cycle(
    app: Cycles, *, clock: Clock, log: Sink, following: Callable[[], datetime | None] = lambda: None
) -> Report | None:
    """Run one cycle, log it, and give its report; one that shutdown ends before its first write has no account.

    ``following`` gives the time of the next cycle, and is asked when this one has ended.
    """
    cycle = str(ULID())
    try:
        clock.check()
        log.write(Event("info", "cycle_started", {}), cycle=cycle)
        report = app.cycle(write=True, cycle=cycle, continuous=True)
    except Stopping:
        return None
    report = replace(report, frame=replace(report.frame, next_cycle_at=following()))
    for event in events(report):
        log.write(event, cycle=cycle)
    return report


class WallWatch:
    """Notices a wall clock that was set: APScheduler goes by it, and set back by an hour would run nothing for an hour.

    ``begun`` is when the last cycle began, by the monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._monotonic = clock.now(), clock.monotonic()
        self.begun = self._monotonic

    def was_set(self) -> bool:
        """Check whether the wall clock was set since the last look; one that is only slewed was not."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        parted = (wall - self._wall) - timedelta(seconds=monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        return abs(parted) > _PARTED

    def follow(self, job: Any, trigger: BaseTrigger) -> None:
        """Fit the next cycle to a wall clock that was set: an interval goes on from the last cycle, a cron looks again."""
        if job is None:
            return
        if isinstance(trigger, IntervalTrigger):
            left = trigger.interval - timedelta(seconds=self._clock.monotonic() - self.begun)
            job.modify(next_run_time=self._clock.now() + max(left, timedelta(0)))
        else:
            job.reschedule(trigger)


def _following(scheduler: BackgroundScheduler) -> datetime | None:
    """Return the time of the next cycle, in UTC; None once the scheduler has ended.

    APScheduler 3.11 sets it under a lock that this waits for, before or while the cycle of now is begun.
    """
    job = scheduler.get_job(_JOB)
    return job.next_run_time.astimezone(UTC) if job is not None else None


def _tell_trouble(event: Any, log: Sink) -> None:
    if event.code == EVENT_JOB_MAX_INSTANCES:
        told = "A cycle was due while one was running, and is left out. Lengthen schedule.every if this recurs."
        log.write(Event("warning", "cycle_warning", {"message": told}))
    elif not isinstance(event.exception, Stopping):
        told = (
            f"Internal error (a bug in page-token-sync): {location_of(event.exception)}. Please report it with this line. "
            "The next cycle starts as planned."
        )
        log.write(Event("error", "cycle_finished", {"result": "failed", "message": told}))


HANGUP = Event(
    "warning", "cycle_warning", {"message": "SIGHUP changes nothing here: restart the daemon for a new configuration."}
)
"""Told on SIGHUP, whose default would end the daemon without a word."""
