"""The policies that the documentation gives are enough for what they are for, and no more, on a real OpenBao."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.sandbox.http.server import Sandbox
from tests.support.paths import ROOT
from tests.support.rigs.e2e import Rig
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "how-to" / "vault.md"


def token(bao: Bao, mount: str, heading: str) -> str:
    """Return a token with the policy below a heading of docs/how-to/vault.md, for this mount."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (policy,) = re.findall(r"```hcl\n(.*?)```", section, re.DOTALL)
    return bao.token(bao.policy(policy.replace('"secret/', f'"{mount}/')))


def rig(bao: Bao, mount: str, sandbox: Sandbox, folder: Path) -> Rig:
    """Return a program whose store takes the token in the file ``vault_token``."""
    auth = {"method": "token", "token": {"file": str(folder / "vault_token")}}
    return Rig(folder, sandbox, {"type": "vault", "address": bao.url, "mount": mount, "auth": auth})


def test_the_documented_policy_is_enough(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """With the policy for the daemon, and no other, secrets are created, idle, labelled, healed and recreated."""
    program = rig(bao, mount, sandbox, tmp_path)
    program.secret("vault_token", token(bao, mount, "Policy for the daemon"))
    paris = sandbox.world.pages[program.sandbox.pages[1]["id"]]
    actions = []
    for change in ("nothing", "label", "revoke", "delete"):
        if change == "label":
            program.write(defaults={"labels": {"team": "crm"}})
        elif change == "revoke":
            with sandbox.world.lock:
                sandbox.world.revoke_page(paris)
        elif change == "delete":
            bao.admin("DELETE", f"{mount}/data/meta/pages/{paris.name}")
        ran = program.once()
        assert (ran.code, ran.report["warnings"]) == (0, []), ran.stdout
        actions.append(ran.target(paris.name)["action"])
    assert actions == ["created", "updated", "replaced", "created"]


def test_the_documented_policy_for_a_plan_is_enough(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """With the policy for a plan, and no other, a plan finds everything as the daemon left it, and nothing can be written."""
    program = rig(bao, mount, sandbox, tmp_path)
    program.secret("vault_token", token(bao, mount, "Policy for the daemon"))
    assert program.once().code == 0
    program.secret("vault_token", token(bao, mount, "Policy for a plan"))
    planned = program.run("plan", "--output", "json")
    assert (planned.code, planned.report["warnings"]) == (0, []), planned.stdout
    assert {page["stores"][0]["action"] for page in planned.report["pages"]} == {"unchanged"}
    program.write(defaults={"labels": {"team": "crm"}})
    assert program.once().report["summary"]["failed"] == len(sandbox.pages)


def test_the_documented_policy_for_the_reader_is_enough(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """With the policy for the reader a Page's token can be read, and neither written nor another Page's read."""
    program = rig(bao, mount, sandbox, tmp_path)
    program.secret("vault_token", token(bao, mount, "Policy for the daemon"))
    assert program.once().code == 0
    reader = token(bao, mount, "Policy for the reader")
    status, read = bao.call("GET", f"{mount}/data/meta/pages/berlin", token=reader)
    assert (status, set(read["data"]["data"])) == (200, {"access_token", "page_id", "app_id"})
    assert bao.call("GET", f"{mount}/data/meta/pages/paris", token=reader)[0] == 403
    assert bao.call("POST", f"{mount}/data/meta/pages/berlin", {"data": {}}, token=reader)[0] == 403


def test_the_compose_project_has_the_documented_policy() -> None:
    """The policy that the compose project makes has the lines of the one for the daemon."""
    section = PAGE.read_text().partition("\n## Policy for the daemon\n")[2]
    script = (ROOT / "deploy" / "compose" / "openbao-setup.sh").read_text()
    documented, made = (
        [line for line in text.splitlines() if line.startswith("path ")]
        for text in (section.partition("\n## ")[0], script)
    )
    assert made == documented
