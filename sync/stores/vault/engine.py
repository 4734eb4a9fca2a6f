"""One KV version 2 mount: its endpoints as methods, and the checks that come before any write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar

from sync.core.model import Absent, StoreError, WriteKind
from sync.stores.vault import kv
from sync.stores.vault.answers import Answer, Call, Trouble, denied, error, restricted
from sync.stores.vault.retention import Retention, retention
from sync.stores.vault.session import Session
from sync.stores.vault.settings import VaultSettings

_AT_ONCE = 800
"""Paths per request for capabilities: OpenBao 2.7.2 rejects 1,000 (measured 2026-11-25)."""
_OF_ONE = ("data", "metadata")
"""The endpoints of a secret on whose paths a write needs capabilities."""

_INVALID: Mapping[str, str] = {"": ""}
"""A map of marks that KV version 2 rejects whether the secret exists or not, so that a PATCH of it changes nothing."""

T = TypeVar("T")
Ask = Callable[[Call, float], Answer | Trouble]


@dataclass(frozen=True, slots=True)
class Put:
    """A version that was written, or found to be this write; ``custom`` is the map of marks at that time."""

    version: int
    custom: Mapping[str, str]


_INSIDE = error("no-mount", "Its path is inside another mount, or the engine is not KV version 2.")

_OF_ONE_PATH = ("denied", "unexpected")
"""Error codes of a PATCH that say nothing about other paths."""


class Mismatch:
    """The newest version is not the one that was named, or a standby has not caught up with it."""


class Engine:
    """Sends the requests of one mount. Everywhere, ``end`` is the monotonic time by which the whole call must be over."""

    def __init__(self, settings: VaultSettings, session: Session) -> None:
        self._calls = kv.Calls(settings.mount)
        self._prefix = settings.list_prefix
        self._session = session
        self._lock = threading.Lock()
        self._checked = False
        self._wrong: StoreError | None = None
        self.proven = False
        """Whether the mount is known to be KV version 2."""
        self._patches = False
        self._refuses: StoreError | None = None
        self.detailed = True
        """Whether the detailed listing is used: until the server or the policy turns out to lack it."""
        self._config_denied = False
        self.config_known = False
        """Whether it is known how long the mount keeps versions."""
        self.retention = Retention()
        self._allowed: dict[str, Mapping[str, Sequence[str]] | None] = {}
        self.expected: Sequence[str] = ()

    def begin(self) -> None:
        """Start a cycle: the mount and the policy are checked again, since both may have changed."""
        self._checked = self.proven = False
        self._wrong = self._refuses = None
        self._allowed = {}

    def reaches(self, path: str) -> bool:
        """Check whether a listing would show this path."""
        return path.startswith(self._prefix)

    def check(self, end: float) -> StoreError | None:
        """Check once per cycle that the mount is KV version 2; where the policy hides that, the later answers show it."""
        with self._lock:
            if not self._checked:
                found = self._session.ask(self._calls.which_version(), end)
                if isinstance(found, Trouble) and not found.refused:
                    return found.error
                self._checked = True
                if isinstance(found, Answer) and found.status == HTTPStatus.OK:
                    self._wrong = _wrong(found.data, self._calls.mount)
                    self.proven = self._wrong is None
                if self.proven:
                    self._look_at_config(end)
            return self._wrong

    def _look_at_config(self, end: float) -> None:
        """Read how long the mount keeps versions; a policy that denies this is asked once, since only warnings depend on it."""
        if self._config_denied:
            return
        found = self._session.ask(self._calls.config(), end)
        if isinstance(found, Answer) and found.status == HTTPStatus.OK:
            self.retention, self.config_known = retention(found.data), True
        else:
            self._config_denied = isinstance(found, Trouble) and found.refused

    def read(self, path: str, end: float) -> kv.Found | Absent | StoreError:
        """Read data, version and marks; Absent means only that there is no value, while metadata may exist."""
        found = self._version(self._calls.read(path), end)
        self.proven = self.proven or isinstance(found, kv.Found)
        return found

    def read_version(self, path: str, version: int, end: float) -> kv.Found | Absent | StoreError:
        """Read one version; Absent where it is gone."""
        return self._version(self._calls.read(path, version), end)

    def _version(self, call: Call, end: float) -> kv.Found | Absent | StoreError:
        found = self._session.ask(call, end)
        if isinstance(found, Trouble):
            return found.error
        value = kv.found(found)
        return value if value is not None else _unexpected(found)

    def metadata(self, path: str, end: float) -> kv.Info | Absent | StoreError:
        """Read the metadata of one secret."""
        return self._metadata(path, end, kv.info)

    def history(self, path: str, now: datetime, end: float) -> Mapping[int, datetime | None] | Absent | StoreError:
        """Read which versions of a secret have a value, and when each was written."""
        return self._metadata(path, end, lambda data: kv.history(data, now))

    def _metadata(
        self, path: str, end: float, parse: Callable[[Mapping[str, Any]], T | None]
    ) -> T | Absent | StoreError:
        found = self._session.ask(self._calls.metadata(path), end)
        if isinstance(found, Trouble):
            return found.error
        if found.absent:
            return Absent()
        parsed = parse(found.data)
        return parsed if parsed is not None else _unexpected(found)

    def listing(self, end: float) -> Mapping[str, kv.Info | None] | StoreError:
        """List the secrets below the prefix with their metadata; None where a secret's metadata needs a request of its own."""
        folder = self._prefix.rpartition("/")[0]
        names: Mapping[str, kv.Info | None] | StoreError | None = self._listed(folder, end) if self.detailed else None
        if names is None:
            names = self._walked(folder, end)
        if isinstance(names, StoreError):
            return names
        return {name: info for name, info in names.items() if self.reaches(name) and kv.quoted(name) is not None}

    def put(self, path: str, payload: Mapping[str, Any], cas: int, end: float) -> Put | Mismatch | StoreError:
        """Write one version by compare-and-set. The caller settles an error with ``maybe_written`` by reading."""
        call = self._calls.write(path, payload, cas)
        found = self._session.ask(call, end)
        if isinstance(found, Trouble):
            return self._explained(path, call, found)
        version = kv.number(found.data.get("version"))
        if found.status == HTTPStatus.OK and version is not None:
            return Put(version, kv.strings(found.data.get("custom_metadata")))
        if found.status == HTTPStatus.BAD_REQUEST and "did not match the current version" in found.text:
            return Mismatch()
        if found.status < HTTPStatus.BAD_REQUEST:
            return error("unexpected", "The answer to a write names no version.", whole=False, maybe_written=True)
        return _unexpected(found)

    def patch(self, path: str, custom: Mapping[str, str | None], end: float) -> StoreError | Absent | None:
        """Merge into the map of marks; Absent if there is no such secret, or this node does not know it yet."""
        call = self._calls.patch(path, custom)
        found = self._session.ask(call, end)
        if isinstance(found, Answer) and found.absent:
            return Absent()
        if isinstance(found, Answer) and found.status < HTTPStatus.MULTIPLE_CHOICES:
            return None
        # Before the next data is written, PATCH is tried again.
        self._patches = False
        return self._explained(path, call, found) if isinstance(found, Trouble) else self._unpatched(found)

    def delete(self, path: str, version: int, end: float) -> StoreError | None:
        """Delete one version. What it did is settled by reading: KV accepts versions that do not exist."""
        found = self._session.ask(self._calls.delete(path, version), end)
        if isinstance(found, Trouble):
            return found.error
        return None if found.status < HTTPStatus.BAD_REQUEST or found.absent else _unexpected(found)

    def may_write(self, path: str, cas: int | None, end: float) -> StoreError | None:
        """Check before a write that the policy and the server allow all of it; ``cas`` is None where only marks are written.

        If the data were written and the marks then denied, the secret would stay without an owner. A KV version 1 mount
        accepts a request in the form of version 2, and would store the token in the wrong form.
        """
        with self._lock:
            trouble = self._ask_allowed([path], end)
            if trouble is not None:
                return trouble
            allowed = self._allowed[path]
            lacking = self._lacking(path, "mark" if cas is None else "update" if cas else "create")
            if lacking is not None:
                return lacking
            if self._refuses is not None:
                return self._refuses
            if not self._patches:
                refusal = self.try_patch(path, end)
                self._patches = refusal is None
                if refusal is not None and refusal.error_code not in _OF_ONE_PATH:
                    self._refuses = refusal
                return refusal
        return self.try_patch(path, end) if allowed is None else None

    def would_refuse(self, writes: Mapping[str, WriteKind], end: float) -> Mapping[str, StoreError]:
        """Return the writes that the policy denies; nothing where the token may not ask for its capabilities."""
        with self._lock:
            trouble = self._ask_allowed(list(writes), end)
            lacking = {path: self._lacking(path, kind) for path, kind in writes.items()}
        return {} if trouble is not None else {path: error for path, error in lacking.items() if error is not None}

    def try_patch(self, path: str, end: float) -> StoreError | None:
        """Return why a PATCH of marks is refused on its way or by the server, found out by one that changes nothing.

        So a server or gateway that rejects it gets no data either.
        """
        call = self._calls.patch(path, _INVALID)
        found = self._session.ask(call, end)
        if isinstance(found, Trouble):
            return self._explained(path, call, found)
        invalid = found.status == HTTPStatus.BAD_REQUEST and "no data provided" not in found.text
        if not (invalid or found.absent or found.status < HTTPStatus.MULTIPLE_CHOICES):
            return self._unpatched(found)
        return None if self.proven else self._try_read(path, end)

    def _try_read(self, path: str, end: float) -> StoreError | None:
        """Ask for an impossible version where the policy hides the mount: only the endpoint of data rejects that."""
        found = self._session.ask(self._calls.read(path, "none"), end)
        if isinstance(found, Trouble) and found.error.error_code != "unexpected":
            return found.error
        if isinstance(found, Answer) and found.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            return _INSIDE
        self.proven = True
        return None

    def _unpatched(self, found: Answer) -> StoreError:
        """Return why a PATCH of the marks did nothing."""
        if found.status == HTTPStatus.METHOD_NOT_ALLOWED:
            return error("no-patch", whole=False) if self.proven else _version_1(self._calls.mount)
        if found.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            return error("no-patch", "The header Content-Type of the request was changed on its way.", whole=False)
        if "no data provided" in found.text:
            return _INSIDE
        return _unexpected(found)

    def _lacking(self, path: str, kind: WriteKind) -> StoreError | None:
        """Return the error for the capabilities that the write lacks; None too where the token may not ask for them."""
        allowed = self._allowed.get(path)
        if allowed is None:
            return None
        data = [] if kind == "mark" else [self._calls.write(path, {}, 0 if kind == "create" else 1)]
        lacking = [call for call in (self._calls.patch(path, {}), *data) if not _is_allowed(call, allowed)]
        return denied(*lacking) if lacking else None

    def _explained(self, path: str, call: Call, found: Trouble) -> StoreError:
        """Return the error of a request; a denial that is not for want of a capability is due to the request's parameters."""
        allowed = self._allowed.get(path)
        if found.error.error_code == "denied" and allowed is not None and _is_allowed(call, allowed):
            return restricted(call)
        return found.error

    def _ask_allowed(self, paths: Sequence[str], end: float) -> StoreError | None:
        """Ask for the capabilities on these paths, and on those that are likely to be written next."""
        unknown = list(dict.fromkeys(path for path in paths if path not in self._allowed))
        most = _AT_ONCE // len(_OF_ONE)
        if unknown and len(unknown) < most:
            others = (other for other in self.expected if other not in self._allowed and other not in unknown)
            unknown += list(islice(others, most - len(unknown)))
        found = self.capabilities([self._calls.shown(kind, path) for path in unknown for kind in _OF_ONE], end)
        if isinstance(found, StoreError):
            return found
        self._allowed.update(dict.fromkeys(unknown, found))
        return None

    def capabilities(self, paths: Sequence[str], end: float) -> Mapping[str, Sequence[str]] | StoreError | None:
        """Return the token's capabilities on these paths of a policy; None where it may not ask, without the policy `default`."""
        allowed: dict[str, Sequence[str]] = {}
        for at in range(0, len(paths), _AT_ONCE):
            found = self._session.ask(self._calls.capabilities(paths[at : at + _AT_ONCE]), end)
            if isinstance(found, Trouble) and not found.refused:
                return found.error
            if isinstance(found, Trouble) or found.status != HTTPStatus.OK:
                return None
            allowed.update((name, value) for name, value in found.data.items() if isinstance(value, list))
        return allowed

    def _listed(self, folder: str, end: float) -> dict[str, kv.Info | None] | StoreError | None:
        """Return the detailed listing; None where the server or the policy lacks it, which is then not asked for again."""
        found = self._session.ask(self._calls.detailed(folder), end)
        if isinstance(found, Trouble) and not found.refused and found.error.whole:
            return found.error
        if isinstance(found, Trouble) or found.status != HTTPStatus.OK:
            self.detailed = False
            return None
        infos: Mapping[str, kv.Info | None] = found.data["key_info"]
        start = f"{folder}/" if folder else ""
        return {f"{start}{name}": info for name, info in infos.items()}

    def _walked(self, folder: str, end: float) -> dict[str, kv.Info | None] | StoreError:
        """List folder by folder; a folder that does not exist is empty."""
        names: dict[str, kv.Info | None] = {}
        pending = [f"{folder}/" if folder else ""]
        while pending:
            start = pending.pop()
            found = self._session.ask(self._calls.folder(start), end)
            if isinstance(found, Trouble):
                return found.error
            if found.status != HTTPStatus.OK and not found.absent:
                return _unexpected(found)
            keys: object = found.data.get("keys")
            for name in (f"{start}{key}" for key in (keys if isinstance(keys, list) else ()) if isinstance(key, str)):
                if not name.endswith("/"):
                    names[name] = None
                elif name.startswith(self._prefix) or self._prefix.startswith(name):
                    pending.append(name)
        return names


def _wrong(mount: Mapping[str, Any], configured: str) -> StoreError | None:
    options, path = mount.get("options"), str(mount.get("path") or configured).strip("/")
    if mount.get("type") not in ("kv", "generic"):
        return error("no-mount", "The engine at the mount is not KV.")
    if path != configured.strip("/"):
        # Below a mount every path is answered, and a write to it would make a secret of another name in another form.
        shown = path if path.isprintable() else "another one"
        return error(
            "no-mount",
            f"The path is inside the mount {shown}.",
            remedy=f"Write `mount: {shown}`; what follows it is part of `path`, and data and metadata are left out.",
        )
    if not isinstance(options, dict) or options.get("version") != "2":
        return _version_1(configured)
    return None


def _version_1(mount: str) -> StoreError:
    return error("kv-v1", remedy=f"Use a KV version 2 mount: `vault kv enable-versioning {mount}`.")


def _is_allowed(call: Call, allowed: Mapping[str, Sequence[str]]) -> bool:
    return not {call.needs, "root"}.isdisjoint(allowed.get(call.shown, ()))


def _unexpected(found: Answer) -> StoreError:
    return error("unexpected", f"HTTP {found.status}.", whole=False)
