"""The last part of a cycle: carry out exactly the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sync.core.model import Ask, Key, SourceError, State, StoreError, TokenFacts, Verdict, Written
from sync.core.plan import Plan, writes
from sync.core.planned import PagePlan, PlacePlan
from sync.core.report import Outcome, ProofLost
from sync.core.secret import Secret
from sync.core.verify import verify
from sync.cycle.observe import Facts, debug
from sync.cycle.task import Task, attempt, store_mistake
from sync.threads import each

PROOF_AGE = timedelta(seconds=60)
"""How old a proof may be when a value is written on its strength."""

_WORKERS = 8
_CHUNK = 200
"""So many writes are begun before the proofs of the next ones are looked at again."""

Proofs = dict[tuple[str, Secret], datetime]


def apply(task: Task, planned: Plan) -> tuple[Mapping[Key, Outcome], Facts]:
    """Carry out the plan, place by place, and give what came of it, and what Meta was asked again meanwhile.

    Decides nothing, but writes nothing whose proof has grown old or was lost.
    """
    todo = list(writes(planned))
    outcomes: dict[Key, Outcome] = {}
    told: Facts = {}
    proofs: Proofs = {
        (page.page.app, token): facts.asked_at for page, place in todo for token, facts in _proof(page, place)
    }
    for first in range(0, len(todo), _CHUNK):
        chunk = {place.key: (page, place) for page, place in todo[first : first + _CHUNK]}
        lost = _prove_again(task, list(chunk.values()), proofs, told, older_than=PROOF_AGE / 2)
        outcomes.update({key: ProofLost(verdict) for key, verdict in lost.items()})
        write = partial(_write, task, chunk, proofs, told)
        outcomes.update(each(write, [key for key in chunk if key not in lost], workers=_WORKERS, clock=task.clock))
    return outcomes, told


def _proof(page: PagePlan, place: PlacePlan) -> Sequence[tuple[Secret, TokenFacts]]:
    """Give the token that a write puts where applications read it, with what proves it; empty for marks alone."""
    write = place.action.write
    if write is None or write.payload is None:
        return ()
    verdict = page.candidate.verdict if write.token == page.candidate.token else place.held.verdict
    return ((write.token, verdict.facts),) if verdict.facts is not None else ()


def _prove_again(
    task: Task,
    todo: Sequence[tuple[PagePlan, PlacePlan]],
    proofs: Proofs,
    told: Facts,
    *,
    older_than: timedelta,
) -> Mapping[Key, Verdict]:
    """Ask Meta again for the proofs that have grown old; gives the places whose proof is lost.

    A proof from the future, after a clock was set back, proves nothing either.
    """
    now = task.clock.now()
    aged = [
        (page, place, token)
        for page, place in todo
        for token, _ in _proof(page, place)
        if not now - older_than <= proofs[page.page.app, token] <= now
    ]
    asks: dict[str, dict[Secret, Ask]] = {}
    for page, _, token in aged:
        asks.setdefault(page.page.app, {})[token] = Ask(token, urgent=True)
    facts: dict[tuple[str, Secret], TokenFacts | SourceError] = {}
    for app, of_app in asks.items():
        facts.update(debug(task, app, list(of_app.values())))
    told.update(facts)
    lost: dict[Key, Verdict] = {}
    for page, place, token in aged:
        stored = token != page.candidate.token
        said = facts.get((page.page.app, token))
        verdict = verify(said, page=page.page, now=task.clock.now(), stored=stored)
        if verdict.state is State.VALID and verdict.facts is not None:
            proofs[page.page.app, token] = verdict.facts.asked_at
        else:
            lost[place.key] = verdict
    return lost


def _write(
    task: Task, chunk: Mapping[Key, tuple[PagePlan, PlacePlan]], proofs: Proofs, told: Facts, key: Key
) -> Outcome:
    page, place = chunk[key]
    write = place.action.write
    if write is None:
        raise AssertionError("only places with a write are applied")
    lost = _prove_again(task, [(page, place)], proofs, told, older_than=PROOF_AGE)
    if lost:
        return ProofLost(lost[key])

    def put() -> Written | StoreError:
        store = task.stores[key.store]
        if write.payload is None:
            return store.mark(key, write.marks, version=write.replaces or "")
        return store.write(key, write.payload, write.marks, replaces=write.replaces)

    return attempt(put, lambda where: replace(store_mistake(key.store, where), maybe_written=True))
