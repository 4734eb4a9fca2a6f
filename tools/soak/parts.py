"""Parts that run one after the other, each a process of its own, so that none changes what another one meets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Part:
    """What Python is to be given, and what is to be in its environment beside ours."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def run(parts: Sequence[Part]) -> int:
    """Run each to its end and print what it says; 1 where one of them failed."""
    told, failed = [], False
    for number, part in enumerate(parts, 1):
        words = [f"{name}={value}" for name, value in part.environment.items()]
        print(
            f"== part {number} of {len(parts)}, {part.name}: {' '.join([*words, 'python', *part.arguments])}",
            flush=True,
        )
        started = time.monotonic()
        code, last = _run(part)
        failed |= code != 0
        minutes = (time.monotonic() - started) / 60
        told.append(f"== {part.name}: {'failed' if code else 'passed'} after {minutes:.0f} minutes: {last}")
        print(told[-1], flush=True)
    print("\n".join(["== all parts:", *told]), flush=True)
    return 1 if failed else 0


def _run(part: Part) -> tuple[int, str]:
    """Pass on the lines of one part; gives its exit code and the last line that says something."""
    last = "it said nothing"
    with subprocess.Popen(
        [sys.executable, *part.arguments],
        cwd=ROOT,
        env={**os.environ, **part.environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line.rstrip("\n"), flush=True)
            last = line.strip() or last
    return process.returncode, last
