"""A first cycle of thousands of Pages: one call each, no proof that is too old, and one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from sync.core.judge.decide import Kind
from sync.core.model import Key, StoreError
from sync.cycle import create
from sync.cycle.apply import PROOF_AGE
from sync.runtime.threads import Stopping
from tests.support.clock import SequentialClock
from tests.support.fakes import Stage

COUNT = create.MANY + 1
CALL = 0.05


def slow_stage(count: int = COUNT, **settings: object) -> Stage:
    """Set a stage of so many Pages, where each call of Graph and each step of a store takes 50 ms."""
    stage = Stage(*(f"p{number}" for number in range(count)), clock=SequentialClock(), **settings)  # type: ignore[arg-type]

    def pass_time(*_: object) -> None:
        stage.clock.passed += CALL

    stage.world.before = pass_time
    for store in stage.stores.values():
        store.before = pass_time
    return stage


def asked(stage: Stage) -> Counter[str]:
    """Count how often each Page's token was asked about."""
    names = {stage.world.token(page): page.name for page in stage.pages}
    return Counter(names[token] for tokens in stage.world.asked for token in tokens)


def test_each_token_of_a_long_first_cycle_is_asked_about_once() -> None:
    """However long all writes take together, each token costs one call, and none is written on an old proof."""
    stage = slow_stage()
    ages: list[float] = []
    proven: dict[str, float] = {}

    def note_proofs(call: str) -> None:
        stage.clock.passed += CALL
        if call == "debug":
            proven.update({token.reveal(): stage.clock.passed for token in stage.world.asked[-1]})

    def note_writes(step: str, key: Key | None) -> None:
        stage.clock.passed += CALL
        if step == "data" and key is not None:
            token = stage.world.token(next(page for page in pages if page.targets[0] == key))
            ages.append(stage.clock.passed - proven[token.reveal()])

    pages = stage.pages
    stage.world.before, stage.stores["vault"].before = note_proofs, note_writes
    report = stage.cycle()
    assert stage.clock.passed > 2 * PROOF_AGE.total_seconds()
    assert set(asked(stage).values()) == {1}
    assert max(ages) <= PROOF_AGE.total_seconds()
    assert [page.name for page in report.pages] == [page.name for page in stage.pages]
    assert (report.result, report.summary["created"], report.summary["verified"]) == ("ok", COUNT, COUNT)
    assert report.checksum is None


def test_second_cycle_knows_all_of_the_first() -> None:
    """What was learnt piece by piece is remembered as one: the next cycle asks only what is due, and writes nothing."""
    stage = slow_stage()
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    stage.cycle()
    stage.world.asked.clear()
    stage.stores["vault"].writes.clear()
    report = stage.cycle()
    assert (report.result, report.summary["unchanged"], stage.stores["vault"].writes) == ("ok", COUNT, [])
    assert sum(len(tokens) for tokens in stage.world.asked) < COUNT / 100


def test_pages_with_secrets_are_looked_at_first_and_together() -> None:
    """Beside thousands of creations the others are judged as always: the brake sees all of them, and a heal is done."""
    stage = Stage(*(f"p{number}" for number in range(COUNT + 9)))
    everyone = stage.pages
    stage.pages = everyone[-9:]
    stage.cycle()
    wrong = [stage.world.token(page) for page in stage.pages[:4]]
    stage.world.generation += 1
    stage.world.invalid.add(wrong[0])
    stage.world.owners.update(dict.fromkeys(wrong[1:], "another Page"))
    stage.pages = everyone
    report = stage.cycle()
    found = Counter((page.stores[0].action, page.stores[0].reason) for page in report.pages)
    assert found == {
        (Kind.CREATED, None): COUNT,
        (Kind.REPLACED, "heal"): 1,
        (Kind.HELD, "brake"): 3,
        (Kind.KEPT, None): 5,
    }
    assert [page.name for page in report.pages] == [page.name for page in everyone]
    assert (report.exit_code, report.checksum is None) == (4, False)


def test_each_system_user_has_its_turn_in_each_piece() -> None:
    """Where the quota ends in the first piece, each system user has got its share of it."""
    stage = Stage(*(f"p{number}" for number in range(COUNT + 9)), users=("main", "second"))
    stage.pages.sort(key=lambda page: page.system_user)
    stage.cycle()
    users = {stage.world.token(page): page.system_user for page in stage.pages}
    first = Counter(users[token] for token in stage.world.asked[0])
    assert abs(first["main"] - first["second"]) <= 1


@pytest.mark.parametrize(
    ("given", "write"),
    [pytest.param({"if_plan": "sha256:0"}, True, id="--if-plan"), pytest.param({}, False, id="plan")],
)
def test_plan_that_is_looked_at_is_made_as_a_whole(given: dict[str, str], write: bool) -> None:
    """A plan, and its execution by its checksum, judge all Pages before anything is written."""
    stage = Stage(*(f"p{number}" for number in range(COUNT)))
    report = stage.cycle(write=write, **given)  # type: ignore[arg-type]
    assert [len(tokens) for tokens in stage.world.asked] == [COUNT]
    assert stage.stores["vault"].writes == []
    report = stage.cycle(if_plan=report.checksum)
    assert (report.result, report.summary["created"]) == ("ok", COUNT)


def test_writes_that_fail_are_reported_and_left_to_the_next_cycle() -> None:
    """A secret whose creation failed is failed in the report, and part of the plan that is left; the others are created."""
    stage = Stage(*(f"p{number}" for number in range(COUNT)))
    store, full = stage.stores["vault"], StoreError("quota", "Full.", "Free space.")
    bad = [stage.pages[number].targets[0] for number in (3, COUNT - 1)]

    def fill(step: str, key: Key | None) -> None:
        if step == "data" and key in bad:
            store.down_at[key] = full

    store.before = fill
    report = stage.cycle()
    assert (report.summary["created"], report.summary["failed"]) == (COUNT - 2, 2)
    assert {page.stores[0].error_code for page in report.pages} == {None, "quota"}
    assert report.checksum is not None
    store.before, store.down_at = lambda _, __: None, {}
    report = stage.cycle()
    assert (report.result, report.summary["created"]) == ("ok", 2)


def _stop_at(stage: Stage, number: int, call: str) -> Callable[[str], None]:
    count = 0

    def before(name: str) -> None:
        nonlocal count
        count += name == call
        if name == call and count == number:
            stage.clock.stopping = True
        stage.clock.check()

    return before


def test_shutdown_between_two_pieces_loses_nothing() -> None:
    """What was written before shutdown is reported and remembered; the rest is left undone, and the next start does it."""
    stage = Stage(*(f"p{number}" for number in range(COUNT)))
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    stage.world.before = _stop_at(stage, 2, "debug")
    report = stage.cycle()
    done = report.summary["created"]
    assert 0 < done < COUNT
    assert len(stage.stores["vault"].secrets) == done
    assert Counter(page.stores[0].reason for page in report.pages) == {None: done, "shutdown": COUNT - done}
    assert report.frame.cut_short
    assert report.summary["not_begun"] == COUNT - done
    stage.clock.stopping, stage.world.before = False, lambda _: None
    stage.world.asked.clear()
    report = stage.cycle()
    assert (report.result, report.summary["unchanged"], report.summary["created"]) == ("ok", done, COUNT - done)
    assert sum(len(tokens) for tokens in stage.world.asked) == COUNT - done


def test_shutdown_before_the_first_write_passes_through() -> None:
    """As long as nothing is written, shutdown ends the cycle where it is."""
    stage = Stage(*(f"p{number}" for number in range(COUNT)))
    stage.world.before = _stop_at(stage, 1, "debug")
    with pytest.raises(Stopping):
        stage.cycle()
    assert stage.stores["vault"].writes == []


def test_selection_of_many_new_pages_is_a_share_of_the_whole_store() -> None:
    """The brake counts the Pages that a selection leaves out, and not those that it creates."""
    stage = Stage(*(f"p{number}" for number in range(COUNT + 13)))
    everyone = stage.pages
    stage.pages = everyone[-13:]
    stage.cycle()
    wrong = [stage.world.token(page) for page in stage.pages[:4]]
    stage.world.generation += 1
    stage.world.owners.update(dict.fromkeys(wrong, "another Page"))
    stage.pages = everyone[:-9]
    report = stage.cycle(selected_from=frozenset(key for page in everyone for key in page.targets))
    assert Counter(page.stores[0].reason for page in report.pages) == {None: COUNT, "brake": 4}
