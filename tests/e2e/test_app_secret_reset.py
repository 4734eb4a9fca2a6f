"""The app's secret is reset and every token dies with it: nothing is judged by the old secret, and each Page is healed once."""

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
from tests.support.e2e_stage import Scene, actions, assert_all_told, ended
from tests.support.rigs.e2e import codes
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> Scene:
    """Return the program before a mount in which every Page's token is right."""
    made = Scene(tmp_path, sandbox, bao, mount)
    made.settle()
    return made


def _reset(scene: Scene) -> str:
    """Reset the app's secret at Meta, with the death of all tokens of the app; gives the new secret."""
    answer = control(scene.world, make_request("POST", "/_sandbox/app/reset-secret", {}, b""))
    with scene.world.lock:
        scene.world.kill(scene.world.user)
        for page in scene.world.pages.values():
            scene.world.revoke_page(page)
    return str(json.loads(answer.body)["app_secret"])


def _put_right(scene: Scene, app_secret: str) -> None:
    """Put the new secret and a new token of the system user in place, as a person does."""
    with scene.world.lock:
        token = scene.world.rotate(scene.world.user)
    scene.rig.secret("system_user_token", token.value)
    scene.rig.secret("app_secret", app_secret)


def _assert_healed_once(scene: Scene) -> None:
    """The mount holds the tokens of now, each in the second version that was ever written."""
    found = scene.everything()
    stored = {name: data["data"]["access_token"] for name, (data, _) in found.items()}
    assert stored == {name: scene.token(name) for name in scene.ids}
    assert {metadata["current_version"] for _, metadata in found.values()} == {2}


def test_all_tokens_die_for_once(scene: Scene) -> None:
    """Two runs with the old secret write nothing; with new credentials one run heals each Page, and the next has nothing to do."""
    new = _reset(scene)
    for _ in range(2):
        ran = scene.rig.once()
        assert (ended(ran), actions(ran)) == ((3, "failed"), {("kept", "stale")})
        assert_all_told(ran, "app-secret-invalid", "operator", "apps.*.secret")
        scene.assert_nothing_changed()
    _put_right(scene, new)
    healed = scene.rig.once()
    assert (ended(healed), actions(healed)) == ((0, "ok"), {("replaced", "verified")})
    assert {target["reason"] for page in healed.report["pages"] for target in page["stores"]} == {"heal"}
    _assert_healed_once(scene)
    scene.note()
    after = scene.rig.once()
    assert (ended(after), actions(after)) == ((0, "ok"), {("unchanged", "verified")})
    scene.assert_nothing_changed()


def test_all_tokens_die_under_the_daemon(scene: Scene) -> None:
    """What the daemon remembers changes nothing of it: as so many died at once it heals in the second cycle, and never again."""
    clock = ShiftedClock()
    with build(load(scene.rig.file), clock=clock) as app:
        assert _done(_cycle(app, scene, clock)) == {("unchanged", None, "verified")}
        new = _reset(scene)
        for _ in range(2):
            report = _cycle(app, scene, clock)
            assert _done(report) == {("kept", None, "stale")}, "an app whose secret is refused vouches for nothing"
            assert codes(as_json(report)["system_users"][0]["problems"]) == ["app-secret-invalid"]
            assert {problem.code for page in report.pages for problem in page.problems} == {"app-secret-invalid"}
            scene.assert_nothing_changed()
        _put_right(scene, new)
        assert _done(_cycle(app, scene, clock)) == {("kept", "invalid-once", "broken")}
        scene.assert_nothing_changed()
        assert _done(_cycle(app, scene, clock)) == {("replaced", "heal", "verified")}
        _assert_healed_once(scene)
        scene.note()
        for _ in range(2):
            assert _done(_cycle(app, scene, clock)) == {("unchanged", None, "verified")}
            scene.assert_nothing_changed()


def _cycle(app: App, scene: Scene, clock: ShiftedClock) -> Report:
    """Run one of many cycles, a quarter of an hour after the one before."""
    clock.ahead += timedelta(minutes=15)
    scene.world.ahead = clock.ahead.total_seconds()
    return app.cycle(write=True, continuous=True)


def _done(report: Report) -> set[tuple[str, str | None, str]]:
    """Return what was done at the places, why, and what they serve."""
    return {(target.action.value, target.reason, target.served) for page in report.pages for target in page.stores}
