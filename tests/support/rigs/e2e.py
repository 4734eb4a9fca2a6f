"""The program as its users run it: a configuration file, a process, a sandbox of Graph, and a real store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sync.sandbox.http.server import Sandbox
from tests.support.forkserver import Process, shared

PROGRAM = [sys.executable, "-m", "sync"]
INSTANCE = "acme-test"


@dataclass(frozen=True)
class Ran:
    """A command's exit code, output, and report where it printed JSON."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        return dict(json.loads(self.stdout))

    def page(self, name: str) -> dict[str, Any]:
        """Return one Page of the report."""
        return next(page for page in self.report["pages"] if page["name"] == name)

    def target(self, name: str) -> dict[str, Any]:
        """Return the first secret of one Page."""
        return dict(self.page(name)["stores"][0])


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 60
) -> Ran:
    """Run a command of the program to its end."""
    with shared().start(*arguments, environment=environment, cwd=cwd) as process:
        stdout, stderr = process.communicate(timeout)
    return Ran(process.wait(), stdout, stderr)


@dataclass
class Rig:
    """A configuration in its own folder, with credentials as files; ``store`` is the store's block."""

    folder: Path
    sandbox: Sandbox
    store: Mapping[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.secret("app_secret", self.sandbox.app_secret)
        self.secret("system_user_token", self.sandbox.system_user_token)
        self.write()

    @property
    def file(self) -> Path:
        """The configuration's path."""
        return self.folder / "config.yaml"

    def secret(self, name: str, value: str) -> None:
        """Write a credential to the file that the configuration refers to."""
        (self.folder / name).write_text(value + "\n")

    def write(self, **changes: Any) -> None:
        """Write the configuration; further top-level keys stay for later calls."""
        self.settings.update(changes)
        config = {
            "version": 1,
            "instance": INSTANCE,
            "graph": {"base_url": self.sandbox.url, "timeout": "10s"},
            "apps": {"messenger": {"id": self.sandbox.app_id, "secret": {"file": str(self.folder / "app_secret")}}},
            "system_users": {"main": {"token": {"file": str(self.folder / "system_user_token")}}},
            "stores": {"store": dict(self.store)},
            "pages": [{"id": page["id"], "name": page["name"]} for page in self.sandbox.pages],
            **self.settings,
        }
        self.file.write_text(yaml.safe_dump(config, sort_keys=False))

    def run(self, *arguments: str, timeout: float = 60) -> Ran:
        """Run a command of the program to its end."""
        return run("--config", str(self.file), *arguments, environment=self.environment, timeout=timeout)

    def once(self, *arguments: str) -> Ran:
        """Run one cycle and read its report."""
        return self.run("once", "--output", "json", *arguments)


@contextmanager
def cycle_after_cycle(process: subprocess.Popen[Any] | Process) -> Iterator[None]:
    """Ask a daemon for a cycle all the time, by SIGUSR1: about one a second, which is more often than a schedule allows."""
    done = threading.Event()

    def ask() -> None:
        while not handles(process.pid, signal.SIGUSR1) and not done.wait(0.05):
            pass
        while not done.wait(0.3):
            process.send_signal(signal.SIGUSR1)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


def handles(pid: int, number: signal.Signals) -> bool:
    """Check whether a process has a handler for a signal; one that has ended has none."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) & (1 << (number - 1)))


def codes(problems: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the problem codes of a list of problems."""
    return [problem["code"] for problem in problems]
