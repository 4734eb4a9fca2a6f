"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.core.report.text import count, distance
from tests.support.values import NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (89, "89 s ago"),
        (118, "2 min ago"),
        (-720, "in 12 min"),
        (5400, "90 min ago"),
        (7200, "2 h ago"),
        (-86400, "in 24 h"),
        (3 * 86400 + 3600, "3 d ago"),
    ],
)
def test_distance(seconds: int, text: str) -> None:
    """A distance in time has the largest unit of which there are about two."""
    assert distance(NOW - timedelta(seconds=seconds), NOW) == text


def test_count() -> None:
    """One thing is not many, and thousands are separated."""
    assert (count(1, "Page"), count(0, "Page"), count(12_345, "Page")) == ("1 Page", "0 Pages", "12,345 Pages")
