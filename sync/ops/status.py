"""What the running daemon can say of itself: the last report, its configuration, and whether it is alive."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sync.core.report.check import with_check
from sync.core.report.report import Report
from sync.core.report.totals import Totals
from sync.runtime.threads import Clock


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the daemon. Seconds are of the monotonic clock.

    ``report`` is None before the first cycle has ended. ``config_errors`` are the errors of the newest edit of the
    configuration, as ``validate --output json`` lists them; None where the newest edit is in force. ``config_loaded_at`` is
    when the configuration in force was loaded. ``heart_at`` is when the scheduler was last seen alive. ``cycle_began_at`` is
    None between cycles; ``edit_waits``: an edit of the configuration was seen that is not in force yet, and ``cycle_due``: a cycle is to follow one that is. ``advanced_at`` is when the running cycle last began or ended a request. ``totals`` are the sums over all cycles.
    ``per_page_metrics``: the metrics have series of each Page.
    """

    heart_at: float
    report: Report | None = None
    config_errors: Sequence[Mapping[str, Any]] | None = None
    config_loaded_at: datetime | None = None
    next_cycle_at: datetime | None = None
    cycle_began_at: float | None = None
    advanced_at: float | None = None
    totals: Totals = field(default_factory=Totals)
    per_page_metrics: bool = True
    edit_waits: bool = False
    cycle_due: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the report is that of the newest edit which was seen: none waits, and no cycle is due or runs."""
        return not (self.edit_waits or self.cycle_due) and self.cycle_began_at is None


class DaemonStatus:
    """Holds the newest snapshot: the daemon's threads change it, the web server reads it. Each change replaces it as a whole."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot = Snapshot(clock.monotonic())

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        return self._snapshot

    def heartbeat(self, *, next_cycle_at: datetime | None) -> None:
        """Record that the scheduler is alive, and when it starts the next cycle."""
        self._change(heart_at=self._clock.monotonic(), next_cycle_at=next_cycle_at)

    def configured(self, *, per_page_metrics: bool = True) -> None:
        """Record that the newest edit of the configuration is in force."""
        self._change(config_errors=None, config_loaded_at=self._clock.now(), per_page_metrics=per_page_metrics)

    def edited(self, *, waits: bool) -> None:
        """Record whether an edit was seen that is neither in force nor rejected yet."""
        if waits != self._snapshot.edit_waits:
            self._change(edit_waits=waits)

    def wants_cycle(self) -> None:
        """Record that a cycle is to start at once."""
        self._change(cycle_due=True)

    def rejected(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Record the errors of the newest edit; the configuration before it stays in force."""
        self._change(config_errors=tuple(errors))

    def cycle_started(self) -> None:
        """Record that a cycle began."""
        now = self._clock.monotonic()
        self._change(cycle_began_at=now, advanced_at=now, cycle_due=False)

    def advanced(self) -> None:
        """Record that the running cycle began or ended a request; nothing where none runs."""
        with self._lock:
            if self._snapshot.cycle_began_at is not None:
                self._snapshot = replace(self._snapshot, advanced_at=self._clock.monotonic())

    def reported(self, report: Report) -> None:
        """Record what a cycle found; it may still be at work on its notifications and its state file."""
        with self._lock:
            before = self._snapshot
            # The next heartbeat may be a second away, and until then the time would be that of this cycle, or none.
            following = report.frame.next_cycle_at or before.next_cycle_at
            totals = before.totals.with_cycle(report)
            self._snapshot = replace(before, report=report, totals=totals, next_cycle_at=following)

    def cycle_finished(self) -> None:
        """Record that the cycle or check ended."""
        self._change(cycle_began_at=None, advanced_at=None)

    def cycle_failed(self) -> None:
        """Record that the cycle ended by a bug of this program."""
        with self._lock:
            totals = self._snapshot.totals.with_result("failed")
            self._snapshot = replace(self._snapshot, cycle_began_at=None, advanced_at=None, totals=totals)

    def checked(self, check: Report) -> None:
        """Record what a check of some Pages found, as part of the last report."""
        with self._lock:
            report = self._snapshot.report
            if report is not None:
                totals = self._snapshot.totals.with_check(check)
                self._snapshot = replace(self._snapshot, report=with_check(report, check), totals=totals)

    def _change(self, **fields: Any) -> None:
        with self._lock:
            self._snapshot = replace(self._snapshot, **fields)
