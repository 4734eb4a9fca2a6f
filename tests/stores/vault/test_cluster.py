"""A Vault store over a cluster: three real nodes on raft, where each request goes to the next node, running or not.

With ``--long`` elections take as long as they do by default, about 15 seconds, and there are twenty of them.
"""

from __future__ import annotations

import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from sync.core.model import Absent, Content, Key, Stored, StoreError, Version, Written
from sync.core.secret import Secret
from sync.runtime.threads import SystemClock
from sync.stores.vault.settings import AppRoleLogin, TokenLogin
from sync.stores.vault.store import VaultStore
from tests.support.rigs.vault import PREFIX, rules, settings
from tests.support.services.bao import Bao
from tests.support.services.cluster import Cluster, Node, cluster, until
from tests.support.services.fault_proxy import FaultProxy, Reply, Request, fault_proxy
from tests.support.store_contract import failed, marks, one, payload, stored, together, written

__all__ = ["cluster"]

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(900)]


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[Cluster]:
    """Return the cluster with three voters, and restart killed nodes afterwards."""
    cluster.heal()
    cluster.trap.caught()
    yield cluster
    cluster.heal()


@pytest.fixture
def mount(whole: Cluster) -> str:
    """Return a fresh mount that every node knows."""
    name = whole.bao().mount()
    for node in whole.nodes:
        until(lambda node=node: Bao(node.url, whole.root).call("LIST", f"{name}/metadata/")[0] == 404, "the mount")
    return name


@pytest.fixture
def proxy(whole: Cluster) -> Iterator[FaultProxy]:
    """Return the load balancer."""
    with fault_proxy(*whole.urls[:1], others=whole.urls[1:]) as proxy:
        yield proxy


def make(cluster: Cluster, mount: str, url: str, **changes: Any) -> VaultStore:
    """Return a store whose cycle has begun."""
    login = TokenLogin(lambda: Secret(cluster.root))
    wanted = settings(Bao(url, cluster.root), mount, **{"timeout": 30, "login": login, **changes})
    store = VaultStore("vault", wanted, clock=SystemClock())
    store.begin()
    return store


def followers(cluster: Cluster) -> Sequence[Node]:
    """Return the standbys."""
    leader = cluster.leader()
    return [node for node in cluster.nodes if node is not leader]


def key(name: str) -> Key:
    """Return the key of a Page's secret."""
    return Key("vault", PREFIX + name)


def token(found: Content) -> str | None:
    """Return the stored token; None if there is none."""
    assert not isinstance(found, StoreError), found
    value = found.payload.reveal() if isinstance(found, Stored) and found.payload is not None else None
    return str(value["access_token"]) if isinstance(value, dict) else None


@dataclass
class Ledger:
    """What one daemon knows of its writes, and each answer that contradicts it."""

    store: VaultStore
    keys: Sequence[Key]
    acknowledged: dict[Key, str | None] = field(default_factory=dict)
    doubtful: dict[Key, str] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, Key]] = field(default_factory=list)
    written: int = 0
    cycles: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cycle(self) -> None:
        """Read all secrets, compare them with what was acknowledged, and write them all again."""
        self.cycles += 1
        self.store.begin()
        versions: dict[Key, Version | None] = {}
        for target, found in self.store.read(self.keys).items():
            if isinstance(found, StoreError):
                self.note(found, target)
                continue
            self.compare(target, token(found))
            versions[target] = found.version if isinstance(found, Stored) else None
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda target: self.write(target, versions[target]), versions))

    def compare(self, target: Key, value: str | None) -> None:
        """Compare what was read with what was acknowledged; a write in doubt may have taken effect or not."""
        if value not in (self.acknowledged.get(target), self.doubtful.get(target, "")):
            self.wrong.append((f"stale or lost: {value}, not {self.acknowledged.get(target)}", target))
        self.acknowledged[target] = value
        self.doubtful.pop(target, None)

    def write(self, target: Key, version: Version | None) -> None:
        """Write one value of this cycle."""
        value = f"{target.path} of cycle {self.cycles}"
        answer = self.store.write(target, payload(value), marks(), replaces=version)
        with self._lock:
            if isinstance(answer, Written):
                self.acknowledged[target] = value
                self.written += answer.confirmed
                self.troubles["unconfirmed"] += not answer.confirmed
            else:
                self.note(answer, target)
                if answer.maybe_written:
                    self.doubtful[target] = value

    def note(self, trouble: StoreError, target: Key) -> None:
        """Count an error; a conflict is wrong here, since there is no other writer."""
        self.troubles[trouble.error_code] += 1
        if trouble.error_code not in ("no-leader", "timeout", "unreachable", "sealed"):
            self.wrong.append((trouble.error_code, target))


def _killings(cluster: Cluster, ledger: Ledger, kills: int, done: threading.Event) -> None:
    """Kill the leader after every 40 writes, and restart it before the next kill."""
    for number in range(1, kills + 1):
        until(lambda number=number: ledger.written >= 40 * number or done.is_set(), "writes", 300)
        leader = cluster.leader()
        if leader is None:
            raise AssertionError("a whole cluster has a leader")
        leader.kill()
        until(cluster.leader, "a new leader", 90)
        cluster.heal()


def _endure(cluster: Cluster, mount: str, proxy: FaultProxy, kills: int, writes: int) -> Ledger:
    ledger = Ledger(make(cluster, mount, proxy.url), [key(f"page{number}") for number in range(30)])
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(_killings, cluster, ledger, kills, done)
        try:
            while ledger.written < writes or not killer.done():
                ledger.cycle()
        finally:
            done.set()
        killer.result()
    leader = cluster.bao()
    for target in ledger.keys:
        answer = leader.admin("GET", f"{mount}/data/{target.path}")["data"]
        ledger.compare(target, answer["data"]["access_token"])
        if (answer["metadata"]["custom_metadata"] or {}).get("instance") != "acme":
            ledger.wrong.append(("no marks", target))
    return ledger


def test_leader_killed_five_times_during_300_writes(whole: Cluster, mount: str, proxy: FaultProxy, long: bool) -> None:
    """While leaders are killed there is no false conflict, no acknowledged write is lost or doubled, and no request leaves the cluster."""
    ledger = _endure(whole, mount, proxy, kills=20 if long else 5, writes=1000 if long else 300)
    assert ledger.wrong == []
    assert ledger.written >= 300
    assert sum(ledger.troubles.values()) <= ledger.written / 2, ledger.troubles
    assert whole.trap.caught() == 0


def test_standby_lags(whole: Cluster, mount: str) -> None:
    """A standby that is asked at once without an index returns an old version, which is the premise of these tests."""
    standby, leader = Bao(followers(whole)[0].url, whole.root), whole.bao()
    old = 0
    for number in range(40):
        leader.admin("POST", f"{mount}/data/x", {"data": {"n": str(number)}})
        status, answer = standby.call("GET", f"{mount}/data/x")
        old += status != 200 or answer["data"]["data"]["n"] != str(number)
    assert old > 0


def test_read_back_on_lagging_nodes(whole: Cluster, mount: str, proxy: FaultProxy) -> None:
    """Each write is read back from whichever node is asked, with as few requests as on one node."""
    store = make(whole, mount, proxy.url)
    written(store.write(key("a"), payload("0"), marks(), replaces=None))
    before = store.requests
    for number in range(1, 20):
        written(store.write(key("a"), payload(str(number)), marks(), replaces=str(number)))
        assert token(one(store, key("a"))) == str(number)
    assert store.requests - before <= 19 * 3 + 8
    for number in range(10):
        written(store.write(key(f"new{number}"), payload(str(number)), marks(), replaces=None))


def test_index_that_is_waited_for(whole: Cluster, mount: str, proxy: FaultProxy) -> None:
    """If requests may not be forwarded, a node that lags is asked again until it has caught up, and this counts as no quota."""
    once = iter([Reply(400, '{"errors":["X-Vault-Inconsistent: forwarding is not allowed"]}')])
    proxy.rule = lambda request: next(once, None) if "x-vault-inconsistent" in request.headers else None
    store = make(whole, mount, proxy.url)
    written(store.write(key("a"), payload("0"), marks(), replaces=None))
    for number in range(1, 15):
        written(store.write(key("a"), payload(str(number)), marks(), replaces=str(number)))
        assert token(one(store, key("a"))) == str(number)
    assert any("allow_forwarding_via_header" in warning for warning in store.warnings)
    assert {412, 429} & set(proxy.statuses)


def test_compare_and_set_judged_by_an_old_copy(whole: Cluster, mount: str, proxy: FaultProxy) -> None:
    """If lagging standbys reject the second daemon's write over the first one's version, the store does not report a conflict."""
    first, second = make(whole, mount, proxy.url), make(whole, mount, proxy.url)
    written(first.write(key("a"), payload("0"), marks(), replaces=None))
    written(second.write(key("b"), payload("0"), marks(), replaces=None))
    for number in range(1, 21):
        writer = (first, second)[number % 2]
        assert written(writer.write(key("a"), payload(str(number)), marks(), replaces=str(number))).version == str(
            number + 1
        )
    assert 400 in proxy.statuses


@pytest.mark.parametrize("instances", [("acme", "acme"), ("acme", "other")], ids=["one instance", "two instances"])
def test_two_writers_at_once(whole: Cluster, mount: str, proxy: FaultProxy, instances: tuple[str, str]) -> None:
    """Of two writers of one secret at the same moment one succeeds with its own marks, and the other gets a conflict."""
    stores = [make(whole, mount, proxy.url) for _ in instances]

    def write(owner: int, target: Key, replaces: Version | None) -> Written | StoreError:
        return stores[owner].write(
            target, payload(f"{owner} {replaces}"), marks(instance=instances[owner]), replaces=replaces
        )

    for number in range(12):
        target = key(f"page{number}")
        for replaces, version in ((None, "1"), ("1", "2")) if len(set(instances)) == 1 else ((None, "1"),):
            answers = together(partial(write, 0, target, replaces), partial(write, 1, target, replaces))
            (winner,) = [owner for owner, answer in enumerate(answers) if isinstance(answer, Written)]
            failed(answers[1 - winner], "conflict")
            found = stored(make(whole, mount, whole.bao().url), target)
            assert (token(found), found.version) == (f"{winner} {replaces}", version)
            assert found.marks is not None
            assert found.marks.instance == instances[winner]


def test_two_daemons_that_write_the_same(whole: Cluster, mount: str, proxy: FaultProxy) -> None:
    """Two daemons of one instance that write one payload at once both succeed, with one version."""
    stores = [make(whole, mount, proxy.url) for _ in range(2)]
    for number in range(8):
        for version, replaces in (("1", None), ("2", "1")):
            wanted = (key(f"page{number}"), payload(version), marks())
            answers = together(*(partial(store.write, *wanted, replaces=replaces) for store in stores))
            assert {written(answer).version for answer in answers} == {version}


def test_no_quorum(whole: Cluster, mount: str) -> None:
    """With two of three nodes down, the old copy of the last node is not read as current, and no other address is asked."""
    lone, *_ = followers(whole)
    stopped = [node for node in whole.nodes if node is not lone]
    with fault_proxy(whole.bao().url) as proxy:
        store = make(whole, mount, proxy.url, timeout=2)
        without_token = make(whole, mount, proxy.url, timeout=2, login=_approle(whole, mount))
        written(store.write(key("a"), payload("one"), marks(), replaces=None))
        until(lambda: Bao(lone.url, whole.root).call("GET", f"{mount}/data/{PREFIX}a")[0] == 200, "the standby has it")
        lone.kill()
        written(store.write(key("a"), payload("two"), marks(), replaces="1"))
        for node in stopped:
            node.kill()
        whole.restart(lone)
        proxy.upstreams = [lone.url]
        copy = Bao(lone.url, whole.root).call("GET", f"{mount}/data/{PREFIX}a")
        assert (copy[0], copy[1]["data"]["data"]["access_token"]) == (200, "one")
        for ask in (
            lambda: one(store, key("a")),
            lambda: store.write(key("a"), payload("three"), marks(), replaces="2"),
            lambda: store.owned("acme"),
            lambda: one(without_token, key("a")),
        ):
            store.begin()
            assert failed(ask(), "no-leader").whole
        proxy.upstreams = whole.urls
        store.begin()
        assert failed(one(store, key("a"))).error_code in ("no-leader", "unreachable")
        whole.heal()
        store.begin()
        assert token(one(store, key("a"))) == "two"
        written(store.write(key("a"), payload("three"), marks(), replaces="2"))
    assert whole.trap.caught() == 0


def _approle(cluster: Cluster, mount: str) -> AppRoleLogin:
    bao = cluster.bao()
    where, role, secret = bao.approle(bao.policy(rules(mount)))
    return AppRoleLogin(lambda: Secret(role), lambda: Secret(secret), mount=where)


def test_login_brings_the_index(whole: Cluster, mount: str) -> None:
    """A store that has just logged in reads the last write also from a standby, since the active node grants the token.

    On a loaded machine the leader may change meanwhile: then there is no answer for a while, but never an old one.
    """
    login = _approle(whole, mount)
    for number in range(10):
        body, path = {"data": {"access_token": str(number)}}, f"{mount}/data/{PREFIX}a"
        until(lambda body=body, path=path: whole.bao().call("POST", path, body)[0] == 200, "the write")
        answers: list[Stored | Absent] = []

        def read(answers: list[Stored | Absent] = answers) -> bool:
            store = make(whole, mount, followers(whole)[0].url, login=login)
            found = one(store, key("a"))
            store.close()
            if not isinstance(found, StoreError):
                answers.append(found)
            return bool(answers)

        until(read, "an answer")
        assert token(answers[0]) == str(number)


def test_snapshot_that_is_restored(whole: Cluster, mount: str, proxy: FaultProxy) -> None:
    """After a snapshot restore, versions go back: the store reads what is stored then and writes over it by compare-and-set."""
    store = make(whole, mount, proxy.url, timeout=5)
    written(store.write(key("a"), payload("one"), marks(), replaces=None))
    snapshot = _snapshot(whole, "GET", "snapshot")
    written(store.write(key("a"), payload("two"), marks(), replaces="1"))
    written(store.write(key("b"), payload("one"), marks(), replaces=None))
    _snapshot(whole, "POST", "snapshot-force", snapshot)
    until(whole.is_healthy, "three voters")

    def read_again() -> bool:
        store.begin()
        return not isinstance(one(store, key("a")), StoreError)

    until(read_again, "the store answers")
    store.begin()
    assert token(one(store, key("a"))) == "one"
    assert isinstance(one(store, key("b")), Absent)
    failed(store.write(key("a"), payload("three"), marks(), replaces="2"), "conflict")
    assert written(store.write(key("a"), payload("three"), marks(), replaces="1")).version == "2"
    written(store.write(key("b"), payload("two"), marks(), replaces=None))


def _snapshot(cluster: Cluster, method: str, what: str, content: bytes | None = None) -> bytes:
    address = f"{cluster.bao().url}/v1/sys/storage/raft/{what}"
    request = urllib.request.Request(address, content, {"X-Vault-Token": cluster.root}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def test_index_that_no_node_will_reach(whole: Cluster, mount: str, proxy: FaultProxy) -> None:
    """An index that no node will reach is dropped within one call, and the next cycle works."""
    store = make(whole, mount, proxy.url)
    written(store.write(key("a"), payload("one"), marks(), replaces=None))

    def refuse(request: Request) -> Reply | None:
        return Reply(429, '{"errors":[]}', {"Retry-After": "1"}) if "x-vault-index" in request.headers else None

    proxy.rule = refuse
    store.begin()
    failed(one(store, key("a")), "no-leader")
    proxy.rule = None
    store.begin()
    assert token(one(store, key("a"))) == "one"
