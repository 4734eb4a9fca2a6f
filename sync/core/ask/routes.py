"""Which Pages are read from the list that a system user's token gives, and which by their id; pure.

The list costs a hundredth of the calls, but at times it leaves Pages out or is out of date. So each Page is read by its id
once a day, and all Pages of a system user for a day where its list showed too few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sync.core.model import Page

DAY = timedelta(days=1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def by_id(
    pages: Sequence[Page], *, short_lists: Mapping[str, datetime], read_at: datetime | None, now: datetime
) -> frozenset[str]:
    """Return the Pages that are read by their id in this cycle.

    ``short_lists`` is when a system user's list last showed too few of its Pages, ``read_at`` when the Pages were read last;
    None where that is not known.
    """
    short = {user for user, when in short_lists.items() if timedelta(0) <= now - when < DAY}
    return frozenset(
        page.name
        for page in pages
        if page.system_user in short or (read_at is not None and passed(page.id, DAY, since=read_at, now=now))
    )


def passed(page_id: str, every: timedelta, *, since: datetime, now: datetime) -> bool:
    """Check whether the Page's own moment of the interval lies between the two times; True where ``since`` is in the future.

    The moment follows from the Page's id, so that Pages that were all judged at once spread over the interval.
    """
    if since > now:
        return True
    seconds = every.total_seconds()
    phase = int(hashlib.sha256(page_id.encode()).hexdigest(), 16) % max(int(seconds), 1)

    def turn(moment: datetime) -> int:
        return int(((moment - _EPOCH).total_seconds() - phase) // seconds)

    return turn(now) > turn(since)
