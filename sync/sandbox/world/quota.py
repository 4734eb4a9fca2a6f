"""Meta's rate limits: calls are counted in a rolling window, reported in whole percent, and refused at a hundred."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

from sync.sandbox.replies import DOCS, FakeAnswer, GraphError, Json

HOUR, DAY = 3600.0, 86_400.0
HeaderPair = tuple[str, str]


@dataclass(slots=True)
class Rolling:
    """One quota: ``limit`` calls within ``window`` seconds. Refused calls count as well, as they do at Meta."""

    limit: int
    window: float = HOUR
    calls: deque[float] = field(default_factory=deque)

    def used(self, now: float) -> int:
        """Return the whole percent used now, which may be more than a hundred."""
        self._forget(now)
        return 100 * len(self.calls) // max(self.limit, 1)

    def call(self, now: float) -> bool:
        """Count a call, and return whether it is answered."""
        self._forget(now)
        answered = len(self.calls) < self.limit
        self.calls.append(now)
        return answered

    def minutes(self, now: float) -> int:
        """Return the whole minutes after which a call would be answered again."""
        self._forget(now)
        over = len(self.calls) - self.limit
        if over < 0:
            return 0
        opens = self.calls[min(over, len(self.calls) - 1)] + self.window if self.calls else now
        return max(int((opens - now) // 60) + 1, 1)

    def _forget(self, now: float) -> None:
        while self.calls and self.calls[0] <= now - self.window:
            self.calls.popleft()


@dataclass(slots=True)
class FakeQuotas:
    """The limits that are switched on: the app's own per hour, each Page's per day. None means no limit."""

    app: Rolling | None = None
    page_limit: int | None = None
    pages: dict[str, Rolling] = field(default_factory=dict)

    def of_page(self, page: str) -> Rolling | None:
        """Return a Page's quota; None where Pages have none."""
        if self.page_limit is None:
            return None
        return self.pages.setdefault(page, Rolling(self.page_limit, DAY))

    def show(self, now: float) -> Json:
        """Return what is used of each."""
        app = {"limit": self.app.limit, "calls": len(self.app.calls), "used": self.app.used(now)} if self.app else None
        pages = {page: {"calls": len(pool.calls), "used": pool.used(now)} for page, pool in self.pages.items()}
        return {"app": app, "page_limit": self.page_limit, "pages": pages}


_COMPACT = json.JSONEncoder(separators=(",", ":"))


def app_header(used: int) -> HeaderPair:
    """Write the header of the app's own quota."""
    usage = {"call_count": used, "total_cputime": min(used, 40), "total_time": min(used, 40)}
    return "X-App-Usage", _COMPACT.encode(usage)


def page_header(page: str, used: int, minutes: int) -> HeaderPair:
    """Write the header of a Page's quota."""
    pool = {"type": "pages", "call_count": used, "total_cputime": min(used, 12), "total_time": min(used, 15)}
    shown = {page: [{**pool, "estimated_time_to_regain_access": minutes}]}
    return "X-Business-Use-Case-Usage", _COMPACT.encode(shown)


def app_refused(used: int) -> FakeAnswer:
    """Refuse a call of an app whose quota is used up."""
    error = GraphError("(#4) Application request limit reached", 4, status=403, is_transient=True)
    return FakeAnswer(403, error, headers=(app_header(used),))


def page_refused(page: str, used: int, minutes: int) -> FakeAnswer:
    """Refuse a call on a Page's quota that is used up."""
    error = GraphError(
        "(#80001) There have been too many calls to this Page account. Wait a bit and try again. For more info, please "
        f"refer to {DOCS}/overview/rate-limiting.",
        80001,
    )
    return FakeAnswer(400, error, headers=(page_header(page, used, minutes),))
