"""The widths of a table's columns on a terminal: words are not broken, and the least important columns are left out. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

GAP = 2
"""Blanks between two columns."""

_FOLDED = {"Page": 12, "store": 16}
"""Longer names are folded inside a word; every other word, such as a code or a fingerprint, never is."""
_READABLE, _NARROWEST = 20, 16
"""The reason is a sentence: its width beside the columns of ``_DETAILS``, and the least, below which it is left out."""
_FINGERPRINT = re.compile(r"\b([0-9a-f]{6})[0-9a-f]{6}\b")
_DETAILS = ("expires", "token")
_LEFT_OUT = ("expires", "token", "reason", "action", "store", "served")
"""The columns that are left out on a narrow terminal, the least important first."""
_WIDENED = ("store", "token", "problem", "Page", "reason")
"""The columns that get the width that is left, in this order."""


def shortened(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the rows with each fingerprint cut to its first digits."""
    token = columns.index("token") if "token" in columns else -1
    return [
        [_FINGERPRINT.sub(r"\1", cell) if position == token else cell for position, cell in enumerate(row)]
        for row in rows
    ]


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], available: int, *, measure: Callable[[str], int] = len
) -> dict[int, int]:
    """Return the width of each column that is shown, by its index; ``measure`` returns a text's width."""
    shown = dict(enumerate(columns))
    least: dict[int, int] = {}
    full: dict[int, int] = {}
    for position, name in shown.items():
        cells = {name, *(row[position] for row in rows)}
        words = max(measure(word) for cell in cells for word in cell.split())
        full[position] = max(map(measure, cells))
        least[position] = max(measure(name), min(words, _FOLDED.get(name, words)))
        if name == "reason":
            least[position] = max(least[position], min(full[position], _NARROWEST))
    readable = {
        position: max(width, min(full[position], _READABLE)) if columns[position] == "reason" else width
        for position, width in least.items()
    }
    for name in _LEFT_OUT:
        if _total((readable if name in _DETAILS else least)[position] for position in shown) <= available:
            break
        shown = {position: other for position, other in shown.items() if other != name}
    narrow = _total(readable[position] for position in shown) > available
    widths = {position: (least if narrow else readable)[position] for position in shown}
    left = available - _total(widths.values())
    for name in _WIDENED:
        for position in (position for position, other in shown.items() if other == name):
            more = max(0, min(left, full[position] - widths[position]))
            widths[position] += more
            left -= more
    return widths


def _total(widths: Iterable[int]) -> int:
    known = list(widths)
    return sum(known) + GAP * (len(known) - 1)
