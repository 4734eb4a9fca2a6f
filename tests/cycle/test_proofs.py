"""A value is written only on a proof that is at most a minute old."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sync.core.judge.decide import Kind
from sync.core.model import Key, SourceError, State
from sync.core.payload import Payload, PayloadTemplate
from sync.core.plan.guards import Brake
from sync.core.problems import Problem
from sync.cycle.apply import PROOF_AGE
from tests.support.clock import SequentialClock
from tests.support.fakes import Stage
from tests.support.values import APP_ID, DEFAULT_TEMPLATE


def pause(stage: Stage, seconds: float, then: Callable[[], None] = lambda: None) -> None:
    """Let so long pass between the last thing that is read and the first write, and something happen meanwhile."""

    def wait(call: str) -> None:
        if call == "skew":
            stage.clock.passed += seconds
            then()

    stage.world.before = wait


@pytest.mark.parametrize(
    ("seconds", "times"),
    [
        pytest.param(0, 1, id="at once"),
        pytest.param(30, 1, id="in half a minute, as many writes are still to come"),
        pytest.param(30.5, 2, id="just over half a minute"),
        pytest.param(600, 2, id="in ten minutes"),
    ],
)
def test_old_proof_is_asked_for_again(seconds: float, times: int) -> None:
    """Before a value is written Meta is asked again if the last answer has grown old."""
    stage = Stage("berlin", "paris")
    pause(stage, seconds)
    assert stage.cycle().result == "ok"
    assert len(stage.world.asked) == times


def test_token_revoked_between_proof_and_write_is_not_written() -> None:
    """A token that was revoked after it was proven is not written: kept, proof-lost, and the next cycle heals."""
    stage = Stage("berlin", "paris")
    pause(stage, 61, lambda: stage.world.invalid.add(stage.world.token(stage.pages[0])))
    report = stage.cycle()
    berlin, paris = report.pages
    assert (berlin.stores[0].action, berlin.stores[0].reason, berlin.stores[0].served) == (
        Kind.KEPT,
        "proof-lost",
        "absent",
    )
    assert (berlin.fetched, [problem.code for problem in berlin.problems]) == (State.INVALID, ["token-invalid"])
    assert (paris.stores[0].action, paris.stores[0].served) == (Kind.CREATED, "verified")
    assert (report.result, list(stage.stores["vault"].secrets)) == ("degraded", [stage.pages[1].targets[0]])
    stage.world.generation += 1
    pause(stage, 0)
    assert stage.cycle().result == "ok"


def test_token_revoked_right_after_its_write_is_broken_in_the_next_cycle() -> None:
    """A token that is revoked within its proof's minute is written; the next cycle reports broken, and heals if it can."""
    stage = Stage("berlin")
    pause(stage, 1, lambda: stage.world.invalid.add(stage.world.token(stage.pages[0])))
    assert stage.cycle().pages[0].stores[0].action is Kind.CREATED
    pause(stage, 0)
    report = stage.cycle()
    assert (report.pages[0].served, report.exit_code) == ("broken", 1)
    stage.world.generation += 1
    (entry,) = stage.cycle().pages[0].stores
    assert (entry.action, entry.reason, entry.served) == (Kind.REPLACED, "heal", "verified")


def test_proof_that_cannot_be_had_again_keeps_what_is_stored() -> None:
    """Where Meta cannot be asked again nothing is written; what it answered before counts, and the secret has the problem."""
    stage = Stage("berlin")
    down = SourceError(Problem("graph-unavailable", "Silence."), scope="graph")
    pause(stage, 61, lambda: stage.world.errors.update(messenger=down))
    report = stage.cycle()
    (page,) = report.pages
    assert (page.fetched, page.stores[0].reason, page.stores[0].served) == (State.VALID, "proof-lost", "absent")
    assert [problem.code for problem in page.stores[0].problems] == ["graph-unavailable"]
    assert stage.stores["vault"].writes == []


def test_template_that_changes_without_room_in_the_quota_makes_nothing_stale() -> None:
    """Where the quota allows no proof the writes wait, in one store; what is verified stays so, and so does the other store."""
    stage = Stage("berlin", "paris", "rome", stores=("vault", "aws"))
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    stage.cycle()
    stage.world.quota = 0
    payload = PayloadTemplate.parse({**DEFAULT_TEMPLATE, "team": "crm"}, {"id": "x", "app_id": APP_ID})
    for key in stage.stores["aws"].secrets:
        found = stage.stores["aws"].secrets[key]
        value = found.payload.reveal() if found.payload is not None else None
        assert isinstance(value, dict)
        stage.stores["aws"].secrets[key] = replace(found, payload=Payload({**value, "team": "crm", "page_id": "x"}))
    stage.pages = [replace(page, payload=payload) for page in stage.pages]
    stage.clock.passed = 900
    report = stage.cycle(brake=Brake(1.0, 1))
    assert {page.fetched for page in report.pages} == {State.VALID}
    found = {
        (entry.key.store, entry.action, entry.reason, entry.served) for page in report.pages for entry in page.stores
    }
    assert found == {
        ("vault", Kind.KEPT, "proof-lost", "verified"),
        ("aws", Kind.UNCHANGED, None, "verified"),
    }
    assert {tuple(notice.code for notice in page.stores[0].notices) for page in report.pages} == {("throttled",)}
    assert (report.result, report.exit_code) == ("ok", 0)
    stage.world.quota = None
    stage.clock.passed = 1800
    report = stage.cycle(brake=Brake(1.0, 1))
    assert {page.stores[0].reason for page in report.pages} == {"payload"}


def test_only_repairs_are_proven_from_the_reserve() -> None:
    """The proof of a write is urgent where a secret is missing or broken, and not where only its template changed."""
    stage = Stage("berlin", "paris", "rome")
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    stage.cycle()
    changed = PayloadTemplate.parse({**DEFAULT_TEMPLATE, "team": "crm"}, {"id": "101", "app_id": APP_ID})
    stage.pages[1] = replace(stage.pages[1], payload=changed)
    stage.stores["vault"].secrets.pop(stage.pages[0].targets[0])
    stage.stores["vault"].payloads.clear()
    stage.world.quota = 0
    stage.clock.passed = 900
    report = stage.cycle()
    assert [page.stores[0].action for page in report.pages] == [Kind.CREATED, Kind.KEPT, Kind.UNCHANGED]


def test_proof_that_ages_while_others_are_written_is_asked_for_again() -> None:
    """No value is written on a proof older than a minute, however long the writes before it take."""
    stage = Stage(*(f"p{number}" for number in range(40)), clock=SequentialClock())
    store = stage.stores["vault"]
    ages: list[float] = []
    proven: dict[str, float] = {}

    def slow(step: str, key: Key | None) -> None:
        if step == "data" and key is not None:
            ages.append(stage.clock.passed - proven[key.path.rpartition("/")[2]])
            stage.clock.passed += 17

    def note(call: str) -> None:
        if call == "debug":
            names = {stage.world.token(page): page.name for page in stage.pages}
            proven.update({names[token]: stage.clock.passed for token in stage.world.asked[-1]})

    store.before, stage.world.before = slow, note
    report = stage.cycle()
    assert report.result == "ok"
    assert max(ages) <= PROOF_AGE.total_seconds()
    assert len(stage.world.asked) > 1


def test_marks_alone_need_no_proof() -> None:
    """Where only marks are written no token is put anywhere, so Meta is not asked again."""
    stage = Stage("berlin")
    stage.cycle()
    stage.world.user_token = type(stage.world.user_token)("EAAanother-parent")
    pause(stage, 600)
    stage.world.asked.clear()
    (entry,) = stage.cycle().pages[0].stores
    assert (entry.action, entry.reason, len(stage.world.asked)) == (Kind.UPDATED, "marks", 1)
