"""Mistakes of those who write the configuration, with a real OpenBao: nothing that works is overwritten for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.business import SystemUser
from tests.support.e2e_stage import Scene, vault_store
from tests.support.forkserver import ForkServer, forks
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "forks", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str) -> Scene:
    """Return a mount in which all is well."""
    made = Scene(tmp_path, sandbox, bao, mount)
    made.settle()
    return made


def _once(forks: ForkServer, scene: Scene) -> tuple[int, dict[str, Any]]:
    child = forks.run(scene.rig.folder, "--config", str(scene.rig.file), "once", "--output", "json")
    return child.wait(), json.loads(child.stdout.read_text())


def _targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for page in report["pages"] for target in page["stores"]]


def test_another_instance_name(forks: ForkServer, scene: Scene) -> None:
    """Where `instance` was changed every secret is another's: all is refused, and nothing is changed."""
    scene.rig.write(instance="acme-renamed")
    code, report = _once(forks, scene)
    assert code == 1
    assert {(target["action"], target["served"]) for target in _targets(report)} == {("refused", "foreign")}
    scene.assert_nothing_changed()


@pytest.mark.parametrize("changed", ["path", "folder", "store", "mount"])
def test_another_place(forks: ForkServer, scene: Scene, changed: str) -> None:
    """Secrets are created at the new place; the old ones stay, and are orphans where the configuration still leads to them."""
    old, other = scene.rig.store, scene.bao.mount()
    new = vault_store(scene.bao, other, scene.rig.folder / "vault_token")
    orphans = {("store", f"meta/pages/{name}") for name in scene.before}
    match changed:
        case "path":
            scene.rig.write(stores={"store": {**old, "path": "meta/{name}-token"}})
        case "folder":
            scene.rig.write(stores={"store": {**old, "path": "elsewhere/{name}"}})
        case "store":
            scene.rig.write(stores={"store": dict(old), "second": new}, defaults={"stores": ["second"]})
        case _:
            scene.rig.write(stores={"store": new})
    for action in ("created", "unchanged"):
        code, report = _once(forks, scene)
        assert code == 0
        assert {(target["action"], target["served"]) for target in _targets(report)} == {(action, "verified")}
        found = {(orphan["store"], orphan["path"]) for orphan in report["orphans"]}
        assert found == (orphans if changed in ("path", "store") else set())
        scene.assert_nothing_changed()
    mount = scene.mount if changed in ("path", "folder") else other
    for target in _targets(report):
        assert target["store"] == ("second" if changed == "store" else "store")
        assert scene.bao.admin("GET", f"{mount}/metadata/{target['path']}")["data"]["current_version"] == 1


def test_another_app_for_all_pages(forks: ForkServer, scene: Scene) -> None:
    """Where all Pages were moved to another app by mistake, the brake holds every replacement of a token that works."""
    world = scene.world
    with world.lock:
        other = SystemUser(id="9" * 15, name="of the other app", app_id=world.other_app.id)
        other.assigned = dict(world.user.assigned)
        world.users[other.id] = other
        world.rotate(other)
    scene.rig.secret("app_secret", world.other_app.secret)
    scene.rig.secret("system_user_token", other.token)
    secret = {"file": str(scene.rig.folder / "app_secret")}
    scene.rig.write(apps={"messenger": {"id": world.other_app.id, "secret": secret}})
    code, report = _once(forks, scene)
    assert (code, report["result"]) == (4, "held")
    assert {(target["action"], target["reason"]) for target in _targets(report)} == {("held", "brake")}
    scene.assert_nothing_changed()


def test_a_page_that_left_the_configuration(forks: ForkServer, scene: Scene) -> None:
    """A Page that was taken out, by a mistake or not, keeps its secret, which is named as an orphan in each cycle."""
    pages = [{"id": page["id"], "name": page["name"]} for page in scene.rig.sandbox.pages]
    scene.rig.write(pages=pages[1:])
    for _ in range(2):
        code, report = _once(forks, scene)
        assert code == 0
        assert [orphan["path"] for orphan in report["orphans"]] == [f"meta/pages/{pages[0]['name']}"]
        scene.assert_nothing_changed()
