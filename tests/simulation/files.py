"""The file store on a real directory, with each of its calls in simulated time and each change shown to the checker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sync.core.model import Key, Marks, Stored, StoreError, Version, Written
from sync.core.payload import Payload
from sync.runtime.threads import SystemClock
from sync.stores.file.store import FileSettings, FileStore
from tests.simulation.checker import Checker, Current
from tests.simulation.process import Life

NAME = "file"
_TIMEOUT = 30.0


def _current(found: object) -> Current | None:
    if not isinstance(found, Stored):
        return None
    value = found.payload.reveal() if found.payload is not None else None
    data = value if isinstance(value, dict) else None
    return Current(found.version, data, found.state == "live", found.marks, first=found.first)


class Disk:
    """The directory, as the simulation sees it: what it holds, and what a person changes in it."""

    def __init__(self, folder: Path, changed: Callable[[object, str, str, Any, Any], None]) -> None:
        self.folder = folder
        self._changed = changed
        self._store = FileStore(NAME, FileSettings(str(folder)), clock=SystemClock())

    def truth(self, path: str) -> Current | None:
        """Return what is stored at a path."""
        return _current(self._store.read([Key(NAME, path)])[Key(NAME, path)])

    def edit(self, path: str, data: Mapping[str, Any], *, owner: object) -> None:
        """Write a file as a person does, over what it holds."""
        file, before = self.folder / path, self.truth(path)
        old = dict(before.data or {}) if before is not None else {}
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(json.dumps({**old, **data}))
        file.chmod(0o600)
        self._changed(owner, NAME, path, before, self.truth(path))

    def remove(self, path: str, *, owner: object, marks: bool) -> None:
        """Remove a file, or the hidden file of its marks."""
        file, before = self.folder / path, self.truth(path)
        hidden = file.with_name(f".{file.name}.page-token-sync")
        (hidden if marks else file).unlink(missing_ok=True)
        self._changed(owner, NAME, path, before, self.truth(path))


class SimulatedFiles(FileStore):
    """A file store of one life."""

    def __init__(self, life: Life, disk: Disk, checker: Checker, *, clock: Any) -> None:
        super().__init__(NAME, FileSettings(str(disk.folder)), clock=clock)
        self._life = life
        self._disk = disk
        self._checker = checker

    def read(self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Any]:
        """Read, and show the life what was read."""

        def carry_out() -> Mapping[Key, Any]:
            found = super(SimulatedFiles, self).read(keys, raw=raw)
            for key, one in found.items():
                self._life.show(NAME, key.path, _current(one))
            return found

        return self._life.call(NAME, "file read", _TIMEOUT, carry_out)

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write, and show the checker the change."""
        return self._watched(key, lambda: super(SimulatedFiles, self).write(key, payload, marks, replaces=replaces))

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Mark, and show the checker the change."""
        return self._watched(key, lambda: super(SimulatedFiles, self).mark(key, marks, version=version, read=read))

    def _watched(self, key: Key, act: Callable[[], Written | StoreError]) -> Written | StoreError:
        def carry_out() -> Written | StoreError:
            before = self._disk.truth(key.path)
            answer = act()
            self._checker.changed(self._life, NAME, key.path, before, self._disk.truth(key.path))
            return answer

        return self._life.call(NAME, f"file write {key.path}", _TIMEOUT, carry_out)
