"""``python -m tools.simulation --seeds 0..1000``: run seeds, print which fail, and how to trace one of them."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable

from tests.simulation.seeds import seeds
from tests.simulation.stage import Outcome, run_one, run_seed

_SHOWN = 20
_PROGRESS_EVERY = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Run the seeds; return 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulation", description=__doc__)
    parser.add_argument(
        "--seeds", type=seeds, default="0..1000", help="first seed and the one after the last, as 0..1000"
    )
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--trace", action="store_true", help="print every step of one seed")
    parser.add_argument(
        "--kind", choices=("vault", "aws", "both"), help="the stores, in place of the seed's own choice"
    )
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count(), help="processes")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.kind, traced=options.trace)
    return _many(options.seeds, options.kind, options.workers)


def _one(seed: int, kind: str | None, *, traced: bool) -> int:
    outcome = run_seed(seed, traced=traced, kind=kind)
    for line in outcome.trace or []:
        print(line)
    for line in outcome.violations:
        print(f"seed {seed}: {line}")
    return 1 if outcome.violations else 0


def _many(chosen: range, kind: str | None, workers: int) -> int:
    started = time.monotonic()
    work = [(seed, kind) for seed in chosen]
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            return _sum_up(pool.imap_unordered(run_one, work, chunksize=8), started, len(work))
    return _sum_up(map(run_one, work), started, len(work))


def _sum_up(outcomes: Iterable[Outcome], started: float, wanted: int) -> int:
    done = cycles = steps = deaths = failed = slowest = 0
    progress_at = started + _PROGRESS_EVERY
    for outcome in outcomes:
        done += 1
        cycles += outcome.cycles
        steps += outcome.steps
        deaths += outcome.deaths
        slowest = max(slowest, outcome.calm if not outcome.violations else 0)
        if outcome.violations:
            failed += 1
            if failed <= _SHOWN:
                print(f"seed {outcome.seed}: {outcome.violations[0]}")
                print(f"    python -m tools.simulation --seed {outcome.seed} --trace", flush=True)
        if time.monotonic() > progress_at:
            progress_at += _PROGRESS_EVERY
            print(f"{done} of {wanted} seeds: {failed} failed", flush=True)
    seconds = time.monotonic() - started
    print(
        f"{done} seeds, {cycles} cycles, {steps} steps, {deaths} deaths in {seconds:.0f} s: {failed} failed; "
        f"the slowest had converged in calm cycle {slowest}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
