"""Read text without quotes as YAML 1.1 does, and recognise where that changes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Altered:
    """Text without quotes that YAML, or another program that reads it, changes into ``kind``."""

    kind: str


def _cases(*words: str) -> list[str]:
    return [form for word in words for form in (word, word.capitalize(), word.upper())]


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(_cases("true", "yes", "on"), True),
    **dict.fromkeys(_cases("false", "no", "off"), False),
    **dict.fromkeys(["", "~", *_cases("null")], None),
}
_NUMBER_START = frozenset("0123456789+-.")
_LONGEST = 200  # Longer text is not a number, and would cost the patterns time.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_KINDS = (
    (re.compile(r"[-+]?0[0-7_]*[0-7][0-7_]*"), "an octal number"),
    (re.compile(r"[-+]?0[0-9]+"), "a number without its leading zeros"),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), "a hexadecimal number"),
    (re.compile(r"[-+]?0b[01_]+"), "a binary number"),
    (re.compile(r"[-+]?0o[0-7_]+"), "an octal number"),
    (re.compile(r"[-+]?[0-9]+"), "a number"),
    (re.compile(r"[-+]?[0-9][0-9_]*"), "a number without its underscores"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number in base 60"),
    (re.compile(r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"),
     "a floating-point number, which loses digits"),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), "a floating-point number"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?"), "a date"),
)  # fmt: skip


def plain(text: str) -> Any:
    """Return the value of text without quotes: an integer in its usual form, a boolean, None, text, or Altered."""
    if text[:1] not in _NUMBER_START:
        return _WORDS.get(text, text)
    if len(text) > _LONGEST:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    for pattern, kind in _KINDS:
        if pattern.fullmatch(text):
            return Altered(kind)
    return text
