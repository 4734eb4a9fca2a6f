"""Time, stopping, and work spread over a bounded number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from math import inf
from typing import Protocol, TypeVar, runtime_checkable

_LOOK = 0.5
"""Seconds between two checks whether shutdown was asked for."""

K = TypeVar("K")
V = TypeVar("V")


class Stopping(BaseException):
    """Shutdown was asked for. As a BaseException it passes through every ``except Exception`` up to the daemon."""


class NoThreadError(Exception):
    """The machine allows no further thread."""


class Clock(Protocol):
    """Time, so that tests need not wait. ``now`` is aware and in UTC; intervals come from ``monotonic``, in seconds."""

    def now(self) -> datetime:
        """Return the wall clock's time."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; raises Stopping as soon as shutdown is asked for."""
        ...

    def check(self) -> None:
        """Raise Stopping if shutdown has been asked for."""
        ...


class SystemClock:
    """The machine's clocks, and the event that asks everything to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def elapsed(self) -> float:
        """Return seconds that never go backwards, and go on while the machine is suspended where its kernel counts that."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    def sleep(self, seconds: float) -> None:
        """Wait; raises Stopping as soon as ``stop`` is set."""
        if self.stop.wait(max(seconds, 0)):
            raise Stopping

    def check(self) -> None:
        """Raise Stopping if ``stop`` is set."""
        if self.stop.is_set():
            raise Stopping


class GraceClock:
    """A clock under which a thread may finish what it has begun: shutdown reaches it some seconds late.

    Sockets use it like the event that asks them to stop.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._graces = _Graces()
        self._pause = threading.Event()

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return self._clock.monotonic()

    @contextmanager
    def grace(self, seconds: float) -> Iterator[None]:
        """Delay shutdown for this thread by so many seconds, until the block ends."""
        before = self._graces.seconds
        self._graces.seconds = max(before, seconds)
        try:
            yield
        finally:
            self._graces.seconds = before

    def sleep(self, seconds: float) -> None:
        """Wait; raises Stopping as soon as shutdown reaches this thread."""
        try:
            self._clock.sleep(seconds)
        except Stopping:
            self._pause.wait(max(min(seconds, self._left()), 0))
            self.check()

    def check(self) -> None:
        """Raise Stopping if shutdown has reached this thread."""
        if self.is_set():
            raise Stopping

    def is_set(self) -> bool:
        """Check whether shutdown has reached this thread."""
        try:
            self._clock.check()
        except Stopping:
            return self._left() <= 0
        return False

    def _left(self) -> float:
        """Return the seconds left of this thread's grace; they count from the first check that noticed shutdown."""
        if self._asked_at is None:
            self._asked_at = self._clock.monotonic()
        return self._asked_at + self._graces.seconds - self._clock.monotonic()


class _Graces(threading.local):
    seconds = 0.0


@runtime_checkable
class Serial(Protocol):
    """A clock under which nothing runs at the same time, so that a run can be repeated."""

    def order(self, items: Sequence[K]) -> Sequence[K]:
        """Return the items in the order in which they are done, one after the other."""
        ...


def each(
    work: Callable[[K], V], items: Iterable[K], *, workers: int, clock: Clock, patience: float = inf
) -> Mapping[K, V]:
    """Run ``work`` for each item over at most ``workers`` threads, and return the results by item.

    ``work`` returns values: an exception passes through. Once shutdown is asked for no further item is begun, and Stopping
    is raised when the begun ones have ended or ``patience`` seconds have passed. Threads that still run then are abandoned.
    """
    pending = list(dict.fromkeys(items))
    done: dict[K, V] = {}

    def one(item: K) -> None:
        clock.check()
        done[item] = work(item)

    if isinstance(clock, Serial):
        for item in clock.order(pending):
            one(item)
    elif pending and (min(workers, len(pending)) > 1 or patience < inf):
        _spread(one, pending, workers, clock, patience)
    for item in pending:
        if item not in done:
            one(item)
    return {item: done[item] for item in pending}


def started(work: Callable[[], V], *, name: str) -> Future[V]:
    """Run ``work`` in a thread of its own; the future has its result or its exception. Raises NoThreadError.

    The thread is a daemon thread: one that is abandoned does not delay the exit.
    """
    future: Future[V] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            future.set_exception(error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        raise NoThreadError from None
    return future


def _spread(one: Callable[[K], None], pending: Sequence[K], workers: int, clock: Clock, patience: float) -> None:
    """Run ``one`` over threads; where the machine allows no thread for an item, it may be left undone."""
    left, failed = iter(pending), threading.Event()

    def work() -> None:
        # All threads share one iterator: a step of a list's iterator is atomic. A future for each item would cost more.
        try:
            for item in left:
                if failed.is_set():
                    return
                one(item)
        except BaseException:
            failed.set()
            raise

    futures: list[Future[None]] = []
    count = min(workers, len(pending))
    pool = ThreadPoolExecutor(count, thread_name_prefix="sync")
    # An item without a thread of its own may still be done by an earlier thread.
    with suppress(RuntimeError):
        futures.extend(pool.submit(work) for _ in range(count))
    try:
        running = _waited_for(futures, clock, patience)
    except BaseException:
        failed.set()
        raise
    pool.shutdown(wait=not running)
    for future in futures:
        if future not in running:
            future.result()
    if running:
        raise Stopping


def _waited_for(futures: Iterable[Future[None]], clock: Clock, patience: float) -> set[Future[None]]:
    """Wait for all, or until shutdown was asked for so many seconds ago; return those that still run then."""
    running, late = set(futures), GraceClock(clock)
    with late.grace(patience):
        while running and not late.is_set():
            running = wait(running, timeout=_LOOK if patience < inf else None).not_done
    return running
