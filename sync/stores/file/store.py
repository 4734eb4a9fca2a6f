"""Secrets as files in one directory: for a laptop, or a tmpfs that other containers mount.

A hidden file beside each secret holds its marks. A new secret is written in three steps, so that the next cycle repairs a
kill between any two of them and no other tool's file is overwritten:

1. the marks, with the stamp of the content to come; alone they are a secret without a value;
2. the content, by a link, which fails where a file has appeared;
3. the marks without the stamp.

An existing secret gets its content first and then its marks; the instance in them stays the same throughout.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from sync.core.marks import owner, same_marks, same_owner_and_hold, would_release
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
from sync.core.report.text import some
from sync.runtime.threads import Clock
from sync.stores.file import disk
from sync.stores.file.findings import BY_OWNER, CORRECTS, file_findings
from sync.stores.file.layout import Sidecar, State, load, loose_modes, marked, marked_name, save_marks, set_aside, sweep

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileSettings:
    """The directory, and how many seconds to wait for another daemon's lock.

    The first write creates a missing directory with mode 0700 if its parent exists.
    """

    directory: str
    timeout: float = 30.0


class FileStore:
    """A directory of files with mode 0600, each replaced atomically under one lock for all daemons."""

    requests = 0
    outcomes: Counts = MappingProxyType({})
    credential_expires_at = None

    def __init__(self, name: str, settings: FileSettings, *, clock: Clock) -> None:
        self.name = name
        self._missed = False
        self._settings = settings
        self._clock = clock
        self._turn = threading.Lock()
        self._locked: StoreError | None = None
        self._writes = False
        self._loose: dict[str, int] = {}

    @property
    def warnings(self) -> Sequence[str]:
        """Return a warning if the directory is missing, and one about files that other users may read or replace."""
        directory, warnings = self._settings.directory, []
        if self._missed and not Path(directory).is_dir():
            warnings.append(f"The directory {directory} does not exist; it is created at the first write.")
        if self._loose:
            then = "This user's are corrected now" if self._writes else CORRECTS
            warnings.append(f"{self._others_may} {then}; {BY_OWNER}")
        return warnings

    @property
    def _others_may(self) -> str:
        """Which files and folders other users may read or replace; empty where there are none."""
        modes = [f"{self._place(path)} ({mode:04o})" for path, mode in sorted(self._loose.items())]
        return f"Other users may read or replace secrets: {some(modes)}." if modes else ""

    def begin(self, *, writes: bool = True) -> None:
        """Start a cycle; one that writes removes what a killed daemon left, unless another daemon is writing now."""
        self._missed = False
        self._locked = None
        self._writes = writes
        self._loose = {}
        if not writes:
            return
        with suppress(OSError, disk.LockedError, disk.RefusedError), disk.root(self._settings.directory) as root:
            sweep(root, self._clock)

    def read(self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Content]:
        """Read files and marks; in a directory that does not exist yet every secret is absent."""
        try:
            with disk.root(self._settings.directory) as root:
                return {key: self._read(root, key, raw=key in raw) for key in keys}
        except OSError as error:
            failure = self._unavailable(error, doing="read")
        if failure is None:
            self._missed = True
            return {key: self._refused(key) or Absent() for key in keys}
        return {key: self._refused(key) or failure for key in keys}

    def _unavailable(self, error: OSError, *, doing: str) -> StoreError | None:
        """Return why the directory could not be opened; None where it is only missing and a write can create it."""
        directory = self._settings.directory
        if isinstance(error, FileNotFoundError) and disk.can_create(directory):
            return None
        return replace(disk.failure(directory, error, doing=doing), whole=True)

    def _refused(self, key: Key) -> StoreError | None:
        answer = _translated(self._path(key), "use", lambda: _parts(key.path))
        return answer if isinstance(answer, StoreError) else None

    def _read(self, root: int, key: Key, *, raw: bool) -> Content:
        def work() -> Stored | Absent:
            *above, name = _parts(key.path)
            with disk.folder(root, above) as fd:
                state = load(fd, name)
            return state.stored(raw=raw) if state.there else Absent()

        try:
            return _translated(self._path(key), "read", work)
        except FileNotFoundError:
            return Absent()

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write the file and its marks, in the order that the module's docstring explains."""
        data = payload.text().encode()

        def work(fd: int, name: str) -> Written | StoreError:
            state = load(fd, name)
            if (state.version if state.there else None) != replaces:
                done = owner(state.marks) == owner(marks) and state.file is not None and state.file.data == data
                return self._settle(fd, name, state, marks) if done else _conflict(self._path(key))
            if state.there and (state.marks is None or state.marks.instance != marks.instance):
                return _conflict(self._path(key))
            if would_release(state.marks, marks):
                return _conflict(self._path(key))
            if state.file is not None:
                disk.put(fd, name, data)
            elif not _create(fd, name, data, state.sidecar or Sidecar(), marks):
                return _conflict(self._path(key))
            try:
                return _save_and_confirm(fd, name, data, marks)
            except OSError as error:
                return replace(disk.failure(self._path(key), error, doing="mark"), maybe_written=True)

        return self._exclusively(key, work)

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Write the marks file alone."""

        def work(fd: int, name: str) -> Written | StoreError:
            state = load(fd, name)
            taken = read is None and state.marks is not None and state.marks.instance != marks.instance
            other = read is not None and not same_owner_and_hold(state.marks, read.marks)
            if state.version != version or not state.there or taken or other:
                return _conflict(self._path(key))
            return _save_and_confirm(fd, name, state.file.data if state.file else None, marks)

        return self._exclusively(key, work)

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write the file alone; a marks file beside it stays as it is."""
        data = payload.text().encode()

        def work(fd: int, name: str) -> Written | StoreError:
            state = load(fd, name)
            done = state.file is not None and state.file.data == data
            if not done and (state.file is None or state.version != replaces):
                return _conflict(self._path(key))
            if not done:
                disk.put(fd, name, data)
            after = load(fd, name)
            return Written(after.version, confirmed=after.file is not None and after.file.data == data)

        return self._exclusively(key, work, create=False)

    def remove(self, key: Key, *, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Rename the file and its marks to hidden names with the time."""

        def work(fd: int, name: str) -> Removed | Absent | StoreError:
            state = load(fd, name)
            if state.file is None:
                return Absent()
            if state.version != version or state.marks != marks:
                return _conflict(self._path(key))
            moved = set_aside(fd, name, f"{self._clock.now():%Y%m%dT%H%M%SZ}")
            above = self._place(key.path.rpartition("/")[0])
            # What a cycle has created again at the old name must not be replaced.
            return Removed(
                " && ".join(shlex.join(["mv", "-n", f"{above}/{old}", f"{above}/{new}"]) for new, old in moved)
            )

        return self._exclusively(key, work, create=False)

    @staticmethod
    def _settle(fd: int, name: str, state: State, marks: Marks) -> Written:
        """Accept a file that has the wanted content already; set the marks unless only their time and reason differ."""
        if same_marks(state.marks, marks):
            return Written(state.version, confirmed=True)
        return _save_and_confirm(fd, name, state.file.data if state.file else None, marks)

    def versions(self, key: Key, *, raw: bool = False) -> Sequence[PastVersion] | StoreError:
        """Return the current version alone: a directory has no history."""
        found = self.read([key], raw=frozenset({key}) if raw else frozenset())[key]
        if isinstance(found, StoreError):
            return found
        live = isinstance(found, Stored) and found.state == "live"
        return [PastVersion(found.version, found.payload, current=True)] if isinstance(found, Stored) and live else []

    def would_refuse(self, writes: Mapping[Key, WriteKind]) -> Mapping[Key, StoreError]:
        """Return the writes into a folder or file system that this user may not write to; nothing is created to find out."""
        found = {key: self._why_refused(key) for key in writes}
        return {key: error for key, error in found.items() if error is not None}

    def _why_refused(self, key: Key) -> StoreError | None:
        directory = self._settings.directory
        there = directory if Path(directory).exists() else str(Path(directory).absolute().parent)

        def look() -> StoreError | None:
            with disk.root(there) as root:
                folders = _parts(key.path)[:-1] if there == directory else []
                error = disk.why_not_writable(root, folders)
            return disk.failure(self._path(key), error, doing="write") if error is not None else None

        try:
            return _translated(self._path(key), "write", look)
        except FileNotFoundError as error:
            return disk.failure(self._path(key), error, doing="write")

    def examine(self, uses: Mapping[Key, Use], instance: str) -> Sequence[Finding]:
        """Return what reading the secrets shows, and which writes would be refused."""
        answers = self.read(list(uses), raw=raw_keys(uses))
        refused = self.would_refuse({key: "update" for key, use in uses.items() if use.access != "read"})
        self.owned(instance)
        return list(file_findings(self.name, uses, instance, answers, refused, others_may=self._others_may))

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List the files whose marks carry this instance, and correct their modes in a cycle that writes."""
        owned, folders = [], set[tuple[str, ...]]()
        try:
            with disk.root(self._settings.directory) as root:
                for found in marked(root):
                    if found.marks.instance == instance:
                        owned.append((Key(self.name, found.path), found.marks))
                        with suppress(OSError):
                            self._loose |= loose_modes(found, folders, fix=self._writes)
        except OSError as error:
            return self._unavailable(error, doing="list") or []
        return owned

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""

    def _path(self, key: Key) -> str:
        return self._place(key.path)

    def _place(self, path: str) -> str:
        return f"{self._settings.directory.rstrip('/')}/{path}".rstrip("/")

    def _exclusively(
        self, key: Key, work: Callable[[int, str], T | StoreError], *, create: bool = True
    ) -> T | StoreError:
        """Run ``work`` in the file's folder while no other thread or daemon writes; ``create`` makes a missing folder."""
        if self._locked is not None:
            return self._locked

        def run() -> T | StoreError:
            *above, name = _parts(key.path)
            with self._writing(create=create) as root, disk.folder(root, above, create=create) as fd:
                return work(fd, name)

        refused = self._refused(key)
        if refused is not None:
            return refused
        try:
            return _translated(self._path(key), "write", run)
        except FileNotFoundError as error:
            return disk.failure(self._path(key), error, doing="write")
        except disk.LockedError:
            self._locked = StoreError(
                "locked",
                f"Another process has held {self._settings.directory}/{disk.LOCK} for {self._settings.timeout:g} s.",
                "Stop the other daemon, or use one directory per daemon.",
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
        raise disk.RefusedError("the path has an empty segment, '.' or '..'")
    if parts[-1] == disk.LOCK or marked_name(parts[-1]) or disk.is_temporary(parts[-1]):
        raise disk.RefusedError("the name is reserved for this program's own files")
    return parts


def _translated(path: str, doing: str, work: Callable[[], T]) -> T | StoreError:
    try:
        return work()
    except disk.RefusedError as error:
        return StoreError(
            "refused-path", f"Refused to {doing} {path}: {error}.", "Move it away, or choose another name."
        )
    except FileNotFoundError:
        raise
    except disk.UnsyncedError as error:
        return replace(disk.failure(path, error, doing="sync the folder of"), maybe_written=True)
    except OSError as error:
        return disk.failure(path, error, doing=doing)


def _conflict(path: str) -> StoreError:
    return StoreError(
        "conflict", f"{path} has changed since it was read; it is left as it is.", "The next cycle decides again."
    )


def _create(fd: int, name: str, data: bytes, old: Sidecar, marks: Marks) -> bool:
    """Create a file; False where another tool's file has appeared at that name."""
    save_marks(fd, name, old.wanted(marks, creating=disk.stamp(data)))
    try:
        disk.put(fd, name, data, new=True)
    except FileExistsError:
        return False
    return True


def _save_and_confirm(fd: int, name: str, data: bytes | None, marks: Marks) -> Written:
    """Write the marks, then read content and marks back and compare."""
    state = load(fd, name)
    save_marks(fd, name, (state.sidecar or Sidecar()).wanted(marks))
    after = load(fd, name)
    return Written(after.version, confirmed=(after.file.data if after.file else None) == data and after.marks == marks)
