"""What a store finds out about itself, on a real OpenBao and through a proxy that makes single requests fail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sync.core.model import Key, Use
from sync.core.report.finding import Finding
from sync.core.report.store_findings import STORE_CHECKS
from sync.core.secret import Secret
from sync.stores.vault.settings import AppRoleLogin
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig, rules, settings
from tests.support.services.bao import Bao, bao, dev_node, raft
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request
from tests.support.values import page

__all__ = ["bao", "raft"]

NAMES = ("a", "b")
CHECKS = [check for check in STORE_CHECKS if check not in ("store-kms", "store-replicas")]
"""The checks of a Vault, in their order; the others are AWS's."""


def examined(rig: VaultRig, **changes: Any) -> Mapping[str, Finding]:
    """Return what a store finds out for two Pages, by check."""
    store = VaultStore("vault", rig.settings(**changes), clock=LeapingClock())
    store.begin()
    keys = [rig.key(name) for name in NAMES]
    found = store.examine({key: Use("write", page(targets=(key,))) for key in keys}, "acme")
    store.close()
    return {finding.id: finding for finding in found}


def ended(found: Mapping[str, Finding], status: str) -> Sequence[str]:
    """Return the checks that ended so."""
    return [check for check, finding in found.items() if finding.status == status]


def on(part: str, answer: Reply | Fault) -> Any:
    """Return a rule for the proxy: requests with this in their path get this answer."""

    def rule(request: Request) -> Reply | Fault | None:
        return answer if part in request.path else None

    return rule


def test_every_check_that_applies_is_made_once_and_nothing_is_written(rig: VaultRig, proxy: FaultProxy) -> None:
    """A good store has one finding for each check of a Vault, in their order, and no request that changes anything."""
    found = examined(rig, address=proxy.url)
    assert list(found) == CHECKS
    # The mount's settings are hidden by the rig's policy.
    assert ended(found, "ok") == [check for check in CHECKS if check != "store-history"]
    assert found["store-history"].remedy.endswith(f'path "{rig.mount}/config" {{ capabilities = ["read"] }}')
    changing = [(request.method, request.path) for request in proxy.requests if request.method != "GET"]
    # The marks in this PATCH are invalid, so that it changes nothing.
    assert changing == [("POST", "/v1/sys/capabilities-self"), ("PATCH", f"/v1/{rig.mount}/metadata/meta/pages/a")]
    assert rig.bao.call("GET", f"{rig.mount}/metadata/meta/pages/a")[0] == 404


def test_a_login_of_the_stores_own(rig: VaultRig) -> None:
    """By AppRole the credential is renewed by the store; where its tokens have few uses, that is a warning."""
    policy = rig.bao.policy(rules(rig.mount))
    for uses, status in ((0, "ok"), (50, "warn")):
        mount, role, secret = rig.bao.approle(policy, token_ttl="1h", token_num_uses=uses)
        login = AppRoleLogin(lambda role=role: Secret(role), lambda secret=secret: Secret(secret), mount=mount)
        found = examined(rig, login=login)
        assert found["store-login"].message == f"Vault accepts the method at auth/{mount}."
        assert (found["store-credential"].status, ended(found, "fail")) == (status, [])


def test_an_invalid_token(rig: VaultRig) -> None:
    """A token that Vault does not know fails the login, and all that needs one is skipped because of it."""
    wrong = settings(rig.bao, rig.mount, "hvs.unknown")
    found = examined(rig, login=wrong.login)
    assert (ended(found, "ok"), ended(found, "fail")) == (["store-reached", "store-server"], ["store-login"])
    assert {found[check].because for check in ended(found, "skipped")} == {"store-login vault"}


def test_a_token_without_the_default_policy(rig: VaultRig) -> None:
    """What a token may not ask is unknown and no failure, and the lines that let it ask are named."""
    token = rig.bao.token(rig.bao.policy(rules(rig.mount)), no_default_policy=True)
    found = examined(rig, login=settings(rig.bao, rig.mount, token).login)
    assert ended(found, "fail") == []
    assert ended(found, "unknown") == ["store-credential", "store-policy", "store-history"]
    assert "sys/capabilities-self" in found["store-policy"].remedy


def test_mounts(rig: VaultRig) -> None:
    """A KV version 1 mount, one that does not exist, and one inside of which nothing is allowed."""
    old = rig.bao.mount(1)
    mine, root = rig.token, rig.bao.root
    for mount, error in ((old, "version 1"), ("nowhere", "no KV engine")):
        rig.mount, rig.token = mount, root
        found = examined(rig)
        assert (ended(found, "fail"), error in found["store-mount"].message) == (["store-mount"], True)
    rig.token = mine
    found = examined(rig)
    assert (ended(found, "fail"), ended(found, "unknown")) == (["store-mount"], [])
    assert "or the policy allows nothing in it" in found["store-mount"].message


def test_history_that_is_not_kept(rig: VaultRig) -> None:
    """A mount that keeps one version, or deletes by itself, is a warning with what helps."""
    rig.bao.admin("POST", f"{rig.mount}/config", {"max_versions": 1, "delete_version_after": "24h"})
    found = examined(rig, login=settings(rig.bao, rig.mount).login)
    assert found["store-history"].status == "warn"
    assert "max_versions is 1" in found["store-history"].message
    assert "delete_version_after" in found["store-history"].message


@pytest.mark.parametrize(
    ("part", "answer", "failed", "unknown"),
    [
        ("sys/health", Reply(403, "<p>no</p>", {"Content-Type": "text/html"}), [], ["store-server"]),
        ("/v1/", Reply(403, "<p>no</p>", {"Content-Type": "text/html"}), ["store-reached"], []),
        ("/v1/", Reply(302, "", {"Location": "https://login.example/"}), ["store-reached"], []),
        ("/v1/", Fault.CUT, ["store-reached"], []),
        ("lookup-self", Reply(503, '{"errors":["Vault is sealed"]}'), ["store-server"], []),
        ("capabilities-self", Reply(500, '{"errors":["internal error"]}'), ["store-policy"], []),
        ("metadata/meta/pages/a", Reply(405, "no"), ["store-patch"], []),
    ],
)
def test_failures_on_the_way(
    rig: VaultRig, proxy: FaultProxy, part: str, answer: Reply | Fault, failed: list[str], unknown: list[str]
) -> None:
    """A request that fails is the failure of its check alone; later checks are made, or skipped because of it."""
    rig.bao.admin("POST", f"{rig.mount}/config", {"max_versions": 0})
    proxy.rule = on(part, answer)
    found = examined(rig, address=proxy.url)
    assert (ended(found, "fail"), [check for check in ended(found, "unknown") if check != "store-history"]) == (
        failed,
        unknown,
    )
    assert set(found) == set(CHECKS)
    assert all(finding.remedy for finding in found.values() if finding.status in ("fail", "unknown", "warn"))


def test_a_server_that_refuses_the_header_for_forwarding(rig: VaultRig, proxy: FaultProxy) -> None:
    """Where Vault sends an index and refuses X-Vault-Inconsistent, that is a warning with the setting that allows it."""
    answer = json.dumps({"request_id": "1", "data": {"ttl": 60, "renewable": True}})
    index = {"Content-Type": "application/json", "X-Vault-Index": "abc"}

    def rule(request: Request) -> Reply | None:
        if "lookup-self" in request.path:
            return Reply(200, answer, index)
        if "x-vault-inconsistent" in request.headers:
            return Reply(400, '{"errors":["X-Vault-Inconsistent is not allowed"]}')
        return None

    proxy.rule = rule
    found = examined(rig, address=proxy.url)
    assert ended(found, "warn") == ["store-forwarding"]
    assert "allow_forwarding_via_header" in found["store-forwarding"].remedy
    assert ended(found, "fail") == []


def test_a_sealed_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A sealed server is reached, and its state is the failure."""
    with dev_node(tmp_path_factory.mktemp("sealed")) as node:
        rig = VaultRig(node)
        node.admin("PUT", "sys/seal", {})
        found = examined(rig)
        assert (ended(found, "ok"), ended(found, "fail")) == (["store-reached"], ["store-server"])
        assert found["store-server"].message == "OpenBao 2.7.2 is sealed."


def test_a_server_with_tls_and_an_index(raft: Bao) -> None:
    """Over TLS the issuer of the certificate is named, and a server that sends an index gets the header for forwarding."""
    rig = VaultRig(raft)
    found = examined(rig)
    assert "with a certificate issued by trustme" in found["store-reached"].message
    assert found["store-forwarding"].status == "ok"
    untrusted = examined(rig, ca_file=None)
    assert (ended(untrusted, "fail"), ended(untrusted, "ok")) == (["store-reached"], [])
    assert "ca_file" in untrusted["store-reached"].remedy
    assert "The certificate is issued by trustme" in untrusted["store-reached"].message


def test_no_secret_is_shown(rig: VaultRig) -> None:
    """No finding has the token of the login."""
    assert rig.token not in repr(examined(rig))


def test_a_thousand_pages_cost_few_questions(rig: VaultRig, proxy: FaultProxy) -> None:
    """Capabilities are asked for in batches, and a listing replaces the reads of secrets that do not exist."""
    store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
    store.begin()
    keys = [Key("vault", f"meta/pages/{number}") for number in range(1000)]
    found = store.examine({key: Use("write", page(targets=(key,))) for key in keys}, "acme")
    assert found[-1].message == "1,000 secrets to be created."
    assert len(proxy.requests) < 15
