"""Measure one process from start to end: elapsed time, CPU time, peak memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Run:
    """The elapsed and CPU seconds of one process (with its children), its peak in MiB, its exit code and its output."""

    elapsed: float
    cpu: float
    memory: float
    exit_code: int
    stdout: str = ""
    stderr: str = ""


def measure(argv: Sequence[str], env: Mapping[str, str]) -> Run:
    """Run a program to its end.

    The kernel counts a new process's peak from the memory of the process that starts it. This process must stay smaller
    than what it measures, so it imports no library that is not needed here.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(env))
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(elapsed, cpu, usage.ru_maxrss / 1024, process.returncode, stdout, stderr)


def median_of(runs: Sequence[Run]) -> Run:
    """Return the median of each figure, with the output and the exit code of the last run."""
    last = runs[-1]
    return Run(
        median(run.elapsed for run in runs),
        median(run.cpu for run in runs),
        median(run.memory for run in runs),
        last.exit_code,
        last.stdout,
        last.stderr,
    )
