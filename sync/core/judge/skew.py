"""How far this machine's clock may be from Meta's, and what follows from it; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

WARN_SKEW = timedelta(seconds=60)
"""Beyond it a warning is reported."""

MAX_SKEW = timedelta(minutes=5)
"""Beyond it nothing is done that follows from only one of the two clocks."""


def judging_times(now: datetime, skew: timedelta) -> tuple[datetime, ...]:
    """Return the times to judge by: this machine's, and Meta's as well where the two are too far apart."""
    return (now,) if abs(skew) <= MAX_SKEW else (now, now + skew)


def skew_warning(skew: timedelta) -> str | None:
    """Return a warning that the clock is wrong, None where it is not; ``skew`` is how far Meta's is ahead of this machine's."""
    if abs(skew) <= WARN_SKEW:
        return None
    direction = "behind" if skew > timedelta(0) else "ahead of"
    seconds = round(abs(skew).total_seconds())
    span = f"{seconds} seconds" if abs(skew) < MAX_SKEW else f"{seconds // 60:,} minutes"
    text = f"This machine's clock is {span} {direction} Meta's: set it right, and keep it so by NTP."
    if abs(skew) <= MAX_SKEW:
        return text
    return f"{text} Until then the expiry of tokens is judged by both clocks, and where they differ nothing is done."
