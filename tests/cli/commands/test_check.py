"""The command ``check``: the answer about one Page by its exit code, and wrong usage that shows no token."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.app.app import build
from sync.app.inspect import inspect
from sync.cli.command import UsageError
from sync.cli.commands.check import _fingerprint
from sync.config.load import load
from sync.config.resolve.select import SelectionError, select_page
from sync.core.report.entries import StoreEntry
from sync.core.report.report import Report
from sync.core.secret import fingerprint
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox, start
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import PROGRAM, Rig, codes
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox
from tests.support.values import page

__all__ = ["bao", "mount", "sandbox"]

TOKEN = "EAA" + "x1" * 40


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a configuration for the program."""
    with start(pages=2) as sandbox:
        yield file_rig(tmp_path, sandbox)


@pytest.mark.slow
def test_the_answer(rig: Rig) -> None:
    """A working token that an app has is exit 0; an unknown Page is exit 2; where Meta cannot be asked it is exit 3."""
    rig.once()
    (secret,) = rig.folder.glob("secrets/berlin.json")
    token = json.loads(secret.read_text())["access_token"]
    before = secret.stat().st_mtime_ns
    command = [*PROGRAM, "--config", str(rig.file), "check", "berlin", "--output", "json", "--fingerprint", "-"]
    ran = subprocess.run(command, input=token + "\n", capture_output=True, text=True, check=False)
    found = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, found["works"], found["match"]) == (0, "", "yes", "current")
    assert found["asked_fingerprint"] == fingerprint(token)
    assert token not in ran.stdout
    assert secret.stat().st_mtime_ns == before

    missing = rig.run("check", "berlim", "--output", "json")
    assert (missing.code, missing.report["errors"][0]["code"]) == (2, "selection")
    assert missing.stderr == "berlim: no Page has this name or id; did you mean berlin?\n"

    rig.write(graph={"base_url": rig.sandbox.url, "timeout": "500ms"})
    rig.sandbox.close()
    down = rig.run("check", "berlin", "--output", "json")
    assert (down.code, down.report["works"]) == (3, "unknown")
    assert codes(down.report["stores"][0]["problems"]) == ["graph-unavailable"]


def test_versions_that_the_store_keeps(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """OpenBao keeps the token before a replacement, which is named with its version; a token of elsewhere is in none of them."""
    store = {"type": "vault", "address": bao.url, "mount": mount}
    rig = Rig(tmp_path, sandbox, {**store, "auth": {"method": "token", "token": {"file": str(tmp_path / "vault")}}})
    rig.secret("vault", bao.root)
    with build(load(rig.file), clock=SystemClock()) as app:
        first = entry(app.cycle(write=True))
        with sandbox.world.lock:
            sandbox.world.revoke_page(next(one for one in sandbox.world.pages.values() if one.name == "berlin"))
        selection = select_page(app.config.pages, "berlin")
        app.cycle(write=True, selection=selection)
        found = inspect(app, selection, first.fingerprint)
        (secret,) = found.secrets
        assert secret.entry.fingerprint != first.fingerprint
        assert (found.match, secret.matched_version, found.exit_code) == ("earlier", "1", 1)
        assert inspect(app, selection, "0" * 12).match == "unknown"
        assert inspect(app, selection, secret.entry.fingerprint).exit_code == 0


def entry(report: Report) -> StoreEntry:
    """Return what a report says of the secret of berlin."""
    return next(page for page in report.pages if page.name == "berlin").stores[0]


def test_one_page_by_name_or_id() -> None:
    """A name comes before an id; an id that several Pages have, and a store that the Page has not, are errors."""
    berlin, paris = page(name="berlin", id="1"), page(name="paris", id="2", targets=())
    again = page(name="1", id="3")
    assert [one.name for one in select_page([berlin, paris], "2").pages] == ["paris"]
    assert [one.id for one in select_page([berlin, paris, again], "1").pages] == ["3"]
    with pytest.raises(SelectionError, match="several Pages have this id; name one: a, b"):
        select_page([page(name="a"), page(name="b")], page().id)
    with pytest.raises(SelectionError, match="--store aws: no Page has this store; known: vault"):
        select_page([berlin, paris], "berlin", stores=["aws"])
    with pytest.raises(SelectionError, match=r"\?: no Page has this name or id"):
        select_page([berlin], TOKEN)


@pytest.mark.parametrize("given", ["9F86D081884C", "9f86d081884c" + "0" * 52, " 9f86d081884c "])
def test_forms_of_a_fingerprint(given: str) -> None:
    """The first 12 hex digits count, in either case."""
    assert _fingerprint(given, stdin_is_free=True) == "9f86d081884c"


@pytest.mark.parametrize("given", [TOKEN, "", "9f86", "9f86d081884cg", "9f86d081884c0"])
def test_what_is_no_fingerprint(given: str) -> None:
    """A token that is given as a fingerprint is refused and not repeated."""
    with pytest.raises(UsageError) as error:
        _fingerprint(given, stdin_is_free=True)
    assert not given or given not in str(error.value)


def test_a_token_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is read from standard input up to its line break; a text that is none is refused and not repeated."""
    for text, expected in ((TOKEN, TOKEN), (f"{TOKEN}\n", TOKEN), (f"{TOKEN}\r\n", TOKEN)):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert _fingerprint("-", stdin_is_free=True) == fingerprint(expected)
    binary = io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8")
    no_tokens = (io.StringIO(text) for text in ("", "\n", f"{TOKEN} {TOKEN}", f'"{TOKEN}"', "ü", "x" * 5000))
    for stream in (*no_tokens, binary, None):
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(UsageError, match="not shaped like a token") as error:
            _fingerprint("-", stdin_is_free=True)
        assert TOKEN not in str(error.value)
    with pytest.raises(UsageError, match="the configuration already"):
        _fingerprint("-", stdin_is_free=False)
