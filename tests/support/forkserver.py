"""Processes of the program without the cost of starting: one process imports everything, and forks on request.

Each child is the program as a shell starts it, from its command line to its exit code, without the imports.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sync
from tests.support.paths import ROOT

THREADS = 30


@dataclass(frozen=True)
class Child:
    """One run of the program, with its output in files."""

    fork_server: ForkServer
    pid: int
    stdout: Path
    stderr: Path

    def kill(self) -> None:
        """Kill the process; one that has ended already stays ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Send SIGTERM and return the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; return the exit code, or the negative number of the signal."""
        return self.wait_and_weigh()[0]

    def wait_and_weigh(self) -> tuple[int, int]:
        """Wait for its end: its exit code, and the most KiB of memory that it used."""
        code, peak = self.fork_server.ask(wait=self.pid)
        return int(code), int(peak)


class ForkServer:
    """The process that forks; it handles one request at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._runs = 0

    def ask(self, **request: Any) -> Any:
        """Send one request and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(
        self,
        folder: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        user: int | None = None,
        main: str = "sync.cli.main",
    ) -> Child:
        """Start the program with this command line; ``main`` names the module whose ``main`` is run.

        ``user`` is one that may have THREADS threads and processes in all.
        """
        self._runs += 1
        out, err = folder / f"out-{self._runs}", folder / f"err-{self._runs}"
        for path in (out, err):
            path.touch()
        pid = self.ask(
            run=arguments,
            stdout=str(out),
            stderr=str(err),
            user=user,
            main=main,
            environment={**os.environ, **(environment or {})},
        )
        return Child(self, pid, out, err)


@contextmanager
def fork_server(environment: Mapping[str, str] | None = None) -> Iterator[ForkServer]:
    """Run a fork server until the block ends; ``environment`` is added to its own and its children's."""
    command = [sys.executable, "-m", "tests.support.forkserver"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield ForkServer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    """Return a fork server for one module's tests."""
    with fork_server() as running:
        yield running


def _run(request: dict[str, Any]) -> None:
    """Run the program in this process; never returns."""
    code: Any = 3
    try:
        for path, number in ((request["stdout"], 1), (request["stderr"], 2)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.environ |= request["environment"]
        sys.argv = ["page-token-sync", *request["run"]]
        if request["user"] is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
            os.setgid(request["user"])
            os.setuid(request["user"])
        importlib.import_module(request["main"]).main()
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
    """Serve requests from stdin until it ends, then kill the children that are left."""
    _import_everything()
    answers = os.fdopen(os.dup(1), "w")
    answers.write("ready\n")
    answers.flush()
    alive: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "run" in request:
            pid = os.fork()
            if pid == 0:
                _run(request)
            alive.add(pid)
            answer: Any = pid
        else:
            alive.discard(request["wait"])
            _, status, used = os.wait4(request["wait"], 0)
            answer = (os.waitstatus_to_exitcode(status), used.ru_maxrss)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
