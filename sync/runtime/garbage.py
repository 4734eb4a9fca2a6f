"""Garbage collection, switched off for work that makes many objects and no garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch the cycle collector off for the block: it would walk all live objects again and again, and find nothing.

    Measured 2026-11-25 at 1,000 Pages: an eighth of a whole process's processor time, and no more memory.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
