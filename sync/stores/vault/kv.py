"""KV version 2 as values: the requests of its endpoints, and what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from sys import intern
from typing import Any, Literal
from urllib.parse import quote

from sync.core import marks as mark_map
from sync.core.model import Absent, Marks, Stored
from sync.core.payload import Payload
from sync.stores.vault.answers import Answer, Call

_LONG = 6 << 20
"""Bytes of the longest list of names, and of capabilities: 100,000 names of 60 characters."""
_DETAILED = 256 << 20
"""Bytes of the longest detailed listing, which is read in parts: 100,000 secrets with ten versions each."""

_LARGEST = 10**18

_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Info:
    """A secret's metadata: its newest version, and the map ``custom_metadata``, which holds the marks.

    ``keeps`` is the secret's ``max_versions``, 0 where the mount's number counts or the answer has none.
    """

    version: int
    created: str
    destroyed: bool
    deletion: str
    custom: Mapping[str, str]
    keeps: int = field(default=0, compare=False)

    def live(self, now: datetime) -> bool:
        """Check whether the newest version has a value; ``deletion`` may be in the future (delete_version_after)."""
        if self.version == 0 or self.destroyed:
            return False
        return not self.deletion or _time(self.deletion, now) > now

    def without_value(self) -> Stored:
        """Return the secret as one without a value."""
        marks, first = mark_map.from_map(self.custom), self.version == 1
        return Stored(None, str(self.version), marks, "empty" if self.version == 0 else "deleted", first=first)


@dataclass(frozen=True, slots=True)
class Found:
    """A secret as the data endpoint answers it; ``payload`` is None where the newest version is deleted or destroyed."""

    payload: Payload | None
    info: Info

    def stored(self, *, raw: bool = False) -> Stored:
        """Return the secret as every store does. Where raw text is expected, KV's objects are unreadable."""
        if self.payload is None:
            return self.info.without_value()
        payload = None if raw else self.payload
        return Stored(payload, str(self.info.version), self.marks, first=self.info.version == 1)

    @property
    def marks(self) -> Marks | None:
        """The marks of this program; None where there are none."""
        return mark_map.from_map(self.info.custom)


def found(answer: Answer) -> Found | Absent | None:
    """Parse an answer of the data endpoint; Absent means only that there is no value, None that it is not KV version 2."""
    metadata = answer.data.get("metadata")
    version = number(metadata.get("version")) if isinstance(metadata, dict) else None
    if answer.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND) and isinstance(metadata, dict) and version is not None:
        value = answer.data.get("data")
        payload = Payload(_shared(value)) if answer.status == HTTPStatus.OK and isinstance(value, dict) else None
        return Found(payload, _info(version, metadata, metadata))
    return Absent() if answer.absent else None


def history(data: Mapping[str, Any], now: datetime) -> Mapping[int, datetime | None] | None:
    """Parse the versions that have a value out of one secret's metadata, with the time of each; None if it is something else."""
    versions = data.get("versions")
    if not isinstance(versions, dict):
        return None
    found: dict[int, datetime | None] = {}
    for name, of_version in versions.items():
        if name.isdecimal() and isinstance(of_version, dict) and _info(int(name), of_version, {}).live(now):
            created = of_version.get("created_time")
            at = _time(created, now) if isinstance(created, str) else now
            found[int(name)] = at if at != now else None
    return found


def info(data: Mapping[str, Any]) -> Info | None:
    """Parse one secret's metadata, from its own endpoint or the detailed listing; None if it is something else."""
    version, versions = number(data.get("current_version")), data.get("versions")
    if version is None or not isinstance(versions, dict):
        return None
    newest = versions.get(str(version))
    return _info(version, newest if isinstance(newest, dict) else {}, data)


def _info(version: int, of_version: Mapping[str, Any], of_secret: Mapping[str, Any]) -> Info:
    custom = of_secret.get("custom_metadata")
    return Info(
        version=version,
        created=str(of_version.get("created_time", "")),
        destroyed=of_version.get("destroyed") is True,
        deletion=str(of_version.get("deletion_time") or ""),
        custom=strings(custom),
        keeps=number(of_secret.get("max_versions")) or 0,
    )


def number(value: object) -> int | None:
    """Return a count of Vault's; None where it is no integer, or so large that it cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST else None


def strings(custom: object) -> dict[str, str]:
    """Return a map of strings that can be encoded, since JSON allows half a surrogate pair."""
    pairs = custom.items() if isinstance(custom, dict) else ()
    return {intern(_encodable(key)): intern(_encodable(value)) for key, value in pairs if isinstance(value, str)}


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def _shared(value: Mapping[str, Any]) -> dict[str, Any]:
    """Intern the names: each answer has its own copies of them, and a thousand answers are kept in memory."""
    return {intern(name): part for name, part in value.items()}


def _time(text: str, otherwise: datetime) -> datetime:
    """Parse a time, which is in UTC where it has no zone; ``otherwise`` where it is none."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return otherwise


@lru_cache(maxsize=4096)
def quoted(path: str) -> str | None:
    """Quote a path segment by segment; None if a client or a server would rewrite it to another path."""
    segments = path.split("/")
    if any(segment in ("", ".", "..") or not segment.isprintable() for segment in segments):
        return None
    return "/".join(quote(segment, safe="", errors="replace") for segment in segments)


@lru_cache
def _quoted_mount(mount: str) -> str:
    return quote(mount.strip("/"))


@dataclass(frozen=True, slots=True)
class Calls:
    """The requests of one mount. Paths of secrets come in as configured and are quoted here."""

    mount: str

    def which_version(self) -> Call:
        """Ask for the mount's type and version; any token with some access below the mount may ask."""
        path = f"sys/internal/ui/mounts/{self._mount}"
        return Call("GET", path, "read", path)

    def config(self) -> Call:
        """Read the mount's configuration, which few policies allow."""
        path = f"{self._mount}/config"
        return Call("GET", path, "read", path)

    def read(self, path: str, version: int | Literal["none"] | None = None) -> Call:
        """Read a version, else the newest one, its number and the map of marks.

        The version "none" cannot exist, and the endpoint rejects it whether there is a secret or not.
        """
        quoted_path, needs, shown = self._at("data", path, "read")
        return Call("GET", quoted_path if version is None else f"{quoted_path}?version={version}", needs, shown)

    def metadata(self, path: str) -> Call:
        """Read the metadata alone."""
        return Call("GET", *self._at("metadata", path, "read"))

    def write(self, path: str, payload: Mapping[str, Any], cas: int) -> Call:
        """Write a version if the newest one is ``cas``; deleted versions count, and 0 means that there is none."""
        body = {"data": payload, "options": {"cas": cas}}
        return Call("POST", *self._at("data", path, "create" if cas == 0 else "update"), body=body)

    def patch(self, path: str, custom: Mapping[str, str | None]) -> Call:
        """Merge into the map of marks: entries that are not named stay, None removes one."""
        body = {"custom_metadata": custom}
        return Call("PATCH", *self._at("metadata", path, "patch"), body=body, content_type=_MERGE)

    def delete(self, path: str, version: int) -> Call:
        """Delete one version so that it can be restored."""
        return Call("POST", *self._at("delete", path, "update"), body={"versions": [version]})

    def folder(self, folder: str) -> Call:
        """List one folder; "" is the mount itself."""
        return self._list("metadata", folder, "list", _LONG)

    def detailed(self, folder: str) -> Call:
        """List a folder, all folders below it and all metadata in one request; OpenBao has this, Vault does not."""
        return replace(self._list("detailed-metadata", folder, "scan", _DETAILED), listing=True)

    @staticmethod
    def capabilities(paths: Sequence[str]) -> Call:
        """Ask for the token's capabilities on these paths, which are written as in a policy."""
        body = {"paths": list(paths)}
        return Call("POST", "sys/capabilities-self", "update", "sys/capabilities-self", body=body, limit=_LONG)

    def shown(self, kind: str, path: str) -> str:
        """Return the path of an endpoint as a policy has it."""
        return f"{self.mount.strip('/')}/{kind}/{path}"

    @property
    def _mount(self) -> str:
        return _quoted_mount(self.mount)

    def _at(self, kind: str, path: str, needs: str) -> tuple[str, str, str]:
        return f"{self._mount}/{kind}/{quoted(path)}", needs, self.shown(kind, path)

    def _list(self, kind: str, folder: str, needs: str, limit: int) -> Call:
        where = quote(folder.strip("/"), errors="replace")
        path = f"{self._mount}/{kind}/{where}/" if where else f"{self._mount}/{kind}/"
        return Call("GET", f"{path}?{needs}=true", needs, self.shown(kind, folder), limit=limit)
