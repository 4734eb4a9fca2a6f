"""Made-up tokens, ids and what may ail a token; every value follows from a seed."""

from __future__ import annotations

import hashlib
import string
import time
from dataclasses import dataclass, field
from typing import Literal

_LETTERS = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
_TABLE = bytes(_LETTERS[byte % 62] for byte in range(256))
_TOKEN_LENGTH = 177

TokenType = Literal["SYSTEM_USER", "PAGE"]


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
    """Return the first 12 hex digits of the SHA-256, the only form in which the sandbox names a token."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Ailment:
    """Why Meta calls a token invalid: always code 190, with a subcode where Meta gives one; ``why`` is the sandbox's word."""

    message: str
    subcode: int | None
    why: str


@dataclass(slots=True)
class Token:
    """One token that this world issued. Times are unix seconds, 0 is never.

    ``page_id`` is None for a system user's own token; ``parent`` is the text of the token that a Page token was read with.
    ``ailment`` is its own revocation; what its parent or Page does to it is for the world to say.
    """

    value: str = field(repr=False)
    type: TokenType
    app_id: str
    user_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int = 0
    page_id: str | None = None
    parent: str | None = field(default=None, repr=False)
    ailment: Ailment | None = None


REVOKED = Ailment(
    "Error validating access token: The session was invalidated explicitly using an API call.", 466, "revoked"
)
UNASSIGNED = Ailment(
    "Error validating access token: The user must be an administrator of the page in order to impersonate it.",
    492,
    "unassigned",
)
PAGE_DELETED = Ailment("This Page access token belongs to a Page that has been deleted.", None, "page-deleted")

_DEATHS: dict[int, str] = {
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


def death(subcode: int) -> Ailment:
    """Return what Meta says of a token that died by this subcode of 190."""
    text = _DEATHS.get(subcode, "The session is no longer valid.")
    return Ailment(f"Error validating access token: {text}", subcode, "dead")


def expired(at: int, now: float) -> Ailment:
    """Return what Meta says of a token whose end was at ``at``, in Meta's own way to write times."""
    end, current = (time.strftime("%A, %d-%b-%y %H:%M:%S PST", time.gmtime(t - 8 * 3600)) for t in (at, now))
    return Ailment(
        f"Error validating access token: Session has expired on {end}. The current time is {current}.", 463, "expired"
    )
