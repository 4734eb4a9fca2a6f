"""What the log of a day holds, by whole cycles over fakes: few lines, each true when it is written, and no Page forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.core.memory.memory import Memory
from sync.core.model import Key, SourceError, State, StoreError
from sync.core.plan.guards import Brake
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.event import Event
from sync.core.report.events import events
from sync.cycle import Task, run
from sync.sandbox.api.states import switch_off
from sync.state import StateFile
from tests.support.fakes import Stage, StoreInMemory
from tests.support.graph_stage import Stage as GraphStage
from tests.support.values import INSTANCE, NOW

EVERY = timedelta(minutes=15)
STARTS = ("problem_started", "system_user_invalid", "app_refused", "graph_throttled", "store_failed", "page_refused")
"""The events that a cause of problems begins with."""
DAY = range(96)
"""The cycles of a day."""
INVALID_USER = SourceError(Problem("system-user-invalid", "It was revoked."), State.INVALID, "system_user")
OF_USER = SourceError(Problem("system-user-invalid", "It was revoked."), State.UNKNOWN, "system_user")
NO_PERMISSION = SourceError(
    Problem("no-access", "(#283) Requires pages_read_engagement permission.", graph_code=283), State.INVALID
)
THROTTLED = SourceError(Problem("throttled", "Application request limit reached."), State.UNKNOWN, "app")
DOWN = StoreError("unreachable", "https://vault.internal:8200 is not reachable.", "Start it.", whole=True)


@dataclass(frozen=True)
class Line:
    """One line of the log, and the number of its cycle."""

    cycle: int
    at: datetime
    event: Event

    def names(self) -> Sequence[str]:
        """Return the names of its Pages."""
        fields = self.event.fields
        return fields.get("pages") or ([fields["page"]] if "page" in fields else [])


class Diary:
    """The log of many cycles; ``loud`` are the lines beside ``cycle_finished``."""

    def __init__(self, *names: str, **stage: Any) -> None:
        self.stage = Stage(*names, **stage)
        self.stage.remembers = True
        self.stage.changes = {"brake": Brake(share=1.0)}
        self.lines: list[Line] = []
        self.cycles = 0

    def run(self, cycles: int, before: Callable[[int], None] = lambda _: None) -> Sequence[Line]:
        """Run so many cycles; return their lines beside ``cycle_finished``."""
        first = len(self.lines)
        for number in range(cycles):
            before(number)
            report = self.stage.cycle()
            made = [Line(self.cycles, self.stage.clock.now(), event) for event in events(report)]
            assert [line.event.name for line in made].count("cycle_finished") == 1
            self.lines += made
            self.cycles += 1
            self.stage.clock.advance(EVERY.total_seconds())
        return [line for line in self.lines[first:] if line.event.name != "cycle_finished"]

    def story(self, page: str) -> Sequence[str]:
        """Return the names of the events that name a Page, as ``grep`` finds them."""
        return [line.event.name for line in self.lines if page in line.names()]


def pages(count: int) -> Sequence[str]:
    """Return names of Pages."""
    return [f"page-{number}" for number in range(count)]


def problems_of(lines: Sequence[Line]) -> Sequence[tuple[int, str, str | None]]:
    """Return the cycle, the event and the problem of each line."""
    return [(line.cycle, line.event.name, line.event.fields.get("problem")) for line in lines]


def test_a_quiet_day_is_one_line_a_cycle() -> None:
    """After the first cycle nothing but the end of each cycle is logged, at any level."""
    diary = Diary(*pages(40))
    diary.run(2)
    assert diary.run(96) == []


@pytest.mark.parametrize("tokens_die", [False, True])
def test_a_day_with_an_invalid_system_user_is_a_few_lines(tokens_die: bool) -> None:
    """Forty Pages of an invalid system user are at most ten lines a day, and each Page whose token stops working is named."""
    diary = Diary(*pages(40))
    diary.run(2)
    world = diary.stage.world

    def revoked(number: int) -> None:
        world.errors["main"] = INVALID_USER
        world.errors |= dict.fromkeys(pages(40), OF_USER)
        if tokens_die and number == 4:
            world.invalid |= {world.token(page) for page in diary.stage.pages}

    lines = diary.run(len(DAY), revoked)
    assert len(lines) <= 10
    assert problems_of(lines)[0] == (2, "system_user_invalid", "system-user-invalid")
    broken = [line for line in lines if line.event.fields.get("served") == "broken" or "broken" in line.event.fields]
    assert {line.event.level for line in broken} <= {"error"}
    changed = {name for line in lines if line.event.name == "served_changed" for name in line.names()}
    assert changed == (set(pages(40)) if tokens_die else set())
    world.errors.clear()
    world.generation += 1
    after = diary.run(3)
    ended = [line for line in after if line.event.name == "problem_ended"]
    assert "system-user-invalid" in {line.event.fields["problem"] for line in ended}
    assert [
        line.event.fields["duration_ms"] for line in ended if line.event.fields["problem"] == "system-user-invalid"
    ] == [96 * 15 * 60 * 1000]
    assert diary.run(4) == []


def test_a_store_that_is_down_for_six_hours_is_a_beginning_and_an_end() -> None:
    """The failure begins once and ends once; what apps get is said at both moments, and the other store has no line."""
    diary = Diary(*pages(10), stores=("vault", "aws"))
    diary.run(2)

    def down(number: int) -> None:
        diary.stage.stores["vault"].down = DOWN if number < 24 else None

    lines = diary.run(len(DAY), down)
    assert problems_of(lines) == [
        (2, "store_failed", "store-failed"),
        (2, "served_changed", "store-failed"),
        (26, "problem_ended", "store-failed"),
        (26, "served_changed", None),
    ]
    assert [line.event.fields.get("served") for line in lines if line.event.name == "served_changed"] == [
        "stale",
        "verified",
    ]
    assert all(line.event.fields["store"] == "vault" and list(line.names()) == list(pages(10)) for line in lines)
    assert lines[2].event.fields["duration_ms"] == 6 * 3600 * 1000


def test_a_throttled_app_is_a_beginning_and_an_end() -> None:
    """Whatever the number of Pages, a throttle of three hours is two lines."""
    diary = Diary(*pages(30))
    diary.run(2)
    world = diary.stage.world

    def throttled(number: int) -> None:
        world.errors = dict.fromkeys(pages(30), THROTTLED) if number < 12 else {}

    lines = diary.run(40, throttled)
    assert problems_of(lines) == [(2, "graph_throttled", "throttled"), (14, "problem_ended", "throttled")]


def test_thirty_pages_that_never_worked_are_one_line_a_day() -> None:
    """One cause is one line when it begins and one a day; no Page is called lost that never worked."""
    diary = Diary(*pages(30))
    diary.stage.world.errors = dict.fromkeys(pages(30), NO_PERMISSION)
    lines = diary.run(2 * len(DAY))
    assert problems_of(lines) == [(0, "problem_started", "no-access"), (96, "problem_reminder", "no-access")]
    assert list(lines[0].names()) == list(pages(30))
    diary.stage.world.errors = {}
    diary.run(30)
    assert diary.story("page-7") == [
        *("problem_started", "problem_reminder"),
        *("problem_ended", "served_changed", "page_written"),
    ]


def test_a_page_that_loses_access_has_its_story_in_the_log() -> None:
    """A Page that joins others with the same cause is named when it joins, when it counts as lost, and when it is back."""
    diary = Diary(*pages(12))
    diary.run(2)
    world = diary.stage.world
    world.errors["page-1"] = NO_PERMISSION
    diary.run(8)
    world.errors["page-2"] = NO_PERMISSION
    diary.run(8)
    world.errors = {}
    diary.run(30)
    for name in ("page-1", "page-2"):
        assert [event for event in diary.story(name) if event != "page_written"] == [
            *("problem_started", "page_lost", "problem_ended", "page_regained")
        ]
    assert [event for event in diary.story("page-3") if event != "page_written"] == []


def test_a_cause_that_comes_and_goes_with_each_cycle_does_not_flood() -> None:
    """A throttle in every second cycle is three lines a day, and ends an hour after it was last found."""
    diary = Diary(*pages(30))
    diary.run(2)
    world = diary.stage.world

    def flapping(number: int) -> None:
        world.errors = dict.fromkeys(pages(30), THROTTLED) if number % 2 == 0 else {}

    lines = diary.run(len(DAY), flapping)
    assert problems_of(lines) == [
        (2, "graph_throttled", "throttled"),
        (3, "problem_ended", "throttled"),
        (4, "graph_throttled", "throttled"),
    ]
    assert problems_of(diary.run(8)) == [(100, "problem_ended", "throttled")]


@pytest.mark.parametrize("with_state", [True, False])
def test_a_restart_in_the_middle_of_trouble(tmp_path: Path, with_state: bool) -> None:
    """With a state file a restart repeats no line; without one each open cause begins again, and nothing else does."""
    diary = Diary(*pages(5))
    diary.run(2)
    diary.stage.world.errors["page-1"] = NO_PERMISSION
    diary.stage.stores["vault"].down_at = {Key("vault", "meta/pages/page-2"): DOWN}
    before = diary.run(10)
    assert {line.event.name for line in before} >= {"problem_started", "store_failed"}
    diary.stage.memory = restarted(diary, tmp_path / "state.json") if with_state else Memory()
    after = diary.run(4)
    begun = [("problem_started", "no-access"), ("store_failed", "store-failed")]
    assert sorted(line[1:] for line in problems_of(after) if line[1] != "page_lost") == ([] if with_state else begun)
    diary.stage.world.errors.clear()
    diary.stage.stores["vault"].down_at = {}
    ended = [line[1:] for line in problems_of(diary.run(40)) if line[1] == "problem_ended"]
    assert sorted(ended) == [("problem_ended", "no-access"), ("problem_ended", "store-failed")]


def test_a_kill_between_the_cycle_and_its_log_repeats_the_line_and_never_loses_it(tmp_path: Path) -> None:
    """What was saved before the log holds what was reported before, so that the next start logs it."""
    diary = Diary(*pages(5))
    diary.run(2)
    reported = diary.stage.memory.reported
    diary.stage.world.errors["page-1"] = NO_PERMISSION
    (first,) = diary.run(1)
    diary.stage.memory = replace(diary.stage.memory, reported=reported)
    diary.stage.memory = restarted(diary, tmp_path / "state.json")
    (second,) = diary.run(1)
    assert (first.event.name, second.event.name) == ("problem_started", "problem_started")


def restarted(diary: Diary, path: Path) -> Memory:
    """Return the memory after a restart: as the state file has it."""
    StateFile(path, INSTANCE, clock=diary.stage.clock).save(diary.stage.memory)
    other = StateFile(path, INSTANCE, clock=diary.stage.clock)
    loaded = other.load()
    assert other.warning == ""
    return loaded


def test_a_duration_is_the_time_between_two_lines() -> None:
    """Each line is true when it is written: the end of a cause names the moment of its beginning."""
    diary = Diary(*pages(3))
    diary.run(2)
    diary.stage.world.errors["page-1"] = NO_PERMISSION
    (began, *_) = diary.run(5)
    diary.stage.world.errors.clear()
    (ended,) = [line for line in diary.run(20) if line.event.name == "problem_ended"]
    assert began.at - NOW == 2 * EVERY
    assert ended.event.fields["since"] == f"{began.at:%Y-%m-%dT%H:%M:%SZ}"
    assert ended.event.fields["duration_ms"] == (ended.at - began.at).total_seconds() * 1000


@pytest.mark.parametrize(
    "fault",
    [
        *("", "unassigned", "missing-permission", "deleted", "checkpoint", "capability", "two-factor", "app-blocked"),
        *("hang", "server-error", "version-unknown", "debug-partial", "revoked", "invalid", "missing-scope", "moved"),
    ],
)
def test_each_fault_of_the_sandbox_is_a_few_lines_and_ends(fault: str) -> None:
    """With Graph's own client, four hours of a fault of twenty Pages are at most eight lines; each cause that began ends.

    Without a name it is the system user whose token is revoked.
    """
    stage, store, memory = GraphStage(pages=20), StoreInMemory(), Memory()
    configured = [replace(page, targets=(Key("vault", page.name),)) for page in stage.pages()]
    lines: list[Event] = []
    for cycle in range(28):
        if cycle == 2:
            stage.fault(fault) if fault else stage.world.invalidate(stage.world.user)
        if cycle == 18:
            switch_off(stage.world)
            stage.world.restore(stage.world.user)
        known = {token: judged.facts for token, judged in memory.judged.items()}
        source = stage.source(pools=memory.pools, known=known)
        task = Task(INSTANCE, configured, source, {"vault": store}, stage.clock, memory)
        report, memory = run(task, write=True)
        lines += [
            event for event in events(report) if cycle > 0 and event.name not in ("cycle_finished", "page_written")
        ]
        stage.clock.advance(EVERY.total_seconds())
    begun = {(event.fields["problem"]) for event in lines if event.name in STARTS}
    ended = {(event.fields["problem"]) for event in lines if event.name == "problem_ended"}
    assert len(lines) <= 8
    assert begun == ended != set()
    assert report.result == "ok"
    assert all(known.ended_at is not None for known in memory.reported.problems.values())


def test_a_permission_that_a_system_user_lost_is_a_beginning_and_an_end() -> None:
    """What all Pages of a system user share is no loss of each of them, however long it lasts."""
    diary = Diary(*pages(12))
    diary.run(2)
    lacks = Problem("missing-permission", "The system user token lacks the permission pages_show_list.")

    def lost(number: int) -> None:
        error = SourceError(lacks, State.INVALID)
        diary.stage.world.errors = dict.fromkeys(pages(4), error) if number < 20 else {}

    assert problems_of(diary.run(60, lost)) == [
        (2, "problem_started", "missing-permission"),
        (22, "problem_ended", "missing-permission"),
    ]


def test_pages_that_are_lost_for_different_reasons_share_a_line_that_is_true_of_each() -> None:
    """The line of several Pages quotes the message of none where they differ."""
    diary = Diary(*pages(12))
    diary.run(2)
    for name, text in (("page-1", "Graph answered for the Page without a token."), ("page-2", "Graph says: (#100) x")):
        diary.stage.world.errors[name] = SourceError(Problem("no-access", text), State.INVALID)
    (lost,) = [line for line in diary.run(8) if line.event.name == "page_lost"]
    assert list(lost.names()) == ["page-1", "page-2"]
    assert lost.event.fields["message"] == CATALOGUE["no-access"].meaning


def test_a_partial_answer_about_a_new_token_is_asked_again_in_the_next_cycle() -> None:
    """While debug_token leaves out a field, its problem lasts, though the stored tokens are good; the first whole answer ends it."""
    stage, store, memory = GraphStage(pages=5), StoreInMemory(), Memory()
    configured = [replace(page, targets=(Key("vault", page.name),)) for page in stage.pages()]
    logged: list[tuple[int, str]] = []
    for cycle in range(6):
        if cycle == 1:
            for page in stage.world.pages.values():
                page.generation += 1
            stage.fault("debug-partial=profile_id")
        if cycle == 4:
            switch_off(stage.world)
        known = {token: judged.facts for token, judged in memory.judged.items()}
        source = stage.source(pools=memory.pools, known=known)
        report, memory = run(Task(INSTANCE, configured, source, {"vault": store}, stage.clock, memory), write=True)
        logged += [(cycle, event.name) for event in events(report) if event.name.startswith("problem")]
        stage.clock.advance(EVERY.total_seconds())
    assert logged == [(1, "problem_started"), (4, "problem_ended")]
