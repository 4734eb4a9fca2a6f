"""How much work something is, and how long it takes, with bounds that a busy machine does not miss."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from types import FrameType

TRIES = 3
"""So often a call may miss its bound: what else runs on the machine delays single tries, a fault of the program delays each."""


def seconds(work: Callable[[], object]) -> float:
    """Return how many seconds the work takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def calls(work: Callable[[], object]) -> int:
    """Return how many functions the work calls, which no busy machine changes."""
    count = 0

    def counted(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    # Libraries have functions that the collector of garbage calls.
    gc.disable()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count
