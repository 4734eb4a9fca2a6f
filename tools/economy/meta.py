"""Meta's quota of an app: an exact rolling hour, reported in whole percent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


@dataclass
class Meta:
    """One app's quota of ``limit`` calls in any hour. Refused calls count too, and a use below 1 percent is not reported.

    ``silent``: the use is never reported, so only a refusal shows it.
    """

    limit: int
    silent: bool = False
    calls: deque[datetime] = field(default_factory=deque)

    def call(self, now: datetime) -> tuple[bool, float | None]:
        """Make a call; return whether it was accepted, and the percentage in the answer."""
        while self.calls and self.calls[0] <= now - HOUR:
            self.calls.popleft()
        accepted = len(self.calls) < self.limit
        self.calls.append(now)
        used = 100 * len(self.calls) // self.limit
        return accepted, float(used) if used and not self.silent else None
