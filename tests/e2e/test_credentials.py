"""Credentials that cannot be read at the moment: no request takes another path, and no failure outlasts its cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.app import build
from sync.config.load import load
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from tests.support.rigs.vault_program import VaultProgram, assert_page_problems, ended
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


def test_a_proxy_that_cannot_be_read_is_not_bypassed(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Where graph.proxy cannot be read no request goes to Graph, and the message names the reference."""
    program = VaultProgram(tmp_path, sandbox, bao, mount)
    proxy = {"file": str(tmp_path / "proxy")}
    program.write(graph={"base_url": sandbox.url, "proxy": proxy})
    ran = program.once()
    assert ended(ran) == (3, "failed")
    assert_page_problems(ran, "credential-unavailable", "operator", "graph.proxy", "no such file")
    assert ran.report["summary"]["graph_requests"] == 0
    assert sandbox.world.calls.requests == 0


def test_a_proxy_that_does_not_listen_is_named(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The message names the proxy without its password, and the operator must act."""
    program = VaultProgram(tmp_path, sandbox, bao, mount)
    (tmp_path / "proxy").write_text("http://me:pass-word@127.0.0.1:9\n")
    program.write(graph={"base_url": sandbox.url, "proxy": {"file": str(tmp_path / "proxy")}})
    ran = program.once()
    assert ended(ran) == (3, "failed")
    assert_page_problems(ran, "graph-unavailable", "operator", "the proxy 127.0.0.1:9 of the configuration")
    assert "pass-word" not in ran.stdout + ran.stderr


def test_a_store_that_is_back_gives_its_credential_at_once(
    bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A system user token in a store that failed in one cycle is read in the next."""
    program = VaultProgram(tmp_path, sandbox, bao, mount)
    bao.admin("POST", f"{mount}/data/meta/user", {"data": {"token": sandbox.system_user_token}})
    program.write(system_users={"main": {"token": {"store": "store", "path": "meta/user", "key": "token"}}})
    program.secret("vault_token", "s.unknown")
    with build(load(program.file), clock=SystemClock()) as app:
        refused = app.cycle(write=True)
        program.secret("vault_token", bao.root)
        healed = app.cycle(write=True)
    assert refused.result == "failed"
    assert [problem.code for problem in refused.pages[0].problems] == ["credential-unavailable"]
    assert healed.result == "ok"
