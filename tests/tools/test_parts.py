"""``make soak`` runs all parts, and its exit code shows whether one failed."""

from __future__ import annotations

import pytest

from tools.soak.__main__ import parts
from tools.soak.parts import Part, run


def test_without_options_every_part_is_run_at_full_length() -> None:
    """Without options the parts are the hour, a hundred thousand seeds and the long tests."""
    hour, seeds, long = parts([])
    assert "--minutes=60" in hour.arguments
    assert "--seeds=0..100000" in seeds.arguments
    assert {"--long", "tests/faults", "tests/stores/vault/test_cluster.py"} <= set(long.arguments)


def test_one_part_can_be_run_alone() -> None:
    """The chosen parts run in the usual order, with the given options."""
    assert [part.name for part in parts(["--only", "long", "--only", "hour"])] == ["hour", "long"]
    (alone,) = parts(["--only", "hour", "--minutes", "0.5", "--seed", "7", "--pages", "3", "--keep"])
    assert alone.arguments[1:] == ["tools.soak.hour", "--minutes=0.5", "--pages=3", "--seed=7", "--keep"]


@pytest.mark.parametrize("wrong", ["1000", "5..5", "a..b", "..9", "-1..5"])
def test_invalid_seeds_are_refused_before_the_first_part(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid option of the second part is reported before the first part runs."""
    with pytest.raises(SystemExit) as ended:
        parts([f"--seeds={wrong}"])
    assert ended.value.code == 2
    assert "as 0..1000" in capsys.readouterr().err


def test_a_failed_part_stops_no_other_and_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Every part is run and reported with its result, and the exit code is 1."""
    code = run(
        [
            Part("first", ["-c", "print('2 wrong'); raise SystemExit(3)"]),
            Part("second", ["-c", "print('it is long')"]),
        ]
    )
    *_, heading, first, second = capsys.readouterr().out.splitlines()
    assert code == 1
    assert heading == "== all parts:"
    assert first == "== first: failed after 0 minutes: 2 wrong"
    assert second == "== second: passed after 0 minutes: it is long"


def test_a_part_that_is_killed_has_failed() -> None:
    """A part that did not finish has failed."""
    assert run([Part("killed", ["-c", "import os; os.kill(os.getpid(), 9)"])]) == 1


def test_the_exit_code_is_0_where_all_parts_pass() -> None:
    """The exit code is 0 if no part failed."""
    assert run([Part("fine", ["-c", "print('0 wrong')"])]) == 0
