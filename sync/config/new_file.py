"""Write a file that does not exist yet, as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from sync.config.errors import ConfigErrors
from sync.config.load import Config, load

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""How a file system without links refuses one. There a kill can leave a part of the file."""


def write_new(path: Path, text: str) -> None:
    """Write a new file; raises FileExistsError where there is one meanwhile, and OSError. A kill leaves all of it or nothing."""
    with _beside(path) as draft:
        _write(draft, text)
        try:
            os.link(draft, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _write(path, text, os.O_EXCL)


def load_draft(path: Path, text: str) -> Config:
    """Load a text as if it stood in this file; its errors name the file. Raises OSError and ConfigErrors."""
    with _beside(path) as draft:
        _write(draft, text)
        try:
            return load(draft)
        except ConfigErrors as errors:
            named = [replace(error, file=str(path)) for error in errors.errors]
            raise ConfigErrors(named, errors.warnings, str(path), errors.patterns) from None


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Provide the path of a temporary file in the same folder, and remove it at the end."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield draft
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _write(path: Path, text: str, how: int = os.O_TRUNC) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o644)
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
