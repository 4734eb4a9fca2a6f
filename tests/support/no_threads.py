"""A machine that cannot start another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOBODY_HAS = 1 << 47
"""Bytes of a stack that do not fit into the address space, so that the system refuses the thread."""


@contextmanager
def no_threads() -> Iterator[None]:
    """Let this process start no thread until the block ends."""
    before = threading.stack_size(_NOBODY_HAS)
    try:
        yield
    finally:
        threading.stack_size(before)
