"""How many requests a cycle of a Vault store costs, and that saving requests hides no change."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from sync.config.schema.stores.store import MARKS
from sync.config.schema.stores.vault import VaultConfig
from sync.core import marks as mark_map
from sync.core.model import Absent, Key, Stored
from sync.core.payload import Payload
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig
from tests.support.services.bao import Bao, bao, raft
from tests.support.services.fault_proxy import FaultProxy, fault_proxy
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["bao", "raft"]

N = 40


@pytest.fixture(params=[True, False], ids=["detailed", "plain"])
def rig(request: pytest.FixtureRequest, bao: Bao) -> VaultRig:
    """Return a fresh mount, with the detailed listing and without."""
    return VaultRig(bao, detailed=request.param)


def fill(rig: VaultRig) -> list[Key]:
    """Store N secrets with this instance's marks."""
    keys = [rig.key(f"page{number}") for number in range(N)]
    for key in keys:
        rig.plant(key, payload(key.path).reveal(), mark_map.present(marks()))  # type: ignore[arg-type]
    return keys


def cycle(store: VaultStore, keys: list[Key]) -> int:
    """Read all secrets and list the owned ones; return the number of requests."""
    before = store.requests
    store.begin()
    answers = store.read(keys)
    assert all(isinstance(answer, Stored) for answer in answers.values())
    assert len(store.owned("acme")) == len(keys)  # type: ignore[arg-type]
    return store.requests - before


def test_idle_cycles(rig: VaultRig) -> None:
    """The first idle cycle costs at most N + 9 requests; a later one of the same process 9, with the detailed listing."""
    keys, store = fill(rig), rig.make_store()
    assert cycle(store, keys) <= N + 9
    assert cycle(store, keys) <= (9 if store._engine.detailed else N + 9)
    assert cycle(store, keys) <= (9 if store._engine.detailed else N + 9)


def test_first_cycle_of_new_pages(rig: VaultRig) -> None:
    """A new Page costs at most 4 requests, of which at most one is a read."""
    keys, store = [rig.key(f"page{number}") for number in range(N)], rig.make_store()
    store.begin()
    assert all(isinstance(answer, Absent) for answer in store.read(keys).values())
    store.owned("acme")
    for key in keys:
        written(store.write(key, payload(), marks(), replaces=None))
    assert store.requests <= 4 * N + 9


def test_first_listing_of_an_empty_folder(bao: Bao) -> None:
    """A folder without any secret yet does not end the use of the detailed listing."""
    rig = VaultRig(bao)
    keys, store = [rig.key(f"page{number}") for number in range(N)], rig.make_store()
    store.begin()
    assert all(isinstance(answer, Absent) for answer in store.read(keys).values())
    assert store.requests <= 4
    for key in keys:
        rig.plant(key, payload(key.path).reveal(), mark_map.present(marks()))  # type: ignore[arg-type]
    cycle(store, keys)
    assert cycle(store, keys) <= 9


def test_idle_cycles_write_nothing(bao: Bao, rig: VaultRig) -> None:
    """Cycles without a change send only reading requests."""
    keys = fill(rig)
    with fault_proxy(bao.url) as proxy:
        store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
        for _ in range(3):
            cycle(store, keys)
        assert {request.method for request in proxy.requests} == {"GET"}


def test_no_secret_in_an_url(bao: Bao, rig: VaultRig) -> None:
    """Tokens travel in headers and bodies, never in a path."""
    with fault_proxy(bao.url) as proxy:
        store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
        written(store.write(rig.key("a"), payload(), marks(), replaces=None))
        assert not [a.path for a in proxy.requests if rig.token in a.path or "canary" in a.path]


def test_changes_are_seen_although_requests_are_saved(rig: VaultRig) -> None:
    """A version, a mark, a deletion, an undeletion and a secret created again at the same version are all seen."""
    keys, store = fill(rig), rig.make_store()
    cycle(store, keys)
    rig.bao.admin("POST", rig.at("data", keys[0]), {"data": {"access_token": "by hand"}})
    rig.add_foreign_mark(keys[1], "hold", "1")
    rig.delete(keys[2])
    rig.bao.admin("DELETE", rig.at("metadata", keys[3]))
    rig.bao.admin("DELETE", rig.at("metadata", keys[4]))
    rig.plant(keys[4], {"access_token": "made again"}, mark_map.present(marks()))
    rig.bao.admin("PUT", f"{rig.mount}/destroy/{keys[5].path}", {"versions": [1]})
    store.begin()
    answers = store.read(keys)
    assert answers == rig.make_store().read(keys)
    zero, one_, two, three, four, five = (answers[key] for key in keys[:6])
    assert isinstance(zero, Stored)
    assert zero.payload == Payload({"access_token": "by hand"})
    assert isinstance(one_, Stored)
    assert one_.marks == marks(hold="1")
    assert isinstance(two, Stored)
    assert (two.state, two.version, two.marks) == ("deleted", "1", marks())
    assert isinstance(three, Absent)
    assert isinstance(four, Stored)
    assert four.payload == Payload({"access_token": "made again"})
    assert isinstance(five, Stored)
    assert (five.state, five.version) == ("deleted", "1")
    rig.bao.admin("PUT", f"{rig.mount}/undelete/{keys[2].path}", {"versions": [1]})
    store.begin()
    again = store.read(keys)[keys[2]]
    assert isinstance(again, Stored)
    assert (again.state, again.payload) == ("live", payload(keys[2].path))


def test_a_deletion_that_lies_ahead_is_none_yet(rig: VaultRig) -> None:
    """With delete_version_after a version has a deletion time, and is live until then."""
    keys = [rig.key(f"page{number}") for number in range(12)]
    for key in keys:
        rig.bao.admin(
            "POST",
            rig.at("metadata", key),
            {"delete_version_after": "3h", "custom_metadata": mark_map.present(marks())},
        )
        rig.bao.admin("POST", rig.at("data", key), {"data": {"access_token": "a"}})
    store = rig.make_store()
    assert cycle(store, keys) <= 12 + 9
    cycle(store, keys)
    assert stored(store, keys[0]).state == "live"


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_largest_marks_that_validate_allows(rig: VaultRig, letter: str) -> None:
    """Vault accepts the largest map of marks that a configuration can lead to, and no larger one."""
    wide = letter.encode()
    name, value = letter * (120 // len(wide)), letter * (512 // len(wide))
    most = {f"{number:02}{name}": value for number in range(64 - MARKS)}
    vault = configured()
    assert list(vault.label_faults(most)) == []
    store, key = rig.make_store(), rig.key("a")
    full = marks(labels=most, hold="1")
    written(store.write(key, payload(), full, replaces=None))
    other = marks(labels={name: value[:-1] + "y" for name, value in most.items()}, hold="1")
    written(store.mark(key, other, version="1"))
    assert stored(store, key).marks == other
    store.begin()
    assert [found for _, found in store.owned("acme")] == [other]  # type: ignore[union-attr]
    # OpenBao 2.7.2 counts the keys of a patch alone, so that the number is only seen where all of them are new.
    for number, more in enumerate(({**most, "z": "y"}, {"n" * 123: "y"}, {"n": value + "y"})):
        assert list(vault.label_faults(more))
        failed(store.write(rig.key(f"b{number}"), payload(), marks(labels=more, hold="1"), replaces=None), "unexpected")


def configured() -> VaultConfig:
    """Return a Vault store from a configuration."""
    return VaultConfig.model_validate(
        {
            "type": "vault",
            "address": "http://127.0.0.1:8200",
            "mount": "kv",
            "auth": {"method": "token", "token": {"env": "T"}},
        }
    )


def test_secrets_beside_the_prefix(rig: VaultRig) -> None:
    """A path outside the listed prefix is read by itself, absent or not, and is never listed as owned."""
    here, there = Key("vault", "other/a"), Key("vault", "other/b")
    rig.token = rig.bao.root
    store = rig.make_store()
    rig.plant(here, {"a": "b"}, mark_map.present(marks()))
    rig.plant_empty(Key("vault", "other/c"), mark_map.present(marks()))
    keys = [here, there, Key("vault", "other/c"), *(rig.key(f"page{number}") for number in range(12))]
    answers = store.read(keys)
    assert stored(store, here).payload == Payload({"a": "b"})
    assert isinstance(answers[there], Absent)
    empty = answers[Key("vault", "other/c")]
    assert isinstance(empty, Stored)
    assert empty.state == "empty"
    assert list(store.owned("acme")) == []  # type: ignore[arg-type]


def test_prefix_that_ends_inside_a_name(rig: VaultRig) -> None:
    """A prefix such as pages/fb- covers all paths that begin with it, folders included, and no other."""
    rig.token = rig.bao.root
    for name in ("fb-a", "fb-b/c", "other", "fb"):
        rig.plant(rig.key(name), {"access_token": "x"}, mark_map.present(marks()))
    store = rig.make_store(list_prefix="meta/pages/fb-")
    listing = store.owned("acme")
    assert [key.path for key, _ in listing] == ["meta/pages/fb-a", "meta/pages/fb-b/c"]  # type: ignore[union-attr]
    whole = rig.make_store(list_prefix="")
    assert len(whole.owned("acme")) == 4  # type: ignore[arg-type]


@pytest.fixture
def proxy(raft: Bao) -> Iterator[FaultProxy]:
    """Return a proxy in front of the raft node."""
    with fault_proxy(raft.url, raft.ca) as proxy:
        yield proxy


def test_index_follows_each_answer(raft: Bao, proxy: FaultProxy) -> None:
    """From the first answer on each request carries the newest index and asks to be forwarded by a node that lags."""
    rig = VaultRig(raft)
    store = VaultStore("vault", rig.settings(address=proxy.url, ca_file=None), clock=LeapingClock())
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    one(store, rig.key("a"))
    values = [
        json.loads(base64.b64decode(request.headers["x-vault-index"]))["value"]
        for request in proxy.requests
        if "x-vault-index" in request.headers
    ]
    assert len(values) >= len(proxy.requests) - 1
    assert [int(value) for value in values] == sorted(int(value) for value in values)
    assert int(values[-1]) > int(values[0])
    assert {a.headers["x-vault-inconsistent"] for a in proxy.requests if "x-vault-index" in a.headers} == {
        "forward-active-node"
    }
    assert list(store.warnings) == []
