"""How long the retries of one cycle may take."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from sync.runtime.threads import Clock

T = TypeVar("T")


class RetryTime:
    """The time that all retries of a cycle may take together, pauses included."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._left = seconds
        self._clock = clock
        self._lock = threading.Lock()

    def retry(self, ask: Callable[[float], T], *, turn: int = 0) -> T | None:
        """Pause with full jitter, doubled each ``turn``, then call ``ask`` with the seconds left; None where none are."""
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
