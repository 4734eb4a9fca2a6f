"""What Vault's answers say about the server, the login, the policy and the history of secrets; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.core.report.finding import Finding
from sync.core.report.text import count, span
from sync.stores.vault.answers import error
from sync.stores.vault.policy import CAPABILITIES, LOOKUP, Right, line

_NAMED = 5
"""Lines of a policy that a remedy lists; it counts the others."""
_LEAST = (1, 10)
"""The first version of HashiCorp Vault that has PATCH."""

LOOKUP_LINE = line(LOOKUP.path, [LOOKUP.capability])
CAPABILITIES_LINE = line(CAPABILITIES.path, [CAPABILITIES.capability])
NO_FORWARD = "Vault rejects the header X-Vault-Inconsistent, so reads may wait for a standby to catch up."
ALLOW_FORWARD = "Set allow_forwarding_via_header in Vault's replication configuration."
_DEFAULT = "Give the token the policy `default`, or add to its policy:"


@dataclass(frozen=True, slots=True)
class Server:
    """A server as its health endpoint describes it; ``version`` is empty where the listener hides it."""

    product: str
    version: str
    initialized: bool
    sealed: bool
    standby: bool

    @property
    def is_too_old(self) -> bool:
        """Whether this is a Vault without PATCH."""
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        return numbers is not None and self.product != "OpenBao" and (int(numbers[1]), int(numbers[2])) < _LEAST

    def __str__(self) -> str:
        return f"{self.product} {self.version}" if self.version else f"{self.product} of a hidden version"


def server(health: Mapping[str, Any]) -> Server:
    """Parse the answer about a server's health."""
    version = re.sub(r"[^!-~]", "", str(health.get("version") or ""))[:40]
    if not {"enterprise", "performance_standby"}.isdisjoint(health):
        product = "Vault"
    else:
        # OpenBao forked from Vault 1.14 and counts from 2.0 on (its release notes, read 2026-12-02).
        product = "OpenBao" if version.startswith("2.") else "Vault or OpenBao"
    flags = (health.get(name) is True for name in ("initialized", "sealed", "standby"))
    return Server(product, version, *flags)


def server_finding(store: str, found: Server, *, works: bool) -> Finding:
    """Return whether the server can serve; ``works``: another request was answered, so another node of its cluster is unsealed."""
    sealed = error("sealed")
    if found.sealed or not found.initialized:
        what = "sealed" if found.initialized else "not initialized"
        if works:
            message = f"A node of the cluster ({found}) is {what}; others answer."
            return Finding("store-server", store, "warn", message, "operator", "Unseal that node.")
        return Finding("store-server", store, "fail", f"{found} is {what}.", "operator", sealed.remedy)
    if found.is_too_old:
        remedy = error("no-patch").remedy
        return Finding(
            "store-server", store, "fail", f"{found} has no PATCH, by which marks are written.", "operator", remedy
        )
    role = ", a standby, which forwards requests to the active node" if found.standby else ""
    return Finding("store-server", store, "ok", f"{found}, unsealed{role}.")


@dataclass(frozen=True, slots=True)
class Lease:
    """What is known of a token: ``seconds`` to its expiry, None where it does not expire; ``uses`` 0 where they are not limited.

    ``own`` is one of the store's own login, which is renewed, and after that replaced by a new login.
    """

    own: bool
    seconds: float | None
    renewable: bool
    uses: int = 0
    most: float = 0.0
    root: bool = False


def lease(looked_up: Mapping[str, Any], *, own: bool) -> Lease | None:
    """Parse the answer of a token's look-up of itself; None where it lacks how long the token is valid."""
    if not isinstance(looked_up.get("ttl"), int):
        return None
    ttl, uses, most = (_number(looked_up.get(name)) for name in ("ttl", "num_uses", "explicit_max_ttl"))
    policies = looked_up.get("policies")
    root = isinstance(policies, list) and "root" in policies
    return Lease(own, ttl or None, looked_up.get("renewable") is True, round(uses), most, root)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0.0


def lease_finding(store: str, found: Lease | None) -> Finding:
    """Return how long the credential is valid, and what renews it; None where the token may not, or did not, look itself up."""
    if found is None:
        message = "When the token expires is not known: it may not look itself up, or the answer was cut short."
        return Finding("store-credential", store, "unknown", message, "operator", f"{_DEFAULT} {LOOKUP_LINE}")
    if found.root:
        message = "The token has the policy `root`, which allows everything in Vault."
        remedy = f"Use a token or a login with the policy that `page-token-sync policy vault {store}` prints."
        return Finding("store-credential", store, "warn", message, "operator", remedy)
    valid = (
        f"The token is valid for {span(found.seconds)}" if found.seconds is not None else "The token does not expire"
    )
    if found.uses:
        message = f"{valid} and has {count(found.uses, 'use')}, so that a cycle logs in many times."
        remedy = "Set token_num_uses=0 on the role." if found.own else "Use a token without a limit of uses."
        return Finding("store-credential", store, "warn", message, "operator", remedy)
    if found.seconds is None:
        return Finding("store-credential", store, "ok", f"{valid}.")
    if found.own:
        limit = f" within its maximum of {span(found.most)}" if found.most else ""
        after = f"it is renewed at two thirds of that time{limit}, then a new login replaces it"
        return Finding(
            "store-credential", store, "ok", f"{valid}; {after if found.renewable else 'then a new login replaces it'}."
        )
    if found.renewable:
        return Finding("store-credential", store, "ok", f"{valid}; whatever issued it must renew it until then.")
    remedy = (
        "Replace the token before it expires, or use a login by approle, kubernetes, jwt or aws, which makes new ones."
    )
    return Finding("store-credential", store, "warn", f"{valid} and cannot be renewed.", "operator", remedy)


def hidden_mount_finding(store: str, mount: str) -> Finding:
    """Return that nothing is allowed in the mount, which Vault answers for one that does not exist too."""
    message = (
        f"There is no mount {mount}, or the policy allows nothing in it: Vault gives the same answer for both, so that "
        "nothing behind it can be examined."
    )
    remedy = (
        "Check `mount` and `namespace` of the store. If they are right, write the policy that `page-token-sync policy vault "
        f"{store}` prints, and give it to the token, or to the role of the login."
    )
    return Finding("store-mount", store, "fail", message, "operator", remedy)


def policy_finding(store: str, rights: Sequence[Right], allowed: Mapping[str, Sequence[str]] | None) -> Finding:
    """Return which lines the policy lacks; ``allowed`` None where the token may not ask for its capabilities."""
    if allowed is None:
        message = "The token may not ask what its policy allows."
        return Finding("store-policy", store, "unknown", message, "operator", f"{_DEFAULT} {CAPABILITIES_LINE}")
    lacking = {right: None for right in rights if right.path in allowed and not has(right, allowed)}
    unanswered = {right.path for right in rights if right.path not in allowed}
    if not lacking and unanswered:
        message = f"Vault did not answer what the policy allows on {count(len(unanswered), 'path')}."
        return Finding("store-policy", store, "unknown", message, "operator", "Run this command again.")
    if not lacking:
        paths = len({right.path for right in rights})
        return Finding("store-policy", store, "ok", f"The policy allows what is needed on {count(paths, 'path')}.")
    missing = _missing(rights, lacking)
    few = list(missing.items())[:_NAMED]
    texts = [f"`{'`, `'.join(sorted(capabilities))}` on {path}" for path, capabilities in few]
    whole = [line(path, _whole(path, rights, lacking, allowed)) for path, _ in few]
    more = f" and on {count(len(missing) - _NAMED, 'more path')}" if len(missing) > _NAMED else ""
    message = f"The policy does not allow {', '.join(texts)}{more}."
    remedy = f"Write the policy that `page-token-sync policy vault {store}` prints. What it lacks: {'; '.join(whole)}"
    return Finding("store-policy", store, "fail", message, "operator", remedy)


def has(right: Right, allowed: Mapping[str, Sequence[str]]) -> bool:
    """Check whether the token has a right."""
    return not {right.capability, "root"}.isdisjoint(allowed.get(right.path, ()))


def _missing(rights: Sequence[Right], lacking: Collection[Right]) -> Mapping[str, set[str]]:
    """Return the capabilities that each line lacks, by its path: the line for all Pages where none of them has it."""
    needed, lacked = (Counter((right.line, right.capability) for right in those) for those in (rights, lacking))
    groups: dict[str, set[str]] = {}
    for right in lacking:
        kind = (right.line, right.capability)
        everywhere = right.shared or needed[kind] == lacked[kind]
        groups.setdefault(right.line if everywhere else right.path, set()).add(right.capability)
    return groups


def _whole(
    path: str, rights: Sequence[Right], lacking: Collection[Right], allowed: Mapping[str, Sequence[str]]
) -> set[str]:
    """Return all capabilities of the line of a path. One that is shared has fewer where each Page has a line of its own."""
    if all(right.line != path for right in rights):
        return {right.capability for right in rights if right.path == path}
    of_pages = [right for right in rights if right.line == path and not right.shared]
    shared = [right for right in rights if right.line == path and right.shared]
    only_of_pages = {right.capability for right in of_pages} - {right.capability for right in shared}
    for_all = any(right in lacking for right in of_pages) or any(
        not only_of_pages.isdisjoint(allowed.get(right.path, ())) for right in shared
    )
    return {right.capability for right in (*shared, *(of_pages if for_all or not shared else ()))}


def history_finding(store: str, warnings: Iterable[str], config: Right, *, hidden: bool) -> Finding:
    """Return whether the previous token stays recoverable; ``hidden``: the policy hides the settings of the mount."""
    found = list(warnings)
    if found:
        remedy = "Set max_versions to 2 or more and delete_version_after to 0s, on the mount or with `vault kv metadata patch`."
        return Finding("store-history", store, "warn", " ".join(found), "operator", remedy)
    if hidden:
        message = "The policy does not allow to read the mount's settings, so whether it keeps previous versions is not known."
        remedy = f"Add to the policy: {line(config.line, [config.capability])}"
        return Finding("store-history", store, "unknown", message, "operator", remedy)
    return Finding("store-history", store, "ok", "Previous versions stay recoverable.")


def forwarding_finding(store: str, *, forwards: bool) -> Finding:
    """Return whether Vault lets a standby that lags forward a read."""
    if not forwards:
        return Finding("store-forwarding", store, "warn", NO_FORWARD, "operator", ALLOW_FORWARD)
    message = "Vault has not refused X-Vault-Inconsistent, by which a standby that lags forwards a read."
    return Finding("store-forwarding", store, "ok", message)
