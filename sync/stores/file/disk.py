"""Read and replace files below one directory without following links or touching devices and other users' files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sync.core.model import StoreError, StoreErrorCode
from sync.runtime.threads import Clock

CAP = 1024 * 1024
"""Most bytes that are read of one secret's file; a larger one has no readable payload."""
LOCK = ".page-token-sync.lock"
_TEMPORARY = (".page-token-sync-", ".tmp")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL = 0.05


class RefusedError(Exception):
    """The path is something that is never read or replaced; the text says what."""


class LockedError(Exception):
    """Another process has held the directory's lock for the whole timeout."""


class UnsyncedError(OSError):
    """A file was replaced, but its folder could not be synced: a power failure may still undo that."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A regular file's content and a stamp that identifies it; ``data`` is None above CAP."""

    data: bytes | None
    stamp: str


def stamp(data: bytes) -> str:
    """Return the stamp of a content: 32 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]


@contextmanager
def root(directory: str, *, create: bool = False) -> Iterator[int]:
    """Open the configured directory, which may be a link; ``create`` makes it with mode 0700 where only it is missing."""
    if create:
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)  # noqa: PTH102 - modes and descriptors are the point here
            _sync_parent(directory)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def can_create(directory: str) -> bool:
    """Check whether only the directory itself is missing."""
    return Path(directory).absolute().parent.is_dir() and not Path(directory).is_symlink()


def _sync_parent(directory: str) -> None:
    fd = os.open(Path(directory).absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def folder(above: int, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Open a folder below an open one, part by part. Raises FileNotFoundError, or RefusedError for a link on the way."""
    fd = os.dup(above)
    try:
        for part in parts:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=fd)
                    os.fsync(fd)
            below = _open_folder(part, fd)
            os.close(fd)
            fd = below
            if _has_lock(fd):
                raise RefusedError(
                    f"{part} is the directory of another store; if it no longer is, remove {LOCK} from it"
                )
        yield fd
    finally:
        os.close(fd)


def _has_lock(fd: int) -> bool:
    return os.access(LOCK, os.F_OK, dir_fd=fd, follow_symlinks=False)


def _open_folder(part: str, fd: int) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise RefusedError("a part of the path is a link or not a folder") from None
        raise


def read(fd: int, name: str, *, cap: int = CAP) -> Bytes | None:
    """Read a regular file that this user owns; None where there is none. Raises RefusedError for anything else.

    The content of a file of more than ``cap`` bytes is not returned.
    """
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise RefusedError("it is a link, a socket or a device") from None
        raise
    with open(file, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("it is not a regular file")
        if status.st_uid != os.geteuid():
            raise RefusedError("it belongs to another user")
        data = stream.read(cap + 1)
        if len(data) > cap:
            return Bytes(None, stamp(f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()))
        return Bytes(data, stamp(data))


def put(fd: int, name: str, data: bytes, *, new: bool = False) -> None:
    """Replace a file atomically and durably; its mode is 0600 before the first byte is written.

    With ``new``, raises FileExistsError where the name exists.
    """
    temporary = f"{_TEMPORARY[0]}{secrets.token_hex(8)}{_TEMPORARY[1]}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(temporary, flags, 0o600, dir_fd=fd)
    try:
        with open(file, "wb") as stream:  # noqa: PTH123 - a descriptor, not a path
            os.fchmod(file, 0o600)
            stream.write(data)
            stream.flush()
            os.fsync(file)
        if new:
            os.link(temporary, name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        else:
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
    finally:
        # After a rename it is gone; otherwise it is a leftover, for example of a full disk.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=fd)
    try:
        os.fsync(fd)
    except OSError as error:
        raise UnsyncedError(error.errno, "") from None


def why_not_writable(above: int, parts: Sequence[str]) -> OSError | None:
    """Return the error that a write into a folder below an open one would meet for want of a right; None if it may work.

    Where folders are missing, the last one that exists is looked at, in which the next would be created.
    """
    if os.statvfs(above).f_flag & os.ST_RDONLY:
        return OSError(errno.EROFS, "")
    # The lock is taken in the directory, whatever folder the file is in.
    if not os.access(LOCK if _has_lock(above) else ".", os.W_OK, dir_fd=above, effective_ids=True):
        return OSError(errno.EACCES, "")
    with ExitStack() as stack:
        fd = above
        for part in parts:
            try:
                fd = stack.enter_context(folder(fd, [part]))
            except FileNotFoundError:
                break
        usable = os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)
    return None if usable else OSError(errno.EACCES, "")


def tighten(fd: int, name: str, *, fix: bool) -> int | None:
    """Return the mode of a file, or of the open folder itself ("."), that other users may use; None if they may not.

    A file is to be 0600, and a folder without the sticky bit not writable by others. With ``fix`` it is made so.
    """
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    try:
        status = os.fstat(file)
        mode = stat.S_IMODE(status.st_mode)
        folder_mode = mode if mode & stat.S_ISVTX else mode & ~(stat.S_IWGRP | stat.S_IWOTH)
        wanted = folder_mode if name == "." else mode & ~(stat.S_IRWXG | stat.S_IRWXO)
        if mode == wanted:
            return None
        if fix and status.st_uid == os.geteuid():
            os.fchmod(file, wanted)
        return mode
    finally:
        os.close(file)


def is_temporary(name: str) -> bool:
    """Check whether the name is one of ``put``'s temporary files, which only a kill leaves behind."""
    return name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1])


def walk(above: int, parts: tuple[str, ...] = ()) -> Iterator[tuple[int, tuple[str, ...], list[str]]]:
    """Yield each folder below an open one: its descriptor, its path, and the names of its files.

    Links are not followed, and a folder with a lock of its own is left out: it is another store's, which may be writing.
    """
    with os.scandir(above) as found:
        entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    yield above, parts, [name for name, is_folder in entries if not is_folder]
    for name, is_folder in entries:
        if is_folder:
            with suppress(RefusedError, OSError), folder(above, [name]) as below:
                yield from walk(below, (*parts, name))


@contextmanager
def locked(above: int, *, timeout: float, clock: Clock) -> Iterator[None]:
    """Hold the directory's lock, waiting at most ``timeout`` seconds for it. Raises LockedError.

    The lock file is never removed: two processes could otherwise each lock a different file of that name.
    """
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=above)
    try:
        end = clock.monotonic() + timeout
        while not _try(fd):
            if clock.monotonic() >= end:
                raise LockedError
            clock.sleep(_POLL)
        yield
    finally:
        os.close(fd)


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_REASONS: dict[int, tuple[StoreErrorCode, str]] = {
    errno.EACCES: (
        "denied",
        "Make the user that runs this the owner of the directory (mode 0700) and its files (mode 0600).",
    ),
    errno.EPERM: (
        "denied",
        "Use a file system with owners, modes and hard links, and make this user the owner of the directory.",
    ),
    errno.ENOSPC: ("disk", "Free some space; the existing file is intact."),
    errno.EDQUOT: ("disk", "Raise the quota; the existing file is intact."),
    errno.EROFS: ("disk", "Mount the directory read-write."),
    errno.ENOENT: ("disk", "Create the parent of the directory, or mount the missing volume."),
    errno.ENOTDIR: ("refused-path", "Set directory to a folder."),
    errno.ELOOP: ("refused-path", "Remove the link."),
    errno.EISDIR: ("refused-path", "Remove the folder that has the file's name."),
    errno.ENAMETOOLONG: ("refused-path", "Shorten the name: the marks file adds 17 characters to it."),
}


def failure(path: str, error: OSError, *, doing: str) -> StoreError:
    """Return the StoreError for an OSError: with the path, the operation and the error's symbol, never its text."""
    symbol = errno.errorcode.get(error.errno or 0, type(error).__name__)
    error_code, remedy = _REASONS.get(error.errno or 0, ("disk", "Check the disk and the kernel log."))
    if doing == "read" and error_code == "denied":
        error_code = "unreadable"
    return StoreError(error_code, f"Could not {doing} {path}: {symbol}.", remedy)
