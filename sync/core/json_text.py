"""JSON of others: numbers keep the text that they came with, and an answer that would fill the memory is not parsed.

Python's parser rounds numbers, joins duplicate names, fails on long integers, and makes up to 80 bytes of three.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

MOST_ELEMENTS = 200_000
"""Most values in one answer: its parsed form then takes less than 32 MiB beside its texts."""

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKEN = re.compile(
    r"[ \t\n\r]*+("
    r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
    r"|true|false|null|[\[\]{},:])"
)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_BLANK = " \t\n\r"
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXACT = 18
"""Digits of an integer that every reader of JSON represents."""


class JsonText:
    """A JSON value as its text, where Python's own value would not keep it. The text may be somebody's secret."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonText) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _integer(text: str) -> int | JsonText:
    return int(text) if len(text) <= _EXACT and text != "-0" else JsonText(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def decoder() -> json.JSONDecoder:
    """Return what parses JSON as ``load`` does."""
    return json.JSONDecoder(parse_float=JsonText, parse_int=_integer, parse_constant=_no_constant)


def load(text: str | bytes) -> Any:
    """Parse JSON; a fraction, an exponent or a long integer is a JsonText. Raises ValueError or RecursionError."""
    return decoder().decode(text if isinstance(text, str) else text.decode())


def dump(value: Any) -> str:
    """Return a value as compact JSON in its own order, which can be encoded as UTF-8; a JsonText is its text."""
    try:
        text = _encode(value)
    except TypeError:
        text = _dump(value)
    return encodable(text)


def _dump(value: Any) -> str:
    match value:
        case JsonText():
            return value.text
        case dict():
            return "{" + ",".join(f"{_encode(name)}:{_dump(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_dump, value)) + "]"
        case _:
            return _encode(value)


def encodable(text: str) -> str:
    """Escape the halves of surrogate pairs, which JSON allows in a string and UTF-8 does not."""
    return text if text.isascii() else _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def same(one: str, other: str) -> bool:
    """Check whether two JSON texts have the same names and values, in any order; a number is equal only to its own text."""
    try:
        return one == other or bool(_comparable(one) == _comparable(other))
    except (ValueError, RecursionError):
        return False


def _comparable(text: str) -> Any:
    return json.loads(
        text,
        parse_float=JsonText,
        parse_int=JsonText,
        object_pairs_hook=lambda pairs: ("object", sorted(pairs, key=lambda pair: pair[0])),
    )


def fits(body: bytes | str) -> bool:
    """Check whether an answer has at most MOST_ELEMENTS values, before it is parsed."""
    data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    if elements(data) <= MOST_ELEMENTS:
        return True
    found = at = 0
    for text in _STRINGS.finditer(data):
        found += elements(data, at, text.start())
        at = text.end()
        if found > MOST_ELEMENTS:
            return False
    return found + elements(data, at) <= MOST_ELEMENTS


def elements(body: bytes, start: int = 0, end: int | None = None) -> int:
    """Return at least the number of values in a text, those of JSON inside its strings included."""
    return sum(body.count(mark, start, end) for mark in (b",", b"[", b"{"))


class Member(NamedTuple):
    """One member of a JSON object: its name, and where the text of its value starts and ends."""

    name: str
    start: int
    end: int


def members(text: str) -> Sequence[Member] | None:
    """Return the members of a JSON object in order, duplicates included; None where the text is not one JSON object.

    Nesting has no limit here: a value that no parser would accept for its depth is still somebody's value.
    """
    if text.lstrip(_BLANK)[:1] != "{":
        return None
    found: list[Member] = []
    stack: list[str] = []
    at = start = 0
    name, state = "", "value"
    while state != "end":
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        at, part = token.end(), token[1]
        if len(stack) == 1 and state in ("first-name", "name"):
            name = json.loads(part) if part[0] == '"' else ""
        elif len(stack) == 1 and state == "value":
            start = token.start(1)
        state = _next_state(state, part[0], stack)
        if not state:
            return None
        if len(stack) == 1 and state == "next":
            found.append(Member(name, start, at))
    return None if text[at:].strip(_BLANK) else found


def _next_state(state: str, mark: str, stack: list[str]) -> str:
    """Return what may follow a token that begins with ``mark``; empty where the token may not be there."""
    closes = {"]": "[", "}": "{"}.get(mark)
    if closes is not None:
        if state not in ("next", {"[": "first-value", "{": "first-name"}[closes]) or stack[-1:] != [closes]:
            return ""
        stack.pop()
        return "next" if stack else "end"
    match state:
        case "value" | "first-value" if mark in "[{":
            stack.append(mark)
            return "first-value" if mark == "[" else "first-name"
        case "value" | "first-value" if mark not in ",:":
            return "next" if stack else "end"
        case "name" | "first-name" if mark == '"':
            return "colon"
        case "colon" if mark == ":":
            return "value"
        case "next" if mark == ",":
            return "name" if stack[-1] == "{" else "value"
        case _:
            return ""
