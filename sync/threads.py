"""Time, stopping, and work spread over a bounded number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Protocol, TypeVar, runtime_checkable

K = TypeVar("K")
V = TypeVar("V")


class Stopping(BaseException):
    """Shutdown was asked for; passes through everything up to the daemon."""


class Clock(Protocol):
    """Time, so that tests need not wait. ``now`` is aware and in UTC; intervals come from ``monotonic``, in seconds."""

    def now(self) -> datetime:
        """Give the wall clock's time."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; raises Stopping as soon as shutdown is asked for."""
        ...

    def check(self) -> None:
        """Raise Stopping if shutdown has been asked for."""
        ...


class SystemClock:
    """The machine's clocks, and the one switch that asks everything to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def now(self) -> datetime:
        """Give the wall clock's time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; raises Stopping as soon as ``stop`` is set."""
        if self.stop.wait(max(seconds, 0)):
            raise Stopping

    def check(self) -> None:
        """Raise Stopping if ``stop`` is set."""
        if self.stop.is_set():
            raise Stopping


@runtime_checkable
class Serial(Protocol):
    """A clock under which nothing happens at the same time, so that what happens can be repeated."""

    def order(self, items: Sequence[K]) -> Sequence[K]:
        """Give the order in which these are done, one after the other."""
        ...


def each(work: Callable[[K], V], items: Iterable[K], *, workers: int, clock: Clock) -> Mapping[K, V]:
    """Do ``work`` for each item over at most ``workers`` threads, and give the answers by item.

    ``work`` answers with values: what it raises passes through. Once shutdown is asked for no further item is begun.
    """
    todo = list(dict.fromkeys(items))

    def one(item: K) -> V:
        clock.check()
        return work(item)

    if isinstance(clock, Serial):
        done = {item: one(item) for item in clock.order(todo)}
        return {item: done[item] for item in todo}
    if workers <= 1 or len(todo) <= 1:
        return {item: one(item) for item in todo}
    with ThreadPoolExecutor(min(workers, len(todo)), thread_name_prefix="sync") as pool:
        futures = {item: pool.submit(one, item) for item in todo}
        try:
            return {item: future.result() for item, future in futures.items()}
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
