"""The daemon: run cycles on the schedule until it is stopped."""

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

from sync.core.report.changes import REMIND_EVERY
from sync.core.report.event import Event, EventLog
from sync.core.report.events import events
from sync.core.report.report import Report
from sync.cycle.task import attempt
from sync.ops.health import Health
from sync.ops.process import location_of
from sync.ops.sd_notify import SystemdNotifier
from sync.ops.status import DaemonStatus
from sync.ops.turns import Turns
from sync.runtime.threads import Clock, Stopping, SystemClock

_JOB = "cycle"
_CHECK_SECONDS = 1.0
_MAX_DRIFT = timedelta(seconds=2)
"""How far the wall clock may move against the monotonic one between two checks: a slewed clock stays below, a set one does not."""


class Cycles(Protocol):
    """What can run cycles: an App, built from a configuration."""

    def cycle(self, *, write: bool, cycle: str | None = None, continuous: bool = False) -> Report:
        """Run one cycle; ``continuous``: it is not the last one of this process."""
        ...

    def announce(self, report: Report) -> None:
        """Notify people and services of what a report changed, without waiting for them."""
        ...

    def logged(self) -> None:
        """Remember that the report of the last cycle is in the log."""
        ...

    def failed(self) -> None:
        """Notify services that a cycle ended by a bug of this program, without a report."""
        ...

    @property
    def progress(self) -> int:
        """A number that changes while a cycle advances."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Applied(Protocol):
    """What follows from an edit of the configuration."""

    @property
    def trigger(self) -> BaseTrigger | None:
        """The new schedule; None where it is the same."""
        ...

    @property
    def starts_cycle(self) -> bool:
        """Whether a cycle is to run now."""
        ...


class Reload(Protocol):
    """What looks for edits of the configuration, and puts them in force."""

    def look(self, *, force: bool = False) -> bool:
        """Look for an edit, with ``force`` also for one that may still be written; return whether there is one to apply."""
        ...

    def apply(self) -> Applied:
        """Set the newest edit in force; no cycle runs meanwhile."""
        ...

    def failed(self, event: Event) -> None:
        """Let the next `apply` notify that an edit is not in force, for which ``event`` is in the log."""
        ...


def run(
    app: Cycles,
    *,
    trigger: BaseTrigger,
    clock: SystemClock,
    log: EventLog,
    status: DaemonStatus,
    now: threading.Event | None = None,
    turns: Turns | None = None,
    reload: Reload | None = None,
    hangup: threading.Event | None = None,
    notifier: SystemdNotifier | None = None,
) -> None:
    """Run a cycle at once and then at each time of ``trigger``, until ``clock.stop`` is set.

    Only one cycle runs at a time: one that becomes due meanwhile is skipped. ``now`` asks for a cycle as soon as none runs.
    ``status`` is kept up to date. ``turns`` are those of the checks that run between cycles. Returns as soon as the running
    cycle or check has ended, which ``clock.stop`` makes it do. ``reload`` puts edits in force between cycles; ``hangup`` asks
    it to look at once. ``notifier`` reports to systemd.
    """
    turns = turns or Turns()
    now = now or threading.Event()
    hangup = hangup or threading.Event()
    notifier = notifier or SystemdNotifier(lambda: Health(True, ""), {})
    watch = WallClockWatch(clock)

    def job() -> None:
        with turns.cycle():
            watch.begun = clock.monotonic()
            status.cycle_started()
            has_ended = False
            try:
                one_cycle(app, clock=clock, log=log, status=status, next_run=lambda: _next_run(scheduler))
                status.cycle_finished()
                has_ended = True
            finally:
                if not has_ended:
                    status.cycle_failed()
                    app.failed()

    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_listener(_Failures(clock, log).record, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
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
        seen = app.progress
        scheduler.start()
        notifier.ready()
        while not clock.stop.wait(_CHECK_SECONDS):
            status.heartbeat(next_cycle_at=_next_run(scheduler))
            if app.progress != seen:
                seen = app.progress
                status.advanced()
            notifier.beat()
            if watch.was_set():
                watch.reschedule(scheduler.get_job(_JOB), trigger)
            applied = _reload(reload, turns, hangup, notifier, log=log, status=status) if reload is not None else None
            if applied is not None and applied.trigger is not None:
                trigger = applied.trigger
                scheduler.get_job(_JOB).reschedule(trigger)
                watch.reschedule(scheduler.get_job(_JOB), trigger)
            if applied is not None and applied.starts_cycle:
                status.wants_cycle()
                now.set()
            if now.is_set() and not turns.busy:
                now.clear()
                scheduler.modify_job(_JOB, next_run_time=clock.now())
        notifier.stopping()
        scheduler.shutdown(wait=False)
        # It is the turn of this once the running cycle or check has ended; no check begins any more.
        with turns.cycle():
            pass


def _reload(
    reload: Reload,
    turns: Turns,
    hangup: threading.Event,
    notifier: SystemdNotifier,
    *,
    log: EventLog,
    status: DaemonStatus,
) -> Applied | None:
    """Look for an edit, and put it in force unless a cycle or a check runs; None where nothing was put in force.

    A bug of this program in it is logged, and what was in force before stays so.
    """
    force = hangup.is_set()
    hangup.clear()

    def work() -> Applied | None:
        turns.holds_checks = reload.look(force=force)
        if not turns.holds_checks:
            return None
        # Cycles that follow one another closely would be met at each look.
        with turns.if_free(_CHECK_SECONDS) as free:
            applied = reload.apply() if free else None
        turns.holds_checks = applied is None
        return applied

    def failed(where: str) -> None:
        turns.holds_checks = False
        message = f"The configuration is not reloaded. Internal error (a bug in page-token-sync): {where}."
        remedy = "Please report it with this line, and restart the daemon."
        error = {
            "file": "",
            "line": 0,
            "column": 0,
            "path": "",
            "code": "internal-error",
            "message": message,
            "remedy": remedy,
        }
        status.rejected([error])
        event = Event("error", "cycle_warning", {"message": message, "owner": "operator", "remedy": remedy})
        log.write(event)
        reload.failed(event)

    if force:
        notifier.reloading()
    applied = attempt(work, failed)
    if force:
        notifier.ready()
    return applied


def one_cycle(
    app: Cycles,
    *,
    clock: Clock,
    log: EventLog,
    status: DaemonStatus,
    next_run: Callable[[], datetime | None] = lambda: None,
) -> None:
    """Run one cycle, log it and publish its report; neither where shutdown ended it before its first write.

    ``next_run`` returns the time of the next cycle, and is called when this one has ended.
    """
    cycle = str(ULID())
    try:
        clock.check()
        log.write(Event("debug", "cycle_started", {}), cycle=cycle)
        report = app.cycle(write=True, cycle=cycle, continuous=True)
    except Stopping:
        return
    report = replace(report, frame=replace(report.frame, next_cycle_at=next_run()))
    for event in events(report):
        log.write(event, cycle=cycle)
    # Before the outbox and the state file are on disk, which a slow one delays by seconds.
    status.reported(report)
    # Before the report counts as logged: after a kill between the two, both the lines and the messages come again.
    app.announce(report)
    app.logged()


class WallClockWatch:
    """Notices that the wall clock was set. APScheduler uses it: set back by an hour, it would run nothing for an hour.

    ``begun`` is when the last cycle began, by the monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_time, self._monotonic = clock.now(), clock.monotonic()
        self.begun = self._monotonic

    def was_set(self) -> bool:
        """Check whether the wall clock was set since the last check; a clock that is only slewed was not."""
        wall_time, monotonic = self._clock.now(), self._clock.monotonic()
        drift = (wall_time - self._wall_time) - timedelta(seconds=monotonic - self._monotonic)
        self._wall_time, self._monotonic = wall_time, monotonic
        return abs(drift) > _MAX_DRIFT

    def reschedule(self, job: Any, trigger: BaseTrigger) -> None:
        """Move the next cycle after the wall clock was set: an interval counts from the last cycle, a cron from now."""
        if job is None:
            return
        if isinstance(trigger, IntervalTrigger):
            left = trigger.interval - timedelta(seconds=self._clock.monotonic() - self.begun)
            job.modify(next_run_time=self._clock.now() + max(left, timedelta(0)))
        else:
            job.reschedule(trigger)


def _next_run(scheduler: BackgroundScheduler) -> datetime | None:
    """Return the time of the next cycle, in UTC; None once the scheduler has ended.

    APScheduler 3.11 sets it before or while it starts the present cycle, under a lock that this waits for.
    """
    job = scheduler.get_job(_JOB)
    return job.next_run_time.astimezone(UTC) if job is not None else None


class _Failures:
    """Logs what goes wrong beside the cycles; that cycles are skipped is logged once a day, however often one is."""

    def __init__(self, clock: Clock, log: EventLog) -> None:
        self._clock = clock
        self._log = log
        self._warned_at: float | None = None

    def record(self, event: Any) -> None:
        """Log that a cycle was skipped, or that it failed by a bug of this program."""
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._skipped()
        elif not isinstance(event.exception, Stopping):
            message = (
                f"Internal error (a bug in page-token-sync): {location_of(event.exception)}. "
                "Please report it with this line. The next cycle starts as planned."
            )
            self._log.write(Event("error", "cycle_finished", {"result": "failed", "message": message}))

    def _skipped(self) -> None:
        now = self._clock.monotonic()
        if self._warned_at is not None and now - self._warned_at < REMIND_EVERY.total_seconds():
            return
        self._warned_at = now
        message = "A cycle was due while another was running, and is skipped. Lengthen schedule.every if this recurs."
        self._log.write(Event("warning", "cycle_warning", {"message": message}))
