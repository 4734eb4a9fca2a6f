"""Policies that lack a capability: the error comes before anything is written, and names path and capability."""

from __future__ import annotations

import pytest

from sync.core.model import Absent, Stored
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig, rules, settings
from tests.support.services.bao import bao
from tests.support.services.fault_proxy import fault_proxy
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["bao"]

DATA = 'path "{mount}/data/meta/pages/*" {{ capabilities = [{caps}] }}\n'
METADATA = 'path "{mount}/metadata/meta/pages/*" {{ capabilities = [{caps}] }}\n'


def make(rig: VaultRig, policy: str, *, default: bool = True) -> VaultStore:
    """Return a store under this policy, with the default policy or without."""
    token = rig.bao.token(rig.bao.policy(policy), no_default_policy=not default)
    return VaultStore("vault", settings(rig.bao, rig.mount, token), clock=LeapingClock())


@pytest.mark.parametrize("default", [True, False], ids=["default", "bare"])
@pytest.mark.parametrize("metadata", ['"read", "list"', '"deny"'])
def test_marks_denied_is_found_before_the_data_is_written(rig: VaultRig, metadata: str, *, default: bool) -> None:
    """A policy without patch on metadata stops a write before its data, whether the token may ask for capabilities or not."""
    policy = DATA.format(mount=rig.mount, caps='"create", "read", "update"') + METADATA.format(
        mount=rig.mount, caps=metadata
    )
    store, key = make(rig, policy, default=default), rig.key("a")
    store.begin()
    problem = failed(store.write(key, payload(), marks(), replaces=None), "denied")
    assert f"{rig.mount}/metadata/meta/pages/a" in problem.message
    assert "patch" in problem.remedy
    assert not problem.whole
    assert rig.bao.call("GET", rig.at("metadata", key))[0] == 404


@pytest.mark.parametrize(("lacks", "replaces"), [("create", None), ("update", "1")])
def test_data_denied(rig: VaultRig, lacks: str, replaces: str | None) -> None:
    """A policy that allows reading but not writing is an error with the capability that the write lacks."""
    other = {"create": "update", "update": "create"}[lacks]
    policy = DATA.format(mount=rig.mount, caps=f'"read", "{other}"') + METADATA.format(
        mount=rig.mount, caps='"read", "patch", "list"'
    )
    key = rig.key("a")
    if replaces:
        rig.plant(key, {"a": "b"})
    store = make(rig, policy)
    problem = failed(store.write(key, payload(), marks(), replaces=replaces), "denied")
    assert f"`{lacks}`" in problem.message
    assert f"{rig.mount}/data/meta/pages/a" in problem.message


def test_reading_denied(rig: VaultRig) -> None:
    """A policy that allows nothing denies each key, without a further login."""
    with fault_proxy(rig.bao.url) as proxy:
        token = rig.bao.token(rig.bao.policy(f'path "{rig.mount}/data/else" {{ capabilities = ["read"] }}'))
        store = VaultStore("vault", settings(rig.bao, rig.mount, token, address=proxy.url), clock=LeapingClock())
        keys = [rig.key(f"page{number}") for number in range(30)]
        for answer in store.read(keys).values():
            assert "`read`" in failed(answer, "denied").message
        failed(store.owned("acme"), "denied")
        assert len([request for request in proxy.requests if request.path.endswith("lookup-self")]) <= 1


def test_listing_denied(rig: VaultRig) -> None:
    """Without list the metadata of each secret separates one without a value from an absent one; orphans cannot be listed."""
    policy = DATA.format(mount=rig.mount, caps='"create", "read", "update"') + METADATA.format(
        mount=rig.mount, caps='"read", "patch"'
    )
    store = make(rig, policy)
    rig.plant_empty(rig.key("empty"), {"a": "b"})
    answers = store.read([rig.key("empty"), rig.key("absent")])
    empty = answers[rig.key("empty")]
    assert isinstance(empty, Stored)
    assert empty.state == "empty"
    assert isinstance(answers[rig.key("absent")], Absent)
    assert "`list`" in failed(store.owned("acme"), "denied").message
    written(store.write(rig.key("absent"), payload(), marks(), replaces=None))


def test_metadata_of_a_stranger_denied(rig: VaultRig) -> None:
    """Listed secrets whose metadata the policy hides are counted in a warning, and the call does not fail."""
    key = rig.key("a")
    policy = f"""
        path "{rig.mount}/data/{key.path}" {{ capabilities = ["create", "read", "update"] }}
        path "{rig.mount}/metadata/{key.path}" {{ capabilities = ["read", "patch"] }}
        path "{rig.mount}/metadata/meta/pages/" {{ capabilities = ["list"] }}
    """
    store = make(rig, policy)
    store.begin()
    written(store.write(key, payload(), marks(), replaces=None))
    rig.plant(rig.key("hidden"), {"a": "b"})
    store.read([key])
    assert store.owned("acme") == [(key, marks())]
    assert len(store.warnings) == 1
    store.begin()
    assert list(store.warnings) == []


def test_the_least_policy_without_the_default_policy(rig: VaultRig) -> None:
    """A token that may not look itself up still reads, writes and marks."""
    store, key = make(rig, rules(rig.mount), default=False), rig.key("a")
    store.begin()
    assert isinstance(one(store, key), Absent)
    first = written(store.write(key, payload(), marks(), replaces=None))
    written(store.write(key, payload("two"), marks(), replaces=first.version))
    written(store.mark(key, marks(labels={}), version="2"))
    assert stored(rig.make_store(), key).marks == marks(labels={})
