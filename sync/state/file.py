"""The state file: read, locked and replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from sync.core.memory.memory import Memory
from sync.core.model import Key
from sync.runtime.threads import Clock
from sync.state.content import FORMAT, REQUIRED, decode, encode
from sync.stores.file import disk

_CAP = 256 << 20
_LOCK_SECONDS = 5.0
_ASKED_AGAIN = "Meta is asked again for what is missing."


class StateFile:
    """One state file of one instance. ``warning`` says what the last reading or writing failed at; empty where it succeeded.

    Another process of the instance may use it as well: each keeps its own memory, and the file has that of the last one. Only
    what a person let through is passed on, since that is done beside a daemon.
    """

    def __init__(self, path: Path, instance: str, *, clock: Clock) -> None:
        self.warning = ""
        self._path = path
        self._instance = instance
        self._clock = clock
        self._foreign = False
        self._known: tuple[int, int] | None = None

    def load(self) -> Memory:
        """Read the memory; an empty one where there is none, or where it cannot be used."""
        self.warning = ""
        self._known = self._stamp()
        try:
            found = self._read()
        except (OSError, disk.RefusedError, disk.LockedError) as error:
            return self._unused(_words(error))
        if found is None:
            return Memory()
        if found.data is None:
            return self._unused("it is larger than any state of this program")
        return self._parsed(found.data)

    def save(self, memory: Memory) -> None:
        """Replace the file, completely or not at all; another instance's file is left alone."""
        if self._foreign:
            return
        try:
            data = encode(memory, self._instance)
            with locked(self._path.parent, self._clock) as folder:
                disk.put(folder, self._path.name, data)
        except (OSError, ValueError, disk.RefusedError, disk.LockedError) as error:
            # What a cycle has done is reported all the same.
            self.warning = f"The state file {self._path} is not written: {_words(error)}."
        else:
            self.warning = ""
            self._known = self._stamp()

    def let_through(self) -> Mapping[Key, str]:
        """Return the lines of a plan that a person let through in another process, since this one read or wrote the file."""
        stamp = self._stamp()
        if stamp in (None, self._known):
            return {}
        warning, lines = self.warning, self.load().let_through
        self.warning = warning
        return lines

    def _stamp(self) -> tuple[int, int] | None:
        """Return what differs after each write of the file; None where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> disk.Bytes | None:
        if not self._path.parent.is_dir():
            return None
        with disk.root(str(self._path.parent)) as folder:
            return disk.read(folder, self._path.name, cap=_CAP)

    def _parsed(self, data: bytes) -> Memory:
        try:
            # Refuses half a surrogate, which could be read and never be written again.
            content: Any = from_json(data)
        except ValueError:
            return self._unused("it is not complete JSON")
        if isinstance(content, dict) and content.get("instance", self._instance) != self._instance:
            self._foreign = True
            return self._unused("it is another instance's, and is left alone")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            return self._unused("it has the form of another version")
        if not content.keys() >= REQUIRED:
            return self._unused("a part of it is missing")
        memory, dropped = decode(content, self._clock.now())
        if dropped:
            self.warning = (
                f"The state file {self._path} is used without its invalid entries ({dropped:,}). {_ASKED_AGAIN}"
            )
        return memory

    def _unused(self, why: str) -> Memory:
        self.warning = f"The state file {self._path} is not used: {why}. {_ASKED_AGAIN}"
        return Memory()


@contextmanager
def locked(folder: Path, clock: Clock) -> Iterator[int]:
    """Hold a folder's lock, and return its descriptor."""
    with disk.root(str(folder), create=True) as fd, disk.locked(fd, timeout=_LOCK_SECONDS, clock=clock):
        yield fd


def _words(error: Exception) -> str:
    """Return what happened, without a library's text."""
    if isinstance(error, disk.RefusedError):
        return str(error)
    if isinstance(error, disk.LockedError):
        return "another process has held the folder's lock all the time"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return type(error).__name__
