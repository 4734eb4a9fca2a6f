"""The skew of Meta's clock, by the Date of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.graph.skew import SkewMeter

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("dates", "skew"),
    [
        ([], 0),
        (["Wed, 25 Nov 2026 12:10:00 GMT"], 600),
        (["Wed, 25 Nov 2026 11:50:00 GMT"], -600),
        (["Wed, 25 Nov 2026 12:10:00 GMT", "Wed, 25 Nov 2026 12:00:01 GMT"], 1),
        (["Wed, 25 Nov 2026 12:00:01 GMT", "Wed, 25 Nov 2026 12:10:00 GMT"], 1),
        (["Wed, 25 Nov 2026 14:10:00 +0200"], 600),
        ([None, "", "yesterday", "Wed, 25 Nov 2026 12:10:00", "Wed, 45 Nov 2026 12:10:00 GMT", "1", "\x00" * 99], 0),
        (["Fri, 31 Dec 9999 23:59:59 -2359"], 0),
    ],
)
def test_the_smallest_skew_counts(dates: list[str | None], skew: int) -> None:
    """One answer with the right time is enough, and a Date that cannot be read is ignored."""
    meter = SkewMeter()
    for date in dates:
        meter.record(date, NOW)
    assert meter.skew == skew * SECOND
