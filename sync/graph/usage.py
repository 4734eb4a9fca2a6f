"""Read Graph's usage headers, whatever their form; a header that cannot be read reports nothing.

Seen and documented until 2026-11-24: whole percent under known names, a bare ``"17%"``, other names on sister APIs,
broken JSON, and no header at all near zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sync.graph.answers import NotJson, read_json, whole

APP, BUSINESS = "x-app-usage", "x-business-use-case-usage"
"""The names of the headers: of the app's own quota, and of the quotas of Pages and businesses."""

_LONGEST = 20_000
_MOST = 1000.0
"""A larger number is read as this one: a quota that is used up many times over is full."""
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?%?")
_COUNTS = ("call_count", "total_cputime", "total_time", "call_volume", "cpu_time")


class BusinessUsage(NamedTuple):
    """One entry of the business header: whose quota, its type, the percent used, and minutes until it opens again."""

    id: str
    type: str
    used: float
    minutes: int


def app_usage(text: str | None) -> float | None:
    """Return the percent that an app has used, the largest of its counts; None where none can be read."""
    value = _value(text)
    if isinstance(value, dict):
        return _largest(value)
    return _number(value)


def business_usage(text: str | None) -> Iterator[BusinessUsage]:
    """Yield the reported quotas of Pages and businesses; ``minutes`` 0 is also sent where much is used."""
    value = _value(text)
    for owner, rows in value.items() if isinstance(value, dict) else ():
        for row in rows if isinstance(rows, list) else ():
            used = _largest(row) if isinstance(row, dict) else None
            if used is not None:
                kind = row.get("type")
                minutes = whole(row.get("estimated_time_to_regain_access")) or 0
                yield BusinessUsage(owner[:40], kind[:40] if isinstance(kind, str) else "", used, max(minutes, 0))


def regain_minutes(text: str | None) -> int | None:
    """Return the minutes until a full quota opens again, by the business header; None where it states none."""
    return max((usage.minutes for usage in business_usage(text)), default=0) or None


def _value(text: str | None) -> Any:
    if text is None or len(text) > _LONGEST:
        return None
    try:
        return read_json(text)
    except NotJson:
        return text.strip(' "')


def _largest(value: dict[str, Any]) -> float | None:
    found = [number for name in _COUNTS if (number := _number(value.get(name))) is not None]
    return max(found, default=None)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        found = _PERCENT.fullmatch(value.strip())
        value = min(float(found[1]), _MOST) if found is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return float(min(value, _MOST))
