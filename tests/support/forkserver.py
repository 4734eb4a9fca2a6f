"""Processes of the program without the cost of starting: one process imports everything, and forks on request.

Each child is the program as a shell starts it, from its command line to its exit code, without the imports.
That the imports work, and that nothing heavy is loaded without need, is shown by tests that start a fresh interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

import pytest

import sync
from tests.support.paths import ROOT

THREADS = 30
_MAIN = "sync.cli.main"
_LONGEST_REQUEST = 1 << 20


class Process:
    """A running child. What it has is as in ``subprocess.Popen``; the block kills a child that still runs."""

    def __init__(self, pid: int, status: socket.socket, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.pid = pid
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self.peak_kib = 0
        """The most KiB of memory that it used, once it has ended."""
        self._status = status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait(10)
        for stream in filter(None, (self.stdout, self.stderr)):
            stream.close()

    def send_signal(self, number: int) -> None:
        """Send a signal; a process that has ended stays ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code, or the negative number of the signal."""
        if self.returncode is not None:
            return self.returncode
        if not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self._end()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read both pipes to their end, and wait for the process's."""
        with ThreadPoolExecutor(2) as pool:
            reading = [pool.submit(stream.read) if stream else None for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            finally:
                self.kill()
            stdout, stderr = (text.result(timeout) if text else "" for text in reading)
        return stdout, stderr

    def _end(self) -> int:
        code, self.peak_kib = json.loads(self._status.recv(100))
        self.returncode = int(code)
        self._status.close()
        return self.returncode


@dataclass(frozen=True)
class Child:
    """One run of the program, with its output in files."""

    process: Process
    stdout: Path
    stderr: Path

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def kill(self) -> None:
        """Kill the process; one that has ended already stays ended."""
        self.process.kill()

    def end(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; return the exit code, or the negative number of the signal."""
        return self.process.wait()

    def wait_and_weigh(self) -> tuple[int, int]:
        """Wait for its end: its exit code, and the most KiB of memory that it used."""
        return self.process.wait(), self.process.peak_kib


class ForkServer:
    """The process that forks; several threads may use it at once."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._runs = 0

    def start(
        self,
        *arguments: str,
        stdin: int | None = None,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        user: int | None = None,
        main: str = _MAIN,
    ) -> Process:
        """Start the program with this command line; ``main`` names the module whose ``main`` is run.

        ``stdout`` and ``stderr`` are as in ``subprocess.Popen``. ``environment`` is added to this process's.
        ``user`` is one that may have THREADS threads and processes in all.
        """
        request = {
            "run": arguments,
            "environment": {**os.environ, **(environment or {})},
            "cwd": str(cwd or Path.cwd()),
            "user": user,
            "main": main,
        }
        with ExitStack() as stack:
            nothing = stack.enter_context(Path(os.devnull).open("r+b"))
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(its)
            pipes, ends = list[IO[str] | None](), list[int]()
            for wanted in (stdout, stderr):
                if wanted == subprocess.PIPE:
                    reader, writer = os.pipe()
                    stack.callback(os.close, writer)
                    pipes.append(os.fdopen(reader))
                    ends.append(writer)
                else:
                    pipes.append(None)
                    ends.append(_number(wanted, nothing))
            descriptors = [its.fileno(), nothing.fileno() if stdin is None else stdin, *ends]
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        return Process(json.loads(mine.recv(100)), mine, *pipes)

    def run(
        self,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
        main: str = _MAIN,
    ) -> Child:
        """Start the program with its output in files of a folder; ``environment`` is added to this process's."""
        self._runs += 1
        out, err = folder / f"out-{self._runs}", folder / f"err-{self._runs}"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = self.start(
                *arguments, stdout=stdout, stderr=stderr, environment=environment, user=user, main=main
            )
        return Child(process, out, err)


def _number(stream: int | IO[Any], nothing: IO[Any]) -> int:
    if not isinstance(stream, int):
        return stream.fileno()
    return nothing.fileno() if stream == subprocess.DEVNULL else stream


@contextmanager
def fork_server(environment: Mapping[str, str] | None = None) -> Iterator[ForkServer]:
    """Run a fork server until the block ends; ``environment`` is added to its own and its children's."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, its:
        for end in (mine, its):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST_REQUEST)
        command = [sys.executable, "-m", "tests.support.forkserver", str(its.fileno())]
        added = {**os.environ, **(environment or {})}
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, cwd=ROOT, env=added, pass_fds=[its.fileno()]
        ) as process:
            its.close()
            try:
                assert mine.recv(100) == b"ready"
                yield ForkServer(mine)
            finally:
                mine.close()
                process.wait(10)


@cache
def shared() -> ForkServer:
    """Start the fork server that all tests of this process share, at its first use."""
    running = fork_server()
    atexit.register(running.__exit__, None, None, None)
    return running.__enter__()


@pytest.fixture(scope="session")
def forks() -> ForkServer:
    """Return the shared fork server."""
    return shared()


def _run(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Run the program in this process; never returns."""
    code: Any = 3
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        # The caller of the tests may ignore SIGHUP, as nohup does, and a child would inherit that.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        # As the interpreter opens them: what it opened for this process belongs to another kind of file.
        encoding = os.environ.get("PYTHONIOENCODING")
        sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115 - open until the end
        sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115 - open until the end
        sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115 - open until the end
        sys.argv = ["page-token-sync", *request["run"]]
        program = importlib.import_module(request["main"]).main
        if request["user"] is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
            os.setgid(request["user"])
            os.setuid(request["user"])
        program()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # noqa: BLE001 - as the interpreter does it
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _import_everything() -> None:
    for module in pkgutil.walk_packages(sync.__path__, "sync."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("boto3", "hvac", "encodings.idna"):
        with suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    """Serve requests until the other end is closed, then kill the children that are left."""
    _import_everything()
    # What is shared with the children is not copied by a collection in them.
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.send(b"ready")
    alive: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready in alive:
                pid, status = alive.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                _report_end(pid, status)
                continue
            text, descriptors, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, 4)
            if not text:
                for pid, _ in alive.values():
                    os.kill(pid, signal.SIGKILL)
                return
            pid = os.fork()
            if pid == 0:
                _run(json.loads(text), descriptors[1:])
            watched, status = os.pidfd_open(pid), socket.socket(fileno=descriptors[0])
            poll.register(watched, select.POLLIN)
            alive[watched] = pid, status
            for descriptor in descriptors[1:]:
                os.close(descriptor)
            status.send(json.dumps(pid).encode())


def _report_end(pid: int, status: socket.socket) -> None:
    _, how, used = os.wait4(pid, 0)
    with status, suppress(OSError):
        status.send(json.dumps([os.waitstatus_to_exitcode(how), used.ru_maxrss]).encode())


if __name__ == "__main__":
    main()
