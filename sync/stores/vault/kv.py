"""KV version 2 as values: what its endpoints answer, and how they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from sys import intern
from typing import Any
from urllib.parse import quote

from sync.core import marks as mark_map
from sync.core.model import Absent, Marks, Stored
from sync.core.payload import Payload
from sync.stores.vault.answers import Answer, Call

_LISTING = 64 << 20
"""Bytes of the longest listing read: about 70,000 secrets in OpenBao's detailed form."""

_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Info:
    """A secret's metadata: its newest version, and the map that our marks are in.

    ``keeps`` is how many versions stay, 0 where that is the mount's to say or was not told.
    """

    version: int
    created: str
    destroyed: bool
    deletion: str
    custom: Mapping[str, str]
    keeps: int = field(default=0, compare=False)

    def live(self, now: datetime) -> bool:
        """Whether the newest version has a value; a ``deletion`` may be set and lie ahead (delete_version_after)."""
        if self.version == 0 or self.destroyed:
            return False
        return not self.deletion or _time(self.deletion, now) > now

    def without_value(self) -> Stored:
        """Return what is stored where there is no value."""
        marks, first = mark_map.from_map(self.custom), self.version == 1
        return Stored(None, str(self.version), marks, "empty" if self.version == 0 else "deleted", first=first)


@dataclass(frozen=True, slots=True)
class Found:
    """A secret as the data endpoint gives it; ``payload`` is None where the newest version is deleted or destroyed."""

    payload: Payload | None
    info: Info

    def stored(self, *, raw: bool = False) -> Stored:
        """Return it in the words of all stores. Where raw text is wanted KV's objects are unreadable."""
        if self.payload is None:
            return self.info.without_value()
        payload = None if raw else self.payload
        return Stored(payload, str(self.info.version), self.marks, first=self.info.version == 1)

    @property
    def marks(self) -> Marks | None:
        """Our marks, if they are ours."""
        return mark_map.from_map(self.info.custom)


def found(answer: Answer) -> Found | Absent | None:
    """Read an answer of the data endpoint; Absent says only that there is no value, None that it is not KV version 2."""
    metadata = answer.data.get("metadata")
    if (
        answer.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
        and isinstance(metadata, dict)
        and isinstance(metadata.get("version"), int)
    ):
        value = answer.data.get("data")
        payload = Payload(_shared(value)) if answer.status == HTTPStatus.OK and isinstance(value, dict) else None
        return Found(payload, _info(metadata["version"], metadata, metadata))
    return Absent() if answer.status == HTTPStatus.NOT_FOUND else None


def info(data: Mapping[str, Any]) -> Info | None:
    """Read one secret's metadata, as its own endpoint and the detailed listing give it; None where it is none."""
    version, versions = data.get("current_version"), data.get("versions")
    if not isinstance(version, int) or not isinstance(versions, dict):
        return None
    newest = versions.get(str(version))
    return _info(version, newest if isinstance(newest, dict) else {}, data)


def _info(version: int, of_version: Mapping[str, Any], of_secret: Mapping[str, Any]) -> Info:
    custom, keeps = of_secret.get("custom_metadata"), of_secret.get("max_versions")
    return Info(
        version=version,
        created=str(of_version.get("created_time", "")),
        destroyed=of_version.get("destroyed") is True,
        deletion=str(of_version.get("deletion_time") or ""),
        custom={intern(str(key)): intern(str(value)) for key, value in custom.items()}
        if isinstance(custom, dict)
        else {},
        keeps=keeps if isinstance(keeps, int) else 0,
    )


def _shared(value: Mapping[str, Any]) -> dict[str, Any]:
    """Share the names among secrets: each answer brings its own copies of them, and a thousand answers are kept."""
    return {intern(name): part for name, part in value.items()}


def _time(text: str, otherwise: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return otherwise


@lru_cache(maxsize=4096)
def quoted(path: str) -> str | None:
    """Quote a path segment by segment; None where client or server would rewrite it into another."""
    segments = path.split("/")
    if any(segment in ("", ".", "..") or not segment.isprintable() for segment in segments):
        return None
    return "/".join(quote(segment, safe="", errors="replace") for segment in segments)


@lru_cache
def _quoted_mount(mount: str) -> str:
    return quote(mount.strip("/"))


@dataclass(frozen=True, slots=True)
class Calls:
    """The requests of one mount. Paths of secrets are given as configured and come out quoted."""

    mount: str

    def which_version(self) -> Call:
        """Ask whether the mount is KV version 2; any token with some access below it may ask."""
        path = f"sys/internal/ui/mounts/{self._mount}"
        return Call("GET", path, "read", path)

    def config(self) -> Call:
        """Ask for the mount's settings, which few policies allow."""
        path = f"{self._mount}/config"
        return Call("GET", path, "read", path)

    def read(self, path: str) -> Call:
        """Read the newest version, its number and the map of marks."""
        return Call("GET", *self._at("data", path, "read"))

    def metadata(self, path: str) -> Call:
        """Read the metadata alone."""
        return Call("GET", *self._at("metadata", path, "read"))

    def write(self, path: str, payload: Mapping[str, Any], cas: int) -> Call:
        """Write a version, if the newest one is ``cas``; deleted versions count, 0 is a secret that has none."""
        body = {"data": payload, "options": {"cas": cas}}
        return Call("POST", *self._at("data", path, "create" if cas == 0 else "update"), body=body)

    def patch(self, path: str, custom: Mapping[str, str | None]) -> Call:
        """Merge into the map of marks; what is not named stays, None removes."""
        body = {"custom_metadata": custom}
        return Call("PATCH", *self._at("metadata", path, "patch"), body=body, content_type=_MERGE)

    def folder(self, folder: str) -> Call:
        """List one folder, "" for the mount itself."""
        return self._list("metadata", folder, "list")

    def detailed(self, folder: str) -> Call:
        """List a folder with all below it and their metadata at once; OpenBao has this, Vault does not."""
        return self._list("detailed-metadata", folder, "scan")

    def capabilities(self, paths: Sequence[str]) -> Call:
        """Ask what the policy allows on the data and the metadata of these secrets."""
        body = {"paths": [self.shown(kind, path) for path in paths for kind in ("data", "metadata")]}
        return Call("POST", "sys/capabilities-self", "update", "sys/capabilities-self", body=body, limit=_LISTING)

    def shown(self, kind: str, path: str) -> str:
        """Name an endpoint as a policy does."""
        return f"{self.mount.strip('/')}/{kind}/{path}"

    @property
    def _mount(self) -> str:
        return _quoted_mount(self.mount)

    def _at(self, kind: str, path: str, needs: str) -> tuple[str, str, str]:
        return f"{self._mount}/{kind}/{quoted(path)}", needs, self.shown(kind, path)

    def _list(self, kind: str, folder: str, needs: str) -> Call:
        where = quote(folder.strip("/"), errors="replace")
        path = f"{self._mount}/{kind}/{where}/" if where else f"{self._mount}/{kind}/"
        return Call("GET", f"{path}?{needs}=true", needs, self.shown(kind, folder), limit=_LISTING)
