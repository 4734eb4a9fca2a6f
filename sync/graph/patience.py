"""How long a cycle goes on repeating what failed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from sync.runtime.threads import Clock

T = TypeVar("T")


class Patience:
    """The time that all repeats of a cycle may take together, pauses included."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._left = seconds
        self._clock = clock
        self._lock = threading.Lock()

    def repeat(self, ask: Callable[[float], T], *, turn: int = 0) -> T | None:
        """Pause with full jitter, doubling by ``turn``, then ask with the seconds that are left; None where none are."""
        with self._lock:
            left = self._left
        if left <= 0:
            return None
        start = self._clock.monotonic()
        self._clock.sleep(min(random.random() * 2**turn, left))
        try:
            return ask(max(left - (self._clock.monotonic() - start), 1.0))
        finally:
            with self._lock:
                self._left -= self._clock.monotonic() - start
