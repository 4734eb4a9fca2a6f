"""Run parts one after the other, each in its own process, so that no part affects another."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Part:
    """A name, and the arguments for Python."""

    name: str
    arguments: Sequence[str]


def run(parts: Sequence[Part]) -> int:
    """Run each part to its end and print its output; return 1 if one of them failed."""
    results, failed = [], False
    for number, part in enumerate(parts, 1):
        print(f"== part {number} of {len(parts)}, {part.name}: {' '.join(['python', *part.arguments])}", flush=True)
        started = time.monotonic()
        code, last = _run(part)
        failed |= code != 0
        minutes = (time.monotonic() - started) / 60
        results.append(f"== {part.name}: {'failed' if code else 'passed'} after {minutes:.0f} minutes: {last}")
        print(results[-1], flush=True)
    print("\n".join(["== all parts:", *results]), flush=True)
    return 1 if failed else 0


def _run(part: Part) -> tuple[int, str]:
    """Print the lines of one part; return its exit code and the last line that is not empty."""
    last = "no output"
    with subprocess.Popen([sys.executable, *part.arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line.rstrip("\n"), flush=True)
            last = line.strip() or last
    return process.returncode, last
