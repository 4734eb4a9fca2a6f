"""No secret leaks where a system user token is renewed: neither the old token nor the new one, under each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from tests.leaks.test_leaks import must_not_leak, secrets_of, texts_in
from tests.support.rigs.e2e import Rig
from tests.support.rigs.vault_program import vault_store
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", ["", "cut:oauth", "half-json:oauth", "error:oauth=190", "html:oauth"])
def test_a_renewal_leaks_no_token(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path, fault: str) -> None:
    """Whether renewed or refused, no part of either token is printed, logged at level debug, or left on the disk."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "lib").mkdir()
    rig = Rig(
        tmp_path,
        sandbox,
        vault_store(bao, mount, tmp_path / "vault_token"),
        environment={"TMPDIR": str(tmp_path / "tmp")},
    )
    rig.secret("vault_token", bao.root)
    (tmp_path / "system_user_token").unlink()
    old = sandbox.system_user_token
    bao.admin("POST", f"{mount}/data/meta/user", {"data": {"token": old}})
    reference = {"store": "store", "path": "meta/user", "key": "token"}
    rig.write(
        log={"level": "debug"},
        graph={"base_url": sandbox.url, "timeout": "1s"},
        state={"file": str(tmp_path / "lib" / "state.json")},
        system_users={"main": {"token": reference, "renew_before": "14d"}},
    )
    switch_on(sandbox.world, "expiring=864000")
    if fault:
        switch_on(sandbox.world, fault)
    for ran in (rig.once(), rig.once()):
        must_not_leak(ran, secrets_of(sandbox), texts_in(tmp_path / "tmp"), texts_in(tmp_path / "lib"))
    assert (bao.admin("GET", f"{mount}/data/meta/user")["data"]["data"]["token"] != old) is (fault == "")
