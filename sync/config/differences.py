"""What differs between two configurations: names of keys and Pages, and no value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from sync.config.errors import KeyPath, path_text
from sync.config.load import Config

_WITHOUT_CYCLE = ("schedule", "log", "web", "metrics", "state", "pages_from")
"""Sections of which a change is no reason for a cycle: no secret follows from them.

What waits for a receiver is sent after a cycle, so that an edit of the receivers starts one.
"""
_AT_START = (("web", "listen"), ("log", "level"), ("log", "format"))
"""Keys that are read when the daemon starts."""


@dataclass(frozen=True, slots=True)
class Differences:
    """The changed keys, and the names of the Pages that were added, removed, or have other settings."""

    keys: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    needs_cycle: bool
    """Whether another cycle would find something else to do."""
    needs_restart: tuple[str, ...]
    """The changed keys that take effect at the next start."""


def differences(old: Config, new: Config) -> Differences:
    """Compare two configurations."""
    paths = tuple(_differing(old.settings, new.settings, ()))
    before, after = ({page.name: page for page in config.pages} for config in (old, new))
    changed = tuple(name for name, page in after.items() if name in before and before[name] != page)
    added, removed = tuple(after.keys() - before.keys()), tuple(before.keys() - after.keys())
    return Differences(
        keys=tuple(map(path_text, paths)),
        added=tuple(name for name in after if name in added),
        removed=tuple(name for name in before if name in removed),
        changed=changed,
        needs_cycle=bool(added or removed or changed) or any(path[0] not in _WITHOUT_CYCLE for path in paths),
        needs_restart=tuple(path_text(path) for path in paths if path[:2] in _AT_START),
    )


def _differing(old: Any, new: Any, path: KeyPath) -> Iterator[KeyPath]:
    if old == new:
        return
    if isinstance(old, BaseModel) and type(old) is type(new):
        for name in type(old).model_fields:
            yield from _differing(getattr(old, name), getattr(new, name), (*path, name))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys((*old, *new)):
            yield from _differing(old.get(name), new.get(name), (*path, name))
    else:
        yield path
