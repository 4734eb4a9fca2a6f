"""A clock whose time passes only when somebody sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class PassingClock:
    """Each sleep is over at once and moves the time on; ``slept`` keeps how long each was."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Pass the time."""
        self.slept.append(seconds)
        self.passed += seconds

    def check(self) -> None:
        """Never stop."""
