"""Whom a cycle does not ask any more."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from sync.core.model import SourceError
from sync.core.problems import Problem
from sync.graph.client import Caller
from sync.graph.errors import Fault, Row
from sync.graph.meter import Meter, page_pool

_DAY = 86_400


class Gate:
    """Whom Graph will not serve any more in this cycle, and why: apps for any reason, others while Meta limits their rate."""

    def __init__(self, meter: Meter) -> None:
        self._shut: dict[str, SourceError] = {}
        self._meter = meter
        self._lock = threading.Lock()

    def shut(self, app: str) -> SourceError | None:
        """Return why the app is not to be called; None where it may be."""
        with self._lock:
            return self._shut.get(app)

    def barred(self, caller: Caller, page: str = "") -> SourceError | None:
        """Return why this caller is not to ask, or not about this Page."""
        shut = self.shut(caller.app)
        if shut is not None:
            return shut
        until = self._meter.closed(caller.app_pool)
        if until is not None:
            return closed("the app", until, "app")
        until = self._meter.closed(caller.user_pool) if caller.user_pool else None
        if until is not None:
            return closed("the system user", until, "system_user")
        until = self._meter.closed(page_pool(page)) if page else None
        return closed("the Page", until, "page") if until is not None else None

    def close(self, app: str, error: SourceError) -> None:
        """Let no further call of the app out; the first reason stays."""
        with self._lock:
            self._shut.setdefault(app, error)

    def note(self, caller: Caller, row: Row, fault: Fault, page: str = "") -> SourceError:
        """Turn a fault into what is told, and close what it says is closed: the app, the caller, or this Page."""
        error = row.error(fault)
        if row.problem == "throttled":
            error = self._freeze(caller, row, fault, page, error)
        if row.then == "close-app":
            self.close(caller.app, error)
        return error

    def _freeze(self, caller: Caller, row: Row, fault: Fault, page: str, error: SourceError) -> SourceError:
        pool = caller.user_pool or caller.app_pool
        if row.then == "close-app":
            pool = caller.app_pool
        elif row.then == "close-page" and page:
            pool = page_pool(page)
        named = fault.code is None or row.then == "close-page"
        wait = timedelta(minutes=fault.regain or 0, seconds=min(fault.retry_after or 0, _DAY))
        until = self._meter.freeze(pool, "named" if named else "app", wait)
        message = f"{error.problem.message.rstrip('.')}. It goes on at {until:%H:%M} UTC."
        return replace(error, problem=replace(error.problem, message=message))


def closed(whose: str, until: datetime, scope: Literal["page", "system_user", "app"]) -> SourceError:
    """Report that Meta's limit is reached, and when it goes on."""
    message = f"Meta's rate limit of {whose} is reached. It goes on at {until:%H:%M} UTC."
    return SourceError(Problem("throttled", message), scope=scope)
