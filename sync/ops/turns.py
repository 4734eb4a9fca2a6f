"""Cycles and checks take turns, so that never two of them write at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from sync.runtime.threads import Clock

_LOOK = 0.5
"""Seconds between two looks of a waiting check at whether shutdown was asked for."""


class Turns:
    """Lets one cycle or one check run at a time. A cycle that waits goes before each check, and the first cycle before all.

    So however many checks are asked for, a cycle waits for one of them at most.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.busy = False
        """Whether a cycle or a check runs."""
        self._waiting_cycles = 0
        self._had_cycle = False
        self.holds_checks = False
        """Whether checks wait, since something is to be done between them."""

    @contextmanager
    def cycle(self) -> Iterator[None]:
        """Wait for the turn of a cycle, and hold it."""
        with self._changed:
            self._waiting_cycles += 1
            self._changed.wait_for(lambda: not self.busy)
            self._waiting_cycles -= 1
            self.busy = self._had_cycle = True
        with self._held():
            yield

    @contextmanager
    def check(self, clock: Clock) -> Iterator[None]:
        """Wait for the turn of a check, and hold it; raises Stopping once shutdown is asked for."""
        with self._changed:
            while not self._changed.wait_for(self._is_free_for_check, timeout=_LOOK):
                clock.check()
            clock.check()
            self.busy = True
        with self._held():
            yield

    @contextmanager
    def if_free(self, patience: float = 0) -> Iterator[bool]:
        """Hold the turn if nothing runs, or what runs ends within so many seconds; yield whether it is held."""
        with self._changed:
            free = self._changed.wait_for(lambda: not self.busy, timeout=patience)
            self.busy = True
        with self._held() if free else nullcontext():
            yield free

    def _is_free_for_check(self) -> bool:
        return self._had_cycle and not (self.busy or self._waiting_cycles or self.holds_checks)

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self.busy = False
                self._changed.notify_all()
