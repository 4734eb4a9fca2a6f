"""Credentials that lie where they cannot be had just now: nothing goes another way, and nothing lasts longer than its cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.app import build
from sync.config.load import load
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from tests.support.e2e_stage import Scene, assert_all_told, ended
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


def test_a_proxy_that_cannot_be_read_is_not_gone_around(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Where graph.proxy cannot be read no request goes to Graph, and the operator is told where the proxy is looked for."""
    scene = Scene(tmp_path, sandbox, bao, mount)
    proxy = {"file": str(tmp_path / "proxy")}
    scene.rig.write(graph={"base_url": sandbox.url, "proxy": proxy})
    ran = scene.rig.once()
    assert ended(ran) == (3, "failed")
    assert_all_told(ran, "graph-unavailable", "operator", "graph.proxy", "no such file")
    assert ran.report["summary"]["graph_requests"] == 0
    assert sandbox.world.calls.requests == 0


def test_a_store_that_is_back_gives_its_credential_at_once(
    bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A system user's token in a store that failed in one cycle is read in the next, not in the one after that."""
    scene = Scene(tmp_path, sandbox, bao, mount)
    bao.admin("POST", f"{mount}/data/meta/user", {"data": {"token": sandbox.system_user_token}})
    scene.rig.write(system_users={"main": {"token": {"store": "store", "path": "meta/user", "key": "token"}}})
    scene.rig.secret("vault_token", "s.unknown")
    with build(load(scene.rig.file), clock=SystemClock()) as app:
        refused = app.cycle(write=True)
        scene.rig.secret("vault_token", bao.root)
        healed = app.cycle(write=True)
    assert refused.result == "failed"
    assert [problem.code for problem in refused.pages[0].problems] == ["system-user-invalid"]
    assert healed.result == "ok"
