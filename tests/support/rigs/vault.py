"""The rig of the store contract over a mount of a real OpenBao."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sync.core import marks as mark_map
from sync.core.model import Key, Removed
from sync.core.secret import Secret
from sync.stores.vault.settings import TokenLogin, VaultSettings
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock, QuickClock
from tests.support.services.bao import Bao, free_port

PREFIX = "meta/pages/"


def settings(bao: Bao, mount: str, token: str | None = None, **changes: Any) -> VaultSettings:
    """Return settings for a mount, with the root token unless one is given."""
    made = VaultSettings(
        address=bao.url,
        mount=mount,
        list_prefix=PREFIX,
        login=TokenLogin(lambda: Secret(token or bao.root)),
        ca_file=str(bao.ca) if bao.ca else None,
        namespace=bao.namespace,
        timeout=10,
    )
    return replace(made, **changes)


def rules(mount: str, *, detailed: bool = True) -> str:
    """Return the least policy that the store needs, with OpenBao's detailed listing or without."""
    scan = f'path "{mount}/detailed-metadata/meta/pages/" {{ capabilities = ["scan"] }}' if detailed else ""
    return f"""
        path "{mount}/data/meta/pages/*" {{ capabilities = ["create", "read", "update"] }}
        path "{mount}/metadata/meta/pages/*" {{ capabilities = ["read", "patch", "list"] }}
        path "{mount}/metadata/meta/pages/" {{ capabilities = ["list"] }}
        path "{mount}/delete/meta/pages/*" {{ capabilities = ["update"] }}
        path "{mount}/data/meta/pages/locked" {{ capabilities = ["deny"] }}
        {scan}
    """


class VaultRig:
    """A fresh mount, and a token with the least policy."""

    name = "vault"
    counted = True
    exact_numbers = False
    odd_names = (
        "a b",
        "a%2Fb",
        "a+b?c#d",
        "Köln",
        "..a",
        "UPPER",
        "x" * 63,
        "deep/er",
        "a*b",
        "a:b@c",
        "~x",
        "ünïcode-\U0001f3d9",
    )
    refused_paths = ("", "/x", "x/", "a//b", "a/../b", "..", "a/./b", "meta/pages/a\0b", "meta/pages/a\nb", "a\u200bb")

    def __init__(self, bao: Bao, *, detailed: bool = True) -> None:
        self.bao = bao
        self.mount = bao.mount()
        self.token = bao.token(bao.policy(rules(self.mount, detailed=detailed)))
        self.canaries = (self.token,)

    def settings(self, **changes: Any) -> VaultSettings:
        """Return the settings of this rig's stores."""
        return settings(self.bao, self.mount, self.token, **changes)

    def make_store(self, **changes: Any) -> VaultStore:
        """Return a store over the mount."""
        return VaultStore(self.name, self.settings(**changes), clock=QuickClock())

    def unreachable_store(self) -> VaultStore:
        """Make a store at a port where nothing listens."""
        nowhere = self.settings(address=f"http://127.0.0.1:{free_port()}")
        return VaultStore(self.name, nowhere, clock=LeapingClock())

    def key(self, name: str) -> Key:
        """Return the target of a Page."""
        return Key(self.name, PREFIX + name)

    def bad_key(self) -> Key:
        """Create the secret that the policy denies."""
        key = self.key("locked")
        self.plant(key, {"access_token": "locked away"})
        return key

    def plant(self, key: Key, payload: Mapping[str, Any], marks: Mapping[str, str] | None = None) -> None:
        """Write data and marks as root."""
        self.bao.admin("POST", self.at("data", key), {"data": payload})
        if marks:
            self.bao.admin("POST", self.at("metadata", key), {"custom_metadata": marks})

    def plant_text(self, key: Key, text: str, marks: Mapping[str, str]) -> None:
        """Write data given as JSON."""
        self.bao.admin("POST", self.at("data", key), f'{{"data":{text}}}'.encode())
        self.bao.admin("POST", self.at("metadata", key), {"custom_metadata": marks})

    def numbers(self, key: Key) -> Mapping[str, str]:
        """Return the data as it is served."""
        return {name: str(value) for name, value in self.bao.admin("GET", self.at("data", key))["data"]["data"].items()}

    def plant_empty(self, key: Key, marks: Mapping[str, str] | None = None) -> None:
        """Write metadata alone."""
        self.bao.admin("POST", self.at("metadata", key), {"custom_metadata": marks or {}})

    def unreadable(self, key: Key) -> frozenset[Key]:
        """Create an object to be read as raw text, since KV stores only objects."""
        self.plant(key, {"a": "b"}, {"managed-by": mark_map.MANAGED_BY, "instance": "acme", "page-id": "101"})
        return frozenset({key})

    def add_foreign_mark(self, key: Key, name: str, value: str) -> None:
        """Merge an entry into the custom metadata."""
        merge = "application/merge-patch+json"
        self.bao.admin("PATCH", self.at("metadata", key), {"custom_metadata": {name: value}}, kind=merge)

    def unmark(self, key: Key) -> None:
        """Replace the custom metadata by an empty map."""
        self.bao.admin("POST", self.at("metadata", key), {"custom_metadata": {}})

    def foreign_marks(self, key: Key) -> Mapping[str, str]:
        """Return the custom metadata without the marks."""
        custom = self.metadata(key)["custom_metadata"]
        found = mark_map.from_map(custom)
        known = mark_map.to_map(found) if found else {}
        return {name: value for name, value in custom.items() if name not in known}

    def versions(self, key: Key) -> list[str]:
        """Return the versions in the metadata."""
        return list(self.metadata(key)["versions"])

    def restore(self, key: Key, removed: Removed) -> None:
        """Send what the CLI sends for the command."""
        version = re.fullmatch(rf"vault kv undelete .*-mount={self.mount} -versions=(\d+) {key.path}", removed.restore)
        assert version is not None, removed.restore
        self.bao.admin("POST", self.at("undelete", key), {"versions": [int(version[1])]})

    def delete(self, key: Key) -> None:
        """Delete the newest version, recoverably."""
        self.bao.admin("DELETE", self.at("data", key))

    def metadata(self, key: Key) -> Any:
        """Read the metadata as root."""
        return self.bao.admin("GET", self.at("metadata", key))["data"]

    def at(self, kind: str, key: Key) -> str:
        """Return the API path of a key without special characters."""
        return f"{self.mount}/{kind}/{key.path}"
