"""A token, from the moment it is parsed until it is put on the wire."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import NoReturn, TypeGuard


class Secret:
    """Hold a secret string so that no accident can print, format, pickle or serialise it.

    Equality and hash are those of the value, so that one string has one verdict in any mapping. The only form
    ever shown is the fingerprint: the first 12 hex digits of the SHA-256 of the string.
    """

    __slots__ = ("_fingerprint", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._fingerprint: str | None = None

    def reveal(self) -> str:
        """Return the string itself; for the modules that put it on a wire or into a store, and no others."""
        return self._value

    def matches(self, text: str) -> bool:
        """Check whether this is the string, in a time that shows nothing of either."""
        mine, other = (hashlib.sha256(value.encode("utf-8", "surrogatepass")) for value in (self._value, text))
        return hmac.compare_digest(mine.digest(), other.digest())

    @property
    def fingerprint(self) -> str:
        """The first 12 hex digits of the SHA-256, as ``printf %s "$TOKEN" | sha256sum | cut -c1-12`` prints them."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self._value)
        return self._fingerprint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"

    def __str__(self) -> str:
        return self.fingerprint

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never serialised")


SecretSource = Callable[[], Secret]
"""Reads a credential again each time it is called; raises CredentialError, whose text holds no secret."""


class CredentialError(Exception):
    """A credential could not be read: the text names the reference and the cause, never a value.

    ``remedy`` is what the operator does where the credential itself is not the cause, but the store that holds it.
    """

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


_LONGEST_TOKEN = 4096


def is_token(value: object) -> TypeGuard[str]:
    """Check whether a value can be a token: printable ASCII without blanks, of at most 4,096 characters."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TOKEN:
        return False
    return value.isascii() and value.isprintable() and " " not in value


def is_credential(value: str) -> bool:
    """Check whether a text can be a token or an app secret of Meta's: no quotes or braces in it, and no ``NAME=`` before it."""
    return is_token(value) and not set(value) & set("\"'`{}") and "=" not in value.rstrip("=")


def fingerprint(value: str) -> str:
    """Return the only form in which a token is ever shown: 12 hex digits."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
