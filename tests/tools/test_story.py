"""The soak test compares each line of the log with the report of its cycle."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.core.report.events import events
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.sandbox.world.tokens import REVOKED
from tests.simulation.days import AWAY, Days
from tools.soak.story import Story

Lines = list[dict[str, Any]]


def _lines(report: Report) -> Lines:
    return [{"event": event.name, "level": event.level, **event.fields} for event in events(report)]


@pytest.fixture
def broken(tmp_path: Path) -> tuple[Report, Report]:
    """Return the reports of a quiet cycle, and of one in which a stored token is found broken."""
    days = Days(tmp_path, (4,))
    days.run(0.5)
    quiet = days.cycle()
    page = days.page()
    _, token = days.stored(days.key(page))
    assert token is not None
    days.world.tokens[token].invalid_reason = REVOKED
    return quiet, days.cycle()


def test_a_true_log_has_no_difference(tmp_path: Path) -> None:
    """Days with a store that fails, a revoked token, a lost Page and an invalid system user agree with their log."""
    days, story = Days(tmp_path, (5, 3), stores=("disk", "second")), Story()

    def wrong(cycles: int = 2) -> list[str]:
        reports = [days.cycle() for _ in range(cycles)]
        return [what for report in reports for what in story.compare(as_json(report), _lines(report))]

    assert wrong(4) == []
    days.stores["second"].down = AWAY
    days.world.revoke_page(days.page(1))
    assert wrong(3) == []
    days.stores["second"].down = None
    tasks = days.users["user0"].assigned.pop(gone := days.page().id)
    assert wrong(12) == []
    days.users["user0"].assigned[gone] = tasks
    days.world.invalidate(days.users["user1"])
    assert wrong(4) == []
    days.world.restore(days.users["user1"])
    days.set_clock(timedelta(hours=-2))
    assert wrong(8) == []


def _unsaid(lines: Lines) -> None:
    lines[:] = [line for line in lines if line["event"] != "served_changed"]


def _untrue(lines: Lines) -> None:
    next(line for line in lines if line["event"] == "served_changed")["served"] = "absent"


def _another_problem(lines: Lines) -> None:
    next(line for line in lines if line.get("problem"))["problem"] = "wrong-app"


def _another_owner(lines: Lines) -> None:
    next(line for line in lines if line["event"] == "problem_started")["owner"] = "meta"


def _quiet(lines: Lines) -> None:
    next(line for line in lines if line["event"] == "served_changed")["level"] = "info"


def _ended(lines: Lines) -> None:
    began = next(line for line in lines if line["event"] == "problem_started")
    lines.insert(0, {**began, "event": "problem_ended"})


def _written(lines: Lines) -> None:
    lines.insert(0, {"event": "page_written", "level": "info", "page": "berlin", "store": "disk"})


def _miscounted(lines: Lines) -> None:
    lines[-1]["verified"] = 4


def _unfinished(lines: Lines) -> None:
    lines.pop()


@pytest.mark.parametrize(
    "mistake",
    [_unsaid, _untrue, _another_problem, _another_owner, _quiet, _ended, _written, _miscounted, _unfinished],
    ids=lambda mistake: mistake.__name__.strip("_"),
)
def test_a_mistake_is_found(broken: tuple[Report, Report], mistake: Callable[[Lines], None]) -> None:
    """Each line that is not so, and each that is missing, is a difference, and without the mistake there is none."""
    quiet, report = broken
    lines = copy.deepcopy(_lines(report))
    mistake(lines)
    for second, differs in ((_lines(report), False), (lines, True)):
        story = Story()
        assert list(story.compare(as_json(quiet), _lines(quiet))) == []
        assert bool(list(story.compare(as_json(report), second))) == differs


def test_a_line_without_news_is_found(broken: tuple[Report, Report]) -> None:
    """A cycle like the one before logs that it has finished, and nothing else."""
    story = Story()
    quiet, report = broken
    list(story.compare(as_json(quiet), _lines(quiet)))
    again = [*_lines(report)[:1], *_lines(quiet)]
    assert any(what.startswith("nothing changed") for what in story.compare(as_json(quiet), again))


def test_a_second_write_of_somebody_else_is_news(broken: tuple[Report, Report]) -> None:
    """Another version of a secret makes a line true, though the report says all else as before."""
    story = Story()
    quiet, _ = broken
    first = as_json(quiet)
    list(story.compare(first, _lines(quiet)))
    second = copy.deepcopy(first)
    target = second["pages"][0]["stores"][0]
    target["version"] = "99"
    written = {
        "event": "secret_changed",
        "level": "warning",
        "page": second["pages"][0]["name"],
        "store": target["store"],
    }
    assert list(story.compare(second, [written, *_lines(quiet)])) == []
    assert list(story.compare(second, [written, *_lines(quiet)]))
