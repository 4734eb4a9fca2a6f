"""Foreign words made fit to be shown: no token, no control character, no end of length."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sync.core.secret import Secret

_LONGEST = 300
_READ = 4096
_NAMED = re.compile(
    r"\b(access_token|input_token|appsecret_proof|client_secret|fb_exchange_token|revoke_token)(['\"]?\s?(?:[=:]|%3[Dd])\s?['\"]?)[^\s&\"',;]+"
)
_APP_TOKEN = re.compile(r"\b\d{5,}(?:\||%7[Cc])[^\s&\"',;]+")
_PAGE_OR_USER_TOKEN = re.compile(r"EAA[0-9A-Za-z_%-]{5,}")
_RUN = re.compile(r"[0-9A-Za-z_-]{16,}")


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Make a sentence of Graph's fit to be shown. ``secrets`` are those that it might quote.

    Beside them goes whatever looks like a token, also in part: Graph quotes tokens in its errors. Long words of letters
    alone stay, since permissions are such, and so do ids, which are digits alone.
    """
    text = text[:_READ]
    for secret in secrets:
        value = secret.reveal()
        if value:
            text = text.replace(value, f"[{secret.fingerprint}]")
    text = _NAMED.sub(r"\1\2[removed]", text)
    text = _APP_TOKEN.sub("[removed]", text)
    text = _PAGE_OR_USER_TOKEN.sub("[removed]", text)
    text = _RUN.sub(lambda run: "[removed]" if _mixed(run.group()) else run.group(), text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _mixed(run: str) -> bool:
    return any(char.isdigit() for char in run) and any(char.isalpha() for char in run)
