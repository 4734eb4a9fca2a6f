"""The rig of the file store: a directory."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sync.core import marks as mark_map
from sync.core.model import Key, Removed
from sync.runtime.threads import SystemClock
from sync.stores.file.layout import sidecar_name
from sync.stores.file.store import FileSettings, FileStore
from tests.support.store_contract import marks


class FileRig:
    """One directory, written to by the store under test and by a person."""

    name = "disk"
    counted = False
    exact_numbers = True
    canaries = ()
    odd_names = ("a b", "Zürich", "x" * 200, "team/berlin", "team/paris", ".hidden", "-rf", "a'b\"c")
    refused_paths = ("../up", "a/../b", "/etc/passwd", "a//b", "", ".", "a/", ".x.page-token-sync", "a\0b")

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make_store(self) -> FileStore:
        """Make a store over the directory."""
        return FileStore(self.name, FileSettings(str(self.directory), 5.0), clock=SystemClock())

    def unreachable_store(self) -> FileStore:
        """Make a store below a folder that does not exist."""
        return FileStore(self.name, FileSettings(str(self.directory / "no" / "such"), 5.0), clock=SystemClock())

    def key(self, name: str) -> Key:
        """Return the target of a Page."""
        return Key(self.name, f"{name}.json")

    def bad_key(self) -> Key:
        """Create a link, which the store refuses to read."""
        (self.directory / "bad.json").symlink_to("/etc/passwd")
        return self.key("bad")

    def plant(self, key: Key, payload: Mapping[str, Any], marks: Mapping[str, str] | None = None) -> None:
        """Write a file, and marks beside it."""
        (self.directory / key.path).write_text(json.dumps(payload))
        if marks is not None:
            self._sidecar(key).write_text(json.dumps({"marks": dict(marks)}))

    def plant_text(self, key: Key, text: str, marks: Mapping[str, str]) -> None:
        """Write a file of this text, and marks beside it."""
        self.plant(key, {}, marks)
        (self.directory / key.path).write_text(text)

    def text(self, key: Key) -> str:
        """Read the file."""
        return (self.directory / key.path).read_text()

    def numbers(self, key: Key) -> Mapping[str, str]:
        """Read the file with its numbers as texts."""
        return dict(json.loads(self.text(key), parse_float=str, parse_int=str))

    def unreadable(self, key: Key) -> frozenset[Key]:
        """Write bytes that are not JSON."""
        self.plant(key, {}, mark_map.present(marks()))
        (self.directory / key.path).write_bytes(b"\xff\xfe{")
        return frozenset()

    def add_foreign_mark(self, key: Key, name: str, value: str) -> None:
        """Edit the marks file."""
        content = json.loads(self._sidecar(key).read_text())
        content["marks"][name] = value
        self._sidecar(key).write_text(json.dumps(content))

    def unmark(self, key: Key) -> None:
        """Remove the marks file."""
        self._sidecar(key).unlink()

    def foreign_marks(self, key: Key) -> Mapping[str, str]:
        """Read the entries of the marks file that are not marks."""
        content = json.loads(self._sidecar(key).read_text())["marks"]
        known = mark_map.to_map(marks())
        return {name: value for name, value in content.items() if name not in known and not name.startswith("label.")}

    def versions(self, key: Key) -> list[str]:
        """Return the one version that a file has."""
        return [(self.directory / key.path).read_text()]

    def restore(self, key: Key, removed: Removed) -> None:
        """Run the command."""
        subprocess.run(["/bin/sh", "-c", removed.restore], check=True)

    def delete(self, key: Key) -> None:
        """Remove the file as a person does, who does not see the marks file."""
        (self.directory / key.path).unlink()

    def _sidecar(self, key: Key) -> Path:
        path = self.directory / key.path
        return path.with_name(sidecar_name(path.name))
