"""Meta as far as an app's quota goes: an exact rolling hour, reported in whole percent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


@dataclass
class Meta:
    """One app's quota of ``limit`` calls in any hour. Refused calls count too, and a share near zero is not reported.

    ``silent``: no share is ever reported, so that only a refusal shows the limit.
    """

    limit: int
    silent: bool = False
    calls: deque[datetime] = field(default_factory=deque)

    def call(self, now: datetime) -> tuple[bool, float | None]:
        """Make a call; return whether it was let through, and the percent that the answer reports."""
        while self.calls and self.calls[0] <= now - HOUR:
            self.calls.popleft()
        let_through = len(self.calls) < self.limit
        self.calls.append(now)
        used = 100 * len(self.calls) // self.limit
        return let_through, float(used) if used and not self.silent else None
