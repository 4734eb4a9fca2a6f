"""The simulation's table, in no more than eighty columns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from tools.economy.simulate import RequestStats

_HEAD = (
    ("", "judged", "calls an hour", "throttled", "oldest", "its", "longest"),
    ("Pages", "every", "mean   most", "times/row", "verdict", "bound", "heal"),
)
_WIDTHS = (6, 9, 15, 12, 11, 11, 9)


def table(tallies: Iterable[RequestStats], hours: int) -> str:
    """Write a line for each run of so many hours."""
    rows = [*_HEAD, *(_row(tally, hours) for tally in tallies)]
    return "\n".join("".join(cell.rjust(width) for cell, width in zip(row, _WIDTHS, strict=True)) for row in rows)


def _row(tally: RequestStats, hours: int) -> tuple[str, ...]:
    calls = [tally.per_hour.get(hour, 0) for hour in range(hours)]
    return (
        f"{tally.pages}",
        span(tally.interval),
        f"{sum(calls) / hours:.1f} {max(calls):>6}",
        f"{tally.throttles} / {tally.in_a_row}",
        span(tally.oldest),
        span(tally.bound),
        span(tally.longest_heal),
    )


def span(length: timedelta) -> str:
    """Write a length by its two largest units."""
    minutes = int(length.total_seconds()) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    words = [f"{days}d" if days else "", f"{hours}h" if hours else "", f"{minutes}m" if minutes and not days else ""]
    return " ".join(word for word in words if word) or "0m"
