"""Notice by their content that files changed, whatever changes them: editors, a ConfigMap's symlink, a volume that is mounted over."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_SETTLED_NS = 2_000_000_000
"""A file that changed so recently may change again without another time of change: it is read again."""

_Stat = tuple[int, int, int, int, int]


class Watch:
    """Computes the digest of files. A file is read again only where its identity, size or times changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Stat, bytes]] = {}

    def digest(self, paths: Iterable[Path]) -> bytes:
        """Return a digest of the files' paths and contents; a file that cannot be read has one of its own."""
        found = {path: self._file(path) for path in paths}
        self._known = {path: known for path, (known, _) in found.items() if known is not None}
        return _digest({path: digest for path, (_, digest) in found.items()})

    def changed_after(self, moment: float) -> bool:
        """Check whether one of the files of the last digest changed after a moment of the wall clock, in seconds."""
        return any(identity[-1] >= moment * 1_000_000_000 for identity, _ in self._known.values())

    def _file(self, path: Path) -> tuple[tuple[_Stat, bytes] | None, bytes]:
        try:
            # O_NONBLOCK, since opening a pipe would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (OSError, ValueError) as error:
            return None, f"unreadable {type(error).__name__}".encode()
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                # A pipe has no content that could be compared, and reading it would take it away or never end. Container
                # runtimes make a folder where a mounted file is missing.
                return None, b"no regular file"
            identity = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            known = self._known.get(path)
            if known is None or known[0] != identity or time.time_ns() - about.st_mtime_ns < _SETTLED_NS:
                with open(descriptor, "rb", closefd=False) as stream:
                    known = (identity, hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            return None, f"unreadable {type(error).__name__}".encode()
        finally:
            os.close(descriptor)
        return known, known[1]


def _digest(found: Mapping[Path, bytes]) -> bytes:
    whole = hashlib.sha256()
    for path, digest in sorted(found.items()):
        whole.update(os.fsencode(path) + b"\0" + digest + b"\0")
    return whole.digest()
