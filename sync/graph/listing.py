"""Read the lists that Graph gives in parts: their rows, and the cursor of the next part. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROWS = 100
"""The rows that are requested at once; callers in public code use no more."""
_LONGEST_CURSOR = 2048


def rows(value: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a part that are objects."""
    found = value.get("data")
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def next_cursor(value: Mapping[str, Any]) -> str | None:
    """Return the cursor of the next rows. Only ``next`` says that there are any: ``after`` is on the last page too."""
    paging = value.get("paging")
    if not isinstance(paging, dict) or not paging.get("next") or not isinstance(paging.get("cursors"), dict):
        return None
    after = paging["cursors"].get("after")
    return after if isinstance(after, str) and 0 < len(after) <= _LONGEST_CURSOR else None
