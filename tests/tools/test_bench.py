"""The bench: its arithmetic, its tables, its counts, and the work of the plain script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.sandbox.http.server import Sandbox, start
from tests.support.paths import ROOT
from tools.bench import programs, scrape, table, targets
from tools.bench.counting import counted
from tools.bench.measure import Run
from tools.bench.programs import Setup, UnexpectedResultError, run_script
from tools.bench.rounds import Rounds
from tools.bench.services import environment, openbao
from tools.bench.targets import Figures

pytestmark = pytest.mark.slow


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[tuple[Setup, Sandbox]]:
    """Return a sandbox of five Pages and an empty OpenBao."""
    with start(pages=5) as sandbox, openbao(tmp_path) as bao:
        yield Setup(tmp_path, sandbox.describe(), bao, "bench/1"), sandbox


def test_the_script_writes_once_and_then_nothing(setup: tuple[Setup, Sandbox]):
    """The plain script calls Graph twice for each Page, writes new secrets, and writes nothing in a second run."""
    target, sandbox = setup
    with counted(target.store) as counter:
        run_script(target.at(counter.url), "written")
        assert counter.reset() == {"GET": 5, "POST": 5}
        run_script(target.at(counter.url), "unchanged")
        assert counter.reset() == {"GET": 5}
    assert sandbox.world.calls.requests == 20


def test_a_script_that_fails_is_not_measured(setup: tuple[Setup, Sandbox]):
    """A Page without a valid token ends the script, and the bench reports that instead of figures."""
    target, sandbox = setup
    page = next(iter(sandbox.world.pages.values()))
    sandbox.world.user.assigned.pop(page.id)
    with pytest.raises(UnexpectedResultError, match="exit code 1"):
        run_script(target, "written")


def test_an_idle_cycle_that_writes_is_not_measured(setup: tuple[Setup, Sandbox]):
    """A run is measured only if every Page has the result that is expected of that cycle."""
    with pytest.raises(UnexpectedResultError, match="wanted 5 unchanged"):
        run_script(setup[0], "unchanged")


def test_a_process_is_measured_with_its_children(tmp_path: Path):
    """Elapsed time, CPU time and memory include the process's children."""
    code = (
        "import subprocess, sys, time; memory = bytearray(200 << 20); time.sleep(0.2);"
        "subprocess.run([sys.executable, '-c', 'import time; e = time.process_time() + 0.3\\nwhile time.process_time() < e: pass'])"
    )
    # From a small process, as the bench does: the kernel counts a peak from the memory of the process that starts another.
    small = (
        "import dataclasses, json, os, sys; from tools.bench.measure import measure;"
        "print(json.dumps(dataclasses.asdict(measure([sys.executable, '-c', sys.argv[1]], dict(os.environ)))))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", small, code],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    run = Run(**json.loads(ran.stdout))
    assert run.exit_code == 0
    assert run.elapsed >= 0.5
    assert run.cpu >= 0.3
    assert 200 < run.memory < 300


def figures(
    elapsed: float = 1.0, cpu: float = 1.0, memory: float = 10.0, graph: int = 45, store: int = 1009
) -> Figures:
    """Return the figures of one cycle."""
    return Figures(elapsed, cpu, memory, graph, 0, store)


def measured(**sync: float) -> dict[targets.Key, Figures]:
    """Return the figures for 1,000 Pages where the script takes 100 s and the program what is given."""
    table_of = {}
    for latency in (0, 50):
        for cycle in ("first", "idle"):
            table_of[1000, latency, "script", cycle] = figures(elapsed=100.0)
            table_of[1000, latency, "sync", cycle] = figures(**sync)
    return table_of


@pytest.mark.parametrize(
    ("sync", "missed"),
    [
        ({"elapsed": 2.5, "cpu": 0.5, "memory": 22.0}, []),
        ({"elapsed": 2.6, "cpu": 0.5}, ["idle cycle, elapsed at 50 ms"]),
        ({"elapsed": 5.1, "cpu": 0.5}, ["idle cycle, elapsed at 50 ms", "first cycle, elapsed at 50 ms"]),
        ({"cpu": 0.51}, ["idle cycle, CPU at 0 ms"]),
        ({"cpu": 0.5, "memory": 22.1}, ["peak memory, the worst cycle"]),
    ],
)
def test_a_ratio_beyond_its_bound_is_missed(sync: dict[str, float], missed: list[str]):
    """A ratio at its bound meets the target, and one just above misses it."""
    checked = targets.ratio_targets(measured(**sync), 1000)
    assert len(checked) == 4
    assert [target.what for target in checked if not target.met] == missed


@pytest.mark.parametrize(
    ("pages", "graph", "vault", "aws"),
    [
        (1000, 45, (1009, 4009), (65, 3065)),
        (100, 9, (109, 409), (11, 311)),
        (101, 11, (110, 413), (13, 316)),
        (1, 7, (10, 13), (7, 10)),
    ],
)
def test_the_bounds_on_counts_follow_their_formulas(
    pages: int, graph: int, vault: tuple[int, int], aws: tuple[int, int]
):
    """Each bound follows its formula, idle and with all Pages new; a partial batch counts as a batch."""
    assert targets.graph_requests(pages) == graph
    assert (targets.vault_requests(pages, 0), targets.vault_requests(pages, pages)) == vault
    assert (targets.aws_requests(pages, 0), targets.aws_requests(pages, pages)) == aws


def test_the_worst_count_of_all_latencies_is_checked():
    """One round with too many requests misses the bound."""
    checked = measured()
    checked[1000, 50, "sync", "idle"] = figures(graph=46, store=1010)
    missed = [target.what for target in targets.count_targets(checked, 1000) if not target.met]
    assert missed == ["idle cycle, Graph requests", "idle cycle, Vault requests"]


@pytest.mark.parametrize(
    ("elapsed", "memory", "missed"),
    [
        (12.0, 10.0, []),
        (12.1, 10.0, ["first cycle, elapsed, 10,000 Pages", "idle cycle, elapsed, 10,000 Pages"]),
        (12.0, 10.1, ["memory per added Page, KiB"]),
    ],
)
def test_growth_has_bounds(elapsed: float, memory: float, missed: list[str]):
    """Ten times the Pages may take twelve times as long, and each added Page ten KiB."""
    checked = measured(elapsed=1.0, memory=50.0)
    for cycle in ("first", "idle"):
        checked[10_000, 0, "sync", cycle] = figures(elapsed=elapsed, memory=50.0 + 9000 * memory / 1024)
    bounds = targets.growth_targets(checked, 1000, 10_000)
    assert len(bounds) == 3
    assert [target.what for target in bounds if not target.met] == missed


@pytest.mark.parametrize(
    ("first", "later", "missed"),
    [(1.2, 0.1, []), (1.21, 0.11, ["first scrape, 10,000 Pages", "later scrape, 10,000 Pages"])],
)
def test_a_scrape_has_bounds(first: float, later: float, missed: list[str]):
    """The first scrape of a report may take 1.2 times as long as plain Gauges, and a later one a tenth."""
    bounds = targets.scrape_targets(targets.ScrapeSeconds(1.0, first, later), 10_000)
    assert [target.what for target in bounds if not target.met] == missed


def test_a_scrape_is_measured():
    """The first scrape of a report takes longer than a later one, beside Gauges that take time too."""
    found = scrape.measured(1000)
    assert found.gauges > 0
    assert found.first > found.later > 0


def test_an_idle_cycle_has_a_bound_on_calls():
    """The bound on calls of an idle cycle is two hundredths per Page and five more."""
    assert (targets.idle_calls(1000), targets.idle_calls(10)) == (25, 5.2)
    checked = targets.count_targets({(1000, 0, "sync", "idle"): Figures(1, 1, 1, 31, 26, 9)}, 1000)
    assert [target.what for target in checked if not target.met] == ["idle cycle, Graph calls"]


def test_a_daemon_has_bounds_of_its_own():
    """A daemon's idle cycle takes at most an eightieth of the script's time, and a fixed number of Vault requests."""
    missed = [
        [target.what for target in targets.daemon_targets(measured(), 1000, Figures(elapsed, 0, 0, store_requests=asked))
         if not target.met]
        for elapsed, asked in ((1.25, 9), (1.26, 9), (1.25, 10))
    ]  # fmt: skip
    assert missed == [
        [],
        ["a daemon's idle cycle, elapsed at 50 ms"],
        ["a daemon's idle cycle, Vault requests"],
    ]


def test_a_later_idle_cycle_of_a_daemon_is_counted(tmp_path: Path):
    """The Vault requests of a running daemon's idle cycle do not grow with the Pages."""
    with openbao(tmp_path) as bao:
        rounds = Rounds(tmp_path, bao, 1, lambda _: None)
        few, more = rounds.later(20, 0), rounds.later(60, 0)
    assert few.store_requests
    assert few.store_requests == more.store_requests <= targets.DAEMON_VAULT_REQUESTS
    assert 0 < few.elapsed < 30


def test_the_table_fits_a_terminal_and_shows_missed_targets():
    """No line is wider than 80 columns, a small ratio is shown as 1/N, and a missed target as MISSED."""
    checked = {key: figures(elapsed=12345.67, graph=200_000, store=400_000) for key in measured()}
    text = table.comparison(checked, 1000, 50) + "\n" + table.verdicts(targets.ratio_targets(checked, 1000))
    assert max(map(len, text.splitlines())) <= 80
    assert "1/40.0" in text
    assert "MISSED" in text


def test_the_measured_program_is_this_environments():
    """The measured program is the one beside the running Python, whatever is on the path."""
    assert programs.PROGRAM.parent == Path(sys.executable).parent
