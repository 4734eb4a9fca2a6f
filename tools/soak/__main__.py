"""``make soak``: the tests that take hours, in parts that run one after the other, whether or not one fails.

``hour`` is the daemon against a sandbox, a real OpenBao, an AWS emulator and a disk, with faults at random. ``seeds`` is its
simulation over many seeds. ``long`` are the long forms of the tests of faults and of the Vault cluster.
The exit code is 1 if a part failed.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation.seeds import seeds
from tools.soak.parts import Part, run

_TESTS = ("tests/faults", "tests/stores/vault/test_cluster.py")


def parts(arguments: list[str] | None = None) -> list[Part]:
    """Read the command line and return the parts to run, in order."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("hour", "seeds", "long")
    parser.add_argument("--only", choices=names, action="append", help="run this part alone; may be repeated")
    parser.add_argument("--minutes", type=float, default=60, help="of the hour: how long (60)")
    parser.add_argument("--pages", type=int, default=24, help="of the hour: how many Pages (24)")
    parser.add_argument("--seed", type=int, help="of the hour: the seed of its faults (the time)")
    parser.add_argument("--keep", action="store_true", help="of the hour: keep the folder with the log and the reports")
    parser.add_argument("--seeds", type=seeds, default="0..100000", help="of the simulation: which seeds (0..100000)")
    asked = parser.parse_args(arguments)
    hour = ["-m", "tools.soak.hour", f"--minutes={asked.minutes:g}", f"--pages={asked.pages}"]
    hour += [f"--seed={asked.seed}"] if asked.seed is not None else []
    hour += ["--keep"] if asked.keep else []
    simulated = ["-m", "tools.simulation", f"--seeds={asked.seeds.start}..{asked.seeds.stop}"]
    tests = ["-m", "pytest", "-v", "--numprocesses=auto", "--dist=loadgroup", "--long", *_TESTS]
    every = {"hour": Part("hour", hour), "seeds": Part("seeds", simulated), "long": Part("long", tests)}
    return [every[name] for name in names if name in (asked.only or names)]


if __name__ == "__main__":
    sys.exit(run(parts()))
