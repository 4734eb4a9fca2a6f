"""``notify --test``: each receiver gets one message that says that it is a test, and its answer is printed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import start
from tests.support.raw_server import OK, RawServer, answering, raw_server
from tests.support.rigs.e2e import Rig

PATH = "/services/T000/B000/hunter2secret"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a configuration for the program."""
    with start(pages=1) as sandbox:
        yield Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets")})


def receive(rig: Rig, name: str, url: str, **others: Any) -> dict[str, Any]:
    """Return a receiver whose URL is in a file."""
    rig.secret(name, url)
    return {"webhook": {"file": str(rig.folder / name)}, **others}


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.slow
def test_each_receiver_and_its_answer(rig: Rig) -> None:
    """Each receiver gets one message in its form; a failure is printed with its cause, without the URL, and is exit 1."""
    with raw_server(answering(OK)) as good, raw_server(answering(OK)) as slack, raw_server(answering(REFUSED)) as bad:
        rig.write(
            notify=[
                receive(rig, "good", good.url + PATH),
                receive(rig, "slack", slack.url + PATH, format="slack"),
            ]
        )
        ran = rig.run("notify", "--test")
        assert (ran.code, ran.stderr) == (0, "")
        assert ran.stdout.count("HTTP 200 in ") == 2
        assert json.loads(body(good))["kind"] == "test"
        assert "Test message" in json.loads(body(slack))["text"]
        rig.write(
            notify=[
                receive(rig, "bad", bad.url + PATH),
                receive(rig, "down", f"http://127.0.0.1:{closed_port()}{PATH}"),
                {"webhook": {"file": str(rig.folder / "missing")}},
            ]
        )
        ran = rig.run("notify", "--test", "--output", "json")
        found = json.loads(ran.stdout)["receivers"]
        assert ran.code == 1
        assert [(one["name"], one["ok"], one["status"]) for one in found] == [
            ("notify[0]", False, 403),
            ("notify[1]", False, None),
            ("notify[2]", False, None),
        ]
        assert found[0]["message"] == "HTTP 403"
        assert "no connection" in found[1]["message"]
        assert "no such file" in found[2]["message"]
        assert "hunter2" not in ran.stdout + ran.stderr


@pytest.mark.slow
def test_wrong_usage(rig: Rig) -> None:
    """Without a receiver, without --test or with a broken file nothing is sent, and the exit code is 2."""
    assert rig.run("notify", "--test").code == 2
    assert "--test" in rig.run("notify").stderr
    rig.file.write_text("colour: red\n")
    assert rig.run("notify", "--test").code == 2


def body(server: RawServer) -> bytes:
    """Return the body of the only request that a server received."""
    (request,) = server.received
    return bytes(request.partition(b"\r\n\r\n")[2])
