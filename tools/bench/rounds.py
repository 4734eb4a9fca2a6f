"""The rounds of the bench: which program runs how often against which services, and what is counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bench.counting import counted
from tools.bench.measure import Run, median_of
from tools.bench.programs import Setup, UnexpectedResultError, daemon, run_script, run_sync
from tools.bench.services import graph_calls, served
from tools.bench.targets import Figures, Key

LONG = 500
"""Pages from which a run of the script with latency takes over half a minute, so that it is run once."""


@dataclass
class Rounds:
    """Measures in one folder against one OpenBao; ``miscounts`` are the reports whose counts are wrong."""

    home: Path
    bao: str
    runs: int
    progress: Callable[[str], None]
    miscounts: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def compare(self, pages: int, latency: int) -> dict[Key, Figures]:
        """Measure both programs, both cycles, for one number of Pages and one latency."""
        times = 1 if latency > 0 and pages >= LONG else self.runs
        with served(self.home, "sandbox", str(pages), str(latency)) as sandbox:
            self.progress(f"{pages:,} Pages, {latency} ms: the script, runs: {times}")
            script = self._script(sandbox, times)
            self.progress(f"{pages:,} Pages, {latency} ms: sync, runs: {self.runs}")
            sync = self._sync(sandbox)
        return {
            (pages, latency, program, cycle): figures
            for program, cycles in (("script", script), ("sync", sync))
            for cycle, figures in cycles.items()
        }

    def alone(self, pages: int) -> dict[Key, Figures]:
        """Measure the program alone, once and without latency, to see how it grows with the Pages."""
        with served(self.home, "sandbox", str(pages), "0") as sandbox:
            self.progress(f"{pages:,} Pages, 0 ms: sync, runs: 1")
            setup, figures = self._fresh(sandbox, self.bao), {}
            for cycle, expect in (("first", "created"), ("idle", "unchanged")):
                run, _ = run_sync(setup, expect)
                figures[pages, 0, "sync", cycle] = Figures(run.elapsed, run.cpu, run.memory)
        return figures

    def later(self, pages: int, latency: int) -> Figures:
        """Measure an idle cycle of a daemon that has read every secret before: its elapsed time and requests to Vault."""
        self.progress(f"{pages:,} Pages, {latency} ms: a running daemon")
        with served(self.home, "sandbox", str(pages), str(latency)) as sandbox:
            setup = self._fresh(sandbox, self.bao)
            with counted(setup.store) as counter, daemon(setup.at(counter.url)) as cycle:
                for _ in ("all are new", "all are read"):
                    cycle()
                counter.reset()
                line = cycle()
                if line["result"] != "ok":
                    raise UnexpectedResultError(f"the daemon's cycle ended as {line['result']}")
                requests = sum(counter.reset().values())
                return Figures(line["duration_ms"] / 1000, 0, 0, store_requests=requests)

    def aws(self, pages: int) -> dict[str, int]:
        """Count the requests to AWS, which is moto behind a shim that refuses what AWS refuses."""
        self.progress(f"{pages:,} Pages: sync with AWS Secrets Manager")
        with served(self.home, "sandbox", str(pages), "0") as sandbox, served(self.home, "aws") as aws:
            return self._count_store(self._fresh(sandbox, aws["url"]), "aws")

    def _script(self, sandbox: Mapping[str, Any], times: int) -> dict[str, Figures]:
        runs: dict[str, list[Run]] = {"first": [], "idle": []}
        graph = {}
        for _ in range(times):
            setup = self._fresh(sandbox, self.bao)
            for cycle, expect in (("first", "written"), ("idle", "unchanged")):
                graph_calls(sandbox["url"], reset=True)
                runs[cycle].append(run_script(setup, expect))
                graph[cycle] = graph_calls(sandbox["url"])
        pages = len(sandbox["pages"])
        # One read a Page, and one write where it is new: the script makes no other call to the store.
        store = {"first": 2 * pages, "idle": pages}
        return {cycle: _figures(runs[cycle], graph[cycle], store[cycle]) for cycle in runs}

    def _sync(self, sandbox: Mapping[str, Any]) -> dict[str, Figures]:
        runs: dict[str, list[Run]] = {"first": [], "idle": []}
        graph: dict[str, tuple[int, int]] = {}
        for _ in range(self.runs):
            setup = self._fresh(sandbox, self.bao)
            for cycle, expect in (("first", "created"), ("idle", "unchanged")):
                graph_calls(sandbox["url"], reset=True)
                run, summary = run_sync(setup, expect)
                runs[cycle].append(run)
                graph[cycle] = graph_calls(sandbox["url"])
                self._check_count(cycle, "graph_requests", summary, graph[cycle][0])
                self._check_count(cycle, "graph_calls", summary, graph[cycle][1])
        store = self._count_store(self._fresh(sandbox, self.bao), "vault")
        return {cycle: _figures(runs[cycle], graph[cycle], store[cycle]) for cycle in runs}

    def _count_store(self, setup: Setup, kind: str) -> dict[str, int]:
        """Count the requests to the store in a first and an idle cycle that are not timed."""
        counts = {}
        with counted(setup.store) as counter:
            for cycle, expect in (("first", "created"), ("idle", "unchanged")):
                _, summary = run_sync(setup.at(counter.url), expect, kind=kind)
                kinds = counter.reset()
                counts[cycle] = sum(kinds.values())
                self.progress(
                    f"{kind}, {cycle} cycle: " + ", ".join(f"{name} {times:,}" for name, times in kinds.items())
                )
                self._check_count(cycle, "store_requests", summary, counts[cycle])
        return counts

    def _check_count(self, cycle: str, name: str, summary: Mapping[str, int], counted_requests: int) -> None:
        if summary[name] != counted_requests:
            self.miscounts.append(
                f"{cycle} cycle: the report has {name} {summary[name]}, the counter {counted_requests}"
            )

    def _fresh(self, sandbox: Mapping[str, Any], store: str) -> Setup:
        return Setup(self.home, sandbox, store, f"bench/{next(self._numbers)}")


def _figures(runs: Sequence[Run], graph: tuple[int, int], store: int) -> Figures:
    run = median_of(runs)
    return Figures(run.elapsed, run.cpu, run.memory, *graph, store)
