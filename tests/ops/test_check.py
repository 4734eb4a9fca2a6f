"""The gate before checks: bounds, one check for all who ask at once, and turns with the cycles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from sync.core.report.check import CheckedPage
from sync.ops.check import MOST_A_MINUTE, Checks, Gate, Refusal
from sync.ops.turns import Turns
from sync.runtime.threads import Stopping, started
from tests.support.checker import FakeChecker, waited
from tests.support.clock import ShiftedClock

WAIT = 20.0
"""Seconds after which a test that waits for another thread has failed."""


class Stage:
    """A gate over a fake checker, after the first cycle."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.clock, self.turns, self.checker = ShiftedClock(), Turns(), FakeChecker(work)
        self.checks = Checks(self.checker, turns=self.turns, clock=self.clock)
        with self.turns.cycle():
            pass


@contextmanager
def held_up() -> Iterator[tuple[Stage, threading.Event]]:
    """Return a stage whose checks wait for an event."""
    release = threading.Event()
    try:
        yield Stage(lambda: release.wait(WAIT)), release
    finally:
        release.set()


def test_a_check_answers_what_it_found() -> None:
    """A check that ends in time is answered by its result, and by when the Page can be checked again."""
    stage = Stage()
    answer = waited(stage.checks, "berlin", WAIT)
    assert answer.status == 200
    assert answer.body == {
        "page": "berlin",
        "served": "verified",
        "fingerprint": "abc",
        "changed": True,
        "stores": [{"store": "vault", "served": "verified", "fingerprint": "abc", "changed": True}],
        "retry_after": 60,
    }


def test_a_page_is_checked_once_a_minute() -> None:
    """A second request within the minute is refused with the seconds that are left; after them it is admitted."""
    stage = Stage()
    assert waited(stage.checks, "berlin", WAIT).status == 200
    stage.clock.ahead += timedelta(seconds=20)
    refused = waited(stage.checks, "berlin", WAIT)
    assert refused.status == 429
    assert 38 <= (refused.retry_after or 0) <= 40
    assert refused.body["retry_after"] == refused.retry_after
    stage.clock.ahead += timedelta(seconds=40)
    assert waited(stage.checks, "berlin", WAIT).status == 200


def test_pages_of_a_minute_are_bounded() -> None:
    """Of many Pages a bounded number is checked in a minute; the others learn when one is possible again."""
    gate = Gate()
    assert [gate.admit(f"p{number}", 100.0) for number in range(MOST_A_MINUTE)] == [0] * MOST_A_MINUTE
    assert gate.admit("another", 130.0) == 30
    assert gate.admit("p0", 130.0) == 30
    assert len(gate.admitted) == MOST_A_MINUTE
    assert gate.admit("another", 160.0) == 0
    assert gate.admitted == {"another": 160.0}


def test_requests_at_once_share_one_check() -> None:
    """Twenty requests for one Page at once are one check, and each gets its result."""
    with held_up() as (stage, release), ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(waited, stage.checks, "berlin", WAIT) for _ in range(20)]
        assert stage.checker.batches.get(timeout=WAIT) == ["berlin"]
        release.set()
        assert [one.result(WAIT).status for one in asked] == [200] * 20
        assert stage.checker.batches.empty()


def test_a_check_that_takes_long_goes_on() -> None:
    """Who waited long enough is answered 202; who asks again shares the same check, which ends for all."""
    with held_up() as (stage, release):
        first = waited(stage.checks, "berlin", 0.01)
        assert (first.status, first.retry_after) == (202, 10)
        asked = stage.checks.ask("berlin")
        release.set()
        assert isinstance(asked, Future)
        asked.result(WAIT)
        assert stage.checks.answer("berlin", asked).status == 200
        assert stage.checker.batches.qsize() == 1


def test_a_client_that_gives_up_cancels_nothing() -> None:
    """A client cannot cancel a check that others may wait for."""
    with held_up() as (stage, release):
        asked = stage.checks.ask("berlin")
        assert isinstance(asked, Future)
        assert not asked.cancel()
        release.set()
        assert isinstance(asked.result(WAIT), CheckedPage)


def test_pages_that_wait_are_checked_together() -> None:
    """What is asked for during a check is one further check of all these Pages."""
    with held_up() as (stage, release):
        stage.checks.ask("berlin")
        assert stage.checker.batches.get(timeout=WAIT) == ["berlin"]
        more = [stage.checks.ask(name) for name in ("rome", "paris", "rome")]
        release.set()
        assert stage.checker.batches.get(timeout=WAIT) == ["rome", "paris"]
        assert [type(one.result(WAIT)) for one in more if isinstance(one, Future)] == [CheckedPage] * 3


def test_a_check_waits_for_the_running_cycle() -> None:
    """No check begins while a cycle runs; it begins when that has ended."""
    stage = Stage()
    with stage.turns.cycle():
        asked = stage.checks.ask("berlin")
        assert waited(stage.checks, "berlin", 0.7).status == 202
        assert stage.checker.batches.empty()
    assert isinstance(asked, Future)
    assert isinstance(asked.result(WAIT), CheckedPage)


def test_no_check_comes_before_the_first_cycle() -> None:
    """Before the first cycle nothing is known that a check could go on from."""
    clock, turns, checker = ShiftedClock(), Turns(), FakeChecker()
    asked = Checks(checker, turns=turns, clock=clock).ask("berlin")
    assert isinstance(asked, Future)
    with pytest.raises(TimeoutError):
        asked.result(0.2)
    with turns.cycle():
        assert checker.batches.empty()
    assert isinstance(asked.result(WAIT), CheckedPage)


def test_a_cycle_goes_before_the_checks_that_wait() -> None:
    """A cycle that becomes due during a check comes next, however many checks wait."""
    order: list[str] = []
    with held_up() as (stage, release):
        stage.checks.ask("berlin")
        stage.checker.batches.get(timeout=WAIT)
        stage.checker.work = lambda: order.append("check")

        def cycle() -> None:
            with stage.turns.cycle():
                order.append("cycle")

        waiting = threading.Thread(target=cycle)
        waiting.start()
        while not stage.turns._waiting_cycles:
            stage.clock.stop.wait(0.01)
        asked = stage.checks.ask("rome")
        release.set()
        waiting.join(WAIT)
        assert isinstance(asked, Future)
        asked.result(WAIT)
    assert order == ["cycle", "check"]


def test_a_refused_page_spends_nothing() -> None:
    """An unknown Page, and a quota that is used up, are answered at once, and count for nothing."""
    stage = Stage()
    stage.checker.refused = {"x": Refusal(404, "Unknown."), "berlin": Refusal(429, "Used up.", 300)}
    assert waited(stage.checks, "x").status == 404
    assert (waited(stage.checks, "berlin").status, waited(stage.checks, "berlin").retry_after) == (429, 300)
    stage.checker.refused = {}
    assert waited(stage.checks, "berlin", WAIT).status == 200


def test_shutdown_answers_all() -> None:
    """On shutdown each waiting request, the running check's and later ones are answered 503, and the thread ends."""

    def work() -> None:
        stage.clock.sleep(WAIT)

    stage = Stage(work)
    running = stage.checks.ask("berlin")
    stage.checker.batches.get(timeout=WAIT)
    waiting = stage.checks.ask("rome")
    stage.clock.stop.set()
    for name, asked in (("berlin", running), ("rome", waiting)):
        assert isinstance(asked, Future)
        assert isinstance(asked.result(WAIT), Refusal)
        assert stage.checks.answer(name, asked).status == 503
    assert waited(stage.checks, "paris").status == 503
    with pytest.raises(Stopping), stage.turns.check(stage.clock):
        pass


def test_an_edit_gets_its_turn_when_a_cycle_ends() -> None:
    """An edit that waits for a cycle has the turn at its end, and not only where it looks between two cycles."""
    turns, began, may_end = Turns(), threading.Event(), threading.Event()

    def cycle() -> None:
        with turns.cycle():
            began.set()
            may_end.wait(WAIT)

    running = started(cycle, name="cycle")
    began.wait(WAIT)
    with turns.if_free() as free:
        assert not free
    threading.Timer(0.05, may_end.set).start()
    with turns.if_free(WAIT) as free:
        assert free
    running.result(WAIT)
