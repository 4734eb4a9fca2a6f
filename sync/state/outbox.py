"""The file of notifications that wait to be sent, beside the state file. It contains no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from sync.runtime.threads import Clock
from sync.state.file import locked
from sync.stores.file import disk

_CAP = 64 << 20
_FORMAT = 1
Waiting = Mapping[str, Sequence[Mapping[str, Any]]]


class Outbox:
    """Messages by receiver. The file of another instance is left alone."""

    def __init__(self, path: Path, instance: str, *, clock: Clock) -> None:
        self._path = path.with_name(f"{path.name}.notify")
        self._instance = instance
        self._clock = clock
        self._is_empty = self._is_foreign = False

    def load(self) -> Waiting:
        """Read the messages that an earlier process could not send; none where there is no usable file."""
        with suppress(OSError, ValueError, disk.RefusedError):
            if not self._path.is_file():
                return {}
            with disk.root(str(self._path.parent)) as folder:
                found = disk.read(folder, self._path.name, cap=_CAP)
            content: Any = from_json(found.data) if found is not None and found.data is not None else None
            self._is_foreign = isinstance(content, dict) and content.get("instance", self._instance) != self._instance
            if isinstance(content, dict) and not self._is_foreign and content.get("format") == _FORMAT:
                return {
                    key: [message for message in listed if isinstance(message, dict) and "title" in message]
                    for key, listed in content.get("waiting", {}).items()
                    if isinstance(listed, list)
                }
        return {}

    def save(self, waiting: Waiting) -> str:
        """Replace the file, and return why it could not be; where nothing waits and nothing did, it is left alone."""
        if (self._is_empty or self._is_foreign) and not waiting:
            return ""
        if self._is_foreign:
            return f"{self._path} is another instance's"
        content = {"format": _FORMAT, "instance": self._instance, "waiting": waiting}
        try:
            with locked(self._path.parent, self._clock) as folder:
                disk.put(folder, self._path.name, json.dumps(content).encode())
        except (OSError, ValueError, disk.RefusedError, disk.LockedError) as error:
            cause = error.strerror if isinstance(error, OSError) else None
            return f"{self._path} cannot be written: {cause or type(error).__name__}"
        self._is_empty = not waiting
        return ""
