"""The bounds and aims of the bench; without I/O, so that a test can check the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

DAEMON_VAULT_REQUESTS = 9
"""Requests of an idle cycle to an OpenBao that can list in detail, whatever the number of Pages."""

RATIO_PAGES = 1000
"""The number of Pages at which ratios to the script have a bound; counts have bounds at any number."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One cycle of one program: seconds, MiB, and requests; a count that was not taken is None."""

    elapsed: float
    cpu: float
    memory: float
    graph_requests: int | None = None
    graph_calls: int | None = None
    store_requests: int | None = None


@dataclass(frozen=True, slots=True)
class ScrapeSeconds:
    """Processor seconds of plain Gauges, and of the first and a later scrape of a report with the same series."""

    gauges: float
    first: float
    later: float


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and its bound; ``aim`` is a better value to work towards, or None."""

    what: str
    value: float
    at_most: float
    aim: float | None = None
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound."""
        return self.value <= self.at_most


def graph_requests(pages: int) -> int:
    """Return the most HTTP requests to Graph in a cycle: one batch per 50 Pages to read and one to debug, and five more."""
    return 2 * ceil(pages / 50) + 5


def vault_requests(pages: int, new: int) -> int:
    """Return the most requests to Vault in a cycle: one read per Page, three more for a new one, and nine for login and listing."""
    return pages + 3 * new + 9


def idle_calls(pages: int) -> float:
    """Return the most calls, as Meta counts them, of a cycle without a due ``debug_token``: the list of Pages, and five more."""
    return 0.02 * pages + 5


def aws_requests(pages: int, new: int) -> int:
    """Return the most requests to AWS in a cycle after a start: listings of 100, batches of 20, three for a new Page, and five more."""
    return ceil(pages / 100) + ceil(pages / 20) + 3 * new + 5


Key = tuple[int, int, str, str]
"""Pages, Graph latency in ms, "script" or "sync", "first" or "idle"."""


def ratio_targets(figures: Mapping[Key, Figures], pages: int) -> Sequence[Target]:
    """Return the targets of the ratios to the script, as far as both programs were measured."""

    def share(latency: int, cycle: str, pick: Callable[[Figures], float]) -> float | None:
        script, sync = (figures.get((pages, latency, program, cycle)) for program in ("script", "sync"))
        return pick(sync) / pick(script) if script and sync else None

    def elapsed(figure: Figures) -> float:
        return figure.elapsed

    def cpu(figure: Figures) -> float:
        return figure.cpu

    def memory(figure: Figures) -> float:
        return figure.memory

    peaks = [share(latency, cycle, memory) for latency in (0, 50) for cycle in ("first", "idle")]
    rows = (
        ("idle cycle, elapsed at 50 ms", share(50, "idle", elapsed), 1 / 40, 1 / 80),
        ("first cycle, elapsed at 50 ms", share(50, "first", elapsed), 1 / 20, 1 / 35),
        ("idle cycle, CPU at 0 ms", share(0, "idle", cpu), 1 / 2, 1 / 3),
        ("peak memory, the worst cycle", max((p for p in peaks if p is not None), default=None), 2.2, 1.6),
    )
    return [Target(what, value, most, aim, "of the script") for what, value, most, aim in rows if value is not None]


def count_targets(figures: Mapping[Key, Figures], pages: int) -> Sequence[Target]:
    """Return the targets of the program's counts, each the worst of all latencies."""
    targets = []
    for cycle, new in (("first", pages), ("idle", 0)):
        sync = [
            figure for (n, _, program, when), figure in figures.items() if (n, program, when) == (pages, "sync", cycle)
        ]
        graph = [figure.graph_requests for figure in sync if figure.graph_requests is not None]
        vault = [figure.store_requests for figure in sync if figure.store_requests is not None]
        calls = [figure.graph_calls for figure in sync if figure.graph_calls is not None]
        if calls and not new:
            targets.append(Target(f"{cycle} cycle, Graph calls", max(calls), idle_calls(pages)))
        if graph:
            targets.append(Target(f"{cycle} cycle, Graph requests", max(graph), graph_requests(pages)))
        if vault:
            targets.append(Target(f"{cycle} cycle, Vault requests", max(vault), vault_requests(pages, new)))
    return targets


def growth_targets(figures: Mapping[Key, Figures], pages: int, more: int) -> Sequence[Target]:
    """Return the targets of the growth from ``pages`` to ``more`` Pages without latency."""
    targets, peaks = [], []
    for cycle in ("first", "idle"):
        few, many = (figures.get((number, 0, "sync", cycle)) for number in (pages, more))
        if few and many:
            most = 1.2 * more / pages
            targets.append(
                Target(f"{cycle} cycle, elapsed, {more:,} Pages", many.elapsed / few.elapsed, most, unit="times")
            )
            peaks.append((many.memory - few.memory) * 1024 / (more - pages))
    return [*targets, *(Target("memory per added Page, KiB", peak, 10, 4) for peak in [max(peaks)] if peaks)]


def daemon_targets(figures: Mapping[Key, Figures], pages: int, later: Figures) -> Sequence[Target]:
    """Return the targets of a daemon's later cycle: the ratio to the script's idle cycle at 50 ms, and its Vault requests."""
    targets = []
    script = figures.get((pages, 50, "script", "idle"))
    if script:
        share = later.elapsed / script.elapsed
        targets.append(Target("a daemon's idle cycle, elapsed at 50 ms", share, 1 / 80, unit="of the script"))
    if later.store_requests is not None:
        targets.append(Target("a daemon's idle cycle, Vault requests", later.store_requests, DAEMON_VAULT_REQUESTS))
    return targets


def aws_targets(counts: Mapping[str, int], pages: int) -> Sequence[Target]:
    """Return the targets of the requests to AWS in a first and an idle cycle."""
    return [
        Target(f"{cycle} cycle, AWS requests", counts[cycle], aws_requests(pages, new))
        for cycle, new in (("first", pages), ("idle", 0))
        if cycle in counts
    ]


def scrape_targets(scrape: ScrapeSeconds, pages: int) -> Sequence[Target]:
    """Return the targets of the ratios of a scrape to plain Gauges."""
    return [
        Target(f"first scrape, {pages:,} Pages", scrape.first / scrape.gauges, 1.2, unit="of plain Gauges"),
        Target(f"later scrape, {pages:,} Pages", scrape.later / scrape.gauges, 1 / 10, unit="of plain Gauges"),
    ]
