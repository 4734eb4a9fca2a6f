"""The range of seeds on a command line."""

from __future__ import annotations

import argparse


def seeds(text: str) -> range:
    """Parse ``0..1000``, the first seed and the one after the last; raises argparse's error for a wrong argument."""
    first, dots, after = text.partition("..")
    if not (dots and first.isdecimal() and after.isdecimal()) or int(first) >= int(after):
        raise argparse.ArgumentTypeError("the first seed and the one after the last are wanted, as 0..1000")
    return range(int(first), int(after))
