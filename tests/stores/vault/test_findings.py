"""What the answers of Vault and OpenBao say about the server, the login and the history of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sync.core.model import Key, Use
from sync.stores.vault.findings import (
    Lease,
    history_finding,
    lease,
    lease_finding,
    policy_finding,
    server,
    server_finding,
)
from sync.stores.vault.kv import Calls
from sync.stores.vault.policy import Rights
from tests.support.values import page

RIGHTS = Rights(Calls("secret"), "meta/pages/")
BAO = {"initialized": True, "sealed": False, "standby": False, "version": "2.7.2"}
VAULT = {**BAO, "version": "1.21.0+ent", "performance_standby": False, "enterprise": True}


@pytest.mark.parametrize(
    ("health", "works", "status", "text"),
    [
        (BAO, True, "ok", "OpenBao 2.7.2, unsealed."),
        (VAULT, True, "ok", "Vault 1.21.0+ent, unsealed."),
        ({**VAULT, "version": "2.0.1"}, True, "ok", "Vault 2.0.1, unsealed."),
        ({**BAO, "version": "1.9.4"}, True, "fail", "Vault or OpenBao 1.9.4 has no PATCH"),
        ({**VAULT, "version": "1.9.4"}, True, "fail", "Vault 1.9.4 has no PATCH"),
        ({**BAO, "version": ""}, True, "ok", "of a hidden version"),
        ({**BAO, "standby": True}, True, "ok", "a standby"),
        ({**BAO, "sealed": True}, False, "fail", "is sealed"),
        ({**BAO, "sealed": True}, True, "warn", "others answer"),
        ({**BAO, "initialized": False, "sealed": True}, False, "fail", "is not initialized"),
        ({**BAO, "version": "2.\x1b[31m7"}, True, "ok", "OpenBao 2.[31m7"),
    ],
)
def test_server(health: Mapping[str, Any], works: bool, status: str, text: str) -> None:
    """The product, its version and its state are one finding; a sealed node fails where no other one answers."""
    found = server_finding("vault", server(health), works=works)
    assert (found.id, found.status) == ("store-server", status)
    assert text in found.message
    assert bool(found.remedy) == (status != "ok")


TTL = {"ttl": 3600, "renewable": True, "num_uses": 0, "explicit_max_ttl": 0, "policies": ["default", "sync"]}


@pytest.mark.parametrize(
    ("looked_up", "own", "status", "text"),
    [
        (TTL, True, "ok", "valid for 60 min; it is renewed"),
        ({**TTL, "explicit_max_ttl": 86400}, True, "ok", "within its maximum of 24 h"),
        ({**TTL, "renewable": False}, True, "ok", "then a new login"),
        (TTL, False, "ok", "whatever issued it must renew it"),
        ({**TTL, "renewable": False}, False, "warn", "cannot be renewed"),
        ({**TTL, "ttl": 0}, False, "ok", "does not expire"),
        ({**TTL, "num_uses": 5}, True, "warn", "has 5 uses"),
        ({**TTL, "num_uses": 5}, False, "warn", "has 5 uses"),
        ({**TTL, "ttl": 0, "policies": ["root"]}, False, "warn", "policy `root`"),
        ({"ttl": 0, "policies": None}, False, "ok", "does not expire"),
        ({"ttl": "soon"}, False, "unknown", "is not known"),
        ({}, True, "unknown", "is not known"),
    ],
)
def test_lease(looked_up: Mapping[str, Any], own: bool, status: str, text: str) -> None:
    """How long a token is valid and what renews it; a token that ends for good, or is too powerful, is a warning."""
    found = lease_finding("vault", lease(looked_up, own=own))
    assert (found.status, text in found.message) == (status, True), found
    assert bool(found.remedy) == (status != "ok")


def test_a_token_that_may_not_look_itself_up() -> None:
    """Without a look-up the expiry is unknown, and the line that allows it is named; a login's own answer suffices."""
    unknown = lease_finding("vault", None)
    assert (unknown.status, "auth/token/lookup-self" in unknown.remedy) == ("unknown", True)
    assert lease_finding("vault", Lease(own=True, seconds=60, renewable=True)).status == "ok"


def test_lines_are_named_few_at_a_time() -> None:
    """Where some of a thousand Pages lack a right their own lines are named, a few of them; where all do, the one for all."""
    keys = [Key("vault", f"meta/pages/{number}") for number in range(1000)]
    rights = list(RIGHTS.needed(dict.fromkeys(keys, Use("write", page()))))
    allowed: dict[str, list[str]] = {}
    for right in rights:
        allowed.setdefault(right.path, []).append(right.capability)
    for key in keys[:100]:
        allowed[f"secret/metadata/{key.path}"] = ["read"]
    some = policy_finding("vault", rights, allowed)
    assert "and on 95 more paths" in some.message
    assert some.remedy.count("path ") == 5
    assert 'path "secret/metadata/meta/pages/0" { capabilities = ["read", "patch"] }' in some.remedy
    for key in keys:
        allowed[f"secret/metadata/{key.path}"] = ["read"]
    every = policy_finding("vault", rights, allowed)
    assert "`patch` on secret/metadata/meta/pages/*" in every.message
    assert 'path "secret/metadata/meta/pages/*" { capabilities = ["read", "patch", "list"] }' in every.remedy
    assert policy_finding("vault", rights, {path: ["root"] for path in allowed}).status == "ok"
    assert "sys/capabilities-self" in policy_finding("vault", rights, None).remedy
    del allowed["secret/data/meta/pages/0"]
    whole = {path: ["root"] for path in allowed}
    assert policy_finding("vault", rights, whole).status == "unknown", "half an answer is no denial"


@pytest.mark.parametrize(
    ("warnings", "hidden", "status"),
    [((), False, "ok"), (("max_versions is 1.",), True, "warn"), ((), True, "unknown")],
)
def test_history(warnings: tuple[str, ...], hidden: bool, status: str) -> None:
    """What a secret's own settings show counts also where the policy hides those of the mount."""
    assert history_finding("vault", warnings, RIGHTS.history(), hidden=hidden).status == status
