"""Remove secrets from text, and characters that could forge a line of output.

``scrub_message`` is for Graph's messages: it knows the secrets in use, and removes whatever looks like a part of a token,
since Graph quotes tokens cut short. ``scrub`` is the last step before any output: it replaces only what is certainly a
token, so that ids, checksums and paths stay readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sync.core.secret import Secret, fingerprint

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])EAA[A-Za-z0-9]{16,}"  # Meta's user and Page tokens
    r"|(?<![0-9])[0-9]{5,}(?:\||%7[Cc])[A-Za-z0-9_-]{16,}"  # Meta's app tokens: the app's id, a bar, and its secret
    r"|\b(?:hv[sbr]\.[A-Za-z0-9_-]{16,}|[sb]\.[A-Za-z0-9]{24,})"  # Vault's and OpenBao's
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS's access keys
)
# All but printable text: controls, marks that change the writing direction, line separators, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

_LONGEST_MESSAGE = 300
_READ = 4096
_NAMED = re.compile(
    r"\b(access_token|input_token|appsecret_proof|client_secret|fb_exchange_token|revoke_token)(['\"]?\s?(?:[=:]|%3[Dd])\s?['\"]?)[^\s&\"',;]+"
)
_APP_TOKEN = re.compile(r"\b\d{5,}(?:\||%7[Cc])[^\s&\"',;]+")
_PAGE_OR_USER_TOKEN = re.compile(r"EAA[0-9A-Za-z_%-]{5,}")
_RUN = re.compile(r"[0-9A-Za-z_-]{16,}")


def scrub(text: str) -> str:
    """Return text that is safe to show: tokens become fingerprints in brackets, unsafe characters become their codes."""
    return _UNSAFE.sub(_code, without_tokens(text))


def without_tokens(text: str) -> str:
    """Replace each token with its fingerprint; line breaks stay, so use it only for text of this program, such as JSON."""
    return _TOKENS.sub(lambda found: f"[token {fingerprint(found[0])}]", text)


def scrub_message(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return a message of Graph's that is safe to show, shortened to one sentence. ``secrets`` are those it might quote.

    Whatever looks like a token is removed too, also in part. Long words of letters alone stay, since permissions are such,
    and so do ids, which are digits alone.
    """
    text = text[:_READ]
    for secret in secrets:
        value = secret.reveal()
        if value:
            text = text.replace(value, f"[{secret.fingerprint}]")
    text = _NAMED.sub(r"\1\2[removed]", text)
    text = _APP_TOKEN.sub("[removed]", text)
    text = _PAGE_OR_USER_TOKEN.sub("[removed]", text)
    text = _RUN.sub(_without_mixed, text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def _without_mixed(found: re.Match[str]) -> str:
    run = found[0]
    return "[removed]" if any(map(str.isdigit, run)) and any(map(str.isalpha, run)) else run


def _code(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - the largest code of four digits
