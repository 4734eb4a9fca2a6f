"""How fast Meta is asked: what each of its quotas allows now, by what was learnt of it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.core.memory.quota import FRESH, FULL_SPEED, LEAST_CEILING, WINDOW, Pool, frozen_until
from sync.core.model import Ask

FULL = 95.0
"""Percent of use from which nothing is asked at all."""
BATCH = 50
"""The most calls at once while little is known of a quota."""
_FEW = 10


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


def calls_per_hour(pool: Pool | None, budget: float) -> float:
    """Return the calls that a share of the quota allows in an hour, by what was learnt of its size."""
    return (LEAST_CEILING if pool is None else pool.steady) * budget


def is_plentiful(pool: Pool | None, now: datetime) -> bool:
    """Check whether less than half of a quota is in use, as far as is known."""
    if pool is None or pool.used is None:
        return pool is None or not pool.is_frozen(now)
    return not pool.is_frozen(now) and pool.used * (1 - pool.age(now) / WINDOW) < FULL_SPEED


def record_asks(pool: Pool, asks: Sequence[Ask], budget: float, now: datetime) -> Pool:
    """Record what is sent now; in the hour after a freeze it uses up the reduced rate."""
    since = _slowed_since(pool, now)
    if since is not None:
        return replace(pool, spent_at=since + len(asks) * WINDOW / _slow_rate(pool, budget))
    return pool


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
    age = pool.age(now)
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
    at_once = max(most, 1) if age > FRESH else max(urgent // 2, min(urgent, _FEW))
    if pool.ceiling is None:
        at_once = min(at_once, BATCH)
    unlimited = pool.ceiling is None and used < FULL_SPEED
    allowed = None if unlimited else _calls(pool, ordinary)
    resumes = None if allowed != 0 else _resumes_at(pool, budget, used, now)
    return Allowance(allowed, urgent, at_once, resumes)


def _resumes_at(pool: Pool, budget: float, used: float, now: datetime) -> datetime | None:
    """Return when the next ordinary call is due: when enough has left Meta's count, or the level has risen."""
    falls = _falls_to(budget, pool.used or 0.0, pool.reported_at)
    begun, one_more = pool.busy_since(now), used + 100 / (pool.ceiling or LEAST_CEILING)
    if begun is None or one_more > budget:
        return falls
    return max(begun + WINDOW * (one_more - FULL_SPEED) / (budget - FULL_SPEED), now)


def _falls_to(level: float, used: float, reported_at: datetime | None) -> datetime | None:
    return None if reported_at is None else reported_at + WINDOW * max(0.0, 1 - level / max(used, 1.0))


def _slowed_since(pool: Pool, now: datetime) -> datetime | None:
    """Return since when unused calls add up in the hour after a freeze; None outside of it."""
    if pool.thawed_at is None or not timedelta(0) <= now - pool.thawed_at < WINDOW:
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
    begun = pool.busy_since(now)
    if begun is None or budget <= FULL_SPEED:
        return min(FULL_SPEED, budget)
    return FULL_SPEED + (budget - FULL_SPEED) * min(max((now - begun) / WINDOW, 0.0), 1.0)
