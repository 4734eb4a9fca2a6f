"""A running daemon, read by its log."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from tests.support.forkserver import Child

EACH_SECOND = "tools.soak.daemon"
"""The main of a daemon with a cycle each second, which is more often than a configuration allows."""


def each_second(file: Path) -> list[str]:
    """Return the arguments of EACH_SECOND for a configuration."""
    return [str(file), "-", "1"]


class Daemon:
    """A running daemon with a cycle about every second, and its log so far."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._seen = 0

    def so_far(self) -> list[dict[str, Any]]:
        """Return what was logged since the last time."""
        fresh = self.child.stdout.read_text().split("\n")[self._seen : -1]
        self._seen += len(fresh)
        return [json.loads(text) for text in fresh]

    def until(self, event: str, *, seconds: float = 30, **fields: Any) -> list[dict[str, Any]]:
        """Wait for an event with these fields; returns all lines since the last call up to it."""
        end, got = time.monotonic() + seconds, []
        while True:
            for text in self.child.stdout.read_text().split("\n")[self._seen : -1]:
                self._seen += 1
                line = json.loads(text)
                got.append(line)
                if line["event"] == event and fields.items() <= line.items():
                    return got
            assert time.monotonic() < end, (got, self.child.stderr.read_text())
            time.sleep(0.02)

    def cycles(self, count: int) -> list[dict[str, Any]]:
        """Wait for this many further ends of cycles; returns all lines up to then."""
        return [line for _ in range(count) for line in self.until("cycle_finished")]

    def descriptors(self) -> int:
        """Count the process's open descriptors."""
        return len(list(Path(f"/proc/{self.child.pid}/fd").iterdir()))


def names(lines: list[dict[str, Any]], event: str) -> int:
    """Count the events of one name."""
    return sum(line["event"] == event for line in lines)


def names_internal_error(text: str) -> bool:
    """Check whether output says that the program met a bug of its own."""
    return re.search("internal error|traceback", text, re.IGNORECASE) is not None
