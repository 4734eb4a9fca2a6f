"""Reading from a KV mount with as few requests as possible; a secret without a value is kept apart from an absent one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sync.core import marks as mark_map
from sync.core.model import Absent, Marks, PastVersion, StoreError
from sync.runtime.threads import Clock, each
from sync.stores.vault import kv
from sync.stores.vault.answers import BEHIND
from sync.stores.vault.engine import Engine
from sync.stores.vault.retention import missing_history

Entry = kv.Found | kv.Info | Absent
"""What a path holds: a version with or without its value, the metadata of a secret without versions, or nothing."""

_FEW = 8
"""Up to this number secrets are read one by one; for more, a listing first saves requests."""


@dataclass
class Reader:
    """Reads many paths.

    It keeps values over cycles: a version of KV never changes, so a value is read again only if its metadata has changed.
    """

    engine: Engine
    clock: Clock
    timeout: float
    workers: int
    warnings: list[str] = field(default_factory=list)
    _values: dict[str, kv.Found] = field(default_factory=dict)
    _read: dict[str, Entry] = field(default_factory=dict)
    _listing: Mapping[str, kv.Info | None] | None = None
    _wanted: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Start a cycle: clear what was read, except the values that unchanged metadata will confirm."""
        self.warnings.clear()
        self._read = {}
        self._listing = None
        self._wanted = set()

    def history(self) -> Iterator[str]:
        """Return warnings about secrets read in this cycle whose versions Vault will not keep."""
        known: list[kv.Info] = []
        for path in self._wanted:
            entry = (self._listing or {}).get(path) or self._read.get(path, Absent())
            if not isinstance(entry, Absent):
                known.append(entry.info if isinstance(entry, kv.Found) else entry)
        return missing_history(self.engine.retention, known, self.clock.now())

    def wrote(self, path: str) -> None:
        """Discard what was read and listed of this path, since it was written."""
        self._read.pop(path, None)
        self._listing = None

    def read(self, paths: Sequence[str]) -> Mapping[str, Entry | StoreError]:
        """Read all paths; every path is in the result."""
        if not paths:
            return {}
        trouble = self.engine.check(self._end())
        if trouble is not None:
            return dict.fromkeys(paths, trouble)
        self._listing = None
        if len(paths) > _FEW and self.engine.detailed:
            listing = self._listed()
            if isinstance(listing, StoreError) and listing.whole:
                return dict.fromkeys(paths, listing)
        found = dict(each(self._one, paths, workers=self.workers, clock=self.clock))
        empty = [path for path, entry in found.items() if isinstance(entry, Absent) and not self._is_absent(path)]
        if empty:
            found.update(self._without_value(empty))
        good = {path: entry for path, entry in found.items() if not isinstance(entry, StoreError)}
        self._read.update(good)
        self._wanted.update(paths)
        self._values.update({path: entry for path, entry in good.items() if isinstance(entry, kv.Found)})
        self.engine.expected = paths
        return found

    def versions(self, path: str) -> Sequence[PastVersion] | StoreError:
        """Read all versions of a secret that have a value; the newest one is current, unless it was deleted."""
        history = self.engine.check(self._end()) or self.engine.history(path, self.clock.now(), self._end())
        if isinstance(history, Absent | StoreError):
            return history if isinstance(history, StoreError) else []
        newest = self.engine.read(path, self._end())
        if isinstance(newest, StoreError):
            return newest
        current = newest.info.version if isinstance(newest, kv.Found) else 0
        read = each(
            lambda version: self.engine.read_version(path, version, self._end()),
            sorted(history, reverse=True),
            workers=self.workers,
            clock=self.clock,
        )
        found = []
        for version, entry in read.items():
            if isinstance(entry, StoreError):
                return entry
            payload = entry.payload if isinstance(entry, kv.Found) else None
            found.append(PastVersion(str(version), payload, history[version], current=version == current))
        return found

    def owned(self, instance: str) -> Sequence[tuple[str, Marks]] | StoreError:
        """List the paths of live secrets that this instance has marked."""
        trouble = self.engine.check(self._end())
        listing = trouble or self._listing or self._listed()
        if isinstance(listing, StoreError):
            return listing
        entries = {path: info or self._read.get(path, Absent()) for path, info in listing.items()}
        unknown = [path for path, entry in entries.items() if isinstance(entry, Absent)]
        asked = each(self._metadata, unknown, workers=self.workers, clock=self.clock)
        hidden = 0
        for path, entry in asked.items():
            if not isinstance(entry, StoreError):
                entries[path] = entry
            elif entry.error_code == "denied":
                hidden += 1
            else:
                return entry
        if hidden:
            self.warnings.append(
                f"The policy denies `read` on the metadata of {hidden} listed secrets, so orphans among them are not found."
            )
        return self._of_instance(entries, instance)

    def _of_instance(self, entries: Mapping[str, Entry], instance: str) -> Sequence[tuple[str, Marks]]:
        now, owned = self.clock.now(), []
        for path in sorted(entries):
            entry = entries[path]
            info = entry.info if isinstance(entry, kv.Found) else entry
            if isinstance(info, Absent) or not info.live(now):
                continue
            marks = mark_map.from_map(info.custom)
            if marks is not None and marks.instance == instance:
                owned.append((path, marks))
        return owned

    def _one(self, path: str) -> Entry | StoreError:
        if self._listing is not None and self.engine.detailed and self.engine.reaches(path):
            info = self._listing.get(path)
            if info is None:
                return Absent()
            if info.version == 0 or info.destroyed:
                return info
            known = self._values.get(path)
            if known is not None and known.info == info and known.payload is not None and not info.deletion:
                return known
        return self.engine.read(path, self._end())

    def _is_absent(self, path: str) -> bool:
        """Check whether the listing made before the reading shows that the secret does not exist."""
        return self._listing is not None and self.engine.reaches(path) and path not in self._listing

    def _without_value(self, paths: Sequence[str]) -> Mapping[str, Entry | StoreError]:
        """Separate secrets without a value from absent ones: by one listing, or by the metadata where the listing is denied."""
        listing = self._listing if self._listing is not None else self._listed()
        if isinstance(listing, StoreError):
            if listing.error_code != "denied":
                return dict.fromkeys(paths, listing)
            return each(self._without_versions, paths, workers=self.workers, clock=self.clock)
        there = [path for path in paths if path in listing or not self.engine.reaches(path)]
        known: dict[str, Entry | StoreError] = dict.fromkeys(paths, Absent())
        known.update(each(self._without_versions, there, workers=self.workers, clock=self.clock))
        return known

    def _without_versions(self, path: str) -> Entry | StoreError:
        """Read the metadata where no value was found; if it has a live version, that was written in between, and is read.

        Deleted versions do not come here: the data endpoint answers them with their metadata.
        """
        entry = self._metadata(path)
        if not isinstance(entry, kv.Info) or not entry.live(self.clock.now()):
            return entry
        again = self.engine.read(path, self._end())
        return BEHIND if isinstance(again, Absent) else again

    def _metadata(self, path: str) -> Entry | StoreError:
        return self.engine.metadata(path, self._end())

    def _listed(self) -> Mapping[str, kv.Info | None] | StoreError:
        listing = self.engine.listing(self._end())
        if not isinstance(listing, StoreError):
            self._listing = listing
            self._values = {path: value for path, value in self._values.items() if path in listing}
        return listing

    def _end(self) -> float:
        return self.clock.monotonic() + self.timeout
