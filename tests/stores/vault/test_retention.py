"""Warnings about settings that keep no earlier version, or not even the newest."""

from __future__ import annotations

import pytest

from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig, rules, settings
from tests.support.services.bao import bao
from tests.support.store_contract import marks, one, payload, written

__all__ = ["bao"]

PAGES = 12


def make(rig: VaultRig, more: str = "", *, detailed: bool = True) -> VaultStore:
    """Return a store under the least policy and further rules."""
    token = rig.bao.token(rig.bao.policy(rules(rig.mount, detailed=detailed) + more))
    return VaultStore("vault", settings(rig.bao, rig.mount, token), clock=LeapingClock())


def may_read_config(rig: VaultRig) -> str:
    """Return the rule that allows reading the mount's configuration."""
    return f'path "{rig.mount}/config" {{ capabilities = ["read"] }}'


def fill(rig: VaultRig) -> None:
    """Store a secret with this instance's marks for each Page."""
    store = rig.make_store()
    for number in range(PAGES):
        written(store.write(rig.key(f"page{number}"), payload(), marks(), replaces=None))


def cycle_warnings(store: VaultStore, rig: VaultRig) -> list[str]:
    """Return the warnings of a cycle that reads all secrets and lists the owned ones."""
    store.begin()
    store.read([rig.key(f"page{number}") for number in range(PAGES)])
    store.owned("acme")
    return list(store.warnings)


def test_usual_settings(rig: VaultRig) -> None:
    """There is no warning where versions are kept, whether the mount's configuration may be read or not."""
    fill(rig)
    assert cycle_warnings(make(rig, may_read_config(rig)), rig) == []
    assert cycle_warnings(make(rig), rig) == []
    rig.bao.admin("POST", f"{rig.mount}/config", {"max_versions": 5})
    assert cycle_warnings(make(rig, may_read_config(rig)), rig) == []


def test_mount_that_keeps_one_version(rig: VaultRig) -> None:
    """A mount that keeps one version is warned about once per cycle, until it is corrected."""
    fill(rig)
    rig.bao.admin("POST", f"{rig.mount}/config", {"max_versions": 1})
    store = make(rig, may_read_config(rig))
    for _ in range(2):
        (warning,) = cycle_warnings(store, rig)
        assert "max_versions is 1 for the mount" in warning
    rig.bao.admin("POST", f"{rig.mount}/config", {"max_versions": 10})
    assert cycle_warnings(store, rig) == []


def test_secrets_that_keep_one_version(rig: VaultRig) -> None:
    """Secrets that keep one version are counted, without those of no configured Page; the mount's larger number overrides theirs."""
    fill(rig)
    for name in ("page0", "page1", "stranger"):
        rig.bao.admin("POST", rig.at("metadata", rig.key(name)), {"max_versions": 1})
    store = make(rig, may_read_config(rig))
    (warning,) = cycle_warnings(store, rig)
    assert "max_versions is 1 for 2 secrets" in warning
    (warning,) = cycle_warnings(make(rig), rig)
    assert "max_versions is 1 for 2 secrets" in warning
    rig.bao.admin("POST", f"{rig.mount}/config", {"max_versions": 4})
    assert cycle_warnings(store, rig) == []


@pytest.mark.parametrize("detailed", [True, False])
def test_secrets_that_expire(rig: VaultRig, *, detailed: bool) -> None:
    """A version with a deletion time in the future is warned about, however it was read; one that is deleted already is not."""
    fill(rig)
    rig.bao.admin("POST", rig.at("metadata", rig.key("page0")), {"delete_version_after": "1h"})
    store = make(rig, detailed=detailed)
    assert cycle_warnings(store, rig) == []
    rig.bao.admin("POST", rig.at("data", rig.key("page0")), {"data": {"access_token": "x"}})
    (warning,) = cycle_warnings(store, rig)
    assert "delete_version_after is set for 1 secret:" in warning
    rig.delete(rig.key("page0"))
    assert cycle_warnings(store, rig) == []


def test_mount_whose_secrets_expire(rig: VaultRig) -> None:
    """A mount with delete_version_after is warned about before anything has been written to it."""
    rig.bao.admin("POST", f"{rig.mount}/config", {"delete_version_after": "24h"})
    (warning,) = cycle_warnings(make(rig, may_read_config(rig)), rig)
    assert "delete_version_after is set for the mount" in warning


def test_denied_config_is_asked_for_once(rig: VaultRig) -> None:
    """A policy that denies the mount's configuration costs one refused request per process, and no token lookup."""
    store = make(rig)
    counts = []
    for _ in range(3):
        before = store.requests
        store.begin()
        one(store, rig.key("a"))
        counts.append(store.requests - before)
    assert counts[0] - counts[1] == 1
    assert counts[1] == counts[2]
