"""How far Meta's clock is ahead of this machine's, by the ``Date`` header of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


class SkewMeter:
    """The smallest skew in the answers of one cycle, so that one odd answer, such as a proxy's own, raises no alarm."""

    def __init__(self) -> None:
        self._least: timedelta | None = None

    @property
    def skew(self) -> timedelta:
        """How far Meta's clock is ahead; zero where no answer had a date."""
        return self._least or timedelta(0)

    @property
    def is_known(self) -> bool:
        """Whether an answer had a date."""
        return self._least is not None

    def record(self, date: str | None, now: datetime) -> None:
        """Record an answer's ``Date``, which is in whole seconds; one that cannot be read is ignored."""
        try:
            sent = parsedate_to_datetime(date) if date else None
            skew = sent.astimezone(UTC) - now if sent is not None and sent.tzinfo is not None else None
        except (ValueError, OverflowError, IndexError):
            return
        if skew is not None and (self._least is None or abs(skew) < abs(self._least)):
            self._least = skew
