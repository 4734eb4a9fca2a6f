"""How much of each of Meta's quotas is used, and how large it is: one value for each, learnt from its answers.

Meta reports use in whole percent of a rolling hour, without the number of calls behind it, and reports nothing while use
is close to zero (Graph's rate limits, read 2026-11-24). Throttled calls count too, so nothing is asked while a quota is
closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Self, get_args

from sync.core.judge.skew import MAX_SKEW

WINDOW = timedelta(hours=1)
LEAST_CEILING = 200.0
"""Calls an hour that Meta allows an app with a single user; assumed until its answers show another number."""
FULL_SPEED = 50.0
"""Percent of use below which nothing is spread over time."""
_WHOLE = 100.0
FRESH = timedelta(minutes=1)
"""The age up to which a report still says what is used now."""
_SHORTEST = timedelta(minutes=5)
_LONGEST = timedelta(hours=24)
_APP_FREEZE = timedelta(minutes=60)
_LONGEST_APP_FREEZE = timedelta(hours=4)
_JITTER = 0.1
_SAME = 0.15
_LEAST_RISE = 2.0
_DOUBTFUL_RISE = 5.0
_CUT_OFF = 0.5
"""Meta cuts off to whole percent, so on average so much more is used than it reports."""

QuotaKind = Literal["app", "system_user", "page"]
_KINDS: tuple[QuotaKind, ...] = get_args(QuotaKind)


@dataclass(frozen=True, slots=True)
class QuotaKey:
    """Which of Meta's quotas: an app's own, or the one that the app has for one system user or one Page.

    ``name`` is the system user's name or the Page's id; it is empty for an app's own quota.
    """

    app_id: str
    kind: QuotaKind = "app"
    name: str = ""

    def __str__(self) -> str:
        """Return the form that the state file has: ``APP_ID/KIND`` or ``APP_ID/KIND/NAME``."""
        return "/".join((self.app_id, self.kind, *([self.name] if self.name else [])))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the form that ``str`` writes; None for any other text."""
        app_id, kind, name = [*text.split("/", 2), "", ""][:3]
        known = next((one for one in _KINDS if one == kind), None)
        return None if not app_id or known is None or bool(name) is (known == "app") else cls(app_id, known, name)


@dataclass(frozen=True, slots=True)
class Pool:
    """One quota, as Graph reported it last.

    ``used``: percent, None while Graph never reported any; ``reported_at``: when it did. ``ceiling``: calls an hour, None
    while unknown. ``measured``: a rise was seen, so the ceiling is more than a guess from many calls without a rise.
    ``steady`` follows the ceiling in large steps, so that a plan made on it does not change with each answer.
    ``base``: percent used when counting began; ``counted``: calls since. ``busy_from`` and ``busy_at``: since when, and when
    last, half or more was used. ``frozen_until``: nothing is asked before. ``freezes``: how many came in a row.
    ``thawed_at``: when the first answer ended the last freeze. ``spent_at``: up to when the reduced rate after it is used up.
    """

    used: float | None = None
    reported_at: datetime | None = None
    ceiling: float | None = None
    measured: bool = False
    steady: float = LEAST_CEILING
    base: float | None = None
    counted: int = 0
    busy_from: datetime | None = None
    busy_at: datetime | None = None
    frozen_until: datetime | None = None
    freezes: int = 0
    thawed_at: datetime | None = None
    spent_at: datetime | None = None

    def age(self, now: datetime) -> timedelta:
        """Return how long ago the use was reported; an hour where that is unknown, after which it does not count."""
        # A report that lies in the future came before the clock was set back; taken for new, it would hold until then.
        if self.reported_at is None or self.reported_at > now + MAX_SKEW:
            return WINDOW
        return max(now - self.reported_at, timedelta(0))

    def busy_since(self, now: datetime) -> datetime | None:
        """Return since when half of the quota or more has been in use; None where that ended an hour ago or more."""
        return self.busy_from if self.busy_at is not None and now - self.busy_at <= WINDOW else None

    def is_frozen(self, now: datetime) -> bool:
        """Check whether a freeze lasts; one that began in the future was set before the clock was set back, and counts no more."""
        begun = self.reported_at
        if self.frozen_until is None or (begun is not None and begun > now + MAX_SKEW):
            return False
        return now < self.frozen_until <= now + _LONGEST


Throttle = Literal["backoff", "stated"]
"""How long a freeze lasts: an hour, doubled while freezes come in a row, or the time that Meta stated."""


def record_usage(pool: Pool, used: float | None, calls: int, now: datetime) -> Pool:
    """Record the answer to ``calls`` calls; ``used`` is None where it reported nothing, which does not mean zero.

    An answer that was not throttled ends a freeze. The freeze is forgotten an hour later.
    """
    pool = _thawed(pool, now)
    if used is None:
        return replace(pool, counted=pool.counted + calls)
    if pool.used is not None and used < pool.used and pool.age(now) <= FRESH:
        # Answers to requests that run side by side overtake each other: this one is older than the last.
        return replace(pool, counted=pool.counted + calls)
    learnt = _learnt(pool, used, calls, now)
    if used >= FULL_SPEED:
        learnt = replace(learnt, busy_from=pool.busy_since(now) or now, busy_at=now)
    return replace(learnt, used=used, reported_at=now)


def freeze(pool: Pool, kind: Throttle, wait: timedelta | None, now: datetime, jitter: float) -> Pool:
    """Close a quota for a time. ``wait`` is what Meta stated; ``jitter`` between 0 and 1 adds up to a tenth.

    Several throttled answers at the same time are one freeze.
    """
    if pool.is_frozen(now):
        return pool
    if kind == "backoff":
        doubled = min(_APP_FREEZE * 2 ** min(pool.freezes, 8), _LONGEST_APP_FREEZE)
        wait = max(doubled, wait or timedelta(0))
    wait = min(max(wait or timedelta(0), _SHORTEST), _LONGEST)
    until = now + min(wait * (1 + _JITTER * jitter), _LONGEST)
    return replace(
        pool,
        used=100.0,
        reported_at=now,
        base=None,
        counted=0,
        frozen_until=until,
        freezes=pool.freezes + 1,
        thawed_at=None,
    )


def frozen_until(pool: Pool | None, now: datetime) -> datetime | None:
    """Return until when a quota is closed; None where it is open."""
    return pool.frozen_until if pool is not None and pool.is_frozen(now) else None


def without_future(pool: Pool, now: datetime) -> Pool:
    """Return what still counts of a quota: where a moment lies in the future, after a clock was set back, only its size.

    A use of a hundred percent that is reported tomorrow would else close the quota until then.
    """
    moments = (pool.reported_at, pool.busy_from, pool.busy_at, pool.thawed_at, pool.spent_at)
    if all(moment is None or moment <= now + MAX_SKEW for moment in moments):
        return pool
    return Pool(ceiling=pool.ceiling, measured=pool.measured, steady=pool.steady)


def is_worth_keeping(pool: Pool, now: datetime) -> bool:
    """Check whether the quota of a Page or a system user is still to be remembered: it is closed, or was until recently."""
    return pool.frozen_until is not None and now - pool.frozen_until < 2 * WINDOW


def _learnt(pool: Pool, used: float, calls: int, now: datetime) -> Pool:
    """Learn the quota's size from what ``calls`` calls added to it: so many calls for so many percent.

    Only within a minute of the report before: later, calls have left the count, and nothing reports that. A small rise may
    be off by half a percent, so it counts for less; and up to that much more may have been used when counting began.
    """
    counted = pool.counted + calls
    if used > _WHOLE:
        # Others have used the quota up many times over, so that the rise shows nothing of its size.
        return replace(pool, base=None, counted=0)
    if pool.base is None or pool.age(now) > FRESH or used < pool.base - _CUT_OFF:
        return replace(pool, base=used + _CUT_OFF, counted=0)
    rise = used - pool.base
    if rise >= _LEAST_RISE - _CUT_OFF and counted > 0:
        sample = 100 * counted / rise
        before = pool.ceiling or LEAST_CEILING
        ceiling = before + (sample - before) * (rise / (rise + _DOUBTFUL_RISE)) ** 2
        steady = pool.steady if abs(ceiling / pool.steady - 1) <= _SAME else ceiling
        return replace(pool, base=used, counted=0, ceiling=ceiling, measured=True, steady=steady)
    if pool.measured:
        return replace(pool, counted=counted)
    known = max(pool.ceiling or 0.0, 100 * counted / _LEAST_RISE)
    return replace(pool, counted=counted, ceiling=known if known > LEAST_CEILING else pool.ceiling)


def _thawed(pool: Pool, now: datetime) -> Pool:
    if pool.frozen_until is None or pool.is_frozen(now):
        return pool
    if pool.thawed_at is None:
        return replace(pool, thawed_at=now, spent_at=now)
    if now - pool.thawed_at >= WINDOW:
        return replace(pool, frozen_until=None, freezes=0, thawed_at=None)
    return pool
