"""Checks each report of the simulated days against the truth: nothing good is forgotten, and nothing bad is called good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sync.core.judge.decide import Kind
from sync.core.model import Key, Stored
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.report import Report
from sync.sandbox.world.world import World
from tests.simulation.answers import DebugAnswer
from tests.simulation.checker import wrong_origin
from tests.simulation.days_graph import Answered

ALARM_SECONDS = 6 * 3600.0
"""A Page in alarm is asked for again within so many seconds."""


@dataclass
class DaysChecker:
    """Checks what one instance reports.

    ``stored`` returns what a store really holds, with the text of its token. ``longest`` is the longest verify interval so far.
    """

    world: World
    facts: Answered
    stored: Callable[[Key], tuple[Stored | None, str | None]]
    every: float
    violations: list[str] = field(default_factory=list)
    served: dict[Key, str] = field(default_factory=dict)
    longest: float = 0.0
    void_until: float = -1.0
    """Answers up to this time may count no more, since the clock that dated them was set."""
    _alarmed: dict[str, float] = field(default_factory=dict)

    def fail(self, now: float, invariant: str, *words: object) -> None:
        """Record a violation."""
        self.violations.append(f"{invariant} after {now / 3600:.2f} h: " + " ".join(str(word) for word in words))

    def reported(self, report: Report, now: float, *, troubled: bool) -> None:
        """Check a report. ``troubled``: Graph or the app refuses everything in this cycle."""
        self.longest = max(self.longest, float(report.frame.verify_interval_seconds))
        for page in report.pages:
            for entry in page.stores:
                self.served[entry.key] = entry.served
                for invariant, words in self._entry(page, entry, now, troubled=troubled):
                    self.fail(now, invariant, page.name, entry.key.store, words)
            self._alarm(page, now, troubled=troubled)

    def _entry(self, page: PageEntry, entry: StoreEntry, now: float, *, troubled: bool) -> Iterator[tuple[str, str]]:
        held, token = self.stored(entry.key)
        if token is None and entry.served == "verified":
            yield "I8", "is verified, and the store holds no token"
        if token is None or entry.action in (Kind.FAILED, Kind.REFUSED) or entry.served in ("absent", "foreign"):
            return
        last = self._last(token)
        counts = last is not None and self.facts.refused.get(token, -1.0) <= last.at
        young = last is not None and now - last.at < 2 * self.longest
        good = last is not None and last.good(page.id)
        if entry.served == "verified" and not (counts and young and good):
            yield "I8", f"is verified, and debug_token last answered {last}, {'young' if young else 'old'}"
        if entry.served == "broken" and (last is None or good):
            yield "I3", f"is broken, and debug_token last answered {last}"
        void = troubled or last is None or last.at <= self.void_until
        if entry.served == "stale" and counts and young and last is not None and not void:
            yield "I8", f"is stale, though debug_token answered {last} {now - last.at:.0f} s ago"
        wrong = wrong_origin(held.marks if held is not None else None, token, self.facts.given, self.world)
        if wrong is not None:
            yield "I2", f"claims {wrong} in the marks"

    def _alarm(self, page: PageEntry, now: float, *, troubled: bool) -> None:
        if page.alarm is None or troubled:
            self._alarmed.pop(page.id, None)
            return
        since = max(self._alarmed.setdefault(page.id, now), self.facts.read.get(page.id, -1.0))
        if now - since > ALARM_SECONDS + 2 * self.every:
            self.fail(now, "I5", page.name, f"is in alarm, and was not asked for in {(now - since) / 3600:.1f} h")

    def _last(self, token: str) -> DebugAnswer | None:
        answers = self.facts.answers.get(token)
        return answers[-1] if answers else None


def unlike(run: Report, once: Report) -> Iterator[str]:
    """Yield what a daemon's report says of the stores otherwise than one of a fresh process at the same time."""
    fresh: Mapping[Key, StoreEntry] = {entry.key: entry for page in once.pages for entry in page.stores}
    for page in run.pages:
        for entry in page.stores:
            other = fresh[entry.key]
            if entry.served != other.served:
                yield f"{page.name} {entry.key.store} is {entry.served} for run, and {other.served} for once"
