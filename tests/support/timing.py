"""Elapsed time, with bounds that a busy machine does not miss."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 3
"""So often a call may miss its bound: what else runs on the machine delays single tries, a fault of the program delays each."""


def seconds(work: Callable[[], object]) -> float:
    """Return how many seconds the work takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
