"""A Vault store under faults of networks, proxies, standbys and elections, over a real OpenBao behind the fault proxy."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.core.model import Absent, Key, Stored, StoreError, Written
from sync.runtime.threads import Stopping, SystemClock
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig
from tests.support.services.bao import Bao, bao, dev_node, free_port, run_server
from tests.support.services.cluster import until
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request, Rule, times
from tests.support.store_contract import CANARY, failed, marks, one, payload, stored, written

__all__ = ["bao"]

NOT_YET = Reply(429, '{"errors":[]}')
BEHIND = Reply(412, '{"errors":["required index state not present"]}')
CAS = Reply(400, '{"errors":["check-and-set parameter did not match the current version"]}')
QUOTA = Reply(429, '{"errors":["request path \\"x\\": rate limit quota exceeded"]}')
NO_LEADER = Reply(307, "", {"Location": "http://127.0.0.1:9/elsewhere"})
LOST_LEAD = Reply(500, '{"errors":["leadership lost while committing log"]}')
SEALED = Reply(503, '{"errors":["Vault is sealed"]}')
NOT_READY = Reply(
    400,
    '{"errors":["Waiting for the primary to upgrade from non-versioned to versioned data. This backend will be unavailable for '
    'a brief period and will resume service when the primary is finished."]}',
)
"""What a node says that was just unsealed (OpenBao 2.7.2)."""
NO_NODE = Reply(500, '{"errors":["local node not active but active cluster node not found"]}')


@pytest.fixture
def store(rig: VaultRig, proxy: FaultProxy) -> Iterator[VaultStore]:
    """Return a store that goes through the proxy, on a clock that need not be waited for."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=5), clock=LeapingClock())
    store.begin()
    yield store
    proxy.rule = None


@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.CUT, LOST_LEAD, Reply(502, "<html>"), Reply(503, "")])
def test_write_without_an_answer_is_settled_by_reading(
    fault: Fault | Reply, rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """A write whose answer is lost, before or after it took effect, makes one version with this instance's marks."""
    key = rig.key("a")
    one(store, key)
    proxy.rule = times(1, fault, "POST", "/data/")
    written(store.write(key, payload("one"), marks(), replaces=None))
    proxy.rule = times(1, fault, "POST", "/data/")
    written(store.write(key, payload("two"), marks(reason="heal"), replaces="1"))
    found = stored(rig.make_store(), key)
    assert (found.payload, found.marks, rig.versions(key)) == (payload("two"), marks(reason="heal"), ["1", "2"])


@pytest.mark.parametrize("fault", [Fault.CUT, LOST_LEAD, Reply(502, "<html>")])
def test_write_that_a_stopped_node_receives_repeatedly(
    fault: Fault | Reply, rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """Answers that are lost before anything was done are no conflict, however many; the write succeeds in the end."""
    key = rig.key("a")
    written(store.write(key, payload("one"), marks(), replaces=None))
    proxy.rule = times(4, fault, "POST", "/data/")
    written(store.write(key, payload("two"), marks(), replaces="1"))
    assert rig.versions(key) == ["1", "2"]


def test_write_that_never_has_an_answer(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A write that is cut off until the timeout, while reads work, is unreachable and may have taken effect."""
    key = rig.key("a")
    proxy.rule = times(10**6, Fault.CUT, "POST", "/data/")
    problem = failed(store.write(key, payload(), marks(), replaces=None), "unreachable")
    assert problem.maybe_written
    assert len(proxy.writes()) > 3
    proxy.rule = None
    store.begin()
    written(store.write(key, payload(), marks(), replaces=None))
    assert rig.versions(key) == ["1"]


def test_stopped_node_among_others(rig: VaultRig, proxy: FaultProxy) -> None:
    """During an election, failed connections between other answers come from one node and do not fail the store."""
    store, key = VaultStore("vault", rig.settings(address=proxy.url, timeout=30), clock=LeapingClock()), rig.key("a")
    faults = iter([NO_LEADER, Fault.CUT, NO_LEADER, Fault.CUT, NO_NODE, Fault.CUT, NOT_READY, SEALED, Fault.CUT])
    proxy.rule = lambda request: next(faults, None) if request.method == "GET" and "/data/" in request.path else None
    assert isinstance(one(store, key), Absent)
    assert next(faults, None) is None


def test_write_that_took_effect_and_then_a_stale_read(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A lost answer followed by a stale read ends as success without a second version."""
    key, seen = rig.key("a"), []

    def rule(request: Request) -> Reply | Fault | None:
        if "/data/meta" not in request.path:
            return None
        seen.append(request.method)
        if seen == ["POST"]:
            return Fault.LOSE
        return Reply(404, '{"errors":[]}') if seen == ["POST", "GET"] else None

    proxy.rule = lambda request: (
        Reply(404, '{"errors":[]}') if seen == ["POST", "GET"] and "/metadata/" in request.path else rule(request)
    )
    written(store.write(key, payload(), marks(), replaces=None))
    assert rig.versions(key) == ["1"]


@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.CUT, NO_LEADER, NO_NODE, QUOTA, NOT_YET, BEHIND])
def test_marks_without_an_answer_are_sent_again(
    fault: Fault | Reply, rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """A PATCH of the marks whose answer is lost is sent again, since it changes nothing twice."""
    key = rig.key("a")
    proxy.rule = times(2, fault, "PATCH", "/metadata/")
    written(store.write(key, payload(), marks(), replaces=None))
    assert stored(rig.make_store(), key).marks == marks()


@pytest.mark.parametrize("fault", [NO_LEADER, NO_NODE, QUOTA, NOT_YET, BEHIND, NOT_READY])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_passing_trouble_is_waited_for(
    method: str, fault: Reply, rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """No leader, a lagging node and a quota are waited for within the call; a redirect is never followed."""
    key = rig.key("a")
    proxy.rule = times(3, fault, method, "/data/")
    written(store.write(key, payload(), marks(), replaces=None))
    assert rig.versions(key) == ["1"]


@pytest.mark.parametrize(
    ("fault", "reason", "whole"),
    [
        (NO_LEADER, "no-leader", True),
        (NO_NODE, "no-leader", True),
        (NOT_READY, "no-leader", True),
        (QUOTA, "throttled", True),
        (NOT_YET, "no-leader", False),
        (Reply(200, "<html>Sign in</html>", {"Content-Type": "text/html"}), "not-vault", True),
        (Reply(200, "[1]"), "unreadable", False),
        (Reply(200, "[" * 100_000), "unreadable", False),
        (Reply(200, '{"data": ' + "1" * 5000 + "}"), "unreadable", False),
        (Reply(200, '{"data": null}'), "unexpected", False),
        (Reply(200, '{"data": {"metadata": {"version": "x"}}}'), "unexpected", False),
        (Reply(200, " " * (2 << 20)), "unreadable", False),
        (Reply(400, "Client sent an HTTP request to an HTTPS server.\n", {}), "tls", True),
        (Reply(500, '{"errors":["internal error"]}'), "unexpected", False),
        (Reply(501, '{"errors":["not initialised"]}'), "sealed", True),
        (Reply(503, '{"errors":["Vault is sealed"]}'), "sealed", True),
        (Reply(503, "<html>"), "unreachable", True),
        (Reply(404, '{"errors":["namespace not found"]}'), "namespace", True),
        (Reply(404, '{"errors":["no handler for route \\"kv/data/x\\". route entry not found."]}'), "no-mount", True),
        (Fault.CUT, "unreachable", True),
    ],
)
def test_lasting_trouble_of_a_read(
    fault: Fault | Reply, reason: str, rig: VaultRig, proxy: FaultProxy, store: VaultStore, *, whole: bool
) -> None:
    """Each lasting failure has its error code, says whether it concerns the whole store, and quotes nothing of the answer."""
    key = rig.key("a")
    written(store.write(key, payload(), marks(), replaces=None))
    store.begin()
    proxy.rule = times(10**6, fault, "GET", "/data/")
    problem = failed(one(store, key), reason)
    assert problem.whole is whole
    assert not [word for word in (CANARY, rig.token, "html", "errors") if word in repr(problem)]
    proxy.rule = None
    store.begin()
    assert stored(store, key).payload == payload()


def test_trouble_of_the_whole_store_is_asked_about_once(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A thousand Pages do not wait a thousand times for a store without a leader."""
    keys = [rig.key(f"page{number}") for number in range(1000)]
    proxy.rule = lambda request: NO_LEADER if "/data/" in request.path or "metadata" in request.path else None
    began = time.monotonic()
    answers = store.read(keys)
    assert {failed(answer, "no-leader").whole for answer in answers.values()} == {True}
    assert len(proxy.requests) < 150
    assert time.monotonic() - began < 5


def test_a_hanging_server_is_a_timeout(rig: VaultRig, proxy: FaultProxy) -> None:
    """A call ends with its timeout, and later calls of the cycle fail at once without a request."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=0.4), clock=LeapingClock())
    store.begin()
    key = rig.key("a")
    proxy.rule = lambda request: Fault.HANG if "/data/" in request.path else None
    began = time.monotonic()
    failed(one(store, key), "timeout")
    sent = store.requests
    assert failed(store.write(key, payload(), marks(), replaces=None), "timeout").whole
    failed(store.mark(key, marks(), version="1"), "timeout")
    failed(store.owned("acme"), "timeout")
    assert store.requests == sent
    assert time.monotonic() - began < 2
    proxy.rule = None
    store.begin()
    assert isinstance(one(store, key), Absent)


def test_a_timeout_after_retries_names_their_cause(rig: VaultRig, proxy: FaultProxy) -> None:
    """A quota that lasts until the timeout is reported as the quota, and not as a slow server."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=1), clock=SystemClock())
    store.begin()
    quota = iter([Reply(429, '{"errors":["request path: rate limit quota exceeded"]}')])
    proxy.rule = lambda request: next(quota, Fault.HANG) if "/data/" in request.path else None
    assert failed(one(store, rig.key("a")), "throttled").whole


def test_a_write_that_times_out_may_have_been_done(rig: VaultRig, proxy: FaultProxy) -> None:
    """A write without an answer in time says that it may have taken effect."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=0.4), clock=LeapingClock())
    key = rig.key("a")
    proxy.rule = times(1, Fault.HANG, "POST", "/data/")
    assert failed(store.write(key, payload(), marks(), replaces=None), "timeout").maybe_written


@pytest.mark.parametrize(
    "fault", [Fault.HANG, Reply(503, '{"errors":["Vault is sealed"]}'), Reply(404, '{"errors":[]}')]
)
def test_read_back_that_fails(fault: Fault | Reply, rig: VaultRig, proxy: FaultProxy) -> None:
    """A write that was acknowledged and could not be read back is written, and not confirmed."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=0.6), clock=LeapingClock())
    key = rig.key("a")
    proxy.rule = lambda request: fault if request.method == "GET" and "data/" in request.path else None
    answer = store.write(key, payload(), marks(), replaces=None)
    assert answer == Written("1", confirmed=False)
    assert stored(rig.make_store(), key).marks == marks()


def test_read_back_of_a_standby_that_lags(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """An older version or nothing, read just after a write, is read again and is no mismatch."""
    key = rig.key("a")
    for version, old in ((None, Reply(404, '{"errors":[]}')), ("1", None)):
        before = old or Reply(200, json.dumps(rig.bao.admin("GET", rig.at("data", key))))
        hits = [0]

        def rule(request: Request, before: Reply = before, hits: list[int] = hits) -> Reply | None:
            if request.method != "GET" or "data/" not in request.path:
                return None
            hits[0] += 1
            return before if hits[0] <= 6 else None

        proxy.rule = rule
        written(store.write(key, payload(str(version)), marks(), replaces=version))
        assert hits[0] > 6


def test_compare_and_set_that_fails_for_no_reason(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A standby that judges the version by its old copy causes no conflict."""
    key = rig.key("a")
    written(store.write(key, payload("one"), marks(), replaces=None))
    proxy.rule = times(1, CAS, "POST", "/data/")
    written(store.write(key, payload("two"), marks(), replaces="1"))
    assert rig.versions(key) == ["1", "2"]


def test_compare_and_set_that_always_fails(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A compare-and-set that fails for longer than a node lags is a conflict, and nothing was written."""
    proxy.rule = times(10**6, CAS, "POST", "/data/")
    assert not failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "conflict").maybe_written
    assert 2 < len([a for a in proxy.requests if a.method == "POST" and "/data/" in a.path]) < 8


def test_write_that_another_daemon_did_first_while_standbys_lag(
    rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """Where another daemon of this instance wrote the same, reads of an old copy after each mismatch cause no conflict."""
    key = rig.key("a")
    written(rig.make_store().write(key, payload(), marks(), replaces=None))
    old = iter([Reply(404, '{"errors":[]}')] * 6)
    proxy.rule = lambda request: next(old, None) if request.method == "GET" and "data/" in request.path else None
    written(store.write(key, payload(), marks(), replaces=None))
    assert next(old, None) is None
    assert rig.versions(key) == ["1"]


def test_same_payload_of_a_daemon_between_its_two_writes(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """The wanted payload without marks, written by another daemon, is waited for: with this instance's marks it is success."""
    key = rig.key("a")
    rig.plant(key, payload().reveal())  # type: ignore[arg-type]
    hits = [0]

    def rule(request: Request) -> None:
        hits[0] += request.method == "GET" and "/data/" in request.path
        if hits[0] == 4:
            rig.make_store().mark(key, marks(written_at="2026-11-25T02:00:00Z"), version="1")

    proxy.rule = rule
    written(store.write(key, payload(), marks(), replaces=None))
    assert rig.versions(key) == ["1"]


def test_same_payload_that_nobody_marks(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """The wanted payload without marks, which this store has not written, is left alone."""
    key = rig.key("a")
    rig.plant(key, payload().reveal())  # type: ignore[arg-type]
    failed(store.write(key, payload(), marks(), replaces=None), "conflict")
    assert stored(rig.make_store(), key).marks is None


def test_marks_lost_to_a_kill_leave_what_can_be_repaired(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """Data without marks is an unmarked first version with the wanted payload, which ``mark`` completes."""
    key = rig.key("a")
    proxy.rule = lambda request: (
        Reply(500, '{"errors":["internal error"]}') if request.method == "PATCH" and proxy.writes() else None
    )
    assert failed(store.write(key, payload(), marks(), replaces=None)).maybe_written
    proxy.rule = None
    store.begin()
    found = stored(store, key)
    assert (found.payload, found.marks, found.first) == (payload(), None, True)
    written(store.mark(key, marks(), version=found.version))


def test_mark_of_another_secret_with_the_same_version(rig: VaultRig, store: VaultStore) -> None:
    """A secret that was removed and created again by somebody else has the same version, and is not marked."""
    key = rig.key("a")
    rig.plant(key, payload().reveal())  # type: ignore[arg-type]
    found = stored(store, key)
    rig.bao.admin("DELETE", rig.at("metadata", key))
    rig.plant(key, {"access_token": "theirs", "page_id": "101"})
    failed(store.mark(key, marks(), version=found.version, read=found), "conflict")
    assert stored(rig.make_store(), key).marks is None


def test_an_answer_that_names_no_version_is_not_believed(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A 204 to a write is not an answer of KV version 2."""
    proxy.rule = times(10**6, Reply(204), "POST", "/data/")
    problem = failed(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert problem.maybe_written


def test_a_body_that_is_too_large(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A 413 is an error of this secret alone."""
    proxy.rule = times(1, Reply(413, '{"errors":["http: request body too large"]}'), "POST", "/data/")
    assert not failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "unexpected").whole


def test_one_unreadable_answer_is_one_keys_trouble(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """An unreadable secret does not affect the others."""
    keys = [rig.key(name) for name in ("a", "bomb", "c")]
    for key in keys:
        rig.plant(key, {"x": "y"})
    proxy.rule = times(10**6, Reply(200, "[" * 100_000), "GET", "/data/meta/pages/bomb")
    answers = store.read(keys)
    failed(answers[keys[1]], "unreadable")
    assert all(isinstance(answers[key], Stored) for key in (keys[0], keys[2]))


def test_forward_header_that_is_refused(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """If the server rejects the forwarding header it is not sent any more, and the operator is warned."""
    key = rig.key("a")

    def rule(request: Request) -> Reply | None:
        if "x-vault-inconsistent" in request.headers:
            return Reply(400, '{"errors":["forwarding via header X-Vault-Inconsistent is disabled"]}')
        if request.path.endswith("capabilities-self"):
            return Reply(
                200,
                json.dumps({"data": {f"{rig.mount}/{kind}/{key.path}": ["root"] for kind in ("data", "metadata")}}),
                {"X-Vault-Index": "opaque"},
            )
        return None

    proxy.rule = rule
    written(store.write(key, payload(), marks(), replaces=None))
    assert [warning for warning in store.warnings if "X-Vault-Inconsistent" in warning]
    refused = [request for request in proxy.requests if "x-vault-inconsistent" in request.headers]
    assert len(refused) == 1


def test_index_that_is_refused_is_dropped(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """After a snapshot restore an older index is rejected, and does not stop the store."""
    key = rig.key("a")
    proxy.rule = lambda request: (
        Reply(400, '{"errors":["failed to decode \\"X-Vault-Index\\""]}')
        if "x-vault-index" in request.headers
        else Reply(404, '{"errors":[]}', {"X-Vault-Index": "stale"})
    )
    assert isinstance(one(store, key), Absent)
    proxy.rule = lambda request: NOT_YET if "x-vault-index" in request.headers else None
    store.begin()
    one(store, key)
    store.begin()
    assert isinstance(one(store, key), Absent)


def test_sealed_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that is sealed during a cycle is an error of the whole store, with the code sealed."""
    with dev_node(tmp_path_factory.mktemp("sealed")) as node:
        rig = VaultRig(node)
        store, key = rig.make_store(), rig.key("a")
        written(store.write(key, payload(), marks(), replaces=None))
        node.admin("PUT", "sys/seal", {})
        store.begin()
        assert failed(one(store, key), "sealed").whole
        failed(store.write(key, payload("two"), marks(), replaces="1"), "sealed")
        failed(store.owned("acme"), "sealed")


def test_wrong_mount(bao: Bao, rig: VaultRig) -> None:
    """A mount that does not exist is named as the cause, for root and for a token that cannot see it."""
    for token in (bao.root, rig.token):
        other = VaultRig(bao)
        other.mount, other.token = "nomount", token
        store = other.make_store()
        store.begin()
        problems = [one(store, Key("vault", "meta/pages/a")), store.owned("acme")]
        problems.append(store.write(Key("vault", "meta/pages/a"), payload(), marks(), replaces=None))
        for problem in problems:
            assert isinstance(problem, StoreError)
            assert problem.error_code in ("no-mount", "denied")


def test_mount_of_another_kind(bao: Bao) -> None:
    """An engine that is not KV is refused."""
    rig = VaultRig(bao)
    rig.mount, rig.token = "cubbyhole", bao.root
    store = rig.make_store()
    failed(one(store, Key("vault", "meta/pages/a")), "no-mount")


@pytest.mark.parametrize("hidden", [False, True])
def test_kv_version_1_is_never_written(bao: Bao, proxy: FaultProxy, *, hidden: bool) -> None:
    """A KV version 1 mount, which would store the payload in the wrong form, is refused before anything is written."""
    mount, rig = bao.mount(1), VaultRig(bao)
    rig.mount, rig.token = mount, bao.root
    if hidden:
        proxy.rule = times(
            10**6, Reply(403, '{"errors":["preflight capability check returned 403"]}'), "GET", "internal/ui"
        )
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
    store.begin()
    for replaces in (None, "1"):
        failed(store.write(rig.key("a"), payload(), marks(), replaces=replaces), "kv-v1")
    failed(store.mark(rig.key("a"), marks(), version="1"), "kv-v1")
    assert not [request for request in proxy.requests if request.method == "POST" and "/data/" in request.path]
    assert bao.call("GET", f"{mount}/?list=true")[0] == 404
    if not hidden:
        failed(one(store, rig.key("a")), "kv-v1")
        failed(store.owned("acme"), "kv-v1")


def test_mount_that_turned_into_version_1(bao: Bao, rig: VaultRig) -> None:
    """A mount that was replaced by one of version 1 is noticed in the next cycle, before anything is written."""
    store, key = rig.make_store(), rig.key("a")
    written(store.write(key, payload(), marks(), replaces=None))
    bao.admin("DELETE", f"sys/mounts/{rig.mount}")
    bao.admin("POST", f"sys/mounts/{rig.mount}", {"type": "kv", "options": {"version": "1"}})
    store.begin()
    failed(one(store, key), "kv-v1")
    failed(store.write(key, payload(), marks(), replaces="1"), "kv-v1")


def test_rule_applies_to_matching_requests_alone() -> None:
    """The proxy's rule applies its fault to as many matching requests as it should, and to no other."""
    rule: Rule = times(1, Fault.CUT, "GET", "/a")
    request = Request("GET", "/a", {}, b"")
    assert [rule(Request("GET", "/b", {}, b"")), rule(request), rule(request)] == [None, Fault.CUT, None]


def test_same_payload_marked_for_another_page(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """The wanted payload, which this instance marked for another Page, stays that Page's."""
    key = rig.key("a")
    written(rig.make_store().write(key, payload(), marks(page_id="202"), replaces=None))
    failed(store.write(key, payload(), marks(), replaces=None), "conflict")
    assert stored(rig.make_store(), key).marks == marks(page_id="202")


def test_index_that_was_overtaken(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """An older index that arrives late does not replace the newer one."""
    for value in (5, 4, 6):
        index = base64.b64encode(json.dumps({"cluster": "c", "value": str(value)}).encode()).decode()
        proxy.rule = times(1, Reply(404, '{"errors":[]}', {"X-Vault-Index": index}), "GET", "/data/")
        one(store, rig.key("a"))
    sent = [
        json.loads(base64.b64decode(a.headers["x-vault-index"]))["value"]
        for a in proxy.requests
        if "x-vault-index" in a.headers
    ]
    assert list(dict.fromkeys(sent)) == ["5", "6"]
    one(store, rig.key("a"))
    assert json.loads(base64.b64decode(proxy.requests[-1].headers["x-vault-index"]))["value"] == "6"


def test_audit_device_that_is_full(tmp_path: Path) -> None:
    """If the server cannot write its audit log, each call fails once without a retry, and nothing is written twice afterwards."""
    log, config, address = tmp_path / "audit.log", tmp_path / "audit.hcl", f"127.0.0.1:{free_port()}"
    config.write_text(f'audit "file" "to-file" {{\n  options {{\n    file_path = "{log}"\n  }}\n}}\n')
    arguments = ["-dev", "-dev-root-token-id=root", f"-dev-listen-address={address}", "-dev-no-store-token"]
    with run_server(tmp_path, [*arguments, f"-config={config}"], f"http://{address}/v1/sys/health") as server:
        rig = VaultRig(Bao(f"http://{address}", "root"))
        store, key = rig.make_store(), rig.key("a")
        written(store.write(key, payload("one"), marks(), replaces=None))
        log.unlink()
        log.symlink_to("/dev/full")
        server.send_signal(signal.SIGHUP)
        until(lambda: rig.bao.call("GET", "sys/mounts")[0] == 500, "the log is full")
        store.begin()
        before = store.requests
        failed(one(store, key), "unexpected")
        failed(store.write(key, payload("two"), marks(), replaces="1"), "unexpected")
        failed(store.owned("acme"), "unexpected")
        assert store.requests - before <= 3
        log.unlink()
        server.send_signal(signal.SIGHUP)
        until(lambda: rig.bao.call("GET", "sys/mounts")[0] == 200, "the audit log can be written")
        store.begin()
        assert stored(store, key).payload == payload("one")
        written(store.write(key, payload("two"), marks(), replaces="1"))
        assert rig.versions(key) == ["1", "2"]


@pytest.mark.parametrize("gone", ["deleted", "destroyed", "removed"])
def test_what_a_person_removed_is_written_again(gone: str, rig: VaultRig, store: VaultStore) -> None:
    """After a deleted or destroyed version the next one is written, and after a removed secret the first."""
    key = rig.key("a")
    written(store.write(key, payload("one"), marks(), replaces=None))
    written(store.write(key, payload("two"), marks(), replaces="1"))
    if gone == "removed":
        rig.bao.admin("DELETE", rig.at("metadata", key))
    elif gone == "destroyed":
        rig.bao.admin("PUT", f"{rig.mount}/destroy/{key.path}", {"versions": [2]})
    else:
        rig.delete(key)
    store.begin()
    found = one(store, key)
    if gone == "removed":
        assert isinstance(found, Absent)
        assert written(store.write(key, payload("three"), marks(), replaces=None)).version == "1"
        return
    assert isinstance(found, Stored)
    assert (found.state, found.version, found.payload, found.marks) == ("deleted", "2", None, marks())
    failed(store.write(key, payload("three"), marks(), replaces=None), "conflict")
    assert written(store.write(key, payload("three"), marks(), replaces="2")).version == "3"
    assert rig.bao.call("GET", f"{rig.at('data', key)}?version=1")[0] == 200


@pytest.mark.parametrize(("method", "part"), [("PATCH", "/metadata/"), ("GET", "/data/")], ids=["marks", "read-back"])
@pytest.mark.parametrize("fault", [NOT_YET, BEHIND, QUOTA, Fault.CUT])
def test_shutdown_amid_a_write_is_finished(
    method: str, part: str, fault: Fault | Reply, rig: VaultRig, proxy: FaultProxy
) -> None:
    """A write whose data has reached Vault at the shutdown request still gets its marks and its read-back, with their retries."""
    store, clock, key = shut_down_at(rig, proxy, "POST", "/data/")
    proxy.rule = times(2, fault, method, part)
    written(store.write(key, payload(), marks(), replaces=None))
    assert clock.stop.is_set()
    assert (stored(rig.make_store(), key).marks, rig.versions(key)) == (marks(), ["1"])


@pytest.mark.parametrize(
    ("method", "part", "confirmed"),
    [("POST", "/data/", None), ("PATCH", "/metadata/", None), ("GET", "/data/", False)],
    ids=["data", "marks", "read-back"],
)
def test_shutdown_waits_for_no_write_for_long(
    method: str, part: str, confirmed: bool | None, rig: VaultRig, proxy: FaultProxy
) -> None:
    """If Vault hangs after the shutdown request, a write ends with its grace and says that it may have taken effect."""
    clock, key, answers = LeapingClock(), rig.key("a"), iter([NOT_YET])
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=clock)

    def rule(request: Request) -> Reply | Fault | None:
        if (request.method, part in request.path) != (method, True) or not proxy.writes():
            return None
        clock.stop.set()
        reply = next(answers, None)
        if reply is None:
            clock.leap(6)
        return reply or Fault.HANG

    proxy.rule = rule
    began = time.monotonic()
    answer = store.write(key, payload(), marks(), replaces=None)
    assert time.monotonic() - began < 4
    if confirmed is None:
        assert failed(answer, "timeout").maybe_written
    else:
        assert answer == Written("1", confirmed=False)
    proxy.rule = None
    again = rig.make_store()
    if method == "POST":
        written(again.write(key, payload(), marks(), replaces=None))
    else:
        written(again.mark(key, marks(), version="1"))
    assert (stored(again, key).marks, rig.versions(key)) == (marks(), ["1"])


@pytest.mark.parametrize("hangs", [False, True])
def test_shutdown_before_a_write_begins_none(rig: VaultRig, proxy: FaultProxy, *, hangs: bool) -> None:
    """A shutdown request before the data is sent ends the call at once, and nothing is written."""
    store, clock, key = shut_down_at(rig, proxy, "POST", "/capabilities-self")
    if hangs:
        proxy.rule = lambda request: Fault.HANG if clock.stop.set() or "capabilities" in request.path else None
    began = time.monotonic()
    with pytest.raises(Stopping):
        store.write(key, payload(), marks(), replaces=None)
    with pytest.raises(Stopping):
        one(store, key)
    assert time.monotonic() - began < 3
    assert not proxy.writes()


@pytest.mark.parametrize("fault", [NOT_YET, Fault.CUT])
def test_shutdown_amid_a_renewal_is_finished(fault: Fault | Reply, rig: VaultRig, proxy: FaultProxy) -> None:
    """A renewal that has reached Vault at the shutdown request is still read back, with its retries."""
    store, clock, key = shut_down_at(rig, proxy, "POST", "/data/")
    rig.plant(key, {"token": "old"})

    def rule(request: Request) -> Reply | Fault | None:
        return later(request) if clock.stop.is_set() else None

    later, proxy.rule = times(2, fault, "GET", "/data/"), rule
    assert store.renew(key, payload(), replaces="1") == Written("2", confirmed=True)


def shut_down_at(rig: VaultRig, proxy: FaultProxy, method: str, part: str) -> tuple[VaultStore, LeapingClock, Key]:
    """Return a store whose clock gets a shutdown request once Vault has answered this request, the clock, and a key."""
    clock = LeapingClock()
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=clock)
    store.begin()
    proxy.before_answer = lambda request: (
        clock.stop.set() if request.method == method and part in request.path else None
    )
    return store, clock, rig.key("a")
