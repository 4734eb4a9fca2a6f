"""Runs many cycles in one process, 15 minutes apart by its clock: ``python -m tests.faults.run_cycles CONFIG CYCLES``.

Prints a line of JSON after each tenth of them: how many cycles, and what the process then holds.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from datetime import timedelta
from pathlib import Path

from sync import daemon
from sync.app import build
from sync.config.load import load
from sync.ops.log import Log
from sync.ops.process import silence_libraries
from sync.ops.status import DaemonStatus
from tests.support.clock import ShiftedClock

_QUARTER = timedelta(minutes=15)


class Results:
    """A log that keeps only how cycles ended."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def write(self, text: str) -> int:
        """Count one line."""
        line = json.loads(text)
        if line["event"] in ("cycle_finished", "page_written", "page_refused", "store_failed"):
            name = f"{line['event']} {line.get('result', '')}".strip()
            self.counts[name] = self.counts.get(name, 0) + 1
        return len(text)

    def flush(self) -> None:
        """Do nothing, since no output is buffered."""


def measure(cycles: int, results: Results) -> str:
    """Return this process's resources: memory in KiB, threads, descriptors."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return json.dumps(
        {
            "cycles": cycles,
            "rss_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - the listing's own descriptor counts each time
            "events": dict(results.counts),
        }
    )


def main() -> None:
    """Run the cycles, as the daemon runs each."""
    silence_libraries()
    clock, results, count = ShiftedClock(), Results(), int(sys.argv[2])
    step = max(count // 10, 1)
    log, status = Log(results, level="info", form="json"), DaemonStatus(clock)
    with build(load(Path(sys.argv[1])), clock=clock) as app:
        for number in range(1, count + 1):
            daemon.one_cycle(app, clock=clock, log=log, status=status)
            clock.ahead += _QUARTER
            if number % step == 0 or number == 100:
                print(measure(number, results), flush=True)


if __name__ == "__main__":
    main()
