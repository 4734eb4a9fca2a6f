"""``rollback``: an earlier version becomes current again, is held, and is released; on a real OpenBao and on AWS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sync.app.app import App, build
from sync.app.rollback import carry_out, let_go, roll_back
from sync.config.load import load
from sync.config.resolve.select import SelectionError, select_page
from sync.core.model import Key, Stored, StoreError, Written
from sync.core.plan.rollback import Rollback
from sync.core.report.report import Report
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from tests.support.fakes import StoreInMemory
from tests.support.forkserver import ForkServer
from tests.support.rigs.e2e import Ran, Rig
from tests.support.services.aws import REGION, Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "bao", "mount", "sandbox"]


class Program(Rig):
    """A configured program whose store keeps versions, of which the secret of berlin has two."""

    forks: ForkServer

    def app(self) -> App:
        """Return the configuration in this process."""
        return build(load(self.file), clock=SystemClock())

    def rotate(self) -> None:
        """Issue a new token for the system user, so that the next cycle writes a new version of each secret."""
        with self.sandbox.world.lock:
            self.sandbox.world.rotate(self.sandbox.world.user)
        self.secret("system_user_token", self.sandbox.system_user_token)

    def revoke(self) -> None:
        """Revoke the tokens of berlin at Meta."""
        world = self.sandbox.world
        with world.lock:
            world.revoke_page(next(page for page in world.pages.values() if page.name == "berlin"))

    def cycle(self) -> Report:
        """Run one cycle."""
        with self.app() as app:
            return app.cycle(write=True)

    def back(self, version: str | None = None, *, write: bool = True) -> Rollback:
        """Roll berlin back in this process."""
        with self.app() as app:
            return roll_back(app, select_page(app.config.pages, "berlin", stores=["store"]), version, write=write)

    def release(self) -> Rollback:
        """Release berlin in this process."""
        with self.app() as app:
            return let_go(app, select_page(app.config.pages, "berlin", stores=["store"]))

    def stored(self) -> Stored:
        """Read the secret of berlin."""
        with self.app() as app:
            (key,) = next(page.targets for page in app.config.pages if page.name == "berlin")
            content = app.begin(writes=False)["store"].read([key])[key]
        assert isinstance(content, Stored), content
        return content

    def rollback(self, *arguments: str) -> Ran:
        """Run ``rollback``; what it prints never holds a token."""
        child = self.forks.run(self.folder, "--config", str(self.file), "rollback", "--store", "store", *arguments)
        ran = Ran(child.wait(), child.stdout.read_text(), child.stderr.read_text())
        assert not [token for token in self.sandbox.world.tokens if token in ran.stdout + ran.stderr]
        return ran


@pytest.fixture
def program(tmp_path: Path, bao: Bao, mount: str, sandbox: Sandbox, forks: ForkServer) -> Program:
    """Return a program over a mount in which each secret has two versions."""
    auth = {"method": "token", "token": {"file": str(tmp_path / "vault_token")}}
    made = Program(tmp_path, sandbox, {"type": "vault", "address": bao.url, "mount": mount, "auth": auth})
    made.secret("vault_token", bao.root)
    made.forks = forks
    made.cycle()
    made.rotate()
    made.cycle()
    return made


def entry(report: Report) -> tuple[str, str | None, str, bool]:
    """Return what a report says of the secret of berlin: action, reason, what is served, and whether it is held since a rollback."""
    (one,) = next(page.stores for page in report.pages if page.name == "berlin")
    return one.action.value, one.reason, one.served, "rollback-hold" in {notice.code for notice in one.notices}


def test_the_whole_way(program: Program) -> None:
    """Shown, written as a new version, held through cycles and a revocation, and written again once it is released."""
    before = program.stored()
    shown = program.rollback("berlin", "--output", "json")
    report = shown.report
    assert (shown.code, report["action"], report["version"], report["is_valid"]) == (1, "roll-back", "1", True)
    assert report["system_user"] == "main"
    assert [(one["version"], one["current"]) for one in report["versions"]] == [("2", True), ("1", False)]
    assert report["versions"][1]["fingerprint"] == report["fingerprint"] != report["versions"][0]["fingerprint"]
    assert program.stored() == before
    text = program.rollback("berlin", "--yes")
    assert text.code == 0, text
    assert "Version 1 is current again, as version 3." in text.stdout
    assert "rollback berlin --store store --release" in text.stdout
    after = program.stored()
    assert (after.version, after.marks and after.marks.fingerprint) == ("3", report["fingerprint"])
    held = program.cycle()
    assert (entry(held), held.exit_code) == (("kept", None, "verified", True), 0)
    program.revoke()
    held = program.cycle()
    assert entry(held) == ("held", "rollback", "broken", True)
    assert program.stored() == after
    released = program.rollback("berlin", "--release")
    assert (released.code, "Next cycle: to replace, heal" in released.stdout) == (0, True)
    assert program.stored().payload == after.payload
    assert program.release().action == "unchanged"
    assert entry(program.cycle()) == ("replaced", "heal", "verified", False)


def test_what_is_refused(program: Program) -> None:
    """A version that does not exist, an invalid token and a silent Graph change nothing, with their exit codes."""
    before = program.stored()
    with pytest.raises(SelectionError, match="--version 7"):
        program.back("7")
    unknown = program.rollback("berlin", "--version", "7", "--yes", "--output", "json")
    assert (unknown.code, unknown.report["errors"][0]["code"]) == (2, "selection")
    program.revoke()
    ran = program.rollback("berlin", "--yes")
    assert ran.code == 1
    assert "token-invalid" in ran.stdout
    program.write(graph={"base_url": "http://127.0.0.1:9", "timeout": "1s"})
    silent = program.back()
    assert (silent.action, silent.payload) == ("refused", None)
    assert program.stored() == before


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("berlni", "--yes"), 2, "berlin"),
        (("berlin", "--release", "--version", "1"), 2, "takes no version"),
        (("berlin", "--release"), 0, "not held"),
    ],
)
def test_wrong_usage_and_nothing_to_do(program: Program, arguments: tuple[str, ...], code: int, text: str) -> None:
    """An unknown Page and options that exclude each other are wrong usage; a secret that is not held needs nothing."""
    ran = program.rollback(*arguments)
    assert (ran.code, text in ran.stdout + ran.stderr) == (code, True), ran
    assert json.loads(program.rollback(*arguments, "--output", "json").stdout)["format"] == 1


def test_another_writer_and_a_login_that_may_only_read(program: Program, bao: Bao, mount: str) -> None:
    """What changes between the judgement and the write is a conflict; a login without the right is denied; nothing is written."""
    shown = program.back(write=False)
    with program.app() as app:
        store = app.begin(writes=True)["store"]
        content = shown.read
        assert isinstance(content, Stored)
        assert content.payload is not None
        assert content.marks is not None
        newer = content.payload.changed({"note": "newer"})
        assert isinstance(store.write(shown.key, newer, content.marks, replaces=content.version), Written)
        done = carry_out(shown, store, app.clock)
        assert (done.action, done.error_code) == ("failed", "conflict")
    assert program.stored().version == "3"
    readers = f'path "{mount}/*" {{ capabilities = ["read", "list"] }}'
    program.secret("vault_token", bao.token(bao.policy(readers)))
    denied = program.rollback("berlin", "--version", "1", "--yes", "--output", "json")
    assert (denied.code, denied.report["action"], denied.report["error_code"]) == (1, "failed", "denied")
    assert f"page-token-sync --config {program.file} policy vault store --for rollback" in denied.report["remedy"]
    assert program.stored().version == "3"


@pytest.mark.parametrize(("maybe", "held"), [(False, False), (True, True)])
def test_a_payload_that_is_not_written(program: Program, maybe: bool, held: bool) -> None:
    """Where the payload is certainly not written its hold is taken back; where that is not known it stays, and the message says so."""
    shown = program.back(write=False)
    assert isinstance(shown.read, Stored)
    store = StoreInMemory("store")
    store.secrets[shown.key] = shown.read

    def deny(step: str, key: Key | None) -> None:
        store.down_at.clear()
        if step == "data" and key is not None:
            store.down_at[key] = StoreError("denied", "It is denied.", "Allow it.", maybe_written=maybe)

    store.before = deny
    done = carry_out(shown, store, SystemClock())
    assert (done.action, done.error_code, done.remedy) == ("failed", "denied", "Allow it.")
    assert ("may not be held" in done.message) == maybe
    after = store.secrets[shown.key]
    assert after.marks is not None
    assert (after.marks.hold is not None) == held
    assert held or after == shown.read


def test_aws(tmp_path: Path, aws: Aws, sandbox: Sandbox) -> None:
    """On AWS the previous version is current again under a new id, and the tag holds it until it is released."""
    store = {"type": "aws-secrets-manager", "region": REGION, "endpoint_url": aws.url, "auth": {"profile": "prod"}}
    program = Program(tmp_path, sandbox, store)
    program.cycle()
    program.rotate()
    program.cycle()
    found = program.back()
    assert found.action == "rolled-back", found
    assert found.token is not None
    after = program.stored()
    assert after.marks is not None
    assert (after.marks.fingerprint, after.marks.hold is not None) == (found.token.fingerprint, True)
    assert found.written is not None
    assert found.written.version == after.version not in {one.version for one in found.past}
    assert entry(program.cycle()) == ("kept", None, "verified", True)
    assert program.release().action == "released"
    assert entry(program.cycle()) == ("kept", None, "verified", False)


def test_a_weaker_version_is_shown_as_such(program: Program) -> None:
    """What an earlier token lacks though Meta calls it valid is part of what is shown, for a person to decide on."""
    program.write(defaults={"checks": {"scopes": ["pages_messaging", "pages_not_granted"]}})
    shown = program.rollback("berlin", "--output", "json").report
    assert (shown["action"], [one["code"] for one in shown["problems"]]) == ("roll-back", ["missing-scope"])
    assert "missing-scope: version 1" in program.rollback("berlin").stdout


def test_a_held_secret_that_is_deleted(program: Program, bao: Bao, mount: str) -> None:
    """It stays deleted, as a problem, until it is released; the next cycle then creates it."""
    assert program.back().action == "rolled-back"
    bao.admin("DELETE", f"{mount}/data/meta/pages/berlin")
    held = program.cycle()
    assert (entry(held), held.exit_code) == (("held", "rollback", "absent", True), 1)
    released = program.release()
    assert (released.action, released.written) == ("released", Written("3", confirmed=True))
    assert entry(program.cycle()) == ("created", "recreated", "verified", False)


def test_a_directory_has_no_history(tmp_path: Path, sandbox: Sandbox) -> None:
    """A file store has nothing to go back to, and says so."""
    program = Program(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets")})
    program.cycle()
    found = program.back()
    assert (found.action, found.reason) == ("refused", "no-version")
    assert found.remedy.startswith("There is nothing to go back to. If the current token does not work,")


def test_an_answer_that_is_lost(program: Program) -> None:
    """A store that fails in the write is a failure with its cause, and what was read stays the base of a further try."""
    shown = program.back(write=False)
    store = StoreInMemory("store")
    assert isinstance(shown.read, Stored)
    store.secrets[shown.key] = shown.read
    store.down = StoreError("unreachable", "Nobody answers.", "Start it.", maybe_written=True)
    done = carry_out(shown, store, SystemClock())
    assert (done.action, done.error_code, done.remedy) == ("failed", "unreachable", "Start it.")
    assert program.back().action == "rolled-back"
