"""The soak test finds each message that is untrue, repeated or missing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.decide import Candidate
from sync.core.model import Absent, Key, State, Verdict, Written
from sync.core.problems import Problem
from sync.core.report.events import events
from sync.core.report.json import as_json
from sync.core.report.notices import messages, slack
from tests.core.report.test_changes import (
    DEAD,
    DENIED,
    FOREIGN,
    GRAPH_DOWN,
    LOST,
    NO_ACCESS,
    OF_INVALID_USER,
    THROTTLED,
    Watch,
    candidate,
    two,
)
from tests.support.reports import GOOD, MAIN, of
from tests.support.values import KEY, current, fetched
from tools.soak.cycles import Cycles
from tools.soak.messages import heartbeats, wrong
from tools.soak.messages import slack as wrong_slack
from tools.soak.receivers import Arrival

Sent = list[dict[str, Any]]


@dataclass
class Stage:
    """Some cycles, what was logged of them, and what was sent."""

    cycles: Cycles = field(default_factory=Cycles)
    sent: Sent = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)

    def cycle(self, *pages: Any, is_check: bool = False, **changes: Any) -> None:
        """Run a cycle, or a check of some Pages, a minute after the last one."""
        name = f"01JD00000000000000000000{len(self.cycles.found):02}"
        report = self.watch.report(*pages, after=timedelta(minutes=1), cycle=name, is_check=is_check, **changes)
        self.cycles.add({**as_json(report), "is_check": is_check, "recorded_at": self.watch.now.timestamp()})
        self.cycles.lines[name] = [{"event": one.name, "level": one.level, **one.fields} for one in events(report)]
        self.sent += [dict(message) for message in messages(report, ("problem", "written"))]

    def wrong(self, *, taken: bool = True, is_end: bool = True) -> list[str]:
        """Return what is wrong of the messages that were sent."""
        return list(
            wrong(self.cycles, [Arrival(0.0, "/json", json.dumps(one), taken) for one in self.sent], is_end=is_end)
        )


@pytest.fixture
def stage() -> Stage:
    """Return cycles in which secrets are written, a problem begins, lasts, ends, recurs, and another one begins."""
    stage = Stage()
    written = {Key(KEY.store, "meta/pages/berlin"): Written("1", confirmed=True)}
    stage.cycle(of(fetched(), current(Absent())), outcomes=written)
    for found in (fetched(), LOST, LOST, fetched(), LOST):
        stage.cycle(*two(found))
    stage.cycle(of(LOST, current(Absent())), *two(LOST)[1:])
    assert [(one["kind"], one.get("status")) for one in stage.sent] == [
        ("written", None),
        ("problem", "started"),
        ("problem", "ended"),
        ("problem", "started"),
    ]
    return stage


def test_true_messages_have_no_difference(stage: Stage) -> None:
    """The messages of a problem that begins, ends and recurs, and of a write, agree with reports and log."""
    assert stage.wrong() == []


def _lost(sent: Sent) -> None:
    del sent[1]


def _lost_write(sent: Sent) -> None:
    del sent[0]


def _repeated(sent: Sent) -> None:
    sent.insert(2, {**sent[1], "id": f"{sent[1]['id'][:-1]}7"})


def _again(sent: Sent) -> None:
    sent.append(sent[-1])


def _late(sent: Sent) -> None:
    sent.append(sent.pop(1))


def _of_no_cycle(sent: Sent) -> None:
    sent[1]["cycle"] = "01JD0000000000000000000099"


def _set(number: int, **values: Any) -> Callable[[Sent], None]:
    def mistake(sent: Sent) -> None:
        sent[number] |= values

    return mistake


def _another_write(sent: Sent) -> None:
    sent[0]["secrets"][0]["fingerprint"] = "0" * 12


@pytest.mark.parametrize(
    "mistake",
    [
        _lost,
        _lost_write,
        _repeated,
        _again,
        _late,
        _of_no_cycle,
        _another_write,
        _set(1, problem="not-a-page"),
        _set(1, owner="meta"),
        _set(1, pages=["berlin", "oslo"]),
        _set(1, served={"broken": 2}, apps_down=2, effect="Apps have no valid token for 2 of 2 Pages now."),
        _set(1, apps_down=1),
        _set(1, effect="Apps have no valid token for 2 of 2 Pages now."),
        _set(1, status="lasts"),
        _set(1, status="ended", duration_seconds=0, since="2026-11-25T12:03:00Z"),
        _set(2, duration_seconds=60),
        _set(2, since="2026-11-25T12:02:00Z"),
        _set(2, status="started"),
        _set(3, since="2026-11-25T12:05:00Z"),
    ],
)
def test_a_mistake_is_found(stage: Stage, mistake: Callable[[Sent], None]) -> None:
    """A message that is untrue, repeated, late or missing is a difference."""
    mistake(stage.sent)
    assert stage.wrong()


def test_a_message_that_was_never_taken_is_found(stage: Stage) -> None:
    """At the end each message must have been taken; one that was not taken may come again."""
    assert stage.wrong(taken=False)
    stage.sent.append(stage.sent[-1])
    assert stage.wrong(taken=False, is_end=False) == []


def test_what_a_killed_daemon_announced_last_may_come_again(stage: Stage) -> None:
    """A kill before the memory was written makes the next daemon announce the same once more, and only then."""
    first = Stage()
    first.cycle(*two(fetched()))
    before = first.watch.reported
    first.cycle(*two(LOST))
    first.watch.reported = before
    first.cycle(*two(LOST))
    assert first.wrong()
    killed = replace(first, cycles=replace(first.cycles, killed={list(first.cycles.found)[1]}))
    assert killed.wrong() == []


def test_each_message_for_slack_is_one_of_the_others(stage: Stage) -> None:
    """A message that only one of the receivers was sent is a difference."""
    arrivals = [Arrival(0.0, "/slack", json.dumps(slack(one)), True) for one in stage.sent]
    instance = stage.sent[0]["instance"]
    assert list(wrong_slack(stage.sent, arrivals, instance)) == []
    assert list(wrong_slack(stage.sent, arrivals[1:], instance))
    assert list(wrong_slack(stage.sent[1:], arrivals, instance))


@pytest.mark.parametrize(("path", "is_true"), [("/heartbeat", True), ("/heartbeat/fail", False)])
def test_a_ping_says_how_the_last_cycle_ended(stage: Stage, path: str, is_true: bool) -> None:
    """A ping to /fail needs a cycle that failed or was held."""
    at = max(one.recorded_at for one in stage.cycles.found.values()) + 1
    found: Sequence[str] = list(heartbeats(stage.cycles, [Arrival(at, path, "", True)], "/heartbeat"))
    assert (found == []) == is_true


@pytest.mark.parametrize("joins", [True, False])
def test_a_cause_for_another_owner_may_begin_where_the_first_one_lasts(joins: bool) -> None:
    """A beginning without since when is a difference where nobody else has the cause any more, and only there."""
    stage = Stage()
    berlin, rome = two(LOST)
    mine, _ = two(candidate(replace(NO_ACCESS, owner="operator")))
    stage.cycle(berlin, rome)
    stage.cycle(mine, rome if joins else two(fetched())[1])
    begun = stage.sent[1]
    begun.pop("since", None)
    assert (begun["owner"], [what for what in stage.wrong() if "had begun before" in what]) == (
        "operator",
        [] if joins else [f"message {begun['id']}: {begun['title']} had begun before"],
    )


def test_two_warnings_are_two_causes() -> None:
    """A warning that no problem has is no beginning of what had begun."""
    stage = Stage()
    stage.cycle(*two(fetched()), warnings=("The log is full.",))
    stage.cycle(*two(fetched()), warnings=("The log is full.", "The state file is not written."))
    assert len(stage.sent) == 2
    assert stage.wrong() == []


def unknown(problem: Problem) -> Candidate:
    """Return the candidate of a Page for which Graph gave an error that says nothing of its token."""
    return candidate(problem, "page", State.UNKNOWN)


ODD = Problem("unexpected-graph-error", "An error.")
OF_PAGES = [
    *6 * [fetched()],
    *4 * [unknown(ODD)],
    *2 * [unknown(replace(ODD, owner="meta"))],
    unknown(Problem("policy-blocked", "No.")),
    LOST,
    GRAPH_DOWN,
    THROTTLED,
    OF_INVALID_USER,
]
OF_TOKENS = [
    *5 * [None],
    *3 * [ODD],
    replace(ODD, owner="meta"),
    Problem("policy-blocked", "No."),
    Problem("system-user-invalid", "It was revoked."),
]
IN_STORES = [*8 * [GOOD], DEAD, DENIED, FOREIGN]


@pytest.mark.parametrize("seed", range(60))
def test_messages_of_random_cycles_are_true(seed: int) -> None:
    """Whatever Pages, their system user's token and stores have in turns: each problem begins, lasts and ends by its messages.

    The Pages come and go, errors change hands, and some hide others.
    """
    chance, stage = random.Random(seed), Stage()

    for _ in range(chance.randint(3, 40)):
        names = [name for name in ("berlin", "rome", "oslo") if chance.random() < 0.95]
        problem = chance.choice(OF_TOKENS)
        token = MAIN if problem is None else replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(problem,)))
        pages = [of(chance.choice(OF_PAGES), chance.choice(IN_STORES), name=name) for name in names]
        is_check = chance.random() < 0.3
        stage.cycle(*(pages[:1] if is_check else pages), user_token=token, is_check=is_check)
    assert stage.wrong() == []
