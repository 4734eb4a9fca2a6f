"""Meta's quotas during one cycle, and who is not called any more until the next."""

from __future__ import annotations

import random
import threading
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.core.memory.pace import BATCH, FULL, Allowance, allowance, record_asks
from sync.core.memory.quota import (
    Pool,
    QuotaKey,
    Throttle,
    freeze,
    frozen_until,
    is_worth_keeping,
    record_usage,
    without_future,
)
from sync.core.model import Ask, Reach, SourceError
from sync.core.problems import Problem
from sync.graph.caller import Caller
from sync.graph.errors import Row
from sync.graph.fault import Fault
from sync.graph.usage import app_usage, business_usage
from sync.runtime.threads import Clock

_PAGES = "pages"
"""The type of quota that reads of a Page count on; other types, such as Messenger's, do not limit this program."""
_DAY = 86_400


@dataclass(slots=True)
class _UnderWay:
    """Calls on a quota that are under way: how many were reserved, how many were answered, and the most that was reported.

    ``side_by_side``: in more than one batch, whose answers may overtake each other.
    """

    reserved: int = 0
    answered: int = 0
    used: float | None = None
    side_by_side: bool = False


class Quotas:
    """Apps, system users and Pages that Graph still answers for, and how much; for any number of threads.

    It begins with the pools that the last cycle left. An app can also be closed for a reason other than its quota.
    """

    def __init__(self, pools: Mapping[QuotaKey, Pool], budget: float, clock: Clock) -> None:
        self._pools = {key: without_future(pool, clock.now()) for key, pool in pools.items()}
        self._budget = budget
        self._clock = clock
        self._closed_apps: dict[str, SourceError] = {}
        self._under_way: dict[QuotaKey, _UnderWay] = {}
        self._lock = threading.Lock()

    def pools(self) -> Mapping[QuotaKey, Pool]:
        """Return what the next cycle should know: the quotas of apps, and the others that are or recently were closed."""
        now = self._clock.now()
        with self._lock:
            return {key: pool for key, pool in self._pools.items() if key.kind == "app" or is_worth_keeping(pool, now)}

    def closed_app(self, app: str) -> SourceError | None:
        """Return why the app is not called in this cycle, its quota aside; None where it is."""
        with self._lock:
            return self._closed_apps.get(app)

    def blocked(self, caller: Caller, page: str = "") -> SourceError | None:
        """Return why this caller is not to ask, or not about this Page; None where it may."""
        closed = self.closed_app(caller.app)
        if closed is not None:
            return closed
        until = self.frozen_until(caller.app_quota)
        if until is not None:
            return limit_reached("the app", until, "app")
        until = self.frozen_until(caller.user_quota) if caller.user_quota is not None else None
        if until is not None:
            return limit_reached("the system user", until, "system_user")
        until = self.frozen_until(caller.page_quota(page)) if page else None
        return limit_reached("the Page", until, "page") if until is not None else None

    def close_app(self, app: str, error: SourceError) -> None:
        """Send no further call of the app in this cycle; the first reason is kept."""
        with self._lock:
            self._closed_apps.setdefault(app, error)

    def record_fault(self, caller: Caller, row: Row, fault: Fault, page: str = "") -> SourceError:
        """Turn a fault into an error, and close what the fault closes: the app, the caller, or this Page."""
        error = row.error(fault)
        if row.problem == "throttled":
            error = self._throttled(caller, row, fault, page, error)
        if row.then == "close-app":
            self.close_app(caller.app, error)
        return error

    def record_app_usage(self, key: QuotaKey, text: str | None, calls: int) -> None:
        """Record the app's usage header, or that there was none, after so many calls."""
        used, now = app_usage(text), self._clock.now()
        with self._lock:
            under_way = self._under_way.get(key)
            if under_way is None or not under_way.side_by_side:
                self._pools[key] = record_usage(self._pools.get(key, Pool()), used, calls, now)
                return
            # An answer that was overtaken reports less than the calls before it took, and the one that overtook it more than
            # was counted: the size learnt from such pairs was up to twice the true one. So all are one report at the end.
            under_way.answered += calls
            under_way.used = max((value for value in (under_way.used, used) if value is not None), default=None)

    def record_business_usage(self, caller: Caller, text: str, pages: Container[str]) -> None:
        """Record the usage header of Pages and businesses.

        A full quota closes its Page. One of an id that was not asked about closes the system user.
        """
        for usage in business_usage(text):
            if usage.used >= FULL and usage.type in (_PAGES, ""):
                key = caller.page_quota(usage.id) if usage.id in pages else caller.user_quota
                if key is not None:
                    self.freeze(key, "stated", timedelta(minutes=usage.minutes))

    def freeze(self, key: QuotaKey, kind: Throttle, wait: timedelta | None) -> datetime:
        """Close a quota, and return until when."""
        now = self._clock.now()
        with self._lock:
            pool = freeze(self._pools.get(key, Pool()), kind, wait, now, random.random())
            self._pools[key] = pool
            return frozen_until(pool, now) or now

    def frozen_until(self, key: QuotaKey) -> datetime | None:
        """Return until when a quota is closed; None where it is open."""
        with self._lock:
            pool = self._pools.get(key)
        return frozen_until(pool, self._clock.now())

    def allowance(self, key: QuotaKey) -> Allowance:
        """Return what may be asked on an app's quota before Meta's next report."""
        with self._lock:
            return allowance(self._pools.get(key, Pool()), self._budget, self._clock.now())

    def reserve(self, key: QuotaKey, asks: Sequence[Ask]) -> tuple[list[Ask], datetime | None]:
        """Reserve capacity of an app's quota before anything is sent; return what may be sent now, or when ordinary calls resume.

        What is reserved is given to no other caller until it is released, when its answers have been recorded.
        """
        now = self._clock.now()
        with self._lock:
            pool, under_way = self._pools.get(key, Pool()), self._under_way.get(key, _UnderWay())
            allowed = allowance(pool, self._budget, now).without(under_way.reserved)
            chosen = allowed.choose(asks)
            if chosen:
                self._pools[key] = record_asks(pool, chosen, self._budget, now)
                under_way.side_by_side = under_way.reserved > 0 or len(chosen) > BATCH
                under_way.reserved += len(chosen)
                self._under_way[key] = under_way
            return chosen, allowed.next_allowed_at

    def release(self, key: QuotaKey, calls: int) -> None:
        """End what was reserved; after the last of it the reports of batches that were under way together count as one."""
        now = self._clock.now()
        with self._lock:
            under_way = self._under_way[key]
            under_way.reserved -= calls
            if under_way.reserved > 0:
                return
            del self._under_way[key]
            if under_way.side_by_side:
                pool = self._pools.get(key, Pool())
                self._pools[key] = record_usage(pool, under_way.used, under_way.answered, now)

    def used(self, key: QuotaKey) -> float | None:
        """Return the percent that Meta reported last."""
        with self._lock:
            pool = self._pools.get(key)
        return None if pool is None else pool.used

    def _throttled(self, caller: Caller, row: Row, fault: Fault, page: str, error: SourceError) -> SourceError:
        key = caller.user_quota or caller.app_quota
        if row.then == "close-app":
            key = caller.app_quota
        elif row.then == "close-page" and page:
            key = caller.page_quota(page)
        stated = fault.code is None or row.then == "close-page"
        wait = timedelta(minutes=fault.regain or 0, seconds=min(fault.retry_after or 0, _DAY))
        until = self.freeze(key, "stated" if stated else "backoff", wait)
        message = f"{error.problem.message.rstrip('.')}. Resumes at {until:%H:%M} UTC."
        return replace(error, problem=replace(error.problem, message=message))


def limit_reached(whose: str, until: datetime, scope: Reach) -> SourceError:
    """Return the error that Meta's rate limit is reached, with the time at which calls resume."""
    message = f"Meta's rate limit of {whose} is reached. Resumes at {until:%H:%M} UTC."
    return SourceError(Problem("throttled", message), scope=scope)
