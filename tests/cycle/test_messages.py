"""What people are sent when Graph fails: one message for one event, by whole cycles over the sandbox."""

from __future__ import annotations

from dataclasses import replace

from sync.core.memory.memory import Memory
from sync.core.model import Key
from sync.core.report.notices import messages
from sync.cycle import Task, run
from tests.e2e.test_every_fault import FAULTS
from tests.support.fakes import StoreInMemory
from tests.support.graph_stage import Stage
from tests.support.values import INSTANCE

CYCLE = 900.0
EXPIRES_WITHIN_A_DAY = "expiring"
"""Its days are announced one after the other."""


def started(fault: str) -> list[str]:
    """Return the titles of the messages about problems that begin with a fault of Graph."""
    stage, store, memory = Stage(2), StoreInMemory(), Memory()
    pages = [replace(page, targets=(Key("vault", f"meta/pages/{page.name}"),)) for page in stage.pages()]
    found = []
    for number in range(4):
        if number == 1:
            stage.fault(fault)
        source = stage.source(pools=memory.pools)
        report, memory = run(Task(INSTANCE, pages, source, {"vault": store}, stage.clock, memory), write=True)
        stage.clock.advance(CYCLE)
        found += [one["title"] for one in messages(report, ("problem",)) if one["status"] == "started"]
    return found


def test_one_fault_is_one_message() -> None:
    """Whatever Graph answers, and whatever follows from it for Pages and stored tokens, people are sent one message at most."""
    found = {fault: started(fault) for fault in FAULTS if fault != EXPIRES_WITHIN_A_DAY}
    assert {fault: titles for fault, titles in found.items() if len(titles) > 1} == {}
    assert found["invalid"] == ["system-user-invalid: 2 Pages, system user main"]
