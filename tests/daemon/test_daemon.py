"""The daemon's loop with a fake app: cycles never overlap, clock changes lose none, and a failed one does not end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from queue import Empty, Queue
from typing import Any, Self

import apscheduler.schedulers.base
import pytest
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sync import daemon
from sync.config.schedule import trigger as scheduled
from sync.config.schema.settings import Schedule
from sync.core.plan.plan import Plan
from sync.core.report.build import report
from sync.core.report.event import Event
from sync.core.report.report import Frame, Report, Traffic
from sync.ops.status import DaemonStatus
from sync.runtime.threads import Stopping, SystemClock
from tests.support.clock import ShiftedClock, StoppedWallClock
from tests.support.values import NOW

WAIT = 20.0
"""Seconds after which a test that waits for another thread has failed."""


def empty_report(cycle: str) -> Report:
    """Return the report of a cycle without Pages."""
    now = datetime.now(UTC)
    frame = Frame("test", cycle, now, now, 0.0, 60, Traffic())
    return report(Plan((), (), (), {}, "sha256:"), frame, {}, instance="test")


class RecordedLog:
    """A log that records its events."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, str | None]] = []

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Record one event."""
        self.events.append((event, cycle))

    def names(self) -> list[str]:
        """Return the names of the events, in order."""
        return [event.name for event, _ in self.events]


class FakeApp:
    """An app whose cycles call a function of the test; counts the cycles, and how many ran at once."""

    def __init__(self, work: Callable[[int], None] = lambda _: None) -> None:
        self.work = work
        self.begun: Queue[int] = Queue()
        self.count = self.at_once = self.most = 0
        self.closed = False
        self.reports_logged = self.progress = self.failures = 0
        self._lock = threading.Lock()

    def cycle(self, *, write: bool, cycle: str | None = None, continuous: bool = False) -> Report:
        """Run one cycle."""
        assert write
        with self._lock:
            self.count += 1
            number = self.count
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.begun.put(number)
        try:
            self.work(number)
        finally:
            with self._lock:
                self.at_once -= 1
        return empty_report(cycle or "")

    def announce(self, report: Report) -> None:
        """Notify nobody."""

    def failed(self) -> None:
        """Count the cycles that ended by a bug."""
        self.failures += 1

    def logged(self) -> None:
        """Count the reports that are in the log."""
        self.reports_logged += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


class Running:
    """A daemon in a thread of its own; leaving the block stops it."""

    def __init__(self, app: FakeApp, trigger: Any) -> None:
        self.clock, self.log, self.app, self.now = SystemClock(), RecordedLog(), app, threading.Event()
        self.status = DaemonStatus(self.clock)
        self._thread = threading.Thread(
            target=lambda: daemon.run(
                app, trigger=trigger, clock=self.clock, log=self.log, status=self.status, now=self.now
            ),
            daemon=True,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock.stop.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


def until(reached: Callable[[], bool]) -> None:
    """Wait until another thread has done something."""
    end = time.monotonic() + WAIT
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def hourly() -> IntervalTrigger:
    """Return an interval so long that a test sees one cycle only."""
    return IntervalTrigger(hours=1, timezone=UTC)


def test_status_follows_the_cycle() -> None:
    """The status says that a cycle runs and when it last advanced, then has its report and the time of the next one."""
    advance, end = threading.Event(), threading.Event()

    def work(_: int) -> None:
        assert advance.wait(WAIT)
        app.progress += 1
        assert end.wait(WAIT)

    app = FakeApp(work)
    with Running(app, hourly()) as running:
        app.begun.get(timeout=WAIT)
        first = running.status.snapshot
        assert (first.report, first.cycle_began_at) == (None, first.advanced_at)
        assert first.cycle_began_at is not None
        advance.set()
        until(lambda: running.status.snapshot.advanced_at != first.cycle_began_at)
        assert running.status.snapshot.heart_at > first.heart_at
        end.set()
        until(lambda: running.status.snapshot.cycle_began_at is None)
        last = running.status.snapshot
        assert last.report is not None
        assert last.next_cycle_at == last.report.frame.next_cycle_at
        assert last.advanced_at is None


def test_the_report_does_not_wait_for_the_disk() -> None:
    """The status has a report as soon as it is in the log, and still a running cycle until its notifications are on disk."""
    written = threading.Event()

    class SlowDisk(FakeApp):
        def announce(self, report: Report) -> None:
            """Write as slowly as the test wants."""
            assert written.wait(WAIT)

    app = SlowDisk()
    with Running(app, hourly()) as running:
        until(lambda: running.status.snapshot.report is not None)
        assert running.log.names() == ["cycle_started", "cycle_finished"]
        assert not running.status.snapshot.is_settled
        assert app.reports_logged == 0
        written.set()
        until(lambda: running.status.snapshot.is_settled)
        assert app.reports_logged == 1


def test_status_after_a_cycle_without_a_report() -> None:
    """A cycle that ends by a bug leaves the report of the one before it, and no cycle that seems to run."""

    def work(number: int) -> None:
        if number == 2:
            raise ValueError

    app = FakeApp(work)
    with Running(app, hourly()) as running:
        app.begun.get(timeout=WAIT)
        until(lambda: running.status.snapshot.report is not None)
        report = running.status.snapshot.report
        running.now.set()
        assert app.begun.get(timeout=WAIT) == 2
        until(lambda: running.status.snapshot.cycle_began_at is None)
        assert running.status.snapshot.report is report
        assert running.status.snapshot.totals.cycles["failed"] == app.failures == 1


def test_a_failed_cycle_does_not_end_the_daemon() -> None:
    """An unexpected exception in a cycle is logged by class and location, without its text, and the next cycle runs."""

    def work(number: int) -> None:
        if number == 1:
            raise ValueError("EAA" + "x" * 60)

    app = FakeApp(work)
    with Running(app, IntervalTrigger(seconds=0.05, timezone=UTC)) as running:
        for number in (1, 2, 3):
            assert app.begun.get(timeout=WAIT) == number
    failed = next(event for event, _ in running.log.events if event.fields.get("result") == "failed")

    assert failed.name == "cycle_finished"
    assert "ValueError" in failed.fields["message"]
    assert "EAA" not in failed.fields["message"]


def test_a_cycle_on_demand() -> None:
    """A cycle that is asked for starts at once; one that is asked for during a cycle starts when that has ended."""
    release = threading.Event()
    app = FakeApp(lambda number: number == 2 and release.wait(WAIT) and None)
    with Running(app, hourly()) as running:
        assert app.begun.get(timeout=WAIT) == 1
        running.now.set()
        assert app.begun.get(timeout=WAIT) == 2
        running.now.set()
        with pytest.raises(Empty):
            app.begun.get(timeout=1.5)
        release.set()
        assert app.begun.get(timeout=WAIT) == 3
        assert "cycle_warning" not in running.log.names()


def test_two_cycles_never_run_at_once() -> None:
    """A cycle that takes longer than the interval does not overlap with the next; that cycles are skipped is logged once."""
    release = threading.Event()
    app = FakeApp(lambda _: release.wait(WAIT) and None)
    with Running(app, IntervalTrigger(seconds=0.05, timezone=UTC)) as running:
        assert app.begun.get(timeout=WAIT) == 1
        while "cycle_warning" not in running.log.names():
            running.clock.stop.wait(0.01)
        running.clock.stop.wait(0.5)
        assert running.log.names().count("cycle_warning") == 1
        assert app.count == 1
        release.set()
        assert app.begun.get(timeout=WAIT) == 2

    assert app.most == 1
    assert app.closed


def test_the_first_cycle_starts_at_once() -> None:
    """The first cycle does not wait for the interval."""
    app = FakeApp()
    with Running(app, hourly()):
        assert app.begun.get(timeout=WAIT) == 1

    assert app.count == 1


def test_stopping_ends_a_running_cycle_and_closes_the_app() -> None:
    """On shutdown a running cycle ends without a report, and then the app is closed."""

    def work(_: int) -> None:
        running.clock.sleep(WAIT)

    app = FakeApp(work)
    running = Running(app, hourly())
    with running:
        app.begun.get(timeout=WAIT)

    assert app.at_once == 0
    assert app.closed
    assert running.log.names() == ["cycle_started"]


def test_a_cycle_is_logged_under_one_id() -> None:
    """The events of the start and the end of a cycle have the same id."""
    log = RecordedLog()
    clock = SystemClock()
    daemon.one_cycle(FakeApp(), clock=clock, log=log, status=DaemonStatus(clock))

    assert log.names() == ["cycle_started", "cycle_finished"]
    assert len({cycle for _, cycle in log.events}) == 1


def test_no_cycle_is_started_during_shutdown() -> None:
    """A cycle that is due during shutdown is not started."""
    clock, app, log = SystemClock(), FakeApp(), RecordedLog()
    clock.stop.set()
    daemon.one_cycle(app, clock=clock, log=log, status=DaemonStatus(clock))

    assert (app.count, log.events) == (0, [])
    with pytest.raises(Stopping):
        clock.check()


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_a_change_of_the_wall_clock_is_detected(hours: int) -> None:
    """A jump of the wall clock against the monotonic clock is detected once."""
    clock = ShiftedClock()
    watch = daemon.WallClockWatch(clock)
    clock.set_by = timedelta(hours=hours)

    assert watch.was_set()
    assert not watch.was_set()


def test_a_slewed_wall_clock_is_not_a_change() -> None:
    """A difference of one second is not a jump."""
    clock = ShiftedClock()
    watch = daemon.WallClockWatch(clock)
    clock.set_by = timedelta(seconds=1)

    assert not watch.was_set()


class SeenReport(Report):
    """A report that records the time of the next cycle whenever it is built: by the app, and by the daemon."""

    seen: Queue[datetime | None] = Queue()

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.seen.put(self.frame.next_cycle_at)


class ReportingApp(FakeApp):
    """An app whose reports are recorded."""

    def cycle(self, *, write: bool, cycle: str | None = None, continuous: bool = False) -> Report:
        """Run one cycle."""
        made = super().cycle(write=write, cycle=cycle, continuous=continuous)
        return SeenReport(**{one.name: getattr(made, one.name) for one in fields(made)})


@pytest.mark.parametrize(
    ("schedule", "following"),
    [
        ({"every": "20m"}, NOW + timedelta(minutes=20)),
        ({"cron": "30 4 * * *", "timezone": "Europe/Berlin"}, datetime(2026, 11, 26, 3, 30, tzinfo=UTC)),
    ],
    ids=["interval", "cron in a zone"],
)
def test_a_report_has_the_time_of_the_next_cycle(
    schedule: dict[str, str], following: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon adds to a report the time of the next cycle by the schedule, in UTC."""

    class ShiftedDatetime(datetime):
        """The wall clock as APScheduler reads it."""

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            """Return noon."""
            return NOW.astimezone(tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", ShiftedDatetime)
    running = Running(ReportingApp(), scheduled(Schedule.model_validate(schedule)))
    running.clock = StoppedWallClock()
    with running:
        assert SeenReport.seen.get(timeout=WAIT) is None
        at = SeenReport.seen.get(timeout=WAIT)
    assert (at, at and at.utcoffset()) == (following, timedelta(0))


def test_the_report_of_a_single_cycle_has_no_next_cycle() -> None:
    """A cycle outside a schedule has no time of a next cycle."""
    clock = SystemClock()
    status = DaemonStatus(clock)
    daemon.one_cycle(FakeApp(), clock=clock, log=RecordedLog(), status=status)
    assert status.snapshot.report is not None
    assert status.snapshot.report.frame.next_cycle_at is None


@pytest.mark.slow
@pytest.mark.parametrize("hours", [-1, 24])
@pytest.mark.parametrize(
    "trigger",
    [IntervalTrigger(seconds=2, timezone=UTC), CronTrigger(second="*/2", timezone=UTC)],
    ids=["interval", "cron"],
)
def test_cycles_continue_when_the_wall_clock_is_changed(
    hours: int, trigger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the wall clock is set back or forward, the next cycle runs within the interval."""
    clock = ShiftedClock()

    class ShiftedDatetime(datetime):
        """The wall clock as APScheduler reads it."""

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            """Return the time of the changed clock."""
            return (datetime.now(UTC) + clock.set_by).astimezone(tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", ShiftedDatetime)
    app = FakeApp()
    running = Running(app, trigger)
    running.clock = clock
    with running:
        assert app.begun.get(timeout=WAIT) == 1
        clock.set_by = timedelta(hours=hours)
        assert app.begun.get(timeout=8) == 2
        assert app.count == 2
