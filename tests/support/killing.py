"""Kill the program at its calls: at each call of a cycle, at each of three moments."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from sync.sandbox.http.server import start
from tests.faults.five_pages import FivePages, Inspector
from tests.support.forkserver import Child, ForkServer
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request, fault_proxy

Moment = Literal["before", "during", "after"]
"""Before the service sees the call; after it has done it and before the answer; once the answer was sent."""

MOMENTS: tuple[Moment, ...] = get_args(Moment)
MakeInspector = Callable[[str], Inspector]
_RUNS = itertools.count(1)


@dataclass
class Killer:
    """Counts calls over all proxies, and kills the victim at one of them."""

    number: int
    moment: Moment
    victim: Child | None = None
    calls: int = 0
    struck: Request | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, proxy: FaultProxy) -> None:
        """Count the calls of a proxy."""
        proxy.rule, proxy.before_answer, proxy.after_answer = self._before, self._during, self._after

    def _before(self, request: Request) -> Reply | Fault | None:
        self.ready.wait(10)
        with self.lock:
            self.calls += 1
            if self.calls == self.number:
                self.struck = request
        return Fault.CUT if self._strike(request, "before") else None

    def _during(self, request: Request) -> None:
        self._strike(request, "during")

    def _after(self, request: Request) -> None:
        self._strike(request, "after")

    def _strike(self, request: Request, moment: Moment) -> bool:
        if request is not self.struck or moment != self.moment or self.victim is None:
            return False
        self.victim.kill()
        return True


@contextmanager
def before_all(inspector: Inspector, sandbox_url: str) -> Iterator[tuple[FaultProxy, FaultProxy]]:
    """Run a proxy in front of Graph and one in front of the store."""
    with fault_proxy(sandbox_url) as graph, fault_proxy(inspector.url) as store:
        yield graph, store


def killed_at(forks: ForkServer, folder: Path, make: MakeInspector, number: int, moment: Moment) -> int:
    """Kill a cycle at one call and see that the next one sets all right; gives how many calls the cycle made.

    Asserts that no Page was broken, nothing is refused, at most one version too many was made, and that a third cycle
    finds nothing to do.
    """
    run = next(_RUNS)
    with ExitStack() as stack:
        sandbox = stack.enter_context(start(pages=5))
        inspector = make(f"run{run}")
        graph, store = stack.enter_context(before_all(inspector, sandbox.url))
        world = FivePages(folder / f"run{run}", sandbox, inspector, graph=graph.url, store=store.url)
        assert world.cycle().result == "ok"
        world.change()
        killer = Killer(number, moment)
        killer.watch(graph)
        killer.watch(store)
        killer.victim = child = forks.run(folder, "--config", str(world.rig.file), "once", "--output", "json")
        killer.ready.set()
        code = child.wait()
        where = (number, moment, killer.struck.path if killer.struck else None)
        graph.rule = store.rule = graph.before_answer = store.before_answer = graph.after_answer = (
            store.after_answer
        ) = None
        assert code == -9 or killer.struck is None or moment == "after", (where, child.stderr.read_text())
        if killer.struck is None:
            assert code == 0, child.stdout.read_text()
        assert world.broken() == [], where
        assert set(_actions(world)) <= {"unchanged", "created", "updated", "replaced"}, where
        assert world.unlike_wanted() == [], where
        assert world.extra_versions() in (0, 1), (where, world.read())
        assert set(_actions(world)) == {"unchanged"}, where
        return killer.calls


def _actions(world: FivePages) -> list[str]:
    """Run the next cycle; returns the action of each secret."""
    report = world.cycle()
    assert report.result == "ok", [problem for page in report.pages for problem in page.problems]
    return [target.action.value for page in report.pages for target in page.stores]
