"""Sums over the cycles of a daemon since its start, for what is counted and not measured. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self, get_args

from sync.core.judge.decide import WRITTEN
from sync.core.report.report import Counts, Report, Result, Traffic, added

_CARRIED_OUT: tuple[Result, ...] = ("ok", "degraded")


@dataclass(frozen=True, slots=True)
class Totals:
    """What all cycles and checks did so far.

    ``cycles`` are by result. ``writes`` are acknowledged writes, by store, action and reason. ``succeeded_at`` is when a
    cycle last ended that was carried out, whatever single Pages lack: its result was "ok" or "degraded".
    """

    cycles: Mapping[Result, int] = field(default_factory=lambda: dict.fromkeys(get_args(Result), 0))
    writes: Counts = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    succeeded_at: datetime | None = None

    def with_cycle(self, report: Report) -> Self:
        """Add a cycle."""
        carried_out = report.result in _CARRIED_OUT
        at = report.frame.finished_at if carried_out else self.succeeded_at
        return replace(self.with_check(report).with_result(report.result), succeeded_at=at)

    def with_result(self, result: Result) -> Self:
        """Add the result of a cycle."""
        return replace(self, cycles={**self.cycles, result: self.cycles[result] + 1})

    def with_check(self, report: Report) -> Self:
        """Add a check of some Pages, which is no cycle."""
        written: Counter[tuple[str, ...]] = Counter(
            (entry.key.store, entry.action.value, entry.reason or "")
            for page in report.pages
            for entry in page.stores
            if entry.action in WRITTEN and not report.planned
        )
        return replace(self, writes=added(self.writes, written), traffic=self.traffic.plus(report.frame.traffic))
