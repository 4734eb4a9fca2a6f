"""Numbers and times as people read them, the same in a table, on the page and in a status. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from shlex import quote

from sync.core.model import Expiry
from sync.core.report.entries import PageEntry, StoreEntry

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_ENOUGH = 1.9
"""Of a unit, below which the smaller one is read more easily."""
_NAMED = 3
"""How many names a sentence has; what needs all of them has a table, or JSON."""


def count(number: int, noun: str) -> str:
    """Write a number of things, with the plural where it belongs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some(names: Sequence[str], *, most: int = _NAMED) -> str:
    """Return the first names, and how many more there are."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def filled(remedy: str, store: str, *, page: str | None, path: str | None) -> str:
    """Return a remedy with the names that are known in its command lines: the Page, the store and the secret."""
    remedy = remedy.replace("PAGE --store STORE", f"{'PAGE' if page is None else page} --store {store}")
    return remedy if path is None else remedy.replace("--secret-id NAME", f"--secret-id {quote(path)}")


def distance(moment: datetime, now: datetime) -> str:
    """Write how far a moment is from now, in the largest unit of which there are two."""
    seconds = round((now - moment).total_seconds())
    text = span(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def span(seconds: float) -> str:
    """Write a length of time, in the largest unit of which there are two."""
    unit, length = next((one for one in _UNITS if seconds >= _ENOUGH * one[1]), _UNITS[-1])
    return f"{round(seconds / length)} {unit}"


def expiry(expires_at: Expiry | None) -> str:
    """Write when a token expires."""
    if expires_at is None:
        return "-"
    return f"{expires_at:%Y-%m-%d}" if isinstance(expires_at, datetime) else "never"


def stored_expiry(page: PageEntry, entry: StoreEntry) -> str:
    """Write when the stored token expires, which is known where it is the fetched one."""
    if page.fingerprint is None or page.fingerprint != entry.fingerprint:
        return "-"
    return expiry(page.expires_at)
