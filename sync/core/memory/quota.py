"""How much may be asked of Meta: one value for each of its quotas, told by its answers, and the pace that follows.

Meta tells what is used in whole percent of a rolling hour, without saying of how many calls; and near nothing it tells
nothing (Graph's rate limits, read 2026-11-24). Throttled calls count too, so nothing is asked while a quota is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sync.core.model import Ask

WINDOW = timedelta(hours=1)
LEAST_CEILING = 200.0
"""Calls an hour that Meta allows an app with a single user; what is counted on until its answers teach another number."""
FULL_SPEED = 50.0
"""Per cent of use below which nothing is spread over time."""
FULL = 95.0
"""Per cent of use from which on nothing is asked at all."""
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
"""Whole percent are cut off: on average so much more is used."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One quota, as Graph told of it last.

    ``used``: percent, None where nothing was ever told. ``ceiling``: calls an hour, None while that is not known;
    ``measured`` says that a rise was seen, and not only that many calls made none; ``steady`` follows it in large steps, so
    that what is planned on it does not change with each of Meta's answers. ``base`` and ``counted``: what was used
    when the calls since were begun to be counted. ``pressed_from`` and ``pressed_at`` say
    since when, and when last, half or more was used. ``frozen_until``: nothing is asked before; ``freezes`` of them came in
    a row, and the last one ended with an answer at ``thawed_at``; what was let through since is spent until ``spent_at``.
    """

    used: float | None = None
    told_at: datetime | None = None
    ceiling: float | None = None
    measured: bool = False
    steady: float = LEAST_CEILING
    base: float | None = None
    counted: int = 0
    pressed_from: datetime | None = None
    pressed_at: datetime | None = None
    frozen_until: datetime | None = None
    freezes: int = 0
    thawed_at: datetime | None = None
    spent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be asked before Meta's next word: None for as many as there are.

    ``at_once`` is how many may go before its word is looked at, as many as that side by side. ``next_allowed_at``: when
    ordinary calls go on where there are none now.
    """

    ordinary: int | None
    urgent: int | None
    at_once: int
    next_allowed_at: datetime | None = None

    def choose(self, asks: Sequence[Ask]) -> list[Ask]:
        """Take as many as may go now, in their order; what is urgent may go where ordinary ones may not."""
        chosen: list[Ask] = []
        for ask in asks:
            if len(chosen) == self.at_once:
                break
            most = self.urgent if ask.urgent else self.ordinary
            if most is None or len(chosen) < most:
                chosen.append(ask)
        return chosen


Throttle = Literal["app", "named"]
"""Who says how long to wait: nobody, so that an hour and its doubles are ours to choose, or Meta's own minutes."""


def app_pool(app_id: str) -> str:
    """Return the quota of an app, which ``debug_token`` is asked on."""
    return f"app:{app_id}"


def calls_per_hour(pool: Pool | None, budget: float) -> float:
    """Return the calls that a share of the quota allows in an hour, by what was learnt of its size."""
    return (LEAST_CEILING if pool is None else pool.steady) * budget


def told(pool: Pool, used: float | None, calls: int, now: datetime) -> Pool:
    """Record the answer to ``calls`` calls; ``used`` None where it told nothing, which is not to say that nothing is used.

    An answer that was not throttled ends a freeze, and after an hour more that freeze is forgotten.
    """
    pool = _thawed(pool, now)
    if used is None:
        return replace(pool, counted=pool.counted + calls)
    if pool.used is not None and used < pool.used and _age(pool, now) <= _FRESH:
        # An earlier answer that came later: side by side they overtake each other.
        return replace(pool, counted=pool.counted + calls)
    learnt = _learnt(pool, used, calls, now)
    if used >= FULL_SPEED:
        learnt = replace(learnt, pressed_from=_pressed_from(pool, now) or now, pressed_at=now)
    return replace(learnt, used=used, told_at=now)


def spent(pool: Pool, asks: Sequence[Ask], budget: float, now: datetime) -> Pool:
    """Take down what goes out now, which in the hour after a freeze uses up what is let through."""
    since = _slowed_since(pool, now)
    if since is not None:
        return replace(pool, spent_at=since + len(asks) * WINDOW / _slow_rate(pool, budget))
    return pool


def throttled(pool: Pool, kind: Throttle, wait: timedelta | None, now: datetime, jitter: float) -> Pool:
    """Close a quota until Meta's time has come. ``wait`` is what Meta named; ``jitter`` between 0 and 1 adds up to a tenth.

    Several answers that were throttled at the same time are one freeze.
    """
    if _is_frozen(pool, now):
        return pool
    if kind == "app":
        named = min(_APP_FREEZE * 2 ** min(pool.freezes, 8), _LONGEST_APP_FREEZE)
        wait = max(named, wait or timedelta(0))
    wait = min(max(wait or timedelta(0), _SHORTEST), _LONGEST)
    until = now + min(wait * (1 + _JITTER * jitter), _LONGEST)
    return replace(
        pool,
        used=100.0,
        told_at=now,
        base=None,
        counted=0,
        frozen_until=until,
        freezes=pool.freezes + 1,
        thawed_at=None,
    )


def frozen_until(pool: Pool | None, now: datetime) -> datetime | None:
    """Return until when a quota is closed; None where it is open."""
    return pool.frozen_until if pool is not None and _is_frozen(pool, now) else None


def is_worth_keeping(pool: Pool, now: datetime) -> bool:
    """Check whether what is known of a quota of a Page or a system user still matters: it is closed, or was of late."""
    return pool.frozen_until is not None and now - pool.frozen_until < 2 * WINDOW


def allowance(pool: Pool, budget: float, now: datetime) -> Allowance:
    """Return what may be asked now. ``budget`` is a share, as 0.75.

    Below half of the quota nothing is held back, up to the budget what is left is spread over the rest of the hour, above
    it only what is urgent goes, and from 95 percent on nothing.
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
        return Allowance(0, 0, 0, _falls_to(budget, pool.used, pool.told_at))
    ordinary = _level(pool, budget, now) - used
    # What was told some time ago may still be so: all calls of a minute leave Meta's count together, an hour later.
    # And what is known of the quota's size may be wrong: half of the room goes, then the next word is looked at.
    most = _calls(pool, budget - pool.used) // 2
    urgent = _calls(pool, FULL - used)
    at_once = max(most, 1) if age > _FRESH else max(urgent // 2, min(urgent, _FEW))
    if pool.ceiling is None:
        at_once = min(at_once, BATCH)
    unlimited = pool.ceiling is None and used < FULL_SPEED
    allowed = None if unlimited else _calls(pool, ordinary)
    continuous = None if allowed != 0 else _goes_on(pool, budget, used, now)
    return Allowance(allowed, urgent, at_once, continuous)


def _goes_on(pool: Pool, budget: float, used: float, now: datetime) -> datetime | None:
    """Return when the next ordinary call is due: when enough has left Meta's count, or the level has risen."""
    falls = _falls_to(budget, pool.used or 0.0, pool.told_at)
    begun, one_more = _pressed_from(pool, now), used + 100 / (pool.ceiling or LEAST_CEILING)
    if begun is None or one_more > budget:
        return falls
    return max(begun + WINDOW * (one_more - FULL_SPEED) / (budget - FULL_SPEED), now)


def _falls_to(level: float, used: float, told_at: datetime | None) -> datetime | None:
    return None if told_at is None else told_at + WINDOW * max(0.0, 1 - level / max(used, 1.0))


def _slowed_since(pool: Pool, now: datetime) -> datetime | None:
    """Return since when calls are saved up in the hour after a freeze; None outside of it."""
    if pool.thawed_at is None or not _lasts(pool.thawed_at, now):
        return None
    return max(pool.thawed_at, pool.spent_at or pool.thawed_at)


def _slow_rate(pool: Pool, budget: float) -> float:
    return max((pool.ceiling or LEAST_CEILING) * budget / 4, 1.0)


def _slowed(allowed: Allowance, since: datetime, rate: float, now: datetime) -> Allowance:
    """Let through a quarter of the rate."""
    most = max(int(rate * ((now - since) / WINDOW)), 0)
    ordinary = most if allowed.ordinary is None else min(allowed.ordinary, most)
    urgent = most if allowed.urgent is None else min(allowed.urgent, most)
    continuous = None if ordinary else max(allowed.next_allowed_at or now, since + WINDOW / rate)
    return Allowance(ordinary, urgent, min(allowed.at_once, BATCH), continuous)


def _calls(pool: Pool, per_cent: float) -> int:
    return max(int(per_cent / 100 * (pool.ceiling or LEAST_CEILING)), 0)


def _level(pool: Pool, budget: float, now: datetime) -> float:
    """Return the percent up to which ordinary calls go: half, and what is left up to the budget spread over an hour.

    After that hour it stays at the budget as long as there is so much to ask: what leaves Meta's count may be used again.
    """
    begun = _pressed_from(pool, now)
    if begun is None or budget <= FULL_SPEED:
        return min(FULL_SPEED, budget)
    return FULL_SPEED + (budget - FULL_SPEED) * min(max((now - begun) / WINDOW, 0.0), 1.0)


def _pressed_from(pool: Pool, now: datetime) -> datetime | None:
    """Return since when half of the quota or more has been used again and again; None where that is an hour ago."""
    return pool.pressed_from if pool.pressed_at is not None and now - pool.pressed_at <= WINDOW else None


def _learnt(pool: Pool, used: float, calls: int, now: datetime) -> Pool:
    """Learn the quota's size from what ``calls`` calls made of it: so many for so many percent.

    Only within a minute of the word before: later, calls have left the count that nobody tells us of. A small rise may be
    half a percent more or less, so it counts for less; and so much more may have been used when the counting began.
    """
    counted = pool.counted + calls
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
    min_changes = 100 * counted / _LEAST_RISE
    known = max(pool.ceiling or 0.0, min_changes)
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
    """Check whether a freeze lasts; an end that lies further off than any freeze is that of a clock that was set back."""
    return pool.frozen_until is not None and now < pool.frozen_until <= now + _LONGEST


def _lasts(begun: datetime, now: datetime) -> bool:
    """Check whether an hour that began then has not ended."""
    return timedelta(0) <= now - begun < WINDOW


def _age(pool: Pool, now: datetime) -> timedelta:
    return max(now - pool.told_at, timedelta(0)) if pool.told_at is not None else WINDOW
