"""What the process is to the machine: its signals, its last words, and that nobody reads its memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sync.runtime.threads import SystemClock

GRACE_SECONDS = 9.0
"""How long a running cycle may take to end; container runtimes kill after ten seconds."""

_PR_SET_DUMPABLE = 4


def watch_signals(
    clock: SystemClock,
    *,
    exit_code: int,
    hangup: Callable[[], None] | None = None,
    user: Callable[[], None] | None = None,
    grace: float = GRACE_SECONDS,
) -> None:
    """Let SIGTERM, SIGINT and SIGHUP set ``clock.stop``; leave with ``exit_code`` after ``grace`` seconds or at a second one.

    A second SIGINT leaves with 130. With ``hangup`` SIGHUP calls it and stops nothing; one that is ignored stays so (nohup).
    With ``user`` SIGUSR1 calls it.
    To be called once, by the main thread, before any thread is started. The signals are taken by a thread of its own and
    by no handler: a handler that sets an event can meet its own thread inside that event's lock.
    """
    stops, wanted = {signal.SIGTERM, signal.SIGINT}, {signal.SIGTERM, signal.SIGINT}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.add(signal.SIGHUP)
        stops |= {signal.SIGHUP} if hangup is None else set()
    if user is not None:
        wanted.add(signal.SIGUSR1)
    # Process 1 of a container only gets signals that it has not left at their default.
    for number in wanted:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)

    def watch() -> None:
        while (number := signal.sigwait(wanted)) not in stops:
            call = user if number == signal.SIGUSR1 else hangup
            if call is not None:
                call()
        clock.stop.set()
        second = signal.sigtimedwait(stops, grace)
        os._exit(130 if second is not None and second.si_signo == signal.SIGINT else exit_code)

    threading.Thread(target=watch, name="signals", daemon=True).start()


def keep_memory_private() -> None:
    """Write no core dump, and let no other process of this user read this one's memory, where the kernel offers it."""
    import ctypes  # noqa: PLC0415 - only the daemon needs it
    import resource  # noqa: PLC0415 - only the daemon needs it

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def silence_libraries() -> None:
    """Cut off what libraries log: httpx and urllib3 log URLs, botocore bodies. What matters of it is in our own events.

    Without a handler Python itself would print their warnings on stderr.
    """
    import logging  # noqa: PLC0415 - only for commands that run cycles

    logging.disable(logging.CRITICAL)
    logging.raiseExceptions = False


def report_crashes_safely() -> None:
    """Print an unexpected exception with its class and locations, never its text, which may contain a secret.

    An exception in the main thread ends the process with exit code 3.
    """
    sys.excepthook = _end
    threading.excepthook = lambda crash: _print_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)


def location_of(error: BaseException | None) -> str:
    """Return an exception's class and where it was raised, in this package's code if possible; never its text."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    own = [frame for frame in frames if f"{os.sep}sync{os.sep}" in frame.filename] or frames
    where = f" in {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{where}"


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _print_crash(kind, error, trace)
    sys.exit(130 if issubclass(kind, KeyboardInterrupt) else 3)


def _print_crash(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    lines = [f"  {Path(at.filename).name}:{at.lineno} in {at.name}" for at in traceback.extract_tb(trace)]
    text = "\n".join(
        [f"Internal error (a bug in page-token-sync): {location_of(error)}. Please report it with these lines:", *lines]
    )
    sys.stderr.write(text + "\n")
