"""The ``fields`` parameter of Graph: names, parsed as far as the sandbox needs them."""

from __future__ import annotations

from functools import lru_cache

from sync.sandbox.replies import GraphError

_OPEN, _CLOSE = "{(", "})"


@lru_cache
def parse_fields(text: str | None) -> tuple[str, ...] | GraphError:
    """Return the names at the top level, without what is nested in or chained to them; empty where none are named."""
    names: list[str] = []
    depth, name = 0, ""
    for position, char in enumerate(text or ""):
        depth += (char in _OPEN) - (char in _CLOSE)
        if depth < 0:
            return _syntax_error(f"Expected end of string instead of {char}.", position, text or "")
        if char == "," and depth == 0:
            names.append(name)
            name = ""
        else:
            name += char
    if depth:
        return _syntax_error("Expected }.", len(text or ""), text or "")
    names.append(name)
    plain = [_plain(part) for part in names]
    return tuple(dict.fromkeys(part for part in plain if part))


def _plain(part: str) -> str:
    for mark in "{(.":
        part = part.partition(mark)[0]
    return part.strip()


def _syntax_error(what: str, position: int, text: str) -> GraphError:
    return GraphError(f'Syntax error "{what}" at character {position}: {text}', 2500)
