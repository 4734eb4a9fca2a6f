"""The last step before anything is shown: what looks like a secret, and what could forge a line, goes."""

from __future__ import annotations

import re

from sync.core.secret import fingerprint

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])EAA[A-Za-z0-9]{16,}"  # Meta's user and Page tokens
    r"|(?<![0-9])[0-9]{5,}(?:\||%7[Cc])[A-Za-z0-9_-]{16,}"  # Meta's app tokens: the app's id, a bar, and its secret
    r"|\b(?:hv[sbr]\.[A-Za-z0-9_-]{16,}|[sb]\.[A-Za-z0-9]{24,})"  # Vault's and OpenBao's
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS's access keys
)
# All but printable text: controls, marks that turn the direction of writing, separators of lines, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def scrub(text: str) -> str:
    """Make text harmless: a token becomes its fingerprint in brackets, and a character that could forge becomes its code."""
    return _UNSAFE.sub(_code, without_tokens(text))


def without_tokens(text: str) -> str:
    """Put fingerprints in the place of what looks like a token; for text of ours that has lines, such as JSON."""
    return _TOKENS.sub(lambda found: f"[token {fingerprint(found[0])}]", text)


def _code(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - the end of what four digits write
