"""What is not Vault's answer is none: pages of gateways, foreign JSON, redirects, and a path inside another mount."""

from __future__ import annotations

import base64
import json

import pytest

from sync.core.model import Absent, Key
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig, rules
from tests.support.services.bao import Bao, bao
from tests.support.services.cluster import until
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request, Rule, times
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["bao"]

HTML, TEXT = {"Content-Type": "text/html"}, {"Content-Type": "text/plain; charset=utf-8"}
UNSUPPORTED = Reply(405, '{"errors": ["1 error occurred:\\n\\t* unsupported operation\\n\\n"]}')
HALF = chr(0xD800)
"""Half a surrogate pair, which JSON allows."""
HIDDEN = Reply(403, '{"errors":["preflight capability check returned 403"]}')


@pytest.fixture
def store(rig: VaultRig, proxy: FaultProxy) -> VaultStore:
    """Return a store behind the gateway, on a clock that need not be waited for."""
    return VaultStore("vault", rig.settings(address=proxy.url, timeout=5), clock=LeapingClock())


@pytest.mark.parametrize(
    "page",
    [
        Reply(404, "404 page not found\n", TEXT),
        Reply(404, "", {}),
        Reply(404, "", {"Content-Type": "application/json"}),
        Reply(404, "<html>Not Found</html>", HTML),
        Reply(404, '{"message":"no Route matched with those values"}'),
        Reply(404, '{"errors":[{"code":"NAME_UNKNOWN"}]}'),
        Reply(404, '{"data":null,"error":"not found"}'),
        Reply(404, '"not found"'),
        Reply(200, '{"status":"ok"}'),
        Reply(200, "<html>Sign in</html>", HTML),
        Reply(200, "", {}),
        Reply(401, "<html>Authorization Required</html>", HTML),
        Reply(403, "<html>Request blocked</html>", HTML),
        Reply(403, '{"message":"Forbidden"}'),
        Reply(405, "Method Not Allowed", TEXT),
        Reply(500, "<html>Internal Server Error</html>", HTML),
        Reply(301, "", {"Location": "https://vault.internal/v1/secret"}),
        Reply(302, "", {"Location": "https://login.internal/?next=/v1/"}),
        Reply(308, "", {}),
    ],
)
@pytest.mark.parametrize("part", ["/v1/", "/data/"])
def test_page_of_a_gateway_is_no_answer(
    part: str, page: Reply, rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """A page or foreign JSON, for all requests or for data alone, is never an absent secret, and nothing is written."""
    key = rig.key("a")
    proxy.rule = lambda request: page if part in request.path else None
    for number in range(12):
        assert failed(one(store, rig.key(f"page{number}")), "not-vault").whole
    failed(store.write(key, payload(), marks(), replaces=None), "not-vault")
    proxy.rule = None
    store.begin()
    assert isinstance(one(store, key), Absent)


def test_listing_that_hashicorp_vault_does_not_have(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """Where the detailed listing is an unknown path, as in HashiCorp Vault, folders are listed and secrets are read instead."""
    keys = [rig.key(f"page{number}") for number in range(12)]
    rig.plant(keys[0], payload().reveal())  # type: ignore[arg-type]
    status, unknown = rig.bao.call("GET", f"{rig.mount}/detailed-nothing/meta/pages/?scan=true")
    assert (status, bool(unknown["warnings"])) == (404, True)
    proxy.rule = times(10**6, Reply(404, json.dumps(unknown)), "GET", "detailed-metadata")
    answers = store.read(keys)
    assert stored(store, keys[0]).payload == payload()
    assert all(isinstance(answers[key], Absent) for key in keys[1:])
    assert store.owned("acme") == []


def test_page_instead_of_metadata_is_no_absence(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A page instead of a listing or of metadata makes no secret absent, and no orphan."""
    keys = [rig.key(f"page{number}") for number in range(12)]
    proxy.rule = lambda request: Reply(404, "404 page not found", TEXT) if "metadata" in request.path else None
    for answer in store.read(keys).values():
        message = failed(answer, "not-vault").message
        assert f"GET /v1/{rig.mount}/detailed-metadata/meta/pages with HTTP 404 and a page" in message
    failed(store.owned("acme"), "not-vault")


def test_redirect_says_where_it_leads(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A load balancer's redirect is named with its target, is not followed, and is not waited for as an election."""
    proxy.rule = lambda _: Reply(301, "", {"Location": "https://vault.internal:8443/v1/sys?token=x"})
    problem = failed(one(store, rig.key("a")), "not-vault")
    assert "https://vault.internal:8443 (HTTP 301)" in problem.message
    assert "`address`" in problem.remedy
    assert len(proxy.requests) == 1


def test_redirect_to_https_of_the_same_host_is_no_election(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A 307 from http to https at the same host is a gateway's; a standby's leads to another node."""
    proxy.rule = lambda _: Reply(307, "", {"Location": proxy.url.replace("http:", "https:") + "/v1/x"})
    failed(one(store, rig.key("a")), "not-vault")


def test_limit_of_a_gateway(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A gateway's 429 page is waited for, and if it lasts it is named as the gateway's and not as a standby that lags."""
    key = rig.key("a")
    limited = Reply(429, "<html>Too Many Requests</html>", HTML)
    proxy.rule = times(3, limited, "GET", "/data/")
    assert isinstance(one(store, key), Absent)
    proxy.rule = lambda _: limited
    store.begin()
    problem = failed(one(store, key), "throttled")
    assert "gateway" in problem.message
    assert "rate limit" in problem.remedy


def test_request_that_a_gateway_takes_for_too_large(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A 413 names whose limit is to be raised."""
    for page, whose in ((Reply(413, "<html>", HTML), "gateway"), (Reply(413, '{"errors":[]}'), "max_request_size")):
        proxy.rule = times(99, page, "POST", "/data/")
        store.begin()
        problem = failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "unexpected")
        assert whose in problem.remedy


def test_disaster_recovery_secondary(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A secondary of disaster recovery answers nobody, which is named and asked once a cycle."""
    text = '{"errors":["path disabled in replication DR secondary mode"]}'
    proxy.rule = lambda _: Reply(400, text)
    problem = failed(one(store, rig.key("a")), "no-leader")
    assert problem.whole
    assert "primary cluster" in problem.remedy
    asked = len(proxy.requests)
    failed(one(store, rig.key("b")), "no-leader")
    assert len(proxy.requests) == asked


def test_page_uses_up_no_login(bao: Bao, rig: VaultRig, proxy: FaultProxy) -> None:
    """A gateway's 403 page does not count as a refused token: nothing is looked up, and no login is made."""
    proxy.rule = lambda _: Reply(403, "<html>Request blocked</html>", HTML)
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
    failed(one(store, rig.key("a")), "not-vault")
    assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        UNSUPPORTED,
        Reply(405, "<html>Not Allowed</html>", HTML),
        Reply(501, "", {}),
        Reply(403, "<html>Request blocked</html>", HTML),
        Reply(404, "", {}),
        Reply(404, "404 page not found", TEXT),
        Reply(415, '{"errors":["PATCH requires Content-Type of application/merge-patch+json"]}'),
        Reply(502, "<html>Bad Gateway</html>", HTML),
        Fault.CUT,
    ],
)
def test_no_data_where_patch_is_refused(refusal: Reply | Fault, rig: VaultRig, proxy: FaultProxy) -> None:
    """A server or gateway that refuses PATCH gets no data, for a new secret and for an old one; once it works, both are written."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=5), clock=LeapingClock())
    new, old = rig.key("new"), rig.key("old")
    written(rig.make_store().write(old, payload("old"), marks(), replaces=None))
    proxy.rule = lambda request: refusal if request.method == "PATCH" else None
    for _ in range(2):
        store.begin()
        assert not failed(store.write(new, payload(), marks(), replaces=None)).maybe_written
        assert not failed(store.write(old, payload("two"), marks(), replaces="1")).maybe_written
    assert not proxy.writes()
    proxy.rule = None
    store.begin()
    written(store.write(new, payload(), marks(), replaces=None))
    written(store.write(old, payload("two"), marks(), replaces="1"))
    assert (stored(rig.make_store(), new).marks, stored(rig.make_store(), old).version) == (marks(), "2")


def test_a_refused_patch_is_named(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """The error says that PATCH is refused and which versions have it, reads go on, and a cycle tries it once."""
    keys = [rig.key(f"page{number}") for number in range(20)]
    proxy.rule = times(10**6, UNSUPPORTED, "PATCH", "/metadata/")
    store.begin()
    for key in keys:
        problem = failed(store.write(key, payload(), marks(), replaces=None), "no-patch")
        assert "PATCH" in problem.message
        assert "Vault 1.10" in problem.remedy
        assert isinstance(one(store, key), Absent)
    assert len([request for request in proxy.requests if request.method == "PATCH"]) == 1


def test_patch_is_tried_once_a_process(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A PATCH that changes nothing is tried before the first write, and again only after one that failed."""
    for number in range(3):
        store.begin()
        written(store.write(rig.key(f"page{number}"), payload(), marks(), replaces=None))
    assert [request.method for request in proxy.requests].count("PATCH") == 3 + 1
    proxy.rule = lambda request: UNSUPPORTED if request.method == "PATCH" else None
    store.begin()
    assert failed(store.write(rig.key("b"), payload(), marks(), replaces=None), "no-patch").maybe_written
    failed(store.write(rig.key("c"), payload(), marks(), replaces=None), "no-patch")
    assert rig.bao.call("GET", rig.at("metadata", rig.key("c")))[0] == 404


def test_trying_patch_changes_nothing(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """The PATCH that is tried changes no metadata of an existing secret."""
    key = rig.key("a")
    rig.plant(key, payload().reveal(), {"managed-by": "somebody"})  # type: ignore[arg-type]
    before = rig.metadata(key)
    failed(store.write(key, payload("two"), marks(), replaces="9"), "conflict")
    assert [request.method for request in proxy.requests].count("PATCH") == 1
    assert rig.metadata(key) == before


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("inside", ["data", "metadata", "data/meta/pages", "deep"])
def test_path_inside_a_mount_is_no_mount(rig: VaultRig, proxy: FaultProxy, inside: str, *, hidden: bool) -> None:
    """A `mount` that is a path inside a KV mount gets nothing written, although a token with broad rights could; the mount is named."""
    mount, rig.token = rig.mount, rig.bao.root
    rig.mount = f"{mount}/{inside}"
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
    if hidden:
        proxy.rule = times(10**6, HIDDEN, "GET", "internal/ui")
    problem = failed(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert not [request for request in proxy.requests if b"access_token" in request.body]
    assert rig.bao.call("GET", f"{mount}/metadata/?list=true")[0] == 404
    assert failed(problem, "no-mount").whole
    if not hidden:
        assert f"`mount: {mount}`" in problem.remedy
        failed(one(store, rig.key("a")), "no-mount")
        failed(store.owned("acme"), "no-mount")


def test_mount_whose_own_path_has_data_in_it(bao: Bao, proxy: FaultProxy) -> None:
    """A mount of several segments, such as secret/data/team, is accepted under its own path."""
    rig = VaultRig(bao)
    rig.mount, rig.token = f"{rig.mount}x/data/team", bao.root
    bao.admin("POST", f"sys/mounts/{rig.mount}", {"type": "kv", "options": {"version": "2"}})
    store = rig.make_store()
    until(lambda: bao.call("POST", f"{rig.mount}/data/probe", {"data": {}})[0] == 200, "the mount is ready")
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))


@pytest.mark.parametrize(
    "index", ["ünïcode", "a\tb", "x" * 5000, base64.b64encode(b'{"value": 1e400}').decode(), "[]", "e30="]
)
def test_index_that_no_header_can_carry(index: str, rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """An index that is not printable ASCII or absurdly long is dropped, and later requests and cycles work."""
    proxy.rule = times(1, Reply(404, '{"errors":[]}', {"X-Vault-Index": index}), "GET", "/data/")
    for _ in range(3):
        assert isinstance(one(store, rig.key("a")), Absent)
        store.begin()


@pytest.mark.parametrize(
    "changed",
    [
        {"deletion_time": "2099-01-01T00:00:00"},
        {"deletion_time": "9999-12-31T23:59:59-23:59"},
        {"deletion_time": "0001-01-01T00:00:00+23:59"},
        {"deletion_time": "soon"},
        {"deletion_time": 10**400},
        {"deletion_time": ["x"]},
        {"created_time": None},
        {"custom_metadata": {"instance": {"a": [1.5]}, "page-id": HALF}},
        {"custom_metadata": ["x"]},
        {"max_versions": 10**400},
        {"max_versions": True},
        {"destroyed": 7},
        {"current_version": 10**400},
        {"current_version": -1},
        {"current_version": True},
        {"current_version": 1.5},
        {"versions": {"1": None}},
        {"versions": None},
    ],
)
@pytest.mark.parametrize("endpoint", ["/data/", "metadata/"])
def test_absurd_metadata_is_one_secrets_trouble(
    endpoint: str, changed: dict[str, object], rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """Times without a zone, numbers of 400 digits and values of another type end no call and affect no other secret."""
    keys = [rig.key(f"page{number}") for number in range(10)]
    for key in keys:
        rig.plant(key, payload().reveal(), {"managed-by": "page-token-sync", "instance": "acme", "page-id": "1"})  # type: ignore[arg-type]
    proxy.rule = _with(keys[3], endpoint, changed, rig)
    for _ in range(2):
        store.begin()
        answers = store.read(keys)
        assert all(hasattr(answers[key], "payload") for key in keys if key != keys[3]), answers
        store.owned("acme")
        list(store.warnings)
        answer = answers[keys[3]]
        if hasattr(answer, "error_code"):
            assert not failed(answer).whole


def _with(key: Key, endpoint: str, changed: dict[str, object], rig: VaultRig) -> Rule:
    """Return a rule that changes fields of one secret's metadata in what the server answered."""

    def rule(request: Request) -> Reply | None:
        if endpoint not in request.path or (endpoint == "/data/" and not request.path.endswith(key.path)):
            return None
        status, body = rig.bao.call(request.method, request.path.removeprefix("/v1/"))
        data = body.get("data") or {}
        of_data = {**changed, **({"version": changed["current_version"]} if "current_version" in changed else {})}
        if "metadata" in data:
            data["metadata"].update(of_data)
        elif "key_info" in data:
            info = data["key_info"][key.path.rpartition("/")[2]]
            info.update(changed)
            if isinstance(info["versions"], dict) and info["versions"]["1"] is not None:
                info["versions"]["1"].update(changed)
        elif request.path.endswith(key.path):
            data.update(changed)
        return Reply(status, json.dumps(body))

    return rule


def test_listing_of_names_that_no_path_has(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A listing may hold names that cannot be a path, which are left out."""
    info = {
        "current_version": 1,
        "versions": {"1": {}},
        "custom_metadata": {"managed-by": "page-token-sync", "instance": "acme"},
    }
    names = dict.fromkeys(("good", "../up", "half" + HALF, "a//b", ""), info)
    proxy.rule = times(10**6, Reply(200, json.dumps({"data": {"key_info": names}})), "GET", "detailed-metadata")
    assert [key.path for key, _ in store.owned("acme")] == ["meta/pages/good"]  # type: ignore[union-attr]


@pytest.mark.parametrize("of", ["data", "metadata"])
def test_policy_that_restricts_parameters(rig: VaultRig, of: str) -> None:
    """Where the policy has the capability and restricts parameters, the error says so, and nothing is written."""
    path, only = f'path "{rig.mount}/{of}/meta/pages/*" {{', 'allowed_parameters = { "max_versions" = [] }'
    policy = rules(rig.mount).replace(path, f"{path} {only}\n")
    rig.token = rig.bao.token(rig.bao.policy(policy))
    problem = failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None), "denied")
    assert "restricts the parameters" in problem.message
    assert "allowed_parameters" in problem.remedy
    assert rig.bao.call("GET", rig.at("metadata", rig.key("a")))[0] == 404


def test_plan_finds_what_the_policy_denies(rig: VaultRig, proxy: FaultProxy) -> None:
    """Which of a thousand writes the policy denies is found in three requests, and without a write."""
    allowed, denied_ = rig.key("page0"), rig.key("locked")
    keys = [allowed, denied_, *(rig.key(f"page{number}") for number in range(1, 999))]
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
    refusals = store.would_refuse(dict.fromkeys(keys, "create"))
    assert set(refusals) == {denied_}
    assert "`create`" in failed(refusals[denied_], "denied").message
    assert (len(proxy.requests), proxy.writes()) == (3, [])


@pytest.mark.parametrize("kind", ["create", "update", "mark"])
def test_plan_under_a_policy_that_only_reads(rig: VaultRig, kind: str) -> None:
    """Under a read-only policy each write would be refused, for all that it lacks; a token that may not ask refuses none."""
    only = f'path "{rig.mount}/*" {{ capabilities = ["read", "list"] }}'
    keys = [rig.key(f"page{number}") for number in range(5)]
    rig.token = rig.bao.token(rig.bao.policy(only))
    refusals = rig.make_store().would_refuse(dict.fromkeys(keys, kind))  # type: ignore[arg-type]
    assert {failed(refusals[key]).error_code for key in keys} == {"denied"}
    lacks = {"create": ("`patch`", "`create`"), "update": ("`patch`", "`update`"), "mark": ("`patch`",)}[kind]
    assert all(needs in failed(refusals[keys[0]]).message for needs in lacks)
    rig.token = rig.bao.token(rig.bao.policy(only), no_default_policy=True)
    assert rig.make_store().would_refuse(dict.fromkeys(keys, kind)) == {}  # type: ignore[arg-type]
