"""The bench itself: its arithmetic, its table, its counting, and that the plain script is a fair opponent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.sandbox.http.server import Sandbox, start
from tools.bench import programs, table, targets
from tools.bench.counting import counted
from tools.bench.measure import measure
from tools.bench.programs import Scene, WrongError, run_script
from tools.bench.scenes import Rounds
from tools.bench.services import environment, openbao
from tools.bench.targets import Figures

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Scene, Sandbox]]:
    """Return a sandbox of five Pages and an empty OpenBao."""
    with start(pages=5) as sandbox, openbao(tmp_path) as bao:
        yield Scene(tmp_path, sandbox.describe(), bao, "bench/1"), sandbox


def test_the_script_writes_once_and_then_finds_all_unchanged(scene: tuple[Scene, Sandbox]):
    """The plain script asks Graph twice a Page, writes new secrets, and writes nothing when run again."""
    target, sandbox = scene
    with counted(target.store) as counting:
        run_script(target.at(counting.url), "written")
        assert counting.take() == {"GET": 5, "POST": 5}
        run_script(target.at(counting.url), "unchanged")
        assert counting.take() == {"GET": 5}
    assert sandbox.world.calls.requests == 20


def test_a_script_that_does_not_do_its_work_is_no_measurement(scene: tuple[Scene, Sandbox]):
    """A Page whose token is not good ends the script, and the bench says so instead of giving figures."""
    target, sandbox = scene
    page = next(iter(sandbox.world.pages.values()))
    sandbox.world.user.assigned.pop(page.id)
    with pytest.raises(WrongError, match="exit code 1"):
        run_script(target, "written")


def test_an_idle_cycle_that_writes_is_no_measurement(scene: tuple[Scene, Sandbox]):
    """Figures are taken only where every Page ended as that cycle must end it."""
    with pytest.raises(WrongError, match="wanted 5 unchanged"):
        run_script(scene[0], "unchanged")


def test_a_process_is_measured_with_its_children(tmp_path: Path):
    """Wall, processor time and memory are those of the whole process, as the kernel counts them."""
    code = (
        "import subprocess, sys, time; held = bytearray(200 << 20); time.sleep(0.2);"
        "subprocess.run([sys.executable, '-c', 'import time; e = time.process_time() + 0.3\\nwhile time.process_time() < e: pass'])"
    )
    run = measure([sys.executable, "-c", code], environment(tmp_path))
    assert run.exit_code == 0
    assert run.wall >= 0.5
    assert run.cpu >= 0.3
    assert 200 < run.memory < 300


def figures(wall: float = 1.0, cpu: float = 1.0, memory: float = 10.0, graph: int = 45, store: int = 1009) -> Figures:
    """Make the figures of one cycle."""
    return Figures(wall, cpu, memory, graph, 0, store)


def taken(**ours: float) -> dict[targets.Key, Figures]:
    """Make a whole table for 1,000 Pages where the script takes 100 s of wall and ours what is said."""
    table_of = {}
    for latency in (0, 50):
        for cycle in ("first", "idle"):
            table_of[1000, latency, "script", cycle] = figures(wall=100.0)
            table_of[1000, latency, "ours", cycle] = figures(**ours)
    return table_of


@pytest.mark.parametrize(
    ("ours", "missed"),
    [
        ({"wall": 2.5, "cpu": 0.5, "memory": 22.0}, []),
        ({"wall": 2.6, "cpu": 0.5}, ["idle cycle, wall at 50 ms"]),
        ({"wall": 5.1, "cpu": 0.5}, ["idle cycle, wall at 50 ms", "first cycle, wall at 50 ms"]),
        ({"cpu": 0.51}, ["idle cycle, CPU at 0 ms"]),
        ({"cpu": 0.5, "memory": 22.1}, ["peak memory, the worst cycle"]),
    ],
)
def test_a_ratio_beyond_its_bound_is_missed(ours: dict[str, float], missed: list[str]):
    """Each bound on a ratio holds at the bound itself and is missed just beyond it."""
    held = targets.ratio_targets(taken(**ours), 1000)
    assert len(held) == 4
    assert [target.what for target in held if not target.met] == missed


@pytest.mark.parametrize(
    ("pages", "graph", "vault", "aws"),
    [
        (1000, 45, (1009, 4009), (65, 3065)),
        (100, 9, (109, 409), (11, 311)),
        (101, 11, (110, 413), (13, 316)),
        (1, 7, (10, 13), (7, 10)),
    ],
)
def test_the_counts_grow_as_they_are_promised(pages: int, graph: int, vault: tuple[int, int], aws: tuple[int, int]):
    """Each bound on a count follows its formula, idle and with all Pages new, parts of a batch counted as a batch."""
    assert targets.graph_requests(pages) == graph
    assert (targets.vault_requests(pages, 0), targets.vault_requests(pages, pages)) == vault
    assert (targets.aws_requests(pages, 0), targets.aws_requests(pages, pages)) == aws


def test_the_worst_count_of_all_latencies_is_the_one_that_counts():
    """One round that asked too often misses the bound, whatever the others did."""
    held = taken()
    held[1000, 50, "ours", "idle"] = figures(graph=46, store=1010)
    missed = [target.what for target in targets.count_targets(held, 1000) if not target.met]
    assert missed == ["idle cycle, Graph requests", "idle cycle, Vault requests"]


@pytest.mark.parametrize(
    ("wall", "memory", "missed"),
    [
        (12.0, 10.0, []),
        (12.1, 10.0, ["first cycle, wall, 10,000 Pages", "idle cycle, wall, 10,000 Pages"]),
        (12.0, 10.1, ["memory a Page more, KiB"]),
    ],
)
def test_growth_is_held_to_the_work_that_grows(wall: float, memory: float, missed: list[str]):
    """Ten times the Pages may take twelve times the time, and each Page more ten KiB."""
    held = taken(wall=1.0, memory=50.0)
    for cycle in ("first", "idle"):
        held[10_000, 0, "ours", cycle] = figures(wall=wall, memory=50.0 + 9000 * memory / 1024)
    bounds = targets.growth_targets(held, 1000, 10_000)
    assert len(bounds) == 3
    assert [target.what for target in bounds if not target.met] == missed


def test_an_idle_cycle_asks_the_apps_quota_for_the_list_alone():
    """With fresh verdicts a cycle costs the list of Pages, a hundredth of a call a Page, and little beside it."""
    assert (targets.idle_calls(1000), targets.idle_calls(10)) == (25, 5.2)
    held = targets.count_targets({(1000, 0, "ours", "idle"): Figures(1, 1, 1, 31, 26, 9)}, 1000)
    assert [target.what for target in held if not target.met] == ["idle cycle, Graph calls"]


def test_a_daemon_is_held_to_a_small_share_of_the_script():
    """Without the start of a process and with all secrets known a cycle takes an eightieth of the script's time at most."""
    missed = [
        [target.what for target in targets.daemon_targets(taken(), 1000, Figures(wall, 0, 0, store_requests=asked))
         if not target.met]
        for wall, asked in ((1.25, 9), (1.26, 9), (1.25, 10))
    ]  # fmt: skip
    assert missed == [
        [],
        ["a daemon's idle cycle, wall at 50 ms"],
        ["a daemon's idle cycle, Vault requests"],
    ]


def test_a_later_idle_cycle_of_a_daemon_is_counted(tmp_path: Path):
    """What a running daemon asks of OpenBao once it has read everything does not grow with the Pages."""
    with openbao(tmp_path) as bao:
        rounds = Rounds(tmp_path, bao, 1, lambda _: None)
        few, more = rounds.later(20, 0), rounds.later(60, 0)
    assert few.store_requests
    assert few.store_requests == more.store_requests <= targets.LATER
    assert 0 < few.wall < 30


def test_the_table_fits_a_terminal_and_tells_what_was_missed():
    """No line is wider than 80 columns, a share reads as 1/N, and a missed bound says so."""
    held = {key: figures(wall=12345.67, graph=200_000, store=400_000) for key in taken()}
    text = table.comparison(held, 1000, 50) + "\n" + table.verdicts(targets.ratio_targets(held, 1000))
    assert max(map(len, text.splitlines())) <= 80
    assert "1/40.0" in text
    assert "MISSED" in text


def test_the_program_is_looked_for_beside_this_python():
    """What is measured is the program of this environment, whatever else is on the path."""
    assert programs.PROGRAM.parent == Path(sys.executable).parent
