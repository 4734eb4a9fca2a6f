"""The daemon: cycles on the schedule, and its end. It owns no judgement."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from ulid import ULID

from sync.core.events import Event, events
from sync.core.report import Report
from sync.ops.process import place_of
from sync.threads import Clock, Stopping, SystemClock

_JOB = "cycle"
_LOOK_SECONDS = 1.0
_PARTED = timedelta(seconds=2)
"""A wall clock that is slewed stays within this of the monotonic one from one look to the next; one that is set does not."""


class Cycles(Protocol):
    """What can run cycles: an app, built from a configuration."""

    def cycle(self, *, write: bool, cycle: str | None = None) -> Report:
        """Run one cycle."""
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

    def job() -> None:
        with one:
            one_cycle(app, clock=clock, log=log)

    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_listener(lambda event: _tell_trouble(event, log), EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
    with app:
        scheduler.add_job(
            job,
            trigger,
            id=_JOB,
            next_run_time=datetime.now(UTC),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        scheduler.start()
        watch = WallWatch(clock)
        while not clock.stop.wait(_LOOK_SECONDS):
            follow(scheduler, trigger, watch.shift())
        scheduler.shutdown(wait=False)
        # The lock is free once the running cycle has ended.
        with one:
            pass


def one_cycle(app: Cycles, *, clock: Clock, log: Sink) -> None:
    """Run one cycle and log it; one that shutdown cuts short ends without an account."""
    cycle = str(ULID())
    try:
        clock.check()
        log.write(Event("info", "cycle_started", {}), cycle=cycle)
        report = app.cycle(write=True, cycle=cycle)
    except Stopping:
        return
    for event in events(report):
        log.write(event, cycle=cycle)


@dataclass(slots=True)
class WallWatch:
    """Notices a wall clock that was set: APScheduler goes by it, and set back by an hour would run nothing for an hour."""

    clock: Clock
    _wall: datetime
    _monotonic: float

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._wall, self._monotonic = clock.now(), clock.monotonic()

    def shift(self) -> timedelta:
        """Say by how much the wall clock was set since the last look; nothing where it was only slewed."""
        wall, monotonic = self.clock.now(), self.clock.monotonic()
        parted = (wall - self._wall) - timedelta(seconds=monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        return parted if abs(parted) > _PARTED else timedelta(0)


def follow(scheduler: Any, trigger: BaseTrigger, shift: timedelta) -> None:
    """Move the next cycle along with a wall clock that was set: an interval goes on, a cron looks at the clock anew."""
    job = scheduler.get_job(_JOB) if shift else None
    if job is None or job.next_run_time is None:
        return
    if isinstance(trigger, IntervalTrigger):
        job.modify(next_run_time=job.next_run_time + shift)
    else:
        job.reschedule(trigger)


def _tell_trouble(event: Any, log: Sink) -> None:
    if event.code == EVENT_JOB_MAX_INSTANCES:
        told = "A cycle was due while one was running, and is left out. Lengthen schedule.every if this recurs."
        log.write(Event("warning", "cycle_warning", {"error": told}))
    elif not isinstance(event.exception, Stopping):
        told = f"This program made a mistake: {place_of(event.exception)}. The next cycle starts as planned."
        log.write(Event("error", "cycle_finished", {"result": "failed", "error": told}))


HANGUP = Event(
    "warning", "cycle_warning", {"error": "SIGHUP changes nothing here: restart the daemon for a new configuration."}
)
"""Told on SIGHUP, whose default would end the daemon without a word."""
