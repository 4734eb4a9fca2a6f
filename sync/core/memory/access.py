"""When a Page that cannot be read becomes an alarm: the loss lasts, a read of its own confirms it, and no mass event explains it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.core.model import Page, SourceError, State, SystemUserToken
from sync.core.problems import Problem

LASTING = timedelta(minutes=30)
_CYCLES = 3
_CONFIRM_AFTER = timedelta(seconds=30)
_MASS_LASTING = timedelta(minutes=60)
_LONGEST_WAIT = 6 * 3600.0
"""Seconds."""
_MOST_WAITS = 1 << 16
"""More than the number of cycles in the longest wait, so that the number stays small."""
_FEW = 2
_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Lost:
    """A Page that Graph refuses to its system user.

    ``cycles`` counts the consecutive readings that were refused. ``individually``: a request for this Page alone, half a
    minute or more after the first reading, was refused too. ``alarm`` is since when it is an alarm. ``read_at`` is the last
    reading, in seconds of the monotonic clock, and ``read_as`` what it was read with. ``waits`` is the number of cycles that
    skip an alarmed Page after it, and ``left`` how many of them are to come. ``listed``: the list of Pages showed it since.
    """

    problem: Problem
    since: datetime
    read_at: float = 0.0
    read_as: str = ""
    cycles: int = 1
    individually: bool = False
    alarm: datetime | None = None
    waits: int = 0
    left: int = 0
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading one Page: ``error`` is None where Graph gave its token. ``worked``: a token of it is stored.

    ``read_as`` says with what it was read: see the function of that name.
    """

    error: SourceError | None
    system_user: str
    worked: bool
    individually: bool = False
    read_as: str = ""


def read_as(page: Page, user_token: SystemUserToken | None) -> str:
    """Return all on which it depends whether Graph gives a Page's token; where it has changed, a lost Page is read at once."""
    token = user_token.token if user_token is not None else None
    return " ".join((page.id, page.app_id, page.system_user, token.fingerprint if token is not None else "-"))


def to_read_individually(lost: Mapping[str, Lost], now: datetime) -> frozenset[str]:
    """Return the Pages whose loss is to be confirmed by a request of their own."""
    return frozenset(
        name
        for name, page in lost.items()
        if not page.individually and page.alarm is None and not timedelta(0) <= now - page.since < _CONFIRM_AFTER
    )


def left_out(lost: Mapping[str, Lost], *, read_as: Mapping[str, str], monotonic: float) -> Mapping[str, SourceError]:
    """Return the alarmed Pages that this cycle skips, each with its last error.

    ``read_as`` says by name with what each Page would be read now. The wait is measured by the monotonic clock, which
    nobody sets.
    """
    return {
        name: SourceError(page.problem, State.INVALID)
        for name, page in lost.items()
        if page.left > 0 and monotonic - page.read_at < _LONGEST_WAIT and page.read_as == read_as.get(name)
    }


def advance(
    lost: Mapping[str, Lost],
    readings: Mapping[str, Reading],
    *,
    skipped: Collection[str],
    proven: Collection[str],
    now: datetime,
    monotonic: float,
    listed: Collection[str] = (),
) -> tuple[Mapping[str, Lost], frozenset[str]]:
    """Return which Pages are lost after this cycle's readings, and the system users that lost many Pages at once.

    ``proven`` names the system users whose token worked in this cycle; without that no new alarm begins. ``skipped`` names
    the Pages that were not read on purpose, ``listed`` those lost ones that the list of Pages shows. A Page that was read
    is not lost any more; one whose state is unknown stays as it was.
    """
    lost = {name: _not_later(page, now) for name, page in lost.items()}
    degraded = _degraded(lost, readings, now)
    after: dict[str, Lost] = {}
    for name, page in lost.items():
        if name in skipped:
            after[name] = replace(page, left=page.left - 1, listed=name in listed)
        elif name in readings and _is_unknown(readings[name]):
            after[name] = page
    for name, reading in readings.items():
        if reading.error is None or _is_unknown(reading):
            continue
        known = replace(_counted(lost.get(name), reading, reading.error, now), read_at=monotonic)
        known = replace(known, listed=known.listed or name in listed)
        lasts = (
            reading.system_user in proven and reading.system_user not in degraded and _has_lasted(known, reading, now)
        )
        if known.alarm is None and lasts:
            known = replace(known, alarm=now)
        after[name] = _backed_off(known) if known.alarm else known
    return after, degraded


def _is_unknown(reading: Reading) -> bool:
    return reading.error is not None and reading.error.state is State.UNKNOWN


def _counted(known: Lost | None, reading: Reading, error: SourceError, now: datetime) -> Lost:
    if known is None:
        return Lost(error.problem, since=now, read_as=reading.read_as)
    individually = known.individually or (reading.individually and now - known.since >= _CONFIRM_AFTER)
    waits = known.waits if known.read_as == reading.read_as else 0
    return replace(
        known,
        problem=error.problem,
        read_as=reading.read_as,
        cycles=known.cycles + 1,
        individually=individually,
        waits=waits,
    )


def _not_later(page: Lost, now: datetime) -> Lost:
    """Return the same with no moment in the future, where the clock was set back."""
    if page.since <= now and (page.alarm is None or page.alarm <= now):
        return page
    return replace(page, since=min(page.since, now), alarm=min(page.alarm, now) if page.alarm is not None else None)


def _has_lasted(known: Lost, reading: Reading, now: datetime) -> bool:
    """Check whether a loss has lasted; a Page that never worked is being set up, and its operator waits for the result."""
    if not reading.worked:
        return True
    return known.individually and known.cycles >= _CYCLES and now - known.since >= LASTING


def _backed_off(known: Lost) -> Lost:
    waits = min(known.waits * 2 or 1, _MOST_WAITS)
    return replace(known, waits=waits, left=waits)


def _degraded(lost: Mapping[str, Lost], readings: Mapping[str, Reading], now: datetime) -> frozenset[str]:
    """Return the system users under which so many Pages are newly lost that one cause is likely.

    An outage at Meta, a lost role in the business or a changed app role looks like this; after an hour each loss counts.
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
