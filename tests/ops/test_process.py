"""The process: how it ends, what it prints when it crashes, and who may read its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOKEN = "EAA" + "Zk3Bq9" * 20

STUCK = """
import sys, threading
from sync.ops.process import watch_signals
from sync.runtime.threads import SystemClock
clock = SystemClock()
watch_signals(clock, exit_code=int(sys.argv[1]), grace=float(sys.argv[2]))
print("ready", flush=True)
clock.stop.wait()
print("stopping", flush=True)
threading.Event().wait()
"""


@contextmanager
def start(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a script that prints "ready"; it is killed at the end, so that a test which fails does not wait for it."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        # The caller of the tests may ignore SIGHUP, as nohup does, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 - before any thread of its own
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_stuck_process_ends_after_the_grace_period() -> None:
    """A process that is stuck after SIGTERM ends when the grace period is over, with the given exit code."""
    with start(STUCK, "0", "0.2") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (signal.SIGTERM, signal.SIGTERM, 0),
        (signal.SIGTERM, signal.SIGINT, 130),
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGHUP, signal.SIGTERM, 0),
    ],
)
def test_a_second_signal_ends_the_process_at_once(first: signal.Signals, second: signal.Signals, code: int) -> None:
    """The first signal starts the shutdown, the second ends the process at once; after a second Ctrl-C the exit code is 130."""
    with start(STUCK, "0", "60") as process:
        process.send_signal(first)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(second)
        assert process.wait(10) == code


def test_a_signal_of_the_user_is_passed_on() -> None:
    """SIGUSR1 calls what it is meant for, and stops nothing."""
    script = STUCK.replace("grace=float(sys.argv[2])", "user=lambda: print('asked', flush=True)")
    with start(script, "0", "60") as process:
        assert process.stdout is not None
        for _ in range(2):
            process.send_signal(signal.SIGUSR1)
            assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_an_ignored_hangup_stays_ignored() -> None:
    """A process under nohup ignores SIGHUP."""
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + STUCK
    with start(script, "0", "60") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    "crash",
    [
        "raise ValueError(secret)",
        "import threading; t = threading.Thread(target=lambda: int(secret)); t.start(); t.join(); raise KeyError(secret)",
        "try:\n    int(secret)\nexcept ValueError as error:\n    raise RuntimeError(secret) from error",
    ],
)
def test_a_crash_shows_locations_and_no_text(crash: str) -> None:
    """An unexpected exception is printed with its class and locations, not its text or variables, and the exit code is 3."""
    script = (
        f"from sync.ops.process import report_crashes_safely\nreport_crashes_safely()\nsecret = '{TOKEN}'\n{crash}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "Internal error (a bug in page-token-sync)" in done.stderr
    assert TOKEN[:20] not in done.stderr + done.stdout
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform != "linux", reason="core dumps and dumpable are Linux's")
def test_memory_is_kept_private() -> None:
    """The process writes no core dump, and is not dumpable."""
    script = """
import ctypes, resource
from sync.ops.process import keep_memory_private
keep_memory_private()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "(0, 0) 0\n"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a process namespace of its own")
def test_process_1_handles_sigterm(tmp_path: Path) -> None:
    """SIGTERM ends the program as process 1 of a container, to which the kernel passes no signal without a handler."""
    script = STUCK.replace("threading.Event().wait()", "")
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", script, "0", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as outer:
        assert outer.stdout is not None
        if outer.stdout.readline() != "ready\n":
            pytest.skip("a process namespace is not available here")
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        assert outer.wait(10) == 0
