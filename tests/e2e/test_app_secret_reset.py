"""The app's secret is reset, which invalidates every token: the old secret judges nothing, and each Page is healed once."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from sync.app import App, build
from sync.config.load import load
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.sandbox.http.control import control
from sync.sandbox.http.server import Sandbox
from sync.sandbox.http.wire import make_request
from tests.support.clock import ShiftedClock
from tests.support.rigs.e2e import codes
from tests.support.rigs.vault_program import VaultProgram, actions, assert_page_problems, ended
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def program(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> VaultProgram:
    """Return the program before a mount in which every Page's token is right."""
    made = VaultProgram(tmp_path, sandbox, bao, mount)
    made.settle()
    return made


def _reset(program: VaultProgram) -> str:
    """Reset the app's secret at Meta, which invalidates all tokens of the app; returns the new secret."""
    answer = control(program.world, make_request("POST", "/_sandbox/app/reset-secret", {}, b""))
    with program.world.lock:
        program.world.invalidate(program.world.user)
        for page in program.world.pages.values():
            program.world.revoke_page(page)
    return str(json.loads(answer.body)["app_secret"])


def _rotate_credentials(program: VaultProgram, app_secret: str) -> None:
    """Configure the new secret and a new token of the system user, as an operator does."""
    with program.world.lock:
        token = program.world.rotate(program.world.user)
    program.secret("system_user_token", token.value)
    program.secret("app_secret", app_secret)


def _assert_healed_once(program: VaultProgram) -> None:
    """Assert that the mount holds the present tokens, each in the second version that was ever written."""
    found = program.everything()
    stored = {name: data["data"]["access_token"] for name, (data, _) in found.items()}
    assert stored == {name: program.token(name) for name in program.ids}
    assert {metadata["current_version"] for _, metadata in found.values()} == {2}


def test_reset_under_once(program: VaultProgram) -> None:
    """Two runs with the old secret write nothing; with new credentials one run heals each Page, and the next changes nothing."""
    new = _reset(program)
    for _ in range(2):
        ran = program.once()
        assert (ended(ran), actions(ran)) == ((3, "failed"), {("kept", "stale")})
        assert_page_problems(ran, "app-secret-invalid", "operator", "apps.*.secret")
        program.assert_nothing_changed()
    _rotate_credentials(program, new)
    healed = program.once()
    assert (ended(healed), actions(healed)) == ((0, "ok"), {("replaced", "verified")})
    assert {target["reason"] for page in healed.report["pages"] for target in page["stores"]} == {"heal"}
    _assert_healed_once(program)
    program.note()
    after = program.once()
    assert (ended(after), actions(after)) == ((0, "ok"), {("unchanged", "verified")})
    program.assert_nothing_changed()


def test_reset_under_the_daemon(program: VaultProgram) -> None:
    """The same holds with a daemon's memory: mass invalidation is confirmed in a second cycle and then healed once."""
    clock = ShiftedClock()
    with build(load(program.file), clock=clock) as app:
        assert _done(_cycle(app, program, clock)) == {("unchanged", None, "verified")}
        new = _reset(program)
        for _ in range(2):
            report = _cycle(app, program, clock)
            assert _done(report) == {("kept", None, "stale")}, "an app whose secret is refused confirms nothing"
            assert codes(as_json(report)["system_users"][0]["problems"]) == ["app-secret-invalid"]
            assert {problem.code for page in report.pages for problem in page.problems} == {"app-secret-invalid"}
            program.assert_nothing_changed()
        _rotate_credentials(program, new)
        assert _done(_cycle(app, program, clock)) == {("kept", "invalid-once", "broken")}
        program.assert_nothing_changed()
        assert _done(_cycle(app, program, clock)) == {("replaced", "heal", "verified")}
        _assert_healed_once(program)
        program.note()
        for _ in range(2):
            assert _done(_cycle(app, program, clock)) == {("unchanged", None, "verified")}
            program.assert_nothing_changed()


def _cycle(app: App, program: VaultProgram, clock: ShiftedClock) -> Report:
    """Run one cycle, a quarter of an hour after the one before."""
    clock.ahead += timedelta(minutes=15)
    program.world.clock_offset = clock.ahead.total_seconds()
    return app.cycle(write=True, continuous=True)


def _done(report: Report) -> set[tuple[str, str | None, str]]:
    """Return action, reason and ``served`` of each secret."""
    return {(target.action.value, target.reason, target.served) for page in report.pages for target in page.stores}
