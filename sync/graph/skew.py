"""How far Meta's clock is ahead of ours, by the ``Date`` of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


class SkewMeter:
    """The least that the answers of one cycle told: one odd answer, as a proxy's own, makes no clock wrong."""

    def __init__(self) -> None:
        self._least: timedelta | None = None

    @property
    def skew(self) -> timedelta:
        """How far Meta's clock is ahead; nothing where no answer told."""
        return self._least or timedelta(0)

    def record(self, date: str | None, now: datetime) -> None:
        """Record an answer's ``Date``, which is in whole seconds; one that is none tells nothing."""
        try:
            said = parsedate_to_datetime(date) if date else None
            skew = said.astimezone(UTC) - now if said is not None and said.tzinfo is not None else None
        except (ValueError, OverflowError, IndexError):
            return
        if skew is not None and (self._least is None or abs(skew) < abs(self._least)):
            self._least = skew
