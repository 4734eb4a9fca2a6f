"""One KV version 2 mount: its endpoints as methods, and the checks that come before any write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sync.core.model import Absent, StoreError
from sync.stores.vault import kv
from sync.stores.vault.answers import Answer, Call, Trouble, denied, error
from sync.stores.vault.login import Session
from sync.stores.vault.retention import Retention, retention
from sync.stores.vault.settings import VaultSettings

_AT_ONCE = 250
"""Secrets per request for capabilities, with two paths each: OpenBao 2.7.2 rejects 1,000 paths (measured 2026-11-25)."""

Ask = Callable[[Call, float], Answer | Trouble]


@dataclass(frozen=True, slots=True)
class Put:
    """A version that was written, or found to be this write; ``custom`` is the map of marks at that time."""

    version: int
    custom: Mapping[str, str]


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
        self._proven = False
        self._detailed = True
        self._config_denied = False
        self.retention = Retention()
        self._allowed: dict[str, Mapping[str, Sequence[str]] | None] = {}
        self.expected: Sequence[str] = ()

    def begin(self) -> None:
        """Start a cycle: the mount and the policy are checked again, since both may have changed."""
        self._checked = self._proven = False
        self._wrong = None
        self._allowed = {}

    @property
    def detailed(self) -> bool:
        """Whether the detailed listing is used: until the server or the policy turns out to lack it."""
        return self._detailed

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
                    self._wrong = _wrong(found.data)
                    self._proven = self._wrong is None
                if self._proven:
                    self._look_at_config(end)
            return self._wrong

    def _look_at_config(self, end: float) -> None:
        """Read how long the mount keeps versions; a policy that denies this is asked once, since only warnings depend on it."""
        if self._config_denied:
            return
        found = self._session.ask(self._calls.config(), end)
        if isinstance(found, Answer) and found.status == HTTPStatus.OK:
            self.retention = retention(found.data)
        else:
            self._config_denied = isinstance(found, Trouble) and found.refused

    def read(self, path: str, end: float) -> kv.Found | Absent | StoreError:
        """Read data, version and marks; Absent means only that there is no value, while metadata may exist."""
        found = self._session.ask(self._calls.read(path), end)
        if isinstance(found, Trouble):
            return found.error
        value = kv.found(found)
        if isinstance(value, kv.Found):
            self._proven = True
        return value if value is not None else _unexpected(found)

    def metadata(self, path: str, end: float) -> kv.Info | Absent | StoreError:
        """Read the metadata of one secret."""
        found = self._session.ask(self._calls.metadata(path), end)
        if isinstance(found, Trouble):
            return found.error
        if found.status == HTTPStatus.NOT_FOUND:
            return Absent()
        return kv.info(found.data) or _unexpected(found)

    def listing(self, end: float) -> Mapping[str, kv.Info | None] | StoreError:
        """List the secrets below the prefix with their metadata; None where a secret's metadata needs a request of its own."""
        folder = self._prefix.rpartition("/")[0]
        names: Mapping[str, kv.Info | None] | StoreError | None = self._listed(folder, end) if self._detailed else None
        if names is None:
            names = self._walked(folder, end)
        if isinstance(names, StoreError):
            return names
        return {name: info for name, info in names.items() if self.reaches(name)}

    def put(self, path: str, payload: Mapping[str, Any], cas: int, end: float) -> Put | Mismatch | StoreError:
        """Write one version by compare-and-set. The caller settles an error with ``maybe_written`` by reading."""
        found = self._session.ask(self._calls.write(path, payload, cas), end)
        if isinstance(found, Trouble):
            return found.error
        version, custom = found.data.get("version"), found.data.get("custom_metadata")
        if found.status == HTTPStatus.OK and isinstance(version, int):
            return Put(version, {str(k): str(v) for k, v in custom.items()} if isinstance(custom, dict) else {})
        if found.status == HTTPStatus.BAD_REQUEST and "did not match the current version" in found.text:
            return Mismatch()
        if found.status < HTTPStatus.BAD_REQUEST:
            return error("unexpected", "The answer to a write names no version.", whole=False, maybe_written=True)
        return _unexpected(found)

    def patch(self, path: str, custom: Mapping[str, str | None], end: float) -> StoreError | Absent | None:
        """Merge into the map of marks; Absent if there is no such secret, or this node does not know it yet."""
        found = self._session.ask(self._calls.patch(path, custom), end)
        if isinstance(found, Trouble):
            return found.error
        if found.status == HTTPStatus.NOT_FOUND:
            return Absent()
        if found.status == HTTPStatus.METHOD_NOT_ALLOWED:
            return error("kv-v1")
        return None if found.status < HTTPStatus.MULTIPLE_CHOICES else _unexpected(found)

    def may_write(self, path: str, cas: int | None, end: float) -> StoreError | None:
        """Check before a write that the policy allows all of it; ``cas`` is None where only marks are written.

        If the data were written and the marks then denied, the secret would stay without an owner. A KV version 1 mount
        accepts a request in the form of version 2, and would store the token in the wrong form.
        """
        with self._lock:
            if path not in self._allowed:
                trouble = self._ask_allowed(path, end)
                if trouble is not None:
                    return trouble
            allowed = self._allowed[path]
        if allowed is None or not self._proven:
            probe = self.patch(path, {}, end)
            if isinstance(probe, StoreError):
                return probe
            self._proven = True
        if allowed is None:
            return None
        calls = [self._calls.patch(path, {}), *([] if cas is None else [self._calls.write(path, {}, cas)])]
        lacking = [call for call in calls if not {call.needs, "root"} & set(allowed.get(call.shown, ()))]
        return denied(lacking[0]) if lacking else None

    def _ask_allowed(self, path: str, end: float) -> StoreError | None:
        """Ask for the capabilities on this path, and on those that are likely to be written next."""
        others = [other for other in self.expected if other not in self._allowed and other != path]
        paths = [path, *others[: _AT_ONCE - 1]]
        found = self._session.ask(self._calls.capabilities(paths), end)
        if isinstance(found, Trouble) and not found.refused:
            return found.error
        if isinstance(found, Trouble) or found.status != HTTPStatus.OK:
            # A token without the default policy may not ask for its capabilities on any path.
            self._allowed.update(dict.fromkeys(paths))
            return None
        of = {name: value for name, value in found.data.items() if isinstance(value, list)}
        self._allowed.update(dict.fromkeys(paths, of))
        return None

    def _listed(self, folder: str, end: float) -> dict[str, kv.Info | None] | StoreError | None:
        """Return the detailed listing; None where the server or the policy lacks it, which is then not asked for again."""
        found = self._session.ask(self._calls.detailed(folder), end)
        if isinstance(found, Trouble) and not found.refused and found.error.whole:
            return found.error
        if isinstance(found, Trouble) or found.status != HTTPStatus.OK:
            self._detailed = False
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
            keys: Iterable[object] = found.data.get("keys") or ()
            for name in (f"{start}{key}" for key in keys if isinstance(key, str)):
                if not name.endswith("/"):
                    names[name] = None
                elif name.startswith(self._prefix) or self._prefix.startswith(name):
                    pending.append(name)
        return names


def _wrong(mount: Mapping[str, Any]) -> StoreError | None:
    options = mount.get("options")
    if mount.get("type") not in ("kv", "generic"):
        return error("no-mount", "The engine at the mount is not KV.")
    if not isinstance(options, dict) or options.get("version") != "2":
        return error("kv-v1")
    return None


def _unexpected(found: Answer) -> StoreError:
    return error("unexpected", f"HTTP {found.status}.", whole=False)
