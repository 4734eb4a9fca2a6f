"""How much may be asked of Meta: one value for each of its quotas, learnt from its answers, and the pace that follows.

Meta reports use in whole percent of a rolling hour, without the number of calls behind it, and reports nothing while use
is close to zero (Graph's rate limits, read 2026-11-24). Throttled calls count too, so nothing is asked while a quota is
closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Self, get_args

from sync.core.judge.skew import MAX_SKEW
from sync.core.model import Ask

WINDOW = timedelta(hours=1)
LEAST_CEILING = 200.0
"""Calls an hour that Meta allows an app with a single user; assumed until its answers show another number."""
FULL_SPEED = 50.0
"""Percent of use below which nothing is spread over time."""
_WHOLE = 100.0
FULL = 95.0
"""Percent of use from which nothing is asked at all."""
BATCH = 50

_FRESH = timedelta(minutes=1)
_SHORTEST = timedelta(minutes=5)
_LONGEST = timedelta(hours=24)
_APP_FREEZE = timedelta(minutes=60)
_LONGEST_APP_FREEZE = timedelta(hours=4)
_JITTER = 0.1
_SAME = 0.15
_FEW = 10
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


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be asked before Meta's next report: None means no limit.

    ``at_once``: how many may be sent, side by side, before the report is read again. ``next_allowed_at``: when ordinary calls
    resume, where there are none now.
    """

    ordinary: int | None
    urgent: int | None
    at_once: int
    next_allowed_at: datetime | None = None

    def without(self, calls: int) -> Allowance:
        """Return what is left while so many calls are under way, whose report is still to come."""
        ordinary, urgent = (None if most is None else max(most - calls, 0) for most in (self.ordinary, self.urgent))
        return replace(self, ordinary=ordinary, urgent=urgent, at_once=max(self.at_once - calls, 0))

    def choose(self, asks: Sequence[Ask]) -> list[Ask]:
        """Return as many as may be sent now, in their order; urgent ones may be sent where ordinary ones may not."""
        chosen: list[Ask] = []
        for ask in asks:
            if len(chosen) == self.at_once:
                break
            most = self.urgent if ask.urgent else self.ordinary
            if most is None or len(chosen) < most:
                chosen.append(ask)
        return chosen


Throttle = Literal["backoff", "stated"]
"""How long a freeze lasts: an hour, doubled while freezes come in a row, or the time that Meta stated."""


def calls_per_hour(pool: Pool | None, budget: float) -> float:
    """Return the calls that a share of the quota allows in an hour, by what was learnt of its size."""
    return (LEAST_CEILING if pool is None else pool.steady) * budget


def is_plentiful(pool: Pool | None, now: datetime) -> bool:
    """Check whether less than half of a quota is in use, as far as is known."""
    if pool is None or pool.used is None:
        return pool is None or not _is_frozen(pool, now)
    return not _is_frozen(pool, now) and pool.used * (1 - _age(pool, now) / WINDOW) < FULL_SPEED


def record_usage(pool: Pool, used: float | None, calls: int, now: datetime) -> Pool:
    """Record the answer to ``calls`` calls; ``used`` is None where it reported nothing, which does not mean zero.

    An answer that was not throttled ends a freeze. The freeze is forgotten an hour later.
    """
    pool = _thawed(pool, now)
    if used is None:
        return replace(pool, counted=pool.counted + calls)
    if pool.used is not None and used < pool.used and _age(pool, now) <= _FRESH:
        # Answers to requests that run side by side overtake each other: this one is older than the last.
        return replace(pool, counted=pool.counted + calls)
    learnt = _learnt(pool, used, calls, now)
    if used >= FULL_SPEED:
        learnt = replace(learnt, busy_from=_busy_from(pool, now) or now, busy_at=now)
    return replace(learnt, used=used, reported_at=now)


def record_asks(pool: Pool, asks: Sequence[Ask], budget: float, now: datetime) -> Pool:
    """Record what is sent now; in the hour after a freeze it uses up the reduced rate."""
    since = _slowed_since(pool, now)
    if since is not None:
        return replace(pool, spent_at=since + len(asks) * WINDOW / _slow_rate(pool, budget))
    return pool


def freeze(pool: Pool, kind: Throttle, wait: timedelta | None, now: datetime, jitter: float) -> Pool:
    """Close a quota for a time. ``wait`` is what Meta stated; ``jitter`` between 0 and 1 adds up to a tenth.

    Several throttled answers at the same time are one freeze.
    """
    if _is_frozen(pool, now):
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
    return pool.frozen_until if pool is not None and _is_frozen(pool, now) else None


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


def allowance(pool: Pool, budget: float, now: datetime) -> Allowance:
    """Return what may be asked now. ``budget`` is a share, such as 0.75.

    Below half of the quota nothing is held back. Up to the budget the rest is spread over the hour. Above the budget only
    urgent calls are sent, and from 95 percent none.
    """
    closed = frozen_until(pool, now)
    if closed is not None:
        return Allowance(0, 0, 0, closed)
    if pool.frozen_until is not None and pool.thawed_at is None:
        return Allowance(1, 1, 1)
    allowed = _by_use(pool, 100 * budget, now)
    since = _slowed_since(pool, now)
    return allowed if since is None else _slowed(allowed, since, _slow_rate(pool, budget), now)


def _by_use(pool: Pool, budget: float, now: datetime) -> Allowance:
    age = _age(pool, now)
    if pool.used is None or age >= WINDOW:
        return Allowance(None, None, BATCH)
    used = pool.used * (1 - age / WINDOW)
    if pool.used >= FULL and used >= budget:
        return Allowance(0, 0, 0, _falls_to(budget, pool.used, pool.reported_at))
    ordinary = _level(pool, budget, now) - used
    # An old report may still hold: all calls of a minute leave Meta's count together, an hour later. And the quota may be
    # smaller than was learnt: without the learnt size, one that shrank to a fifth was refused four times (tools.economy).
    # So half of the known capacity is sent, then the next report is read.
    most = _calls(pool, budget - pool.used) // 2
    urgent = _calls(pool, FULL - used)
    at_once = max(most, 1) if age > _FRESH else max(urgent // 2, min(urgent, _FEW))
    if pool.ceiling is None:
        at_once = min(at_once, BATCH)
    unlimited = pool.ceiling is None and used < FULL_SPEED
    allowed = None if unlimited else _calls(pool, ordinary)
    resumes = None if allowed != 0 else _resumes_at(pool, budget, used, now)
    return Allowance(allowed, urgent, at_once, resumes)


def _resumes_at(pool: Pool, budget: float, used: float, now: datetime) -> datetime | None:
    """Return when the next ordinary call is due: when enough has left Meta's count, or the level has risen."""
    falls = _falls_to(budget, pool.used or 0.0, pool.reported_at)
    begun, one_more = _busy_from(pool, now), used + 100 / (pool.ceiling or LEAST_CEILING)
    if begun is None or one_more > budget:
        return falls
    return max(begun + WINDOW * (one_more - FULL_SPEED) / (budget - FULL_SPEED), now)


def _falls_to(level: float, used: float, reported_at: datetime | None) -> datetime | None:
    return None if reported_at is None else reported_at + WINDOW * max(0.0, 1 - level / max(used, 1.0))


def _slowed_since(pool: Pool, now: datetime) -> datetime | None:
    """Return since when unused calls add up in the hour after a freeze; None outside of it."""
    if pool.thawed_at is None or not _lasts(pool.thawed_at, now):
        return None
    return max(pool.thawed_at, pool.spent_at or pool.thawed_at)


def _slow_rate(pool: Pool, budget: float) -> float:
    return max((pool.ceiling or LEAST_CEILING) * budget / 4, 1.0)


def _slowed(allowed: Allowance, since: datetime, rate: float, now: datetime) -> Allowance:
    """Return an allowance limited to a quarter of the usual rate."""
    most = max(int(rate * ((now - since) / WINDOW)), 0)
    ordinary = most if allowed.ordinary is None else min(allowed.ordinary, most)
    urgent = most if allowed.urgent is None else min(allowed.urgent, most)
    resumes = None if ordinary else max(allowed.next_allowed_at or now, since + WINDOW / rate)
    return Allowance(ordinary, urgent, min(allowed.at_once, BATCH), resumes)


def _calls(pool: Pool, percent: float) -> int:
    return max(int(percent / 100 * (pool.ceiling or LEAST_CEILING)), 0)


def _level(pool: Pool, budget: float, now: datetime) -> float:
    """Return the percent up to which ordinary calls are sent: half, and the rest up to the budget spread over an hour.

    After that hour it stays at the budget while there is so much to ask: what leaves Meta's count may be used again.
    """
    begun = _busy_from(pool, now)
    if begun is None or budget <= FULL_SPEED:
        return min(FULL_SPEED, budget)
    return FULL_SPEED + (budget - FULL_SPEED) * min(max((now - begun) / WINDOW, 0.0), 1.0)


def _busy_from(pool: Pool, now: datetime) -> datetime | None:
    """Return since when half of the quota or more has been in use; None where that ended an hour ago or more."""
    return pool.busy_from if pool.busy_at is not None and now - pool.busy_at <= WINDOW else None


def _learnt(pool: Pool, used: float, calls: int, now: datetime) -> Pool:
    """Learn the quota's size from what ``calls`` calls added to it: so many calls for so many percent.

    Only within a minute of the report before: later, calls have left the count, and nothing reports that. A small rise may
    be off by half a percent, so it counts for less; and up to that much more may have been used when counting began.
    """
    counted = pool.counted + calls
    if used > _WHOLE:
        # Others have used the quota up many times over, so that the rise shows nothing of its size.
        return replace(pool, base=None, counted=0)
    if pool.base is None or _age(pool, now) > _FRESH or used < pool.base - _CUT_OFF:
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
    if pool.frozen_until is None or _is_frozen(pool, now):
        return pool
    if pool.thawed_at is None:
        return replace(pool, thawed_at=now, spent_at=now)
    if now - pool.thawed_at >= WINDOW:
        return replace(pool, frozen_until=None, freezes=0, thawed_at=None)
    return pool


def _is_frozen(pool: Pool, now: datetime) -> bool:
    """Check whether a freeze lasts; one that began in the future was set before the clock was set back, and counts no more."""
    begun = pool.reported_at
    if pool.frozen_until is None or (begun is not None and begun > now + MAX_SKEW):
        return False
    return now < pool.frozen_until <= now + _LONGEST


def _lasts(begun: datetime, now: datetime) -> bool:
    """Check whether an hour that began then has not ended."""
    return timedelta(0) <= now - begun < WINDOW


def _age(pool: Pool, now: datetime) -> timedelta:
    # A report that lies in the future came before the clock was set back; taken for new, it would hold until then.
    if pool.reported_at is None or pool.reported_at > now + MAX_SKEW:
        return WINDOW
    return max(now - pool.reported_at, timedelta(0))
