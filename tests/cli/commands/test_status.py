"""The command ``status``: what it prints of a running daemon, and that it says so when none answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer

from sync.cli.commands.status import check, status, status_once_verified
from sync.cli.options import duration_seconds
from sync.cli.output.forms import Form
from sync.ops.health import Health, alive
from sync.ops.status import DaemonStatus
from sync.ops.web.server import WebServer, address_of, bind
from sync.ops.web.site import Site
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from tests.daemon.test_run import running
from tests.support.reports import GOOD, account, of
from tests.support.rigs.cli import file_rig
from tests.support.services.graph import sandbox
from tests.support.values import fetched

__all__ = ["sandbox"]


class Daemon:
    """The web server of a daemon that has no cycles."""

    def __init__(self) -> None:
        self.status = DaemonStatus(SystemClock())
        self.stuck_after = 600.0
        server = bind("127.0.0.1", 0)
        self.address = address_of(server)
        self.web = WebServer(server, Site(self.status, self.health, "127.0.0.1").app())

    def health(self) -> Health:
        """Return whether the daemon is alive."""
        return alive(self.status.snapshot, now=SystemClock().monotonic(), stuck_after=self.stuck_after)


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Answer each request on loopback like this; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        """Answers each request with the same."""

        def do_GET(self) -> None:
            """Answer one request."""
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Return a daemon whose last cycle found all well."""
    daemon = Daemon()
    daemon.status.reported(account(of(fetched(), GOOD)))
    yield daemon
    daemon.web.close()


def test_the_last_report(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """The last report is printed as a table or as JSON, with the exit code of its result."""
    assert status(None, daemon.address, (), Form.TABLE) == 0
    table = capsys.readouterr().out
    assert "verified" in table
    assert "Result: ok" in table
    assert status(None, daemon.address, (), Form.JSON) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 1


def test_a_selection(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages are selected by their names, and shown though all is well; a selection of none is wrong usage."""
    status(None, daemon.address, (), Form.JSON)
    name = json.loads(capsys.readouterr().out)["pages"][0]["name"]
    assert status(None, daemon.address, (f"{name[:2]}*",), Form.TABLE) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines() if line.startswith(name)] == ["verified"]
    assert status(None, daemon.address, ("nothing*",), Form.TABLE) == 2


def test_no_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no daemon answers, that is said with the address, and is an exit code of its own."""
    with bind("127.0.0.1", 0) as server:
        address = address_of(server)
    assert status(None, address, (), Form.TABLE) == 3
    assert f"No daemon answers at {address}" in capsys.readouterr().err
    assert status(None, address, (), Form.JSON) == 3
    assert json.loads(capsys.readouterr().out)["errors"][0]["code"] == "daemon"
    assert check(None, address) == 1
    assert status(None, "nonsense", (), Form.TABLE) == 3


def test_before_the_first_cycle(capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon without a report is alive, and has nothing to print."""
    daemon = Daemon()
    assert check(None, daemon.address) == 0
    assert status(None, daemon.address, (), Form.TABLE) == 3
    assert "first cycle has not ended" in capsys.readouterr().err
    daemon.web.close()


def test_a_stuck_daemon_and_a_rejected_edit(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """A report of a daemon that does not work is called old, and a rejected configuration is said."""
    daemon.status.rejected([{"code": "syntax"}])
    assert status(None, daemon.address, (), Form.TABLE) == 0
    assert "rejected" in capsys.readouterr().err
    daemon.stuck_after = -1.0
    daemon.status.cycle_started()
    assert check(None, daemon.address) == 1
    assert status(None, daemon.address, (), Form.TABLE) == 3
    assert "this report is old" in capsys.readouterr().err


def test_all_interfaces_mean_loopback(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that listens on all interfaces is asked over loopback, and its address comes from the variable."""
    monkeypatch.setenv("PAGE_TOKEN_SYNC_LISTEN", daemon.address.replace("127.0.0.1", "0.0.0.0"))
    assert check(None, None) == 0


def test_a_broken_configuration_hides_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address comes from the configuration, also where that has errors elsewhere; else the default is asked, and that is said."""
    monkeypatch.delenv("PAGE_TOKEN_SYNC_LISTEN", raising=False)
    texts = ("nonsense: 1\n", "web: [", "web: {listen: 9}", "web: {listen: '127.0.0.1:1'}\nnonsense: 1\n")
    for text, address in zip(texts, [*["127.0.0.1:8087"] * 3, "127.0.0.1:1"], strict=True):
        (tmp_path / "config.yaml").write_text(text)
        check(tmp_path / "config.yaml", None)
        assert f"looked for at {address};" in capsys.readouterr().err
    check(tmp_path / "absent.yaml", None)
    assert "looked for at 127.0.0.1:8087;" in capsys.readouterr().err


def test_a_health_check_starts_fast(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """``status --check`` loads no library that takes longer to load than the check takes."""
    monkeypatch.setenv("PAGE_TOKEN_SYNC_LISTEN", daemon.address)
    program = (
        "import sys; sys.argv[1:] = ['status', '--check']; from sync.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted({'pydantic', 'yaml', 'rich', 'httpx', 'uvicorn', 'starlette'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines() == ["The scheduler waits for the next cycle.", "[]"]


@pytest.mark.slow
def test_a_running_daemon(tmp_path: Path, sandbox: Sandbox) -> None:
    """A real daemon: what is not well is a row and a cause with its owner; one Page that is well has exit code 0."""
    rig = file_rig(tmp_path, sandbox)
    pages = [{"id": page["id"], "name": page["name"]} for page in sandbox.pages]
    rig.write(schedule={"every": "1h"}, pages=[*pages, {"id": "99", "name": "lost"}])
    with running(rig) as process:
        address = process.until("daemon_started")["listen"]
        process.until("cycle_finished")
        ran = rig.run("status", "--listen", address)
        well = rig.run("status", "--listen", address, "--page", pages[0]["name"])
        checked = rig.run("status", "--check", "--listen", address)
        process.end()
    gone = rig.run("status", "--listen", address)
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("Result: degraded, checked 20")
    assert [line.split()[0] for line in lines[2:4]] == ["Page", "lost"]
    assert sum(line.startswith("problem ") for line in lines) == 1
    assert lines[-1].startswith("  Action required (")
    assert (ran.code, well.code, checked.code, gone.code) == (1, 0, 0, 3)
    assert ("lost" in well.stdout, checked.stderr) == (False, "")
    assert gone.stderr.startswith(f"No daemon answers at {address}: Connection refused.")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b"", b'{"format": 2}', b'{"format": 2, "reason": ""}'])
def test_something_else_answers(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer of another program is not taken for the daemon's."""
    with answering(body) as address:
        assert status(None, address, (), Form.TABLE) == 3
        assert b"reason" in body or check(None, address) == 1
    assert address in capsys.readouterr().err


def test_waiting(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """--wait ends at once where all is verified, ends when a rejected edit is corrected, and else at its timeout with a problem."""
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=60) == 0
    assert status_once_verified(None, daemon.address, ("nothing*",), Form.TABLE, seconds=0.1) == 2
    daemon.status.rejected([{"code": "syntax"}])
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=0.1) == 1
    assert "Not verified within 0.1 s." in capsys.readouterr().err
    timer = threading.Timer(0.3, daemon.status.configured)
    timer.start()
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=60) == 0
    timer.join()


def test_waiting_for_the_cycle_of_an_edit(daemon: Daemon) -> None:
    """A report of a cycle before the newest edit is not taken for the one that is waited for."""
    daemon.status.edited(waits=True)
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=0.1) == 1
    daemon.status.wants_cycle()
    daemon.status.edited(waits=False)
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=0.1) == 1
    daemon.status.cycle_started()
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=0.1) == 1
    daemon.status.cycle_finished()
    assert status_once_verified(None, daemon.address, (), Form.TABLE, seconds=0.1) == 0


def test_waiting_for_a_daemon_that_does_not_come() -> None:
    """--wait waits for a daemon to start, and says at the timeout that none answers."""
    with bind("127.0.0.1", 0) as server:
        address = address_of(server)
    assert status_once_verified(None, address, (), Form.TABLE, seconds=0.1) == 3


def test_the_timeout_is_a_duration() -> None:
    """A timeout is written as in the configuration; anything else is wrong usage."""
    assert duration_seconds("--timeout", "5m") == 300
    for text in ("5", "soon", "0s", "-1s"):
        with pytest.raises(typer.BadParameter, match="--timeout: not a duration"):
            duration_seconds("--timeout", text)
