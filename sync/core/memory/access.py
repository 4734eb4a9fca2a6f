"""When a Page that cannot be reached becomes an alarm: lasting, seen alone, and no part of a larger event."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.core.model import SourceError, State
from sync.core.problems import Problem

LASTING = timedelta(minutes=30)
_CYCLES = 3
_ALONE_AFTER = timedelta(seconds=30)
_MASS_LASTING = timedelta(minutes=60)
_LONGEST_WAIT = timedelta(hours=6)
_MOST_WAITS = 1 << 16
"""More than there are cycles in the longest wait, and never a number without end."""
_FEW = 2
_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Lost:
    """A Page that Graph refuses to its system user, as far as it has come.

    ``cycles`` counts the readings that said so one after the other. ``alone``: a read of the Page's own, half a minute
    or more after the first, said so too. ``alarm`` is since when it is an alarm. ``asked_at`` is the last reading, and
    ``waits`` the cycles that an alarmed Page is left out after it; ``left`` how many of them are to come.
    """

    problem: Problem
    since: datetime
    asked_at: datetime
    cycles: int = 1
    individually: bool = False
    alarm: datetime | None = None
    waits: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one Page brought: ``error`` None where it was reached. ``worked``: a token of it is stored."""

    error: SourceError | None
    system_user: str
    worked: bool
    individually: bool = False


def to_read_individually(lost: Mapping[str, Lost], now: datetime) -> frozenset[str]:
    """Return the Pages whose loss is to be confirmed by a read of their own."""
    return frozenset(
        name
        for name, page in lost.items()
        if not page.individually and page.alarm is None and now - page.since >= _ALONE_AFTER
    )


def left_out(lost: Mapping[str, Lost], now: datetime) -> Mapping[str, SourceError]:
    """Return the alarmed Pages that are not asked for in this cycle, with what was said of them last."""
    return {
        name: SourceError(page.problem, State.INVALID)
        for name, page in lost.items()
        if page.left > 0 and now - page.asked_at < _LONGEST_WAIT
    }


def advance(
    lost: Mapping[str, Lost],
    readings: Mapping[str, Reading],
    *,
    skipped: Collection[str],
    proven: Collection[str],
    now: datetime,
) -> tuple[Mapping[str, Lost], frozenset[str]]:
    """Return what is lost after this cycle's readings, and the system users that lost many Pages at once.

    ``proven`` names the system users whose token was seen to work in this cycle; without that nothing is added to what
    was known. ``skipped`` names Pages that were left out on purpose. A Page that was reached is lost no more; one of
    which nothing could be said stays as it was.
    """
    degraded = _degraded(lost, readings, now)
    after: dict[str, Lost] = {}
    for name, page in lost.items():
        if name in skipped:
            after[name] = replace(page, left=page.left - 1)
        elif name in readings and _says_nothing(readings[name]):
            after[name] = page
    for name, reading in readings.items():
        if reading.error is None or _says_nothing(reading):
            continue
        known = _counted(lost.get(name), reading, reading.error, now)
        ripe = reading.system_user in proven and reading.system_user not in degraded and _is_ripe(known, reading, now)
        if known.alarm is None and ripe:
            known = replace(known, alarm=now)
        after[name] = _backed_off(known) if known.alarm else known
    return after, degraded


def _says_nothing(reading: Reading) -> bool:
    return reading.error is not None and reading.error.state is State.UNKNOWN


def _counted(known: Lost | None, reading: Reading, error: SourceError, now: datetime) -> Lost:
    if known is None:
        return Lost(error.problem, since=now, asked_at=now)
    individually = known.individually or (reading.individually and now - known.since >= _ALONE_AFTER)
    return replace(known, problem=error.problem, asked_at=now, cycles=known.cycles + 1, individually=individually)


def _is_ripe(known: Lost, reading: Reading, now: datetime) -> bool:
    """Check whether a loss has lasted; a Page that never worked is being set up, and its operator waits for the word."""
    if not reading.worked:
        return True
    return known.individually and known.cycles >= _CYCLES and now - known.since >= LASTING


def _backed_off(known: Lost) -> Lost:
    waits = min(known.waits * 2 or 1, _MOST_WAITS)
    return replace(known, waits=waits, left=waits)


def _degraded(lost: Mapping[str, Lost], readings: Mapping[str, Reading], now: datetime) -> frozenset[str]:
    """Return the system users under which more Pages are newly lost than Pages lose themselves.

    An outage at Meta, a lost role in the business or a changed app role looks like this; after an hour it is believed.
    """
    pages: dict[str, int] = {}
    newly: dict[str, int] = {}
    for name, reading in readings.items():
        pages[reading.system_user] = pages.get(reading.system_user, 0) + 1
        known = lost.get(name)
        fresh = known is None or (known.alarm is None and now - known.since < _MASS_LASTING)
        if reading.error is not None and reading.error.state is State.INVALID and reading.worked and fresh:
            newly[reading.system_user] = newly.get(reading.system_user, 0) + 1
    return frozenset(user for user, count in newly.items() if count > max(_FEW, _SHARE * pages[user]))
