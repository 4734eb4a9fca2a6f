"""``python -m tools.bench``: compare the program with a plain script, against one sandbox and one real OpenBao.

Elapsed time, CPU time and peak memory are those of a process from its start to its end; of several runs the median is
shown. The exit code is 1 where a bound is missed or a report miscounts, and 2 where a program does not do its work.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tools.bench.programs import UnexpectedResultError
from tools.bench.rounds import Rounds
from tools.bench.scrape import measured
from tools.bench.services import openbao
from tools.bench.table import comparison, verdicts
from tools.bench.targets import (
    RATIO_PAGES,
    Figures,
    Key,
    Target,
    aws_targets,
    count_targets,
    daemon_targets,
    growth_targets,
    ratio_targets,
    scrape_targets,
)

MORE = 10_000


def progress(text: str) -> None:
    """Write a line of progress to stderr, apart from the figures."""
    sys.stderr.write(f"  .. {text}\n")


def show(text: str) -> None:
    """Print a result at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--pages", type=int, action="append", help="how many Pages; default 100 and 1000")
    parser.add_argument("--latency", type=int, action="append", help="Graph's latency in ms; default 0 and 50")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median is shown (default 3)")
    parser.add_argument("--no-growth", action="store_true", help=f"do not measure {MORE:,} Pages")
    parser.add_argument("--no-aws", action="store_true", help="do not measure AWS Secrets Manager")
    return parser.parse_args()


def bench(rounds: Rounds, options: argparse.Namespace) -> bool:
    """Measure and print everything; return whether all targets are met and no report miscounts."""
    figures: dict[Key, Figures] = {}
    targets: list[Target] = []
    numbers = options.pages or (100, 1000)
    for pages in numbers:
        for latency in options.latency or (0, 50):
            figures |= rounds.compare(pages, latency)
            show(comparison(figures, pages, latency))
    for pages in numbers:
        checked = [*(ratio_targets(figures, pages) if pages >= RATIO_PAGES else ()), *count_targets(figures, pages)]
        if not options.no_aws:
            checked += aws_targets(rounds.aws(pages), pages)
        if pages >= RATIO_PAGES:
            checked += daemon_targets(figures, pages, rounds.later(pages, 50))
        if pages == RATIO_PAGES and not options.no_growth:
            figures |= rounds.alone(MORE)
            checked += [*growth_targets(figures, pages, MORE), *scrape_targets(measured(MORE), MORE)]
        show(f"\n{pages:,} Pages\n{verdicts(checked)}")
        targets += checked
    for line in rounds.miscounts:
        show(line)
    return all(target.met for target in targets) and not rounds.miscounts


def main() -> int:
    """Run the bench and return the exit code."""
    options = arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="page-token-sync-bench-") as home, openbao(Path(home)) as bao:
            return 0 if bench(Rounds(Path(home), bao, options.runs, progress), options) else 1
    except UnexpectedResultError as error:
        sys.stderr.write(f"no result: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
