"""The rounds of the bench: which programs run how often against what, and what is counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bench.counting import counted
from tools.bench.measure import Run, middle
from tools.bench.programs import Scene, WrongError, daemon, run_ours, run_script
from tools.bench.services import graph_calls, served
from tools.bench.targets import Figures, Key

LONG = 500
"""From so many Pages at a latency of some ms a run of the script takes over half a minute, and is done once."""


@dataclass
class Rounds:
    """Measures in one folder against one OpenBao; ``miscounts`` are reports that said another number than was counted."""

    home: Path
    bao: str
    runs: int
    say: Callable[[str], None]
    miscounts: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def compare(self, pages: int, latency: int) -> dict[Key, Figures]:
        """Measure both programs, both cycles, for one number of Pages and one latency."""
        times = 1 if latency > 0 and pages >= LONG else self.runs
        with served(self.home, "sandbox", str(pages), str(latency)) as sandbox:
            self.say(f"{pages:,} Pages, {latency} ms: the script, runs: {times}")
            script = self._script(sandbox, times)
            self.say(f"{pages:,} Pages, {latency} ms: ours, runs: {self.runs}")
            ours = self._ours(sandbox)
        return {
            (pages, latency, owner, cycle): figures
            for owner, cycles in (("script", script), ("ours", ours))
            for cycle, figures in cycles.items()
        }

    def alone(self, pages: int) -> dict[Key, Figures]:
        """Measure ours alone, once and without latency, to see how it grows."""
        with served(self.home, "sandbox", str(pages), "0") as sandbox:
            self.say(f"{pages:,} Pages, 0 ms: ours, runs: 1")
            scene, figures = self._fresh(sandbox, self.bao), {}
            for cycle, expect in (("first", "created"), ("idle", "unchanged")):
                run, _ = run_ours(scene, expect)
                figures[pages, 0, "ours", cycle] = Figures(run.wall, run.cpu, run.memory)
        return figures

    def later(self, pages: int, latency: int) -> Figures:
        """Take wall and requests to Vault of an idle cycle of a daemon that has read everything before."""
        self.say(f"{pages:,} Pages, {latency} ms: a running daemon")
        with served(self.home, "sandbox", str(pages), str(latency)) as sandbox:
            scene = self._fresh(sandbox, self.bao)
            with counted(scene.store) as counting, daemon(scene.at(counting.url), every=3) as cycle:
                for _ in ("all are new", "all are read"):
                    cycle()
                counting.take()
                said = cycle()
                if said["result"] != "ok":
                    raise WrongError(f"the daemon's cycle ended as {said['result']}")
                requests = sum(counting.take().values())
                return Figures(said["duration_ms"] / 1000, 0, 0, store_requests=requests)

    def aws(self, pages: int) -> dict[str, int]:
        """Count the requests to AWS, through moto behind the shim that refuses what AWS refuses."""
        self.say(f"{pages:,} Pages: ours with AWS Secrets Manager")
        with served(self.home, "sandbox", str(pages), "0") as sandbox, served(self.home, "aws") as aws:
            return self._count_store(self._fresh(sandbox, aws["url"]), "aws")

    def _script(self, sandbox: Mapping[str, Any], times: int) -> dict[str, Figures]:
        taken: dict[str, list[Run]] = {"first": [], "idle": []}
        graph = {}
        for _ in range(times):
            scene = self._fresh(sandbox, self.bao)
            for cycle, expect in (("first", "written"), ("idle", "unchanged")):
                graph_calls(sandbox["url"], reset=True)
                taken[cycle].append(run_script(scene, expect))
                graph[cycle] = graph_calls(sandbox["url"])
        pages = len(sandbox["pages"])
        # One read a Page, and one write where it is new: the script makes no other call to the store.
        store = {"first": 2 * pages, "idle": pages}
        return {cycle: _figures(taken[cycle], graph[cycle], store[cycle]) for cycle in taken}

    def _ours(self, sandbox: Mapping[str, Any]) -> dict[str, Figures]:
        taken: dict[str, list[Run]] = {"first": [], "idle": []}
        graph: dict[str, tuple[int, int]] = {}
        for _ in range(self.runs):
            scene = self._fresh(sandbox, self.bao)
            for cycle, expect in (("first", "created"), ("idle", "unchanged")):
                graph_calls(sandbox["url"], reset=True)
                run, summary = run_ours(scene, expect)
                taken[cycle].append(run)
                graph[cycle] = graph_calls(sandbox["url"])
                self._same(cycle, "graph_requests", summary, graph[cycle][0])
                self._same(cycle, "graph_calls", summary, graph[cycle][1])
        store = self._count_store(self._fresh(sandbox, self.bao), "vault")
        return {cycle: _figures(taken[cycle], graph[cycle], store[cycle]) for cycle in taken}

    def _count_store(self, scene: Scene, kind: str) -> dict[str, int]:
        """Count what reaches the store in a first and an idle cycle that are not timed."""
        counts = {}
        with counted(scene.store) as counting:
            for cycle, expect in (("first", "created"), ("idle", "unchanged")):
                _, summary = run_ours(scene.at(counting.url), expect, kind=kind)
                kinds = counting.take()
                counts[cycle] = sum(kinds.values())
                self.say(f"{kind}, {cycle} cycle: " + ", ".join(f"{name} {times:,}" for name, times in kinds.items()))
                self._same(cycle, "store_requests", summary, counts[cycle])
        return counts

    def _same(self, cycle: str, name: str, summary: Mapping[str, int], outside: int) -> None:
        if summary[name] != outside:
            self.miscounts.append(f"{cycle} cycle: the report says {name} {summary[name]}, counted were {outside}")

    def _fresh(self, sandbox: Mapping[str, Any], store: str) -> Scene:
        return Scene(self.home, sandbox, store, f"bench/{next(self._numbers)}")


def _figures(runs: Sequence[Run], graph: tuple[int, int], store: int) -> Figures:
    run = middle(runs)
    return Figures(run.wall, run.cpu, run.memory, *graph, store)
