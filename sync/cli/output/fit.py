"""How wide a table's columns are on a terminal: what is copied is never broken, and what matters least is left out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

GAP = 2
"""Blanks between two columns."""

_FOLDED = {"Page": 12, "store": 16}
"""Names are folded inside a word where they are longer; every other word, such as a code or a fingerprint, never is."""
_LEFT_OUT = ("expires", "token", "reason", "action", "store", "served")
"""What is left out where there is no room, the least important first."""
_WIDENED = ("store", "token", "problem", "Page", "reason")
"""What takes the room that is left, in this order."""


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], room: int, *, measure: Callable[[str], int] = len
) -> dict[int, int]:
    """Return the columns that are shown, by their place, with their widths; ``measure`` gives a text's width."""
    shown = dict(enumerate(columns))
    least: dict[int, int] = {}
    whole: dict[int, int] = {}
    for position, name in shown.items():
        cells = {name, *(row[position] for row in rows)}
        words = max(measure(word) for cell in cells for word in cell.split())
        least[position] = max(measure(name), min(words, _FOLDED.get(name, words)))
        whole[position] = max(map(measure, cells))
    for name in _LEFT_OUT:
        if _wide(least[position] for position in shown) <= room:
            break
        shown = {position: other for position, other in shown.items() if other != name}
    widths = {position: least[position] for position in shown}
    left = room - _wide(widths.values())
    for name in _WIDENED:
        for position in (position for position, other in shown.items() if other == name):
            more = max(0, min(left, whole[position] - widths[position]))
            widths[position] += more
            left -= more
    return widths


def _wide(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + GAP * (len(each) - 1)
