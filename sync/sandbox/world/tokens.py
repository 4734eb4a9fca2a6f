"""Made-up tokens and ids, and why a token is invalid; every value follows from a seed."""

from __future__ import annotations

import hashlib
import string
import time
from dataclasses import dataclass, field
from typing import Literal

_LETTERS = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
_TABLE = bytes(_LETTERS[byte % 62] for byte in range(256))
_TOKEN_LENGTH = 177

TokenType = Literal["SYSTEM_USER", "USER", "PAGE"]


def letters(length: int, *parts: object) -> str:
    """Return base-62 text that follows from ``parts`` alone."""
    seed = "\0".join(str(part) for part in parts).encode()
    return hashlib.shake_256(seed).digest(length).translate(_TABLE).decode()


def token_text(*parts: object) -> str:
    """Return text that looks like a token of Meta's today: EAA and 177 letters and digits."""
    return "EAA" + letters(_TOKEN_LENGTH, "token", *parts)


def digits(*parts: object) -> str:
    """Return an id of 15 digits that follows from ``parts`` alone."""
    number = int.from_bytes(hashlib.shake_256("\0".join(str(part) for part in parts).encode()).digest(8), "big")
    return str(10**14 + number % (9 * 10**14))


def fingerprint(value: str) -> str:
    """Return the first 12 hex digits of the SHA-256, the only form in which the sandbox shows a token."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class InvalidReason:
    """Why a token is invalid: always code 190, with a subcode where Meta has one; ``why`` is the sandbox's own term."""

    message: str
    subcode: int | None
    why: str


@dataclass(slots=True)
class FakeToken:
    """One token that this world issued. Times are unix seconds, 0 is never.

    ``page_id`` is None for a system user's token, and a person's; ``derived_from`` is the text of the token that a Page token was read with.
    ``invalid_reason`` is its own revocation; the world adds what follows from its Page and from that other token.
    """

    value: str = field(repr=False)
    type: TokenType
    app_id: str
    user_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int = 0
    page_id: str | None = None
    derived_from: str | None = field(default=None, repr=False)
    invalid_reason: InvalidReason | None = None


REVOKED = InvalidReason(
    "Error validating access token: The session was invalidated explicitly using an API call.", 466, "revoked"
)
UNASSIGNED = InvalidReason(
    "Error validating access token: The user must be an administrator of the page in order to impersonate it.",
    492,
    "unassigned",
)
PAGE_DELETED = InvalidReason("This Page access token belongs to a Page that has been deleted.", None, "page-deleted")

BLOCKED = (459, 464, 490)
"""Subcodes that block the user, whose new tokens work no better."""
_MESSAGES: dict[int, str] = {
    458: "The user has not authorized application.",
    459: "The user is enrolled in a blocking, logged-in checkpoint",
    460: "The session has been invalidated because the user changed their password or Facebook has changed the "
    "session for security reasons.",
    464: "Sessions for the user are not allowed because the user is not a confirmed user.",
    466: "The session was invalidated explicitly using an API call.",
    467: "The session is invalid because the user logged out.",
    490: "The user is enrolled in a blocking, logged-in checkpoint",
    493: "The session has expired because the user has not used the application for 90 days.",
}


def invalidated(subcode: int) -> InvalidReason:
    """Return the reason with this subcode of 190, and Meta's message for it."""
    text = _MESSAGES.get(subcode, "The session is no longer valid.")
    return InvalidReason(f"Error validating access token: {text}", subcode, "invalidated")


def expired(at: int, now: float) -> InvalidReason:
    """Return the reason of a token that expired at ``at``, with times as Meta writes them."""
    end, current = (time.strftime("%A, %d-%b-%y %H:%M:%S PST", time.gmtime(t - 8 * 3600)) for t in (at, now))
    return InvalidReason(
        f"Error validating access token: Session has expired on {end}. The current time is {current}.", 463, "expired"
    )
