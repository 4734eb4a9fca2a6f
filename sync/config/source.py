"""Where the text of a configuration comes from: a file, standard input, or a variable of the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STDIN = Path("-")
TEXT_VARIABLE = "PAGE_TOKEN_SYNC_CONFIG_YAML"
IN_VARIABLE = Path(f"${TEXT_VARIABLE}")
"""Stands for a path where the text is in the variable, and is its name in errors."""


def is_file(path: Path) -> bool:
    """Check whether the text comes from a file."""
    return path not in (STDIN, IN_VARIABLE)


def read(path: Path, most: int) -> bytes:
    """Return at most so many bytes of the text; raises OSError or ValueError."""
    if path == STDIN:
        return sys.stdin.buffer.read(most)
    if path == IN_VARIABLE:
        return os.environb.get(os.fsencode(TEXT_VARIABLE), b"")[:most]
    with path.open("rb") as stream:
        return stream.read(most)
