"""Secrets as files in one directory: for a laptop, or a tmpfs that other containers mount.

Marks stand in a hidden file beside each secret. A new secret is made in this order, so that a kill between any two steps
is repaired by the next cycle and nothing of another's is overwritten: the marks with the stamp of the content to come
(alone they are a container of ours without a value); the content, by a link that fails where a file has appeared; the
marks without the stamp. An existing secret gets its content first, then its marks, which stay ours all the time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sync.core.model import Absent, Key, Marks, Stored, StoreError, Version, Written
from sync.core.payload import Payload
from sync.runtime.threads import Clock
from sync.stores.file import disk
from sync.stores.file.layout import Sidecar, State, load, marked_name, save_marks
from sync.stores.file.walk import marked, sweep
from sync.stores.text import wire_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Where the files are. ``timeout`` bounds the wait for another daemon's lock, in seconds.

    A missing directory is created with mode 0700 at the first write, where the folder that holds it exists.
    """

    directory: str
    timeout: float = 30.0


class FileStore:
    """A directory of files, mode 0600, each replaced atomically under one lock for all daemons."""

    requests = 0

    def __init__(self, name: str, settings: FileSettings, *, clock: Clock) -> None:
        self.name = name
        self._missed = False
        self._settings = settings
        self._clock = clock
        self._turn = threading.Lock()
        self._locked: StoreError | None = None

    @property
    def warnings(self) -> Sequence[str]:
        """Report that the directory was not there, unless a write has created it since."""
        directory = self._settings.directory
        if not self._missed or Path(directory).is_dir():
            return []
        return [f"The directory {directory} does not exist; it is created at the first write."]

    def begin(self, *, writes: bool = True) -> None:
        """Start a cycle; one that writes sweeps what a killed daemon left, unless another daemon is writing just now."""
        self._missed = False
        self._locked = None
        if not writes:
            return
        with suppress(OSError, disk.LockedError, disk.RefusedError), disk.root(self._settings.directory) as root:
            sweep(root, self._clock)

    def read(
        self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()
    ) -> Mapping[Key, Stored | Absent | StoreError]:
        """Read files and marks; a directory that does not exist yet holds nothing."""
        try:
            with disk.root(self._settings.directory) as root:
                return {key: self._read(root, key, raw=key in raw) for key in keys}
        except OSError as error:
            trouble = self._whole(error, doing="read")
        if trouble is None:
            self._missed = True
            return {key: self._refused(key) or Absent() for key in keys}
        return {key: self._refused(key) or trouble for key in keys}

    def _whole(self, error: OSError, *, doing: str) -> StoreError | None:
        """Return why the directory could not be opened; None where only it is missing, so that a write can create it."""
        directory = self._settings.directory
        if isinstance(error, FileNotFoundError) and disk.can_create(directory):
            return None
        return replace(disk.failure(directory, error, doing=doing), whole=True)

    def _refused(self, key: Key) -> StoreError | None:
        answer = _said(self._path(key), "use", lambda: _parts(key.path))
        return answer if isinstance(answer, StoreError) else None

    def _read(self, root: int, key: Key, *, raw: bool) -> Stored | Absent | StoreError:
        def work() -> Stored | Absent:
            *above, name = _parts(key.path)
            with disk.folder(root, above) as fd:
                state = load(fd, name)
            return state.stored(raw=raw) if state.there else Absent()

        try:
            return _said(self._path(key), "read", work)
        except FileNotFoundError:
            return Absent()

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write the file and its marks; see the module for the order."""
        data = wire_text(payload).encode()

        def work(fd: int, name: str) -> Written | StoreError:
            state = load(fd, name)
            if (state.version if state.there else None) != replaces:
                done = _ours(state, marks) and state.file is not None and state.file.data == data
                return self._settle(fd, name, state, marks) if done else _conflict(self._path(key))
            if state.file is not None:
                disk.put(fd, name, data)
            elif not _create(fd, name, data, state.sidecar or Sidecar(), marks):
                return _conflict(self._path(key))
            try:
                return _marked_so(fd, name, data, marks)
            except OSError as error:
                return replace(disk.failure(self._path(key), error, doing="mark"), maybe_written=True)

        return self._alone(key, work)

    def mark(self, key: Key, marks: Marks, *, version: Version) -> Written | StoreError:
        """Write the marks' file alone."""

        def work(fd: int, name: str) -> Written | StoreError:
            state = load(fd, name)
            taken = state.marks is not None and state.marks.instance != marks.instance
            if state.version != version or not state.there or taken:
                return _conflict(self._path(key))
            return _marked_so(fd, name, state.file.data if state.file else None, marks)

        return self._alone(key, work)

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write the file alone; the marks' file beside it, where there is one, stays."""
        data = wire_text(payload).encode()

        def work(fd: int, name: str) -> Written | StoreError:
            state = load(fd, name)
            done = state.file is not None and state.file.data == data
            if not done and (state.file is None or state.version != replaces):
                return _conflict(self._path(key))
            if not done:
                disk.put(fd, name, data)
            after = load(fd, name)
            return Written(after.version, confirmed=after.file is not None and after.file.data == data)

        return self._alone(key, work, create=False)

    @staticmethod
    def _settle(fd: int, name: str, state: State, marks: Marks) -> Written:
        """Take a file that is as we want it for our own write; marks that differ in more than time and cause are set."""
        if state.marks is not None and _same(state.marks, marks):
            return Written(state.version, confirmed=True)
        return _marked_so(fd, name, state.file.data if state.file else None, marks)

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List the files that have our marks beside them."""
        try:
            with disk.root(self._settings.directory) as root:
                return [(Key(self.name, path), marks) for path, marks in marked(root) if marks.instance == instance]
        except OSError as error:
            return self._whole(error, doing="list") or []

    def close(self) -> None:
        """Nothing is held between calls."""

    def _path(self, key: Key) -> str:
        return f"{self._settings.directory.rstrip('/')}/{key.path}"

    def _alone(
        self, key: Key, work: Callable[[int, str], Written | StoreError], *, create: bool = True
    ) -> Written | StoreError:
        """Do ``work`` in the file's folder while no other thread or daemon writes; ``create``: made where it is missing."""
        if self._locked is not None:
            return self._locked

        def run() -> Written | StoreError:
            *above, name = _parts(key.path)
            with self._writing(create=create) as root, disk.folder(root, above, create=create) as fd:
                return work(fd, name)

        refused = self._refused(key)
        if refused is not None:
            return refused
        try:
            return _said(self._path(key), "write", run)
        except FileNotFoundError as error:
            return disk.failure(self._path(key), error, doing="write")
        except disk.LockedError:
            self._locked = StoreError(
                "locked",
                f"Another process has held {self._settings.directory}/{disk.LOCK} for {self._settings.timeout:g} s.",
                "End the other daemon, or give each its own directory.",
                whole=True,
            )
            return self._locked

    @contextmanager
    def _writing(self, *, create: bool) -> Iterator[int]:
        if not self._turn.acquire(timeout=self._settings.timeout):
            raise disk.LockedError
        try:
            with (
                disk.root(self._settings.directory, create=create) as root,
                disk.locked(root, timeout=self._settings.timeout, clock=self._clock),
            ):
                yield root
        finally:
            self._turn.release()


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise disk.RefusedError("the path has an empty part, a dot or two dots")
    if parts[-1] == disk.LOCK or marked_name(parts[-1]) or disk.is_temporary(parts[-1]):
        raise disk.RefusedError("the name is kept for this program's own files")
    return parts


def _said(path: str, doing: str, work: Callable[[], T]) -> T | StoreError:
    try:
        return work()
    except disk.RefusedError as error:
        return StoreError("refused-path", f"Will not {doing} {path}: {error}.", "Move it away, or choose another name.")
    except FileNotFoundError:
        raise
    except OSError as error:
        return disk.failure(path, error, doing=doing)


def _conflict(path: str) -> StoreError:
    return StoreError(
        "conflict", f"{path} has changed since it was read; it is left as it is.", "The next cycle decides again."
    )


def _ours(state: State, marks: Marks) -> bool:
    found = state.marks
    return found is not None and (found.instance, found.page_id) == (marks.instance, marks.page_id)


def _same(one: Marks, other: Marks) -> bool:
    return replace(one, written_at="", reason="") == replace(other, written_at="", reason="")


def _create(fd: int, name: str, data: bytes, old: Sidecar, marks: Marks) -> bool:
    """Make a file that is not there; False where one has appeared, which then is not ours."""
    save_marks(fd, name, old.wanted(marks, creating=disk.stamp(data)))
    try:
        disk.put(fd, name, data, new=True)
    except FileExistsError:
        return False
    return True


def _marked_so(fd: int, name: str, data: bytes | None, marks: Marks) -> Written:
    """Write the marks, then read content and marks back."""
    state = load(fd, name)
    save_marks(fd, name, (state.sidecar or Sidecar()).wanted(marks))
    after = load(fd, name)
    return Written(after.version, confirmed=(after.file.data if after.file else None) == data and after.marks == marks)
