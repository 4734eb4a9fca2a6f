"""An expiring system user token, renewed in a real OpenBao by the program as it is run."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.tokens import fingerprint
from tests.support.forkserver import shared
from tests.support.rigs.cli import on_a_terminal
from tests.support.rigs.e2e import codes
from tests.support.rigs.vault_program import VaultProgram, ended
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.fault_proxy import Fault, Request, fault_proxy
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow

TEN_DAYS = 864_000


class Renewing(VaultProgram):
    """A program whose system user token is in a foreign secret and is renewed fourteen days before it expires."""

    def __init__(self, folder: Path, sandbox: Sandbox, bao: Bao, mount: str) -> None:
        super().__init__(folder, sandbox, bao, mount)
        self.old = sandbox.system_user_token
        bao.admin("POST", f"{mount}/data/meta/user", {"data": {"token": self.old, "note": "theirs", "n": 3}})
        bao.admin("POST", f"{mount}/metadata/meta/user", {"custom_metadata": {"managed-by": "terraform"}})
        reference = {"store": "store", "path": "meta/user", "key": "token"}
        self.write(system_users={"main": {"token": reference, "renew_before": "14d"}})

    @property
    def kept(self) -> Mapping[str, Any]:
        """The secret with the token."""
        return dict(self.bao.admin("GET", f"{self.mount}/data/meta/user")["data"]["data"])

    @property
    def about(self) -> Mapping[str, Any]:
        """The secret's metadata."""
        return dict(self.bao.admin("GET", f"{self.mount}/metadata/meta/user")["data"])

    def expire_soon(self) -> None:
        """Let the token expire in ten days."""
        switch_on(self.world, f"expiring={TEN_DAYS}")

    def assert_works(self, token: str) -> None:
        """Assert that the token is valid."""
        assert self.world.invalid_reason(self.world.tokens[token]) is None


@pytest.fixture
def program(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> Renewing:
    """Return the program with five verified Pages in OpenBao, and a system user token that never expires."""
    program = Renewing(tmp_path, sandbox, bao, mount)
    program.settle()
    assert program.kept["token"] == program.old, "what never ends is not renewed"
    return program


def test_killed_between_exchange_and_write(program: Renewing) -> None:
    """After a kill between exchange and write the secret has the old token, which works."""
    program.expire_soon()
    with fault_proxy(program.bao.url) as proxy:
        program.write(stores={"store": {**program.store, "address": proxy.url}})
        process = shared().start(
            *("--config", str(program.file), "once"),
            environment=program.environment,
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
    lost = program.world.user.token
    assert (lost != program.old, program.kept["token"]) == (True, program.old)
    program.assert_works(program.old)
    program.write(stores={"store": dict(program.store)})
    program.world.tokens[program.old].expires_at = int(program.world.time()) + TEN_DAYS
    ran = program.once()
    assert ended(ran) == (0, "ok")
    assert ran.report["system_users"][0]["renewed_at"] is not None
    assert program.kept["token"] == program.world.user.token
    assert program.kept["token"] not in (program.old, lost)


def test_refused_by_the_policy(program: Renewing, sandbox: Sandbox) -> None:
    """Where the policy denies the write the remedy names the missing capability, and the cycle goes on."""
    rules = f"""path "{program.mount}/*" {{ capabilities = ["create", "read", "update", "patch", "list"] }}
    path "{program.mount}/data/meta/user" {{ capabilities = ["read"] }}"""
    program.secret("vault_token", program.bao.token(program.bao.policy(rules)))
    program.expire_soon()
    ran = program.once()
    assert ended(ran) == (0, "ok")
    user = ran.report["system_users"][0]
    assert codes(user["problems"]) == ["system-user-expiring", "renewal-failed"]
    failed = user["problems"][1]
    assert failed["owner"] == "operator"
    assert "meta/user" in failed["message"] + failed["remedy"]
    assert program.kept["token"] == program.old


def test_renewal_in_the_table(program: Renewing) -> None:
    """On a terminal of 80 columns a renewal is one line, and a failed one is among the problems."""
    program.once()
    code, before = on_a_terminal("--config", str(program.file), "once", env=program.environment)
    assert (code, "renewed: " in before) == (0, False)
    program.expire_soon()
    allowed = (program.folder / "vault_token").read_text().strip()
    rules = f'path "{program.mount}/*" {{ capabilities = ["read", "list"] }}'
    program.secret("vault_token", program.bao.token(program.bao.policy(rules)))
    _, failed = on_a_terminal("--config", str(program.file), "once", env=program.environment)
    assert ("notice renewal-failed: system user main" in failed, "renewed: " in failed) == (True, False)
    program.secret("vault_token", allowed)
    _, shown = on_a_terminal("--config", str(program.file), "once", env=program.environment)
    lines = [line for line in shown.splitlines() if "renewed: " in line]
    old, new = fingerprint(program.old), fingerprint(program.kept["token"])
    assert lines == [f"renewed: system user main, {old} > {new}, at store:meta/user"]
    assert "renewal-failed" not in shown
    assert max(map(len, lines)) <= 80


def test_plan_and_selection_renew_nothing(program: Renewing) -> None:
    """``plan``, ``observe`` and a selection exchange no token."""
    program.expire_soon()
    for arguments in (("plan",), ("once", "--page", "berlin")):
        program.run(*arguments)
    program.write(mode="observe")
    program.once()
    assert (program.world.user.token, program.kept["token"]) == (program.old, program.old)
    assert program.world.calls.endpoints.get("oauth", 0) == 0


def test_renewed_and_used(program: Renewing) -> None:
    """The token is replaced in its secret, whose other keys stay, and the next cycle rotates the Pages without the brake."""
    program.expire_soon()
    before = program.everything()
    first = program.once()
    assert ended(first) == (0, "ok")
    new = program.world.user.token
    assert new != program.old
    assert program.kept == {"token": new, "note": "theirs", "n": 3}
    assert (program.about["current_version"], program.about["custom_metadata"]) == (2, {"managed-by": "terraform"})
    assert program.everything() == before, "in this cycle Pages are still served by the old one"
    (user,) = first.report["system_users"]
    assert (user["verdict"], user["renewed_at"] is not None) == ("valid", True)
    second = program.once()
    assert ended(second) == (0, "ok")
    targets = [target for page in second.report["pages"] for target in page["stores"]]
    assert {(target["action"], target["reason"], target["served"]) for target in targets} == {
        ("replaced", "rotate", "verified")
    }
    assert {content[1]["custom_metadata"]["system-user-fingerprint"] for content in program.everything().values()} == {
        fingerprint(new)
    }
    program.assert_works(program.old)
    assert program.once().report["summary"]["unchanged"] == 5
    assert program.about["current_version"] == 2
