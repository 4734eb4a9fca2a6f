"""HashiCorp Vault and OpenBao, KV version 2: payloads as data, marks as custom_metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import TypeVar

from sync.core.model import (
    Absent,
    Content,
    Key,
    Marks,
    PastVersion,
    Removed,
    Stored,
    StoreError,
    Use,
    Version,
    WriteKind,
    Written,
)
from sync.core.payload import Payload
from sync.core.report.finding import Finding
from sync.core.report.report import Counts
from sync.core.report.store_findings import raw_keys
from sync.core.secret import CredentialError, Secret
from sync.http import Http
from sync.runtime.threads import Clock, GraceClock, Serial, Stopping
from sync.stores.vault import kv
from sync.stores.vault.engine import Engine
from sync.stores.vault.examine import VaultExamination
from sync.stores.vault.findings import ALLOW_FORWARD, NO_FORWARD
from sync.stores.vault.policy import Rights
from sync.stores.vault.read import Entry, Reader
from sync.stores.vault.remove import Remover
from sync.stores.vault.session import Session
from sync.stores.vault.settings import VaultSettings
from sync.stores.vault.wire import Wire
from sync.stores.vault.write import CONFLICT, Writer

T = TypeVar("T")

_DIGITS = 18
"""More digits than a version of KV can have."""

_REVOKE_WITHIN = 3.0
"""Seconds for revoking the token at the end; it expires by itself where that fails."""


class VaultStore:
    """One mount of one server. Every request is bounded by ``settings.timeout``, and so is a whole write."""

    def __init__(
        self, name: str, settings: VaultSettings, *, clock: Clock, http: Callable[..., Http] = Http, workers: int = 8
    ) -> None:
        """``http`` makes the connection pool; it is called as Http is, and again when ca_file or proxy changes."""
        self.name = name
        self._settings = settings
        self._clock = GraceClock(clock)
        self._http = HttpFactory(settings, http, workers, self._clock)
        self._wire = Wire(settings, self._http, self._clock)
        self._session = Session(settings, self._wire, self._clock, renews_by_time=not isinstance(clock, Serial))
        self._engine = Engine(settings, self._session)
        self._reader = Reader(self._engine, clock, settings.timeout, workers)
        self._writer = Writer(self._engine, self._clock)
        self._remover = Remover(self._engine, self._clock, settings)
        self._wire.begin(self._http.reload())

    @property
    def requests(self) -> int:
        """Requests sent so far, including logins."""
        return self._wire.requests

    @property
    def outcomes(self) -> Counts:
        """Ended requests so far, by what they needed a right for, and by error code."""
        return self._wire.outcomes

    @property
    def credential_expires_at(self) -> datetime | None:
        """When the token expires, unless it is renewed before."""
        left = self._session.expires_in
        return self._clock.now() + timedelta(seconds=left) if left is not None else None

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings since the last ``begin``."""
        forwarding = [] if self._wire.forwards else [f"{NO_FORWARD} {ALLOW_FORWARD}"]
        return [*forwarding, *self._session.warnings, *self._reader.warnings, *self._reader.history()]

    def begin(self, *, writes: bool = True) -> None:  # noqa: ARG002 - the protocol's
        """Start a cycle."""
        self._wire.begin(self._http.reload())
        self._session.begin()
        self._engine.begin()
        self._reader.begin()

    def read(self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Content]:
        """Read many secrets."""
        entries = self._reader.read([key.path for key in keys if kv.quoted(key.path) is not None])
        return {key: self._named(_answer(entries.get(key.path), raw=key in raw), key) for key in keys}

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write payload and marks."""
        cas = _number(replaces or "0")
        if cas is None:
            return CONFLICT
        return self._changed(key, lambda: self._writer.write(key.path, payload, marks, cas, self._end()))

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Write the marks alone."""
        return self._changed(key, lambda: self._writer.mark(key.path, marks, version, read, self._end()))

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write the payload alone, over a secret that another tool may own."""
        cas = _number(replaces)
        if not cas:
            return CONFLICT
        return self._changed(key, lambda: self._writer.write(key.path, payload, None, cas, self._end()))

    def remove(self, key: Key, *, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Delete the version; it stays recoverable until it is destroyed, or the mount's max_versions is reached."""
        return self._changed(key, lambda: self._remover.remove(key.path, version, marks, self._end()))

    def _changed(self, key: Key, change: Callable[[], T | StoreError]) -> T | StoreError:
        if kv.quoted(key.path) is None:
            return _REFUSED
        self._reader.wrote(key.path)
        return self._named(change(), key)

    def versions(self, key: Key, *, raw: bool = False) -> Sequence[PastVersion] | StoreError:
        """Return the versions that the mount keeps; KV holds objects, so that none of them has raw text."""
        if kv.quoted(key.path) is None:
            return _REFUSED
        found = self._named(self._reader.versions(key.path), key)
        if isinstance(found, StoreError) or not raw:
            return found
        return [replace(one, payload=None) for one in found]

    def would_refuse(self, writes: Mapping[Key, WriteKind]) -> Mapping[Key, StoreError]:
        """Return the writes that the policy denies; nothing where the token may not ask for its capabilities."""
        kinds = {key.path: kind for key, kind in writes.items() if kv.quoted(key.path) is not None}
        found = self._engine.would_refuse(kinds, self._end())
        return {key: self._named(found[key.path], key) for key in writes if key.path in found}

    def examine(self, uses: Mapping[Key, Use], instance: str) -> Sequence[Finding]:
        """Examine server, login, mount, policy and history, and read each secret."""
        return VaultExamination(
            name=self.name,
            settings=self._settings,
            http=self._http,
            wire=self._wire,
            session=self._session,
            engine=self._engine,
            rights=Rights(kv.Calls(self._settings.mount), self._settings.list_prefix, self._settings.renews),
            read=lambda chosen: self.read(list(chosen), raw=raw_keys(chosen)),
            history=self._reader.history,
            named=self._named_error,
            end=self._end,
        ).run(uses, instance)

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List the secrets of this instance below the prefix."""
        found = self._named(self._reader.owned(instance))
        return found if isinstance(found, StoreError) else [(Key(self.name, path), marks) for path, marks in found]

    def close(self) -> None:
        """Revoke the token of this store's own login, and close the connections."""
        # A daemon has ten seconds in all after a shutdown request.
        with suppress(Stopping), self._clock.grace(inf):
            self._session.close(min(self._end(), self._clock.monotonic() + _REVOKE_WITHIN))
        self._http.close()

    def _named(self, answer: T | StoreError, key: Key | None = None) -> T | StoreError:
        """Add to an error what was asked for: address, namespace and mount, and the path where only that failed."""
        if not isinstance(answer, StoreError) or answer.error_code in ("conflict", "refused-path"):
            return answer
        return self._named_error(answer, key)

    def _named_error(self, answer: StoreError, key: Key | None = None) -> StoreError:
        settings = self._settings
        parts = [("Address", settings.address), ("namespace", settings.namespace), ("mount", settings.mount)]
        if key is not None and not answer.whole and answer.error_code != "no-patch":
            parts.append(("path", key.path))
        asked = ", ".join(f"{name}: {value}" for name, value in parts if value)
        return replace(answer, message=f"{answer.message} {asked}.")

    def _end(self) -> float:
        return self._clock.monotonic() + self._settings.timeout


def _number(version: Version) -> int | None:
    """Return a version as a number; None where it is none of KV's."""
    return int(version) if version.isdecimal() and len(version) <= _DIGITS else None


_REFUSED = StoreError(
    "refused-path",
    "The path has an empty segment, `.`, `..` or an invisible character, so it would lead to another secret.",
    "Correct `path` of this store, or the Page's name.",
)


def _answer(entry: Entry | StoreError | None, *, raw: bool) -> Content:
    match entry:
        case None:
            return _REFUSED
        case kv.Found():
            return entry.stored(raw=raw)
        case kv.Info():
            return entry.without_value()
        case _:
            return entry


class HttpFactory:
    """Holds the connection pool, and makes a new one when the proxy or the content of a certificate file changes."""

    def __init__(self, settings: VaultSettings, http: Callable[..., Http], connections: int, stop: GraceClock) -> None:
        self._settings = settings
        self._make = http
        self._connections = connections
        self._stop = stop
        self._made_of: tuple[Secret | None, Sequence[str]] = (None, self._digests())
        self._http = self._open(None)

    def __call__(self) -> Http:
        """Return the current pool."""
        return self._http

    def reload(self) -> StoreError | None:
        """Read the proxy reference and the certificate files again; make a new pool where one changed."""
        try:
            proxy = self._settings.proxy() if self._settings.proxy is not None else None
        except CredentialError as failure:
            remedy = "Store the proxy's URL where its reference points."
            return StoreError("credentials", f"The proxy's URL cannot be read: {failure}.", remedy, whole=True)
        made_of = (proxy, self._digests())
        if made_of != self._made_of:
            self.close()
            self._http = self._open(proxy)
            self._made_of = made_of
        return None

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _digests(self) -> Sequence[str]:
        files = (self._settings.ca_file, self._settings.client_cert, self._settings.client_key)
        return [_digest(file) for file in files]

    def _open(self, proxy: Secret | None) -> Http:
        return self._make(
            ca_file=self._settings.ca_file,
            client_cert=self._settings.client_cert,
            client_key=self._settings.client_key,
            proxy=proxy,
            trust_env=self._settings.trust_env,
            connections=self._connections,
            stop=self._stop,
        )


def _digest(file: str | None) -> str:
    """Return a digest of a file's content; if it cannot be read, the connection pool reports that."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file is not None else ""
    except OSError:
        return "unreadable"
