"""What is to be written to a secret of AWS, the id that its version gets, and why it may not be written."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from hashlib import sha256

from sync.core.model import Key, Marks, StoreError, Version
from sync.core.payload import Payload, parse_text

_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be in a secret, as object and text."""

    key: Key
    payload: Payload
    text: str

    def is_in(self, text: object) -> bool:
        """Whether a stored text is this content, be it written with other spaces."""
        raw = isinstance(self.payload.reveal(), str)
        return text == self.text or (isinstance(text, str) and parse_text(text, raw=raw) == self.payload)


@dataclass(frozen=True, slots=True)
class PendingWrite(Content):
    """One write: the content, and its marks."""

    marks: Marks


def token(secret: str, base: Version, text: str) -> str:
    """Return the id of a version, which is the same for whoever puts this content in the place of that version."""
    return str(uuid.UUID(bytes=sha256(f"{secret}\0{base}\0{text}".encode()).digest()[:16]))


def too_long(pending: Content) -> StoreError | None:
    """Refuse more than AWS keeps, counted in bytes of UTF-8."""
    size = len(pending.text.encode())
    if size <= _LIMIT:
        return None
    return StoreError(
        "quota",
        f"{pending.key.path}: {size} bytes are more than AWS keeps (65,536).",
        "Shorten payload, or what others keep there.",
    )


def conflict(key: Key, how: str) -> StoreError:
    """Report that a secret is not any more as it was when the write was decided on."""
    return StoreError(
        "conflict", f"{key.path} {how} since it was read; it is left as it is.", "The next cycle decides again."
    )
