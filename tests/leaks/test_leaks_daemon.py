"""What the running daemon shows and sends has no secret: page, JSON, metrics, checks, notifications, log and state."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from tests.leaks.test_leaks import echo, secrets_of, texts_in
from tests.support.canary import Net
from tests.support.forkserver import shared
from tests.support.raw_server import OK, RawServer, answering, raw_server
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox

__all__ = ["echo", "sandbox"]

pytestmark = pytest.mark.slow

WEB_TOKEN = "web0CANARYcanaryCANARYcanary0123456789"
WEBHOOK = "/services/T0000000000/B0000000000/hunter2CANARYcanaryCANARY"
PATHS = ("/", "/?q=berlin", "/status.json", "/metrics", "/healthz", "/readyz")


def asked(address: str, path: str, **headers: str) -> str:
    """Return the whole answer to a request, its headers and refusals included; with headers it is a POST."""
    request = Request(f"http://{address}{path}", headers=headers, method="POST" if headers else "GET")
    try:
        with urlopen(request, timeout=20) as answer:
            return f"{answer.headers}{answer.read().decode()}"
    except HTTPError as error:
        return f"{error.headers}{error.read().decode()}"


def shown(rig: Rig, server: RawServer) -> str:
    """Run the daemon for one cycle, ask it for everything that it shows, and return that with what it logged and sent."""
    rig.secret("web_token", WEB_TOKEN)
    rig.secret("webhook", server.url + WEBHOOK)
    rig.write(
        web={"token": {"file": str(rig.folder / "web_token")}},
        notify=[{"webhook": {"file": str(rig.folder / "webhook")}, "events": ["problem", "written"]}],
        state={"file": str(rig.folder / "state" / "state.json")},
        log={"level": "debug"},
        schedule={"every": "1h"},
    )
    (rig.folder / "state").mkdir(exist_ok=True)
    log = rig.folder / "log"
    with log.open("wb") as output:
        process = shared().start("--config", str(rig.file), "run", stdout=output, stderr=output)
    try:
        address, end = "", time.monotonic() + 60
        while '"cycle_finished"' not in (text := log.read_text()):
            assert time.monotonic() < end, text
            time.sleep(0.1)
        address = json.loads(text.splitlines()[0])["listen"]
        answers = [asked(address, path) for path in PATHS]
        answers.append(asked(address, "/v1/pages/berlin/check", Authorization=f"Bearer {WEB_TOKEN}"))
        answers.append(asked(address, "/v1/pages/berlin/check", Authorization=f"Bearer {WEB_TOKEN}x"))
        end = time.monotonic() + 20
        while not server.received and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(20)
    # The path of the webhook is sent to its own server, and nowhere else.
    sent = [request.decode(errors="replace").replace(WEBHOOK, "") for request in server.received]
    assert sent
    return "\n".join([*answers, *sent, log.read_text(), texts_in(rig.folder / "state")])


def test_the_daemon_shows_and_sends_no_secret(tmp_path: Path, sandbox: Sandbox) -> None:
    """With tokens written, Pages lost and errors that quote the user's token, nothing of a secret is shown or sent."""
    for fault in ("unassigned@paris", "user-message%0.5"):
        switch_on(sandbox.world, fault)
    with raw_server(answering(OK)) as server:
        text = shown(file_rig(tmp_path, sandbox), server)
    assert "berlin" in text
    assert not Net([*secrets_of(sandbox), WEB_TOKEN, WEBHOOK]).catches(text)


@pytest.mark.parametrize("echo", [400, 500], indirect=True)
def test_a_graph_that_quotes_requests(tmp_path: Path, sandbox: Sandbox, echo: str) -> None:
    """A Graph that quotes each header and body in its errors does not make the daemon show or send them."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(graph={"base_url": echo, "timeout": "1s"})
    with raw_server(answering(OK)) as server:
        text = shown(rig, server)
    assert not Net([*secrets_of(sandbox), WEB_TOKEN, WEBHOOK]).catches(text)
