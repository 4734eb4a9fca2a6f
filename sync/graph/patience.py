"""How long a cycle goes on repeating what failed, and whom it does not ask any more."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from sync.core.model import SourceError
from sync.graph.errors import Fault, Row
from sync.threads import Clock

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


class Gate:
    """The apps that Graph will not serve any more in this cycle, and why."""

    def __init__(self) -> None:
        self._shut: dict[str, SourceError] = {}
        self._lock = threading.Lock()

    def shut(self, app: str) -> SourceError | None:
        """Say why the app is not to be called; None where it may be."""
        with self._lock:
            return self._shut.get(app)

    def close(self, app: str, error: SourceError) -> None:
        """Let no further call of the app out; the first reason stays."""
        with self._lock:
            self._shut.setdefault(app, error)

    def note(self, app: str, row: Row, fault: Fault) -> SourceError:
        """Turn a fault into what is told, and close the app where the fault says so."""
        error = row.error(fault)
        if row.then == "close-app":
            self.close(app, error)
        return error
