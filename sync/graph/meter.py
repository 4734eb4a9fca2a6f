"""Meta's quotas during one cycle: what its answers said of them, and whom they close."""

from __future__ import annotations

import random
import threading
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta

from sync.core.memory.quota import (
    FULL,
    Allowance,
    Pool,
    Throttle,
    allowance,
    frozen_until,
    is_worth_keeping,
    spent,
    throttled,
    told,
)
from sync.core.model import Ask
from sync.graph.quota import app_usage, business_usage
from sync.runtime.threads import Clock

_APP_POOLS = "app:"
_OUR_TYPE = "pages"
"""The type of quota that reads of a Page are counted on; others, as Messenger's, are not ours to heed."""


def page_pool(page_id: str) -> str:
    """Return the quota of one Page."""
    return f"page:{page_id}"


def user_pool(app_id: str, system_user: str) -> str:
    """Return the quota of one system user, which closes where Graph's refusal names no Page."""
    return f"user:{app_id}:{system_user}"


class Meter:
    """The quotas of one cycle, begun with what the last one left; for any number of threads."""

    def __init__(self, pools: Mapping[str, Pool], budget: float, clock: Clock) -> None:
        self._pools = dict(pools)
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()

    def pools(self) -> Mapping[str, Pool]:
        """Return what the next cycle should know: the quotas of apps, and those of others that are closed or were of late."""
        now = self._clock.now()
        with self._lock:
            return {
                name: pool
                for name, pool in self._pools.items()
                if name.startswith(_APP_POOLS) or is_worth_keeping(pool, now)
            }

    def record_app_usage(self, name: str, text: str | None, calls: int) -> None:
        """Record the app's header, or that there was none, after so many calls."""
        used, now = app_usage(text), self._clock.now()
        with self._lock:
            self._pools[name] = told(self._pools.get(name, Pool()), used, calls, now)

    def hear_business(self, text: str, pages: Container[str], otherwise: str) -> None:
        """Record the header of Pages and businesses; what is full there closes the Page, or whom ``otherwise`` names."""
        for quota in business_usage(text):
            if quota.used >= FULL and quota.type in (_OUR_TYPE, ""):
                name = page_pool(quota.id) if quota.id in pages else otherwise
                if name:
                    self.freeze(name, "named", timedelta(minutes=quota.minutes))

    def freeze(self, name: str, kind: Throttle, wait: timedelta | None) -> datetime:
        """Close a quota, and say until when."""
        now = self._clock.now()
        with self._lock:
            pool = throttled(self._pools.get(name, Pool()), kind, wait, now, random.random())
            self._pools[name] = pool
            return frozen_until(pool, now) or now

    def closed(self, name: str) -> datetime | None:
        """Return until when a quota is closed; None where it is open."""
        with self._lock:
            pool = self._pools.get(name)
        return None if pool is None else frozen_until(pool, self._clock.now())

    def allowance(self, name: str) -> Allowance:
        """Return what may be asked on an app's quota before Meta's next word."""
        with self._lock:
            return allowance(self._pools.get(name, Pool()), self._budget, self._clock.now())

    def spend(self, name: str, asks: Sequence[Ask]) -> None:
        """Take down what goes out on an app's quota."""
        with self._lock:
            self._pools[name] = spent(self._pools.get(name, Pool()), asks, self._budget, self._clock.now())

    def used(self, name: str) -> float | None:
        """Return the percent that were told of last."""
        with self._lock:
            pool = self._pools.get(name)
        return None if pool is None else pool.used
