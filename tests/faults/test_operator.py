"""Mistakes in the configuration, with a real OpenBao: no valid token is overwritten because of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.business import FakeSystemUser
from tests.support.forkserver import ForkServer, forks
from tests.support.rigs.vault_program import VaultProgram, vault_store
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "forks", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def program(tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str) -> VaultProgram:
    """Return a mount after a successful cycle."""
    made = VaultProgram(tmp_path, sandbox, bao, mount)
    made.settle()
    return made


def _once(forks: ForkServer, program: VaultProgram) -> tuple[int, dict[str, Any]]:
    child = forks.run(program.folder, "--config", str(program.file), "once", "--output", "json")
    return child.wait(), json.loads(child.stdout.read_text())


def _targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for page in report["pages"] for target in page["stores"]]


def test_another_instance_name(forks: ForkServer, program: VaultProgram) -> None:
    """If `instance` was changed, every secret is another instance's: all are refused, and nothing is changed."""
    program.write(instance="acme-renamed")
    code, report = _once(forks, program)
    assert code == 1
    assert {(target["action"], target["served"]) for target in _targets(report)} == {("refused", "foreign")}
    program.assert_nothing_changed()


@pytest.mark.parametrize("changed", ["path", "folder", "store", "mount"])
def test_another_target(forks: ForkServer, program: VaultProgram, changed: str) -> None:
    """Secrets are created at the new path; the old ones stay, and are orphans if the configuration still lists them."""
    old, other = program.store, program.bao.mount()
    new = vault_store(program.bao, other, program.folder / "vault_token")
    orphans = {("store", f"meta/pages/{name}") for name in program.before}
    match changed:
        case "path":
            program.write(stores={"store": {**old, "path": "meta/{name}-token"}})
        case "folder":
            program.write(stores={"store": {**old, "path": "elsewhere/{name}"}})
        case "store":
            program.write(stores={"store": dict(old), "second": new}, defaults={"stores": ["second"]})
        case _:
            program.write(stores={"store": new})
    for action in ("created", "unchanged"):
        code, report = _once(forks, program)
        assert code == 0
        assert {(target["action"], target["served"]) for target in _targets(report)} == {(action, "verified")}
        found = {(orphan["store"], orphan["path"]) for orphan in report["orphans"]}
        assert found == (orphans if changed in ("path", "store") else set())
        program.assert_nothing_changed()
    mount = program.mount if changed in ("path", "folder") else other
    for target in _targets(report):
        assert target["store"] == ("second" if changed == "store" else "store")
        assert program.bao.admin("GET", f"{mount}/metadata/{target['path']}")["data"]["current_version"] == 1


def test_another_app_for_all_pages(forks: ForkServer, program: VaultProgram) -> None:
    """If all Pages were moved to another app by mistake, the brake holds every replacement of a valid token."""
    world = program.world
    with world.lock:
        other = FakeSystemUser(id="9" * 15, name="of the other app", app_id=world.other_app.id)
        other.assigned = dict(world.user.assigned)
        world.users[other.id] = other
        world.rotate(other)
    program.secret("app_secret", world.other_app.secret)
    program.secret("system_user_token", other.token)
    secret = {"file": str(program.folder / "app_secret")}
    program.write(apps={"messenger": {"id": world.other_app.id, "secret": secret}})
    code, report = _once(forks, program)
    assert (code, report["result"]) == (4, "held")
    assert {(target["action"], target["reason"]) for target in _targets(report)} == {("held", "brake")}
    program.assert_nothing_changed()


def test_a_page_that_left_the_configuration(forks: ForkServer, program: VaultProgram) -> None:
    """A Page that was removed from the configuration keeps its secret, which is reported as an orphan in each cycle."""
    pages = [{"id": page["id"], "name": page["name"]} for page in program.sandbox.pages]
    program.write(pages=pages[1:])
    for _ in range(2):
        code, report = _once(forks, program)
        assert code == 0
        assert [orphan["path"] for orphan in report["orphans"]] == [f"meta/pages/{pages[0]['name']}"]
        program.assert_nothing_changed()
