"""Detect leaks: any 16 characters in a row of a secret, plain, in hex or in base64."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

MESH = 16
"""So many characters of a secret in a row are a leak, whatever stands around them."""


def proof(token: str, app_secret: str) -> str:
    """Return the ``appsecret_proof`` of a token, which is a secret too."""
    return hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()


class Net:
    """All pieces of all secrets: as they are, in hex, and in base64 at each of its three alignments."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._pieces: dict[str, int] = {}
        for number, secret in enumerate(secrets):
            for form in _forms(secret):
                for start in range(max(len(form) - MESH + 1, 0)):
                    self._pieces.setdefault(form[start : start + MESH], number)

    def catches(self, text: str) -> list[str]:
        """Return each piece of a secret in the text, as the secret's number and the position."""
        found = []
        for start in range(len(text) - MESH + 1):
            number = self._pieces.get(text[start : start + MESH])
            if number is not None:
                found.append(f"secret {number} at {start}: …{text[max(start - 60, 0) : start]}[here]")
        return found[:3]


def _forms(secret: str) -> Iterable[str]:
    raw = secret.encode()
    yield secret
    yield raw.hex()
    yield raw.hex().upper()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        # The first four and the last four characters depend on what stands around the secret.
        yield whole[4:-4]
        yield whole[4:-4].replace("+", "-").replace("/", "_")
