"""Read the secret of a reference, again at each use; the only module of this package that sees secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, assert_never

from sync.config.schema.references import EnvReference, FileReference, StoreReference
from sync.core.secret import CredentialError, Secret, SecretSource

AnyReference: TypeAlias = EnvReference | FileReference | StoreReference
ReadStore: TypeAlias = Callable[[str, str, str], Secret]
"""Reads store, path and key; raises CredentialError."""

MAX_BYTES = 64 * 1024
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_NO_SHAPE = "not shaped like a token or secret"


def source(reference: AnyReference, *, base: Path, read_store: ReadStore) -> SecretSource:
    """Return a function that reads the secret again at each call; nothing is read now.

    ``base`` is the folder that files are relative to. The function raises CredentialError, whose text has the reference, the
    cause and the remedy, and never what was read.
    """

    def read() -> Secret:
        match reference:
            case EnvReference(env=name):
                text = _env(reference, name)
            case FileReference(file=file):
                text = _text(reference, _bytes(reference, base / file))
            case StoreReference(store=store, path=path, key=key):
                text = _bare(reference, read_store(store, path, key).reveal())
            case _:
                assert_never(reference)
        return Secret(text)

    return read


def _bare(reference: AnyReference, text: str) -> str:
    """Return a credential without one line break at its end; raises CredentialError where more is around it.

    Whoever pastes a token with quotes or a blank would otherwise read that the service refuses it.
    """
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if text != text.strip():
        raise CredentialError(f"{reference}: {_NO_SHAPE}: blanks or line breaks around it; write it without them")
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        raise CredentialError(f"{reference}: {_NO_SHAPE}: quotes around it; write it without them")
    if not text.isprintable():
        raise CredentialError(f"{reference}: {_NO_SHAPE}: a line break or control character in it; write it again")
    return text


def _env(reference: AnyReference, name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise CredentialError(f"{reference}: the variable is not set; set it where this program is started")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise CredentialError(f"{reference}: the variable is not UTF-8 text; set it again") from None
    if not value.strip():
        raise CredentialError(f"{reference}: the variable is empty; set it where this program is started")
    return _bare(reference, value)


def _bytes(reference: AnyReference, path: Path) -> bytes:
    try:
        # O_NONBLOCK, since opening a pipe would wait for a writer without limit. Links are followed: a Secret of
        # Kubernetes is mounted as one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise CredentialError(f"{reference}: {_cause(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CredentialError(f"{reference}: not a regular file; name the file that contains the secret")
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
        try:
            data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise CredentialError(f"{reference}: {_cause(error)}") from None
    if len(data) > MAX_BYTES:
        raise CredentialError(f"{reference}: larger than 64 KiB; name a file that contains only the secret")
    return data


def _cause(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file; check the path, and that it is mounted"
        case PermissionError():
            return "permission denied; let the user of this program read it"
        case OSError():
            return f"cannot be read ({error.strerror or type(error).__name__}); check the path"
        case _:
            return "not a usable path; check it"


def _text(reference: AnyReference, data: bytes) -> str:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise CredentialError(f"{reference}: not UTF-8 text; write the file again") from None
    if not text.strip():
        raise CredentialError(f"{reference}: the file is empty; write the secret into it")
    return _bare(reference, text)
