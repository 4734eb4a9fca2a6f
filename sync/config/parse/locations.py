"""Find the locations of keys and values, by reading the text again; only done when there is something to locate."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sync.config.errors import KeyPath
from sync.config.parse.yaml import events

_NO_KEY: Any = object()
Location = tuple[int, int]
"""Line and column, from 1."""


def locations(text: str, wanted: Collection[KeyPath]) -> Mapping[KeyPath, tuple[Location, Location]]:
    """Return for each path the locations of its key and of its value.

    An item of a list and the whole have no key: both locations are that of the value. The text must be one that ``parse`` has
    read to its end.
    """
    found: dict[KeyPath, tuple[Location, Location]] = {}
    left = set(wanted)
    for path, key, value in _walk(text):
        if path in left:
            left.discard(path)
            found[path] = (key or value, value)
            if not left:
                break
    return found


def _walk(text: str) -> Iterator[tuple[KeyPath, Location | None, Location]]:
    """Yield the path, the location of the key and the location of every value; a list or mapping used as a key has no path."""
    path: list[Any] = []
    key: Location | None = None
    for event in events(text):
        kind = type(event)
        if kind is DocumentEndEvent:
            # Another document is an error that has been found; it may have errors of its own.
            return
        if kind is MappingEndEvent or kind is SequenceEndEvent:
            path.pop()
        elif kind in _VALUES:
            here = (event.start_mark.line + 1, event.start_mark.column + 1)
            if path and path[-1] is _NO_KEY and kind is not MappingStartEvent and kind is not SequenceStartEvent:
                path[-1], key = (event.value if kind is ScalarEvent else "?"), here
                continue
            if path and type(path[-1]) is int:
                path[-1], key = path[-1] + 1, None
            yield tuple(path), key, here
            if kind is MappingStartEvent or kind is SequenceStartEvent:
                path.append(_NO_KEY if kind is MappingStartEvent else -1)
                continue
        if path and type(path[-1]) is not int:
            path[-1] = _NO_KEY


_VALUES = (ScalarEvent, AliasEvent, MappingStartEvent, SequenceStartEvent)
