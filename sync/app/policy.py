"""The least policy that a configuration needs in one of its stores. Pure: the configuration is all that it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sync.config.load import Config
from sync.config.resolve.uses import uses
from sync.config.schema.stores.vault import VaultConfig
from sync.core.model import Key, Page, Use
from sync.core.payload import fixed_part
from sync.stores.vault.kv import Calls
from sync.stores.vault.policy import Rights, line, lines

Holder = Literal["daemon", "plan", "reader", "prune"]
"""Who gets the policy: the daemon, a ``plan``, an app that reads secrets, or a person who runs ``prune`` beside the daemon's."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as its service takes it, and what a person should know before it is used."""

    text: str
    warnings: Sequence[str] = ()


_FOR: Mapping[Holder, str] = {
    "daemon": "the daemon",
    "plan": "a plan, which writes nothing",
    "reader": "apps that read",
    "prune": "prune, beside the policy for the daemon",
}


def vault_policy(config: Config, name: str, holder: Holder, pages: Sequence[Page], *, exact: bool) -> Policy:
    """Return the policy in HCL for the store of this name, for these Pages. Raises PolicyError."""
    store = config.settings.stores[name]
    if not isinstance(store, VaultConfig):
        raise TypeError(name)
    prefix = fixed_part(store.path)
    rights = Rights(Calls(store.mount), prefix)
    used = _uses(config, name, holder, pages)
    head = [f"# page-token-sync, store {name}: for {_FOR[holder]}."]
    if store.namespace:
        head.append(f"# In the namespace {store.namespace}.")
    if holder == "reader":
        body = lines(rights.for_readers(used), exact=exact)
    elif holder == "prune":
        body = lines(rights.for_prune(), exact=False)
    else:
        body = lines([*rights.needed(used), rights.history()], exact=exact)
        scan = rights.detailed()
        body = [
            *body,
            "# OpenBao alone has `scan`, by which one request replaces a read of each unchanged secret. Vault refuses a policy with it.",
            f"# {line(scan.path, [scan.capability])}",
        ]
    return Policy("\n".join([*head, *body]) + "\n", () if exact else tuple(_too_much(prefix, store.mount)))


def _uses(config: Config, name: str, holder: Holder, pages: Sequence[Page]) -> Mapping[Key, Use]:
    found = uses(config.settings, pages)[name]
    return {key: replace(use, access="read") for key, use in found.items()} if holder == "plan" else found


def _too_much(prefix: str, mount: str) -> Sequence[str]:
    if prefix:
        return ()
    text = f"The store's path begins with a placeholder, so this policy covers all of the mount {mount}."
    return [f"{text} Begin `path` with a folder, or use --scope exact."]
