"""The table of the simulation, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from tools.economy.simulate import RunStats

_HEAD = (
    ("", "judged", "calls an hour", "throttled", "oldest", "its", "longest"),
    ("Pages", "every", "mean   most", "times/row", "verdict", "bound", "repair"),
)
_WIDTHS = (6, 9, 15, 12, 11, 11, 9)


def table(results: Iterable[RunStats], hours: int) -> str:
    """Return a table with a line for each run of ``hours`` hours."""
    rows = [*_HEAD, *(_row(stats, hours) for stats in results)]
    return "\n".join("".join(cell.rjust(width) for cell, width in zip(row, _WIDTHS, strict=True)) for row in rows)


def _row(stats: RunStats, hours: int) -> tuple[str, ...]:
    calls = [stats.per_hour.get(hour, 0) for hour in range(hours)]
    return (
        f"{stats.pages}",
        span(stats.interval),
        f"{sum(calls) / hours:.1f} {max(calls):>6}",
        f"{stats.throttles} / {stats.in_a_row}",
        span(stats.oldest),
        span(stats.bound),
        span(stats.longest_repair),
    )


def span(length: timedelta) -> str:
    """Return a duration in its two largest units."""
    minutes = int(length.total_seconds()) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    words = [f"{days}d" if days else "", f"{hours}h" if hours else "", f"{minutes}m" if minutes and not days else ""]
    return " ".join(word for word in words if word) or "0m"
