"""Prometheus and its promtool, where Debian's package is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

MISSING = "Prometheus is not installed: apt-get install prometheus"


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """Run promtool; return what it printed, or fail with that."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(MISSING)
    ran = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
