"""Idle cycles, killed cycles, and cycles in which one thing is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.model import Key, SourceError, State, StoreError
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.report import Report
from tests.support.fakes import Killed, Stage
from tests.support.values import marks, stored

pytestmark = pytest.mark.slow


def test_changing_strings_make_no_write_in_a_thousand_cycles() -> None:
    """Though Graph gives another string in every cycle, an idle cycle makes no write call and no version."""
    stage = Stage("berlin", "paris", stores=("vault", "aws"))
    stage.world.changing = True
    stage.cycle()
    before = {name: list(store.writes) for name, store in stage.stores.items()}
    for _ in range(1000):
        assert stage.cycle().result == "ok"
    assert {name: store.writes for name, store in stage.stores.items()} == before


def prepare(changing: bool) -> Stage:
    """Set a stage with a Page to create, one to heal, one to bring up to date and one that is as wanted."""
    stage = Stage("create", "heal", "label", "idle")
    for page in stage.pages[1:]:
        stage.cycle(pages=[page])
    stage.world.invalid.add(stage.world.token(stage.pages[1]))
    stage.world.generation += 1
    stage.world.changing = changing
    stage.pages[2] = replace(stage.pages[2], labels={"team": "crm"})
    return stage


def killed_at(stage: Stage, count: int) -> bool:
    """Run a cycle that is killed at the count-th step of the store; False where it ended before."""
    store, steps = stage.stores["vault"], iter(range(count))

    def kill(step: str, _: Key | None) -> None:
        if next(steps, None) is None:
            raise Killed

    store.before = kill
    try:
        stage.cycle()
    except Killed:
        return True
    finally:
        store.before = lambda _, __: None
    return False


@pytest.mark.parametrize("changing", [False, True], ids=["steady strings", "changing strings"])
def test_kill_between_any_two_steps_is_repaired_by_the_next_cycle(changing: bool) -> None:
    """Wherever a cycle is killed the next one ends as wanted, with nothing refused and at most one version more."""
    undisturbed = prepare(changing)
    undisturbed.cycle()
    wanted = {key.path: len(all_of) for key, all_of in undisturbed.stores["vault"].payloads.items()}
    count = 0
    while killed_at(stage := prepare(changing), count):
        report = stage.cycle()
        assert (report.result, report.summary["refused"]) == ("ok", 0), count
        settled = stage.cycle()
        assert {entry.action.value for page in settled.pages for entry in page.stores} <= {"unchanged", "kept"}, count
        store = stage.stores["vault"]
        for key, all_of in store.payloads.items():
            assert len(all_of) <= wanted[key.path] + 1, (count, key)
        for page in stage.pages:
            one = store.secrets[page.targets[0]]
            token = page.payload.token_in(one.payload)
            assert one.marks is not None
            assert token is not None
            assert one.marks.fingerprint == token.fingerprint
        count += 1
    assert count > 10


def entries(report: Report) -> dict[Key, Any]:
    """Return each target's entry without what every cycle changes."""
    return {
        entry.key: (page.fetched, replace(entry, verified_at=None)) for page in report.pages for entry in page.stores
    }


def world_of_many() -> Stage:
    """Set a stage with six Pages of two system users in two stores, half of them to be created."""
    stage = Stage(*(f"p{number}" for number in range(6)), stores=("vault", "aws"), users=("main", "second"))
    stage.cycle(pages=stage.pages[:3])
    return stage


Break = Callable[[Stage], frozenset[Key]]


def _at(stage: Stage, *, name: str = "", user: str = "", store: str = "") -> frozenset[Key]:
    return frozenset(
        key
        for page in stage.pages
        for key in page.targets
        if name in ("", page.name) and user in ("", page.system_user) and store in ("", key.store)
    )


def page_refused(number: int, code: str, state: Any) -> Break:
    """Let Graph refuse one Page."""

    def broken(stage: Stage) -> frozenset[Key]:
        stage.world.errors[f"p{number}"] = SourceError(Problem(code, "No."), state)
        return _at(stage, name=f"p{number}")

    return broken


def user_dead(user: str) -> Break:
    """Let one system user die."""

    def broken(stage: Stage) -> frozenset[Key]:
        stage.world.errors[user] = SourceError(Problem("system-user-invalid", "No."), State.UNKNOWN, "system_user")
        return _at(stage, user=user)

    return broken


def store_down(store: str, reason: Any) -> Break:
    """Let one store fail as a whole."""

    def broken(stage: Stage) -> frozenset[Key]:
        stage.stores[store].down = StoreError(reason, "No.", "Wait.", whole=True)
        return _at(stage, store=store)

    return broken


def key_denied(number: int, store: str, step: str) -> Break:
    """Let one target fail, from the first step or at one step only; an exception stands for a bug."""

    def broken(stage: Stage) -> frozenset[Key]:
        (key,) = _at(stage, name=f"p{number}", store=store)

        def fail(at: str, of: Key | None) -> None:
            if at == step and of == key:
                raise RuntimeError("EAAcanary")

        if step == "read":
            stage.stores[store].down_at[key] = StoreError("denied", "No.", "Allow it.")
        else:
            stage.stores[store].before = fail
        return frozenset({key})

    return broken


def foreign(number: int, store: str) -> Break:
    """Let one target belong to somebody else."""

    def broken(stage: Stage) -> frozenset[Key]:
        (key,) = _at(stage, name=f"p{number}", store=store)
        stage.stores[store].secrets[key] = stored(marks=marks(instance="other"))
        return frozenset({key})

    return broken


numbers, stores = st.integers(0, 5), st.sampled_from(["vault", "aws"])
breaks = st.one_of(
    st.builds(
        page_refused, numbers, st.sampled_from(sorted(CATALOGUE)), st.sampled_from([State.INVALID, State.UNKNOWN])
    ),
    st.builds(user_dead, st.sampled_from(["main", "second"])),
    st.builds(store_down, stores, st.sampled_from(["sealed", "unreachable", "timeout", "credentials"])),
    st.builds(key_denied, numbers, stores, st.sampled_from(["read", "data", "marks", "read back"])),
    st.builds(foreign, numbers, stores),
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(breaks)
def test_one_fault_changes_no_other_result(breaking: Break) -> None:
    """Whatever one thing is broken, every entry that it does not concern is as it would have been."""
    well, ill = world_of_many(), world_of_many()
    concerned = breaking(ill)
    wanted, found = entries(well.cycle()), entries(ill.cycle())
    assert found.keys() == wanted.keys()
    others = wanted.keys() - concerned
    assert others
    assert {key: found[key] for key in others} == {key: wanted[key] for key in others}


@settings(deadline=None, derandomize=True, max_examples=50)
@given(breaks)
def test_after_a_fault_has_ended_all_is_as_wanted(breaking: Break) -> None:
    """Once what was broken is well again, one cycle brings every Page to where it should be, but for a foreign secret."""
    stage = world_of_many()
    breaking(stage)
    stage.cycle()
    stage.world.errors.clear()
    for store in stage.stores.values():
        store.down, store.before = None, lambda _, __: None
        store.down_at.clear()
        store.secrets = {
            key: one for key, one in store.secrets.items() if one.marks is None or one.marks.instance != "other"
        }
        store.payloads = {key: all_of for key, all_of in store.payloads.items() if key in store.secrets}
    assert stage.cycle().result == "ok"
