"""The clocks of the tests: one whose time only a test moves, and one that is ahead of the machine's."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sync.runtime.threads import Stopping, SystemClock
from tests.support.values import NOW

T = TypeVar("T")


class FakeClock:
    """A clock that begins at NOW and moves only by sleeps, which take no time, and by what a test adds to ``passed``.

    ``slept`` holds the length of each sleep. ``stopping`` asks everything to stop.
    """

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []
        self.stopping = False
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return NOW + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Return the seconds passed so far."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Move the time on at once."""
        self.check()
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the time on, from any thread."""
        with self._lock:
            self.passed += seconds

    def check(self) -> None:
        """Raise Stopping once a test asks for it."""
        if self.stopping:
            raise Stopping


class SequentialClock(FakeClock):
    """A clock under which work is not spread over threads, so that no thread's pause delays another."""

    def order(self, items: Sequence[T]) -> Sequence[T]:
        """Keep the order."""
        return items


class ShiftedClock(SystemClock):
    """The machine's clocks, both ahead by what a test adds; ``set_by`` moves the wall clock alone."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta(0)
        self.set_by = timedelta(0)

    def now(self) -> datetime:
        """Return the wall clock's time, moved."""
        return super().now() + self.ahead + self.set_by

    def monotonic(self) -> float:
        """Return the monotonic time, moved."""
        return super().monotonic() + self.ahead.total_seconds()

    def elapsed(self) -> float:
        """Return the time since the machine's start, moved."""
        return super().elapsed() + self.ahead.total_seconds()

    def leap(self, seconds: float) -> None:
        """Move both clocks on."""
        self.ahead += timedelta(seconds=seconds)


class StoppedWallClock(SystemClock):
    """The machine's clocks, of which the wall clock stands still at NOW."""

    def now(self) -> datetime:
        """Return NOW."""
        return NOW


class LeapingClock(ShiftedClock):
    """A clock whose sleep takes no time and moves both clocks on; ``slept`` holds the length of each sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move both clocks on at once."""
        self.check()
        self.slept.append(seconds)
        self.leap(seconds)


class QuickClock(LeapingClock):
    """A clock whose sleep takes a twentieth of its time, so that other threads and processes get their turn."""

    def sleep(self, seconds: float) -> None:
        """Sleep for a short time and move both clocks on by the rest."""
        time.sleep(seconds / 20)
        super().sleep(seconds * 19 / 20)
