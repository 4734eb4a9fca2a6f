"""The heartbeat of ``once``: a timer's run calls it, and one that fails delays and changes nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.sandbox.http.server import Sandbox
from tests.ops.test_notify import BROKEN, in_turn
from tests.support.raw_server import OK, RawServer, answering, raw_server
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path, sandbox: Sandbox) -> Rig:
    """Return a configuration with a file store."""
    return file_rig(tmp_path, sandbox)


def watched(rig: Rig, server: RawServer) -> None:
    """Let a server be the heartbeat of the configuration."""
    rig.secret("heartbeat", f"{server.url}/ping")
    rig.write(heartbeat={"url": {"file": str(rig.folder / "heartbeat")}})


def asked(server: RawServer) -> list[bytes]:
    """Return the first line of each request."""
    return [one.split(b"\r\n")[0] for one in b"".join(server.received).split(b"GET ")[1:]]


def test_once_calls_the_heartbeat_and_a_plan_or_a_selection_does_not(rig: Rig) -> None:
    """A whole run is one call; what a person runs beside it is none."""
    with raw_server(answering(OK)) as server:
        watched(rig, server)
        rig.run("plan")
        assert rig.once("--page", "*").code == 0
        assert asked(server) == []
        done = rig.once()
        assert (done.code, asked(server)) == (0, [b"/ping HTTP/1.1"])


def test_a_run_that_failed_calls_fail(rig: Rig) -> None:
    """A run in which nothing could be judged calls the heartbeat with /fail."""
    with raw_server(answering(OK)) as server:
        watched(rig, server)
        (rig.folder / "system_user_token").unlink()
        done = rig.once()
        assert (done.code, asked(server)) == (3, [b"/ping/fail HTTP/1.1"])


def test_a_heartbeat_that_fails_is_a_warning(rig: Rig) -> None:
    """What answers with an error is called twice; the exit code is that of the run, and the report warns."""
    with raw_server(in_turn(BROKEN)) as server:
        watched(rig, server)
        done = rig.once()
        assert (done.code, len(asked(server))) == (0, 2)
    assert "The heartbeat was not called: HTTP 500." in done.report["warnings"]
