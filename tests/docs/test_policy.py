"""The policy that the documentation gives is enough for all that the program does, on a real OpenBao."""

from __future__ import annotations

import re
from pathlib import Path

from sync.sandbox.http.server import Sandbox
from tests.support.paths import ROOT
from tests.support.rigs.e2e import Rig
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

STORES = ROOT / "docs" / "stores.md"


def test_the_documented_policy_is_enough(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """With the policy of docs/stores.md, and no other, secrets are created, idle, labelled, healed and recreated."""
    (policy,) = re.findall(r"```hcl\n(.*?)```", STORES.read_text(), re.DOTALL)
    token = bao.token(bao.policy(policy.replace('"secret/', f'"{mount}/')))
    auth = {"method": "token", "token": {"file": str(tmp_path / "vault_token")}}
    rig = Rig(tmp_path, sandbox, {"type": "vault", "address": bao.url, "mount": mount, "auth": auth})
    rig.secret("vault_token", token)
    paris = sandbox.world.pages[rig.sandbox.pages[1]["id"]]
    told = []
    for change in ("nothing", "label", "revoke", "delete"):
        if change == "label":
            rig.write(defaults={"labels": {"team": "crm"}})
        elif change == "revoke":
            with sandbox.world.lock:
                sandbox.world.revoke_page(paris)
        elif change == "delete":
            bao.admin("DELETE", f"{mount}/data/meta/pages/{paris.name}")
        ran = rig.once()
        assert (ran.code, ran.report["warnings"]) == (0, []), ran.stdout
        told.append(ran.target(paris.name)["action"])
    assert told == ["created", "updated", "replaced", "created"]
