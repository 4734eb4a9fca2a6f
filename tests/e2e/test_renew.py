"""A system user's token that ends, renewed in a real OpenBao by the program as it is run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.tokens import fingerprint
from tests.support.e2e_stage import Scene, ended
from tests.support.rigs.cli import on_a_terminal
from tests.support.rigs.e2e import PROGRAM, codes
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.fault_proxy import Fault, Request, fault_proxy
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow

TEN_DAYS = 864_000


class Renewing(Scene):
    """A scene whose system user's token lies in a secret of somebody else's, to be renewed fourteen days before its end."""

    def __init__(self, folder: Path, sandbox: Sandbox, bao: Bao, mount: str) -> None:
        super().__init__(folder, sandbox, bao, mount)
        self.old = sandbox.system_user_token
        bao.admin("POST", f"{mount}/data/meta/user", {"data": {"token": self.old, "note": "theirs", "n": 3}})
        bao.admin("POST", f"{mount}/metadata/meta/user", {"custom_metadata": {"managed-by": "terraform"}})
        reference = {"store": "store", "path": "meta/user", "key": "token"}
        self.rig.write(system_users={"main": {"token": reference, "renew_before": "14d"}})

    @property
    def kept(self) -> Mapping[str, Any]:
        """The secret that the token lies in."""
        return dict(self.bao.admin("GET", f"{self.mount}/data/meta/user")["data"]["data"])

    @property
    def about(self) -> Mapping[str, Any]:
        """Its metadata."""
        return dict(self.bao.admin("GET", f"{self.mount}/metadata/meta/user")["data"])

    def end_soon(self) -> None:
        """Let the token end in ten days."""
        switch_on(self.world, f"ending={TEN_DAYS}")

    def assert_works(self, token: str) -> None:
        """Meta vouches for this token."""
        assert self.world.ailment(self.world.tokens[token]) is None


@pytest.fixture
def scene(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> Renewing:
    """Return five Pages in OpenBao, all as they should be, and a system user's token that never ends."""
    scene = Renewing(tmp_path, sandbox, bao, mount)
    scene.settle()
    assert scene.kept["token"] == scene.old, "what never ends is not renewed"
    return scene


def test_killed_between_exchange_and_write(scene: Renewing) -> None:
    """A program that is killed when it has a new token and has not put it anywhere leaves the old one, which works."""
    scene.end_soon()
    with fault_proxy(scene.bao.url) as proxy:
        scene.rig.write(stores={"store": {**scene.rig.store, "address": proxy.url}})
        process = subprocess.Popen(
            [*PROGRAM, "--config", str(scene.rig.file), "once"],
            env={**os.environ, **scene.rig.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def kill(request: Request) -> Fault | None:
            if request.method == "POST" and request.path.endswith("/data/meta/user"):
                process.kill()
                return Fault.CUT
            return None

        proxy.rule = kill
        assert process.wait(60) == -9
    lost = scene.world.user.token
    assert (lost != scene.old, scene.kept["token"]) == (True, scene.old)
    scene.assert_works(scene.old)
    scene.rig.write(stores={"store": dict(scene.rig.store)})
    scene.world.tokens[scene.old].expires_at = int(scene.world.time()) + TEN_DAYS
    ran = scene.rig.once()
    assert ended(ran) == (0, "ok")
    assert ran.report["system_users"][0]["renewed_at"] is not None
    assert scene.kept["token"] == scene.world.user.token
    assert scene.kept["token"] not in (scene.old, lost)


def test_refused_by_the_policy(scene: Renewing, sandbox: Sandbox) -> None:
    """Where the store may not be written there the operator is told which right is missing, and all works on."""
    rules = f"""path "{scene.mount}/*" {{ capabilities = ["create", "read", "update", "patch", "list"] }}
    path "{scene.mount}/data/meta/user" {{ capabilities = ["read"] }}"""
    scene.rig.secret("vault_token", scene.bao.token(scene.bao.policy(rules)))
    scene.end_soon()
    ran = scene.rig.once()
    assert ended(ran) == (0, "ok")
    user = ran.report["system_users"][0]
    assert codes(user["problems"]) == ["system-user-expiring", "renewal-failed"]
    failed = user["problems"][1]
    assert failed["owner"] == "operator"
    assert "meta/user" in failed["message"] + failed["remedy"]
    assert scene.kept["token"] == scene.old


def test_person_is_told(scene: Renewing) -> None:
    """On a terminal of 80 columns a renewal is one line, and one that failed stands among what is to be looked at."""
    scene.rig.once()
    code, before = on_a_terminal("--config", str(scene.rig.file), "once", env=scene.rig.environment)
    assert (code, "refreshed" in before) == (0, False)
    scene.end_soon()
    allowed = (scene.rig.folder / "vault_token").read_text().strip()
    rules = f'path "{scene.mount}/*" {{ capabilities = ["read", "list"] }}'
    scene.rig.secret("vault_token", scene.bao.token(scene.bao.policy(rules)))
    _, failed = on_a_terminal("--config", str(scene.rig.file), "once", env=scene.rig.environment)
    assert ("notice renewal-failed: system user main" in failed, "refreshed" in failed) == (True, False)
    scene.rig.secret("vault_token", allowed)
    _, shown = on_a_terminal("--config", str(scene.rig.file), "once", env=scene.rig.environment)
    told = [line for line in shown.splitlines() if "refreshed" in line]
    old, new = fingerprint(scene.old), fingerprint(scene.kept["token"])
    assert told == [f"refreshed: system user main, {old} > {new}, at store:meta/user"]
    assert "renewal-failed" not in shown
    assert max(map(len, told)) <= 80


def test_plan_and_selection_renew_nothing(scene: Renewing) -> None:
    """A plan, an observer and a selection ask Meta for no new token."""
    scene.end_soon()
    for arguments in (("plan",), ("once", "--page", "berlin")):
        scene.rig.run(*arguments)
    scene.rig.write(mode="observe")
    scene.rig.once()
    assert (scene.world.user.token, scene.kept["token"]) == (scene.old, scene.old)
    assert scene.world.calls.endpoints.get("oauth", 0) == 0


def test_renewed_and_used(scene: Renewing) -> None:
    """The token is renewed in place, all else of the secret stays, and in the next cycle Pages follow without the brake."""
    scene.end_soon()
    before = scene.everything()
    first = scene.rig.once()
    assert ended(first) == (0, "ok")
    new = scene.world.user.token
    assert new != scene.old
    assert scene.kept == {"token": new, "note": "theirs", "n": 3}
    assert (scene.about["current_version"], scene.about["custom_metadata"]) == (2, {"managed-by": "terraform"})
    assert scene.everything() == before, "in this cycle Pages are still served by the old one"
    (user,) = first.report["system_users"]
    assert (user["verdict"], user["renewed_at"] is not None) == ("valid", True)
    second = scene.rig.once()
    assert ended(second) == (0, "ok")
    targets = [target for page in second.report["pages"] for target in page["stores"]]
    assert {(target["action"], target["reason"], target["served"]) for target in targets} == {
        ("replaced", "rotate", "verified")
    }
    assert {content[1]["custom_metadata"]["system-user-fingerprint"] for content in scene.everything().values()} == {
        fingerprint(new)
    }
    scene.assert_works(scene.old)
    assert scene.rig.once().report["summary"]["unchanged"] == 5
    assert scene.about["current_version"] == 2
