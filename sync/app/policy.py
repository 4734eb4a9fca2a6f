"""The least policy that a configuration needs in one of its stores. Pure: the configuration is all that it is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sync.config.load import Config
from sync.config.resolve.uses import uses
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.vault import VaultConfig
from sync.core.model import Key, Page, Use
from sync.stores.aws.policy import MANAGED, Grants, document, size
from sync.stores.aws.settings import AwsReplica
from sync.stores.policy import PolicyError
from sync.stores.vault.kv import Calls
from sync.stores.vault.policy import Rights, line, lines

Holder = Literal["daemon", "plan", "reader", "prune", "rollback"]
"""Who gets the policy: the daemon, a ``plan``, an app that reads secrets, or a person for one command, beside the daemon's."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as its service takes it, and what a person should know before it is used.

    ``value`` is the policy in a JSON document: an object where the service's own form is JSON, else the text.
    """

    text: str
    value: str | Mapping[str, Any]
    warnings: Sequence[str] = ()


_FOR: Mapping[Holder, str] = {
    "daemon": "the daemon",
    "plan": "a plan, which writes nothing",
    "reader": "apps that read",
    "prune": "prune, beside the policy for the daemon",
    "rollback": "rollback, beside the policy for the daemon",
}


def vault_policy(config: Config, name: str, holder: Holder, pages: Sequence[Page], *, exact: bool) -> Policy:
    """Return the policy in HCL for the store of this name, for these Pages. Raises PolicyError."""
    store = config.settings.stores[name]
    if not isinstance(store, VaultConfig):
        raise TypeError(name)
    prefix = store.listed_prefix(config.settings.instance)
    rights = Rights(Calls(store.mount), prefix, store.renews)
    used = _uses(config, name, holder, pages)
    head = [f"# page-token-sync, store {name}: for {_FOR[holder]}."]
    if store.namespace:
        head.append(f"# In the namespace {store.namespace}.")
    if holder == "rollback":
        raise PolicyError("In Vault and OpenBao the policy for the daemon is enough for `rollback`.")
    if holder == "reader":
        body = lines(rights.for_readers(used), exact=exact)
    elif holder == "prune":
        body = lines(rights.for_prune(), exact=False)
    else:
        itself, scan = rights.of_token(), rights.detailed()
        of_store = [right for right in (*rights.needed(used), rights.history()) if right not in itself]
        body = lines(of_store, exact=exact)
        body = [
            *body,
            "# OpenBao alone has `scan`, by which one request replaces a read of each unchanged secret. Vault refuses a policy with it.",
            f"# {line(scan.path, [scan.capability])}",
            "# What the token does with itself, which the policy `default` allows too.",
            *lines(itself, exact=False),
        ]
    text = "\n".join([*head, *body]) + "\n"
    return Policy(text, text, () if exact else _too_much(prefix, f"of the mount {store.mount}", "path"))


def aws_policy(config: Config, name: str, holder: Holder, pages: Sequence[Page], *, exact: bool) -> Policy:
    """Return the IAM policy for the store of this name, for these Pages. Raises PolicyError."""
    settings = config.settings
    store = settings.stores[name]
    if not isinstance(store, AwsConfig):
        raise TypeError(name)
    role = store.auth.role_arn
    prefix = store.listed_prefix(settings.instance)
    grants = Grants(
        store.region,
        prefix,
        settings.instance,
        account=role.split(":")[4] if role is not None else "*",
        kms_key=store.kms_key,
        replicas=[AwsReplica(replica.region, replica.kms_key) for replica in store.replicas],
    )
    used = _uses(config, name, holder, pages)
    if holder == "reader":
        policy = document(grants.readers(used, exact=exact))
    elif holder == "prune":
        policy = document(grants.prune())
    elif holder == "rollback":
        policy = document(grants.rollback(used, exact=exact))
    else:
        policy = document(grants.daemon(used, exact=exact))
    warnings = [] if exact else _too_much(prefix, f"of {store.region}", "name")
    if size(policy) > MANAGED:
        warnings.append(f"The policy has more than {MANAGED:,} characters, so IAM takes it as an inline policy only.")
    if role is not None and holder != "reader":
        warnings.append(f"This is the policy of {role}. The credentials that assume it need sts:AssumeRole on it.")
    return Policy(json.dumps(policy, indent=2) + "\n", policy, warnings)


def _uses(config: Config, name: str, holder: Holder, pages: Sequence[Page]) -> Mapping[Key, Use]:
    found = uses(config.settings, pages)[name]
    return {key: replace(use, access="read") for key, use in found.items()} if holder == "plan" else found


def _too_much(prefix: str, of: str, key: str) -> list[str]:
    if prefix:
        return []
    text = f"The store's `{key}` begins with a placeholder, so this policy covers all secrets {of}."
    return [f"{text} Begin it with a folder, or use --scope exact."]
