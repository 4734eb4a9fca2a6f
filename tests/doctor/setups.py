"""A small set-up that works, and ways to break it: what doctor says of each is tested in this folder."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sync.app import build
from sync.config.load import load
from sync.config.resolve.select import Selected
from sync.core.report.finding import Finding
from sync.core.report.report import Report
from sync.doctor.checks import CHECKS
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox, start
from tests.support.clock import LeapingClock
from tests.support.raw_server import RawServer, raw_server
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig

_NO_SECRETS = ("config.yaml", "ca.pem", "proxy")


@dataclass
class Setup:
    """A configuration with a file store, the sandbox that it uses, and the clock of the program."""

    rig: Rig
    sandbox: Sandbox
    clock: LeapingClock = field(default_factory=LeapingClock)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def fault(self, *names: str) -> None:
        """Switch faults of the sandbox on."""
        for name in names:
            switch_on(self.sandbox.world, name)

    def secret(self, name: str, value: str) -> None:
        """Write a credential that nobody else can read."""
        self.rig.secret(name, value)
        (self.rig.folder / name).chmod(0o600)

    def secrets(self) -> Sequence[str]:
        """Return every credential and token that there is."""
        world, files = self.sandbox.world, self.rig.folder.iterdir()
        texts = [file.read_text().strip() for file in files if file.is_file() and file.name not in _NO_SECRETS]
        return [*world.tokens, world.app.secret, world.other_app.secret, *filter(None, texts)]

    def examine(self, selection: Selected | None = None) -> Sequence[Finding]:
        """Examine the configuration as it is in its file."""
        with build(load(self.rig.file), clock=self.clock) as app:
            return app.examine(selection)

    def cycle(self) -> Report:
        """Run a cycle."""
        with build(load(self.rig.file), clock=self.clock) as app:
            return app.cycle(write=True)


@contextlib.contextmanager
def setup(folder: Path, pages: int = 3) -> Iterator[Setup]:
    """Return a set-up in which nothing is wrong."""
    with start(pages=pages) as sandbox, contextlib.ExitStack() as stack:
        made = Setup(file_rig(folder, sandbox), sandbox, stack=stack)
        made.secret("app_secret", sandbox.app_secret)
        made.secret("system_user_token", sandbox.system_user_token)
        yield made


def results(findings: Sequence[Finding], *statuses: str) -> dict[str, str]:
    """Return the status of each check that ended with one of these, by id and subject."""
    return {f"{one.id} {one.subject}".rstrip(): one.status for one in findings if one.status in statuses}


def failed(findings: Sequence[Finding]) -> list[str]:
    """Return what failed, by id and subject."""
    return list(results(findings, "fail"))


def assert_sound(findings: Sequence[Finding]) -> None:
    """Assert that each result but ok has an owner and a remedy, or names a result that is not ok as its reason."""
    names = {f"{one.id} {one.subject}".rstrip() for one in findings if one.status not in ("ok", "skipped")}
    for one in findings:
        assert one.id in CHECKS
        assert one.message
        assert bool(one.owner) == bool(one.remedy) == (one.status not in ("ok", "skipped"))
        assert (one.because in names) if one.status == "skipped" else not one.because


@contextlib.contextmanager
def tls_before(port: int, context: ssl.SSLContext) -> Iterator[RawServer]:
    """Serve TLS in front of a plain server on loopback."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def talk(_server: RawServer, sock: socket.socket, _number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            back = threading.Thread(target=copy, args=(upstream, sock), daemon=True)
            back.start()
            copy(sock, upstream)
            back.join(5)

    with raw_server(talk, tls=context) as server:
        yield server
