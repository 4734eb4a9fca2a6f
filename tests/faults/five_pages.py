"""Five Pages in which one cycle does everything: it keeps, heals, rotates, relabels and creates, one Page each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.app import build
from sync.config.load import load
from sync.core.report.report import Report
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.tokens import fingerprint
from tests.support.rigs.e2e import INSTANCE, Rig
from tests.support.services.aws import REGION, Aws
from tests.support.services.bao import Bao

WRITES = {"berlin": 0, "paris": 1, "rome": 1, "madrid": 0, "lisbon": 1}
"""How many versions a cycle adds, by Page: it is kept, healed, rotated, relabelled, created."""


@dataclass(frozen=True)
class Current:
    """What a store holds for one Page: the current payload, the marks, and the number of versions ever made."""

    payload: Mapping[str, str]
    marks: Mapping[str, str]
    versions: int


class VaultInspector:
    """Reads a mount of OpenBao as root, beside the program."""

    def __init__(self, bao: Bao, mount: str, folder: str) -> None:
        self.url = bao.url
        self.root = bao.root
        self._bao, self._mount, self._folder = bao, mount, folder

    def block(self, url: str, secrets: Path) -> dict[str, Any]:
        """Return the store's configuration, with its server at ``url``."""
        return {
            "type": "vault",
            "address": url,
            "mount": self._mount,
            "path": self._folder + "/{name}",
            "timeout": "10s",
            "auth": {"method": "token", "token": {"file": str(secrets / "vault_token")}},
        }

    def read(self, name: str) -> Current | None:
        """Read one Page's secret as root; None if it does not exist."""
        path = f"{self._folder}/{name}"
        status, data = self._bao.call("GET", f"{self._mount}/data/{path}")
        _, metadata = self._bao.call("GET", f"{self._mount}/metadata/{path}")
        if status != 200:
            return None
        about = metadata["data"]
        return Current(data["data"]["data"], about["custom_metadata"] or {}, about["current_version"])

    def history(self, name: str) -> list[Any]:
        """Return all payloads that were written for a Page, the oldest first."""
        path = f"{self._mount}/data/{self._folder}/{name}"
        current = self.read(name)
        numbers = range(1, current.versions + 1) if current else ()
        return [self._bao.call("GET", f"{path}?version={number}")[1]["data"]["data"] for number in numbers]


class AwsInspector:
    """Reads an account of Secrets Manager, beside the program."""

    def __init__(self, aws: Aws, folder: str) -> None:
        self.url = aws.url
        self.root = ""
        self._aws, self._folder = aws, folder

    def block(self, url: str, secrets: Path) -> dict[str, Any]:
        """Return the store's configuration, with the service at ``url``."""
        del secrets
        return {
            "type": "aws-secrets-manager",
            "region": REGION,
            "endpoint_url": url,
            "name": self._folder + "/{name}",
            "timeout": "10s",
            "auth": {"profile": "prod"},
        }

    def read(self, name: str) -> Current | None:
        """Read one Page's secret; None if it does not exist."""
        client, path = self._aws.client, f"{self._folder}/{name}"
        try:
            value = client.get_secret_value(SecretId=path)
        except client.exceptions.ResourceNotFoundException:
            return None
        tags = client.describe_secret(SecretId=path)["Tags"]
        versions = client.list_secret_version_ids(SecretId=path, IncludeDeprecated=True)["Versions"]
        marks = {tag["Key"].removeprefix("page-token-sync:"): tag["Value"] for tag in tags}
        return Current(json.loads(value["SecretString"]), marks, len(versions))

    def labels(self, name: str) -> list[str]:
        """Return the staging labels of a Page's secret."""
        described = self._aws.client.describe_secret(SecretId=f"{self._folder}/{name}")
        return sorted(label for labels in described["VersionIdsToStages"].values() for label in labels)


class FileInspector:
    """Reads a file store's directory, beside the program; files have no versions, so their number is 0."""

    url = root = ""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def block(self, url: str, secrets: Path) -> dict[str, Any]:
        """Return the store's configuration."""
        del url, secrets
        return {"type": "file", "directory": str(self._directory), "name": "{name}"}

    def read(self, name: str) -> Current | None:
        """Read one Page's file and its marks file; None if there is no file."""
        file, beside = self._directory / name, self._directory / f".{name}.page-token-sync"
        if not file.exists():
            return None
        marks = json.loads(beside.read_text())["marks"] if beside.exists() else {}
        return Current(json.loads(file.read_text()), marks, 0)


Inspector = VaultInspector | AwsInspector | FileInspector


class FivePages:
    """Five Pages of two system users; ``change`` makes the next cycle do five different things to them."""

    def __init__(self, folder: Path, sandbox: Sandbox, inspector: Inspector, *, graph: str, store: str) -> None:
        self.sandbox = sandbox
        self.inspector = inspector
        self.second = sandbox.world.add_user("second")
        folder.mkdir(exist_ok=True)
        self.rig = Rig(folder, sandbox, inspector.block(store, folder))
        self.rig.secret("vault_token", inspector.root)
        self.rig.secret("second", self.second.token)
        self._users = {
            name: {"token": {"file": str(folder / file)}}
            for name, file in (("main", "system_user_token"), ("second", "second"))
        }
        self.rig.write(
            graph={"base_url": graph, "timeout": "10s"}, system_users=self._users, pages=self._pages(4, team="one")
        )

    def _pages(self, count: int, *, team: str) -> list[dict[str, Any]]:
        second = {"rome"}
        return [
            {
                **page,
                "system_user": "second" if page["name"] in second else "main",
                **({"labels": {"team": team}} if page["name"] == "madrid" else {}),
            }
            for page in self.sandbox.pages[:count]
        ]

    def cycle(self) -> Report:
        """Run a cycle in this process."""
        with build(load(self.rig.file), clock=SystemClock()) as app:
            return app.cycle(write=True)

    def change(self) -> None:
        """Revoke one token, rotate one system user's, change one label, and add a Page."""
        world = self.sandbox.world
        with world.lock:
            world.revoke_page(self.page("paris"))
            world.rotate(self.second)
        self.rig.secret("second", self.second.token)
        self.rig.write(pages=self._pages(5, team="two"))

    def page(self, name: str) -> Any:
        """Return a Page of the sandbox."""
        return next(page for page in self.sandbox.world.pages.values() if page.name == name)

    def token(self, name: str) -> str:
        """Return the token that Graph gives for a Page now."""
        world = self.sandbox.world
        with world.lock:
            user = self.second if name == "rome" else world.user
            return world.page_token(self.page(name), world.tokens[user.token], peek=True).value

    def read(self) -> dict[str, Current | None]:
        """Read every secret."""
        return {name: self.inspector.read(name) for name in WRITES}

    def broken(self) -> list[str]:
        """Return the Pages whose stored token is invalid, except the one whose token was revoked."""
        world, found = self.sandbox.world, []
        for name, current in self.read().items():
            token = world.tokens.get(current.payload["access_token"]) if current else None
            if name != "paris" and current and (token is None or world.invalid_reason(token) is not None):
                found.append(name)
        return found

    def unlike_wanted(self) -> list[str]:
        """Return how the store differs from what a cycle wants."""
        differences = []
        for name, current in self.read().items():
            token = self.token(name)
            if current is None or current.payload["access_token"] != token:
                differences.append(f"{name}: the token is another one")
                continue
            wanted = {"instance": INSTANCE, "page-id": self.page(name).id, "fingerprint": fingerprint(token)}
            wanted |= {"label.team": "two"} if name == "madrid" else {}
            differences += [f"{name}: {key}" for key, value in wanted.items() if current.marks.get(key) != value]
        return differences

    def extra_versions(self) -> int:
        """Return the number of versions beyond those that one undisturbed cycle makes."""
        before = {"lisbon": 0}
        return sum(
            current.versions - before.get(name, 1) - WRITES[name]
            for name, current in self.read().items()
            if current is not None
        )
