"""How far this machine's clock may be from Meta's, and what follows from it; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

WARN_SKEW = timedelta(seconds=60)
"""Beyond it a person is told."""

MAX_SKEW = timedelta(minutes=5)
"""Beyond it nothing is done that only one of the two clocks would have us do."""


def judging_times(now: datetime, skew: timedelta) -> tuple[datetime, ...]:
    """Return the times by which to judge: ours, and Meta's beside it where the two are too far apart."""
    return (now,) if abs(skew) <= MAX_SKEW else (now, now + skew)


def skew_warning(skew: timedelta) -> str | None:
    """Report that the clock is wrong; ``ahead`` is how far Meta's is ahead of ours. None where the two agree well enough."""
    if abs(skew) <= WARN_SKEW:
        return None
    direction = "behind" if skew > timedelta(0) else "ahead of"
    seconds = round(abs(skew).total_seconds())
    span = f"{seconds} seconds" if abs(skew) < MAX_SKEW else f"{seconds // 60:,} minutes"
    text = f"This machine's clock is {span} {direction} Meta's: set it right, and keep it so by NTP."
    if abs(skew) <= MAX_SKEW:
        return text
    return f"{text} Until then the ends of tokens are judged by both, and where they differ nothing is done."
