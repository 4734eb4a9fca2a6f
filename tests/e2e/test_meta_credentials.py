"""Credentials of Meta's that cannot be read, or are not shaped like one: the operator's, and never reported as Meta's refusal."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sync.app import build
from sync.config.load import load
from sync.core.report.report import Report
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from tests.support.rigs.e2e import Rig, codes
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

UNSET = "PAGE_TOKEN_SYNC_TEST_UNSET"
VARIABLE = "PAGE_TOKEN_SYNC_TEST_TOKEN"


@pytest.fixture
def rig(sandbox: Sandbox, tmp_path: Path) -> Rig:
    """Return the program with a file store in which every Page's token is current, and a state file."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    rig.write(state={"file": str(tmp_path / "state.json")})
    assert cycle(rig).result == "ok"
    return rig


def cycle(rig: Rig) -> Report:
    """Run one cycle in this process."""
    with build(load(rig.file), clock=SystemClock()) as app:
        return app.cycle(write=True)


def secrets(rig: Rig) -> dict[str, str]:
    """Return what the file store holds."""
    return {path.name: path.read_text() for path in (rig.folder / "secrets").iterdir() if path.is_file()}


def user(rig: Rig, reference: dict[str, str]) -> None:
    """Configure where the system user token is read from."""
    rig.write(system_users={"main": {"token": reference}})


def app(rig: Rig, reference: dict[str, str]) -> None:
    """Configure where the app secret is read from."""
    rig.write(apps={"messenger": {"id": rig.sandbox.app_id, "secret": reference}})


def assert_unavailable(report: Report, *words: str, hidden: str) -> None:
    """Assert that the one problem is a credential that the operator must supply, and that no value is shown."""
    problems = [problem for page in report.pages for problem in page.problems]
    problems += [problem for token in report.user_tokens for problem in token.verdict.problems]
    assert {(problem.code, problem.owner) for problem in problems} == {("credential-unavailable", "operator")}
    for word in words:
        assert word in problems[0].message + problems[0].remedy
    for problem in problems:
        assert hidden not in problem.message + problem.remedy
        assert "generate" not in problem.remedy.lower()
    assert "invalid" not in {user_token.verdict.state.value for user_token in report.user_tokens}


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ('"', '"', "quotes"),
        ("'", "'", "quotes"),
        (" ", "", "blanks"),
        ("", " ", "blanks"),
        ("", "\n\n", "line breaks"),
        ("\t", "\r\n", "blanks"),
        ("“", "”", "quotes"),
        ("Bearer ", "", "not shaped like a token"),
        ("META_TOKEN=", "", "not shaped like a token"),
        ('{"token":"', '"}', "not shaped like a token"),
        ("EAA\u00e9", "", "not shaped like a token"),
        ("E" * 4096, "", "not shaped like a token"),
    ],
)
@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_token_with_something_around_it_is_the_operators(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str, before: str, after: str, word: str
) -> None:
    """It is never sent, the message names the variable or file, and stored tokens stay as they are known."""
    token = rig.sandbox.system_user_token
    monkeypatch.setenv(VARIABLE, before + token + after)
    (rig.folder / "pasted").write_bytes((before + token + after).encode())
    user(rig, {"env": VARIABLE} if kind == "env" else {"file": str(rig.folder / "pasted")})
    stored, asked = secrets(rig), rig.sandbox.world.calls.requests
    report = cycle(rig)
    assert_unavailable(report, word, "not shaped like a token", VARIABLE if kind == "env" else "pasted", hidden=token)
    assert report.result == "degraded"
    assert {entry.served for page in report.pages for entry in page.stores} == {"verified"}
    assert secrets(rig) == stored
    assert rig.sandbox.world.calls.requests == asked


@pytest.mark.parametrize("text", [f'"{"0" * 32}"', "0" * 16 + " " + "0" * 16, f" {'0' * 32}", "0" * 32 + "\n\n", "é"])
def test_an_app_secret_of_another_shape_is_the_operators(rig: Rig, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Meta is not asked at all, and what is known of stored tokens stays."""
    monkeypatch.setenv(VARIABLE, text)
    app(rig, {"env": VARIABLE})
    stored = secrets(rig)
    report = cycle(rig)
    assert_unavailable(report, "app secret", VARIABLE, "not shaped like a token", hidden="0000")
    assert report.frame.traffic.graph_requests == 0
    assert {entry.served for page in report.pages for entry in page.stores} == {"verified"}
    assert secrets(rig) == stored


def test_a_token_for_an_app_secret_is_the_operators(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system user's token under the app's secret is not sent as one, and the message says what to look for."""
    token = rig.sandbox.system_user_token
    monkeypatch.setenv(VARIABLE, token)
    app(rig, {"env": VARIABLE})
    report = cycle(rig)
    assert_unavailable(report, "app secret", VARIABLE, "begins with EAA", "not swapped", hidden=token)
    assert report.frame.traffic.graph_requests == 0


@pytest.mark.parametrize("which", ["user", "app"])
def test_an_unset_variable_in_a_first_cycle_ends_with_3(sandbox: Sandbox, tmp_path: Path, which: str) -> None:
    """Where no token could be judged the command failed, and nothing is written."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    (user if which == "user" else app)(rig, {"env": UNSET})
    ran = rig.once()
    assert (ran.code, ran.report["result"]) == (3, "failed")
    for page in ran.report["pages"]:
        assert codes(page["problems"]) == ["credential-unavailable"]
        assert UNSET in page["problems"][0]["message"]
    assert not (tmp_path / "secrets").exists() or secrets(rig) == {}
    assert sandbox.world.calls.requests == 0


class Silent:
    """A port that accepts connections and never answers; ``connections`` counts them."""

    def __init__(self) -> None:
        self.connections = 0
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)

    def close(self) -> None:
        """Close the port and all connections."""
        self._server.close()
        for connection in self._open:
            connection.close()


@contextmanager
def silent() -> Iterator[Silent]:
    """Yield a silent port."""
    server = Silent()
    try:
        yield server
    finally:
        server.close()


def silent_store(kind: str, port: int) -> dict[str, Any]:
    """Return a store that hangs, with a timeout of four seconds."""
    address = f"http://127.0.0.1:{port}"
    if kind == "vault":
        login = {"method": "token", "token": {"env": VARIABLE}}
        return {"type": "vault", "address": address, "mount": "secret", "timeout": "4s", "auth": login}
    return {"type": "aws-secrets-manager", "region": "eu-central-1", "endpoint_url": address, "timeout": "4s"}


@pytest.mark.parametrize("kind", ["vault", "aws"])
@pytest.mark.parametrize("which", ["user", "app", "both"])
@pytest.mark.parametrize("pages", [True, False], ids=["with-pages", "credentials-alone"])
def test_a_store_that_hangs_is_waited_for_once_and_named(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str, which: str, pages: bool
) -> None:
    """A credential in a store that does not answer names the store, whose own problem is reported once; stored tokens stay."""
    monkeypatch.setenv(VARIABLE, "s.token")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    reference = {"store": "remote", "path": "meta/credentials", "key": "value"}
    if which in ("user", "both"):
        user(rig, dict(reference))
    if which in ("app", "both"):
        app(rig, dict(reference))
    with silent() as server:
        stores = {"store": dict(rig.store), "remote": silent_store(kind, server.port)}
        rig.write(stores=stores, defaults={"stores": ["store", "remote"] if pages else ["store"]})
        begun = time.monotonic()
        report = cycle(rig)
        lasted = time.monotonic() - begun
    # On a machine under load AWS's library may not be ready within the timeout, which is reported as its credentials.
    assert_unavailable(report, "store remote failed (", "meta/credentials", hidden="s.token")
    entries = [entry for page in report.pages for entry in page.stores if entry.key.store == "remote"]
    message = report.pages[0].problems[0].message
    if pages:
        assert {problem.code for entry in entries for problem in entry.problems} == {"store-failed"}
        assert entries[0].problems[0].message not in message
        assert "Resolve the problem of store remote" in report.pages[0].problems[0].remedy
    else:
        assert len(message) > len("The system user token cannot be read: store remote failed (timeout)") + 60
    served = {entry.served for page in report.pages for entry in page.stores if entry.key.store == "store"}
    assert served == {"verified"}
    assert lasted < 7.9, "waited for once, not for each use"


def test_a_credential_from_a_store_that_is_back_is_used_at_once(rig: Rig) -> None:
    """A token in a file store is read again in the next cycle, with one line break at its end removed."""
    folder = rig.folder / "credentials"
    stores = {"store": dict(rig.store), "own": {"type": "file", "directory": str(folder), "name": "{name}.json"}}
    user(rig, {"store": "own", "path": "user.json", "key": "token"})
    rig.write(stores=stores, defaults={"stores": ["store"]})
    assert_unavailable(cycle(rig), "there is no text under this key", "user.json", hidden=rig.sandbox.system_user_token)
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "user.json").write_text(json.dumps({"token": rig.sandbox.system_user_token + "\n"}))
    (folder / "user.json").chmod(0o600)
    assert cycle(rig).result == "ok"


@pytest.mark.parametrize(("which", "causes"), [("app", [("app", "messenger")]), ("user", [("system_user", "main")])])
def test_a_credential_that_cannot_be_read_is_one_cause(rig: Rig, which: str, causes: list[tuple[str, str]]) -> None:
    """An app secret concerns all system users of the app, a system user token the Pages of that system user alone."""
    second = rig.sandbox.world.add_user("Second")
    (rig.folder / "second").write_text(second.token)
    main = {"env": UNSET} if which == "user" else {"file": str(rig.folder / "system_user_token")}
    pages = [{"id": page["id"], "name": page["name"]} for page in rig.sandbox.pages]
    pages[0]["system_user"] = "second"
    users = {"main": {"token": main}, "second": {"token": {"file": str(rig.folder / "second")}}}
    rig.write(system_users=users, defaults={"system_user": "main"}, pages=pages)
    if which == "app":
        app(rig, {"env": UNSET})
    report = cycle(rig)
    assert [(begun.cause.key.scope, begun.cause.key.whose) for begun in report.changes.began] == causes
    others = [page for page in report.pages if page.system_user == "second"]
    assert [bool(page.problems) for page in others] == [which == "app"]
