"""Where the state file must not lie: it is written over, and nothing else that the configuration names may be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sync.config.errors import Finding
from sync.config.resolve.check import Report
from sync.config.schema.settings import Settings
from sync.config.schema.stores import FileStore
from sync.config.schema.values import FileReference, parts_in


def check_state(settings: Settings, base: Path, files: Sequence[Path], report: Report) -> None:
    """Report a state file in the place of a file of the configuration, of a credential, or among a store's secrets."""
    fault = _fault(settings, base, files)
    if fault:
        remedy = "name a file of its own, such as /var/lib/page-token-sync/state.json"
        report(Finding(0, ("state", "file"), "bad-state-file", fault, remedy))


def _fault(settings: Settings, base: Path, files: Sequence[Path]) -> str | None:
    if settings.state is None:
        return None
    real = os.path.realpath(settings.state.file)
    if Path(real).is_dir():
        return "a folder, where a file is wanted"
    if real in {os.path.realpath(file) for file in files}:
        return "this is a file of the configuration itself"
    if real in {os.path.realpath(file) for file in _needed(settings, base)}:
        return "a credential or certificate is read from this file"
    for name, store in settings.stores.items():
        if isinstance(store, FileStore) and Path(real).is_relative_to(os.path.realpath(store.directory)):
            return f"it lies in the directory of the store {name}"
    return None


def _needed(settings: Settings, base: Path) -> Iterator[Path]:
    for _, part in parts_in(settings, skip=("pages", "defaults")):
        if isinstance(part, FileReference):
            yield base / part.file
        ca_file = getattr(part, "ca_file", None)
        if isinstance(ca_file, Path):
            yield ca_file
