"""What the program may take at most, and what it aims at: pure, so that a test can hold the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

LATER = 9
"""Requests to an OpenBao that lists in detail, whatever the number of Pages."""

AT = 1000
"""Ratios to the plain script are judged at this many Pages; counts at any number."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One cycle of one program: seconds, MiB, and requests; a count that nobody took is None."""

    wall: float
    cpu: float
    memory: float
    graph_requests: int | None = None
    graph_calls: int | None = None
    store_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A figure held against its bound; ``aim`` is what would be better still, None where there is none."""

    what: str
    value: float
    at_most: float
    aim: float | None = None
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the bound is kept."""
        return self.value <= self.at_most


def graph_requests(pages: int) -> int:
    """Return the most HTTP requests to Graph in a cycle: a batch of 50 each to read and to debug, and some for the parent."""
    return 2 * ceil(pages / 50) + 5


def vault_requests(pages: int, new: int) -> int:
    """Return the most requests to Vault in a cycle: a read each, three more for a new Page, and some for login and listing."""
    return pages + 3 * new + 9


def idle_calls(pages: int) -> float:
    """Return the most calls, as Meta counts them, of a cycle whose verdicts are all fresh: the list of Pages, and some more."""
    return 0.02 * pages + 5


def aws_requests(pages: int, new: int) -> int:
    """Return the most requests to AWS in a cycle after a start: listings of 100, batches of 20, and three for a new Page."""
    return ceil(pages / 100) + ceil(pages / 20) + 3 * new + 5


Key = tuple[int, int, str, str]
"""Pages, Graph latency in ms, "script" or "ours", "first" or "idle"."""


def ratio_targets(figures: Mapping[Key, Figures], pages: int) -> Sequence[Target]:
    """Hold our figures against the script's, as far as both were taken."""

    def share(latency: int, cycle: str, pick: Callable[[Figures], float]) -> float | None:
        script, ours = (figures.get((pages, latency, owner, cycle)) for owner in ("script", "ours"))
        return pick(ours) / pick(script) if script and ours else None

    def wall(figure: Figures) -> float:
        return figure.wall

    def cpu(figure: Figures) -> float:
        return figure.cpu

    def memory(figure: Figures) -> float:
        return figure.memory

    peaks = [share(latency, cycle, memory) for latency in (0, 50) for cycle in ("first", "idle")]
    rows = (
        ("idle cycle, wall at 50 ms", share(50, "idle", wall), 1 / 40, 1 / 80),
        ("first cycle, wall at 50 ms", share(50, "first", wall), 1 / 20, 1 / 35),
        ("idle cycle, CPU at 0 ms", share(0, "idle", cpu), 1 / 2, 1 / 3),
        ("peak memory, the worst cycle", max((p for p in peaks if p is not None), default=None), 2.2, 1.6),
    )
    return [Target(what, value, most, aim, "of the script") for what, value, most, aim in rows if value is not None]


def count_targets(figures: Mapping[Key, Figures], pages: int) -> Sequence[Target]:
    """Hold our counts against their bounds: the worst of the latencies."""
    targets = []
    for cycle, new in (("first", pages), ("idle", 0)):
        ours = [figure for (n, _, owner, when), figure in figures.items() if (n, owner, when) == (pages, "ours", cycle)]
        graph = [figure.graph_requests for figure in ours if figure.graph_requests is not None]
        vault = [figure.store_requests for figure in ours if figure.store_requests is not None]
        calls = [figure.graph_calls for figure in ours if figure.graph_calls is not None]
        if calls and not new:
            targets.append(Target(f"{cycle} cycle, Graph calls", max(calls), idle_calls(pages)))
        if graph:
            targets.append(Target(f"{cycle} cycle, Graph requests", max(graph), graph_requests(pages)))
        if vault:
            targets.append(Target(f"{cycle} cycle, Vault requests", max(vault), vault_requests(pages, new)))
    return targets


def growth_targets(figures: Mapping[Key, Figures], pages: int, more: int) -> Sequence[Target]:
    """Hold ours at ``more`` Pages without latency against ours at ``pages``: what a Page more costs."""
    targets, peaks = [], []
    for cycle in ("first", "idle"):
        few, many = (figures.get((number, 0, "ours", cycle)) for number in (pages, more))
        if few and many:
            most = 1.2 * more / pages
            targets.append(Target(f"{cycle} cycle, wall, {more:,} Pages", many.wall / few.wall, most, unit="times"))
            peaks.append((many.memory - few.memory) * 1024 / (more - pages))
    return [*targets, *(Target("memory a Page more, KiB", peak, 10, 4) for peak in [max(peaks)] if peaks)]


def daemon_targets(figures: Mapping[Key, Figures], pages: int, later: Figures) -> Sequence[Target]:
    """Hold a later cycle of a daemon at 50 ms against the script's idle one, and against what a listing takes."""
    targets = []
    script = figures.get((pages, 50, "script", "idle"))
    if script:
        share = later.wall / script.wall
        targets.append(Target("a daemon's idle cycle, wall at 50 ms", share, 1 / 80, unit="of the script"))
    if later.store_requests is not None:
        targets.append(Target("a daemon's idle cycle, Vault requests", later.store_requests, LATER))
    return targets


def aws_targets(counts: Mapping[str, int], pages: int) -> Sequence[Target]:
    """Hold the requests to AWS of a first and an idle cycle against their bounds."""
    return [
        Target(f"{cycle} cycle, AWS requests", counts[cycle], aws_requests(pages, new))
        for cycle, new in (("first", pages), ("idle", 0))
        if cycle in counts
    ]
