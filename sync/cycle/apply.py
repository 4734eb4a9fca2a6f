"""The last part of a cycle: carry out exactly the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sync.core.judge.verify import verify
from sync.core.model import Ask, Key, SourceError, State, StoreError, TokenFacts, Verdict, Written
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.plan.plan import Plan, writes
from sync.core.report.build import NotBegun, Outcome, ProofLost
from sync.core.secret import Secret
from sync.cycle.observe import Facts, debug
from sync.cycle.task import Task, attempt, store_mistake
from sync.runtime.threads import Stopping, each

PROOF_AGE = timedelta(seconds=60)
"""How old a proof may be when a value is written on its strength."""

_WORKERS = 8
_CHUNK = 200
"""So many writes are begun before the proofs of the next ones are looked at again."""

_PATIENCE = 6.5
"""Seconds for which shutdown waits for writes that were begun, of ten for everything; stores end theirs a little earlier."""

_UNANSWERED = StoreError(
    "timeout",
    "The store had not answered when shutdown left no more time; the write may have been done.",
    "Nothing to do: the next start finds out.",
    owner="nobody",
    maybe_written=True,
)

_NEVER = datetime.min.replace(tzinfo=UTC)

Chunk = Mapping[Key, tuple[PagePlan, TargetPlan]]
Proofs = dict[tuple[str, Secret], datetime]


def apply(task: Task, planned: Plan, heard: Facts) -> tuple[Mapping[Key, Outcome], Facts]:
    """Carry out the plan, place by place, and give what came of it, and what Meta was asked again meanwhile.

    ``heard`` is what Meta said in this cycle: what is only remembered proves nothing here, whatever a clock says of its age.
    Decides nothing, but writes nothing whose proof has grown old or was lost. Shutdown leaves the rest undone, and what
    was done is told all the same: a store lets Stopping through only before it has begun a write.
    """
    pending = list(writes(planned))
    outcomes: dict[Key, Outcome] = {}
    told: Facts = {}
    with suppress(Stopping):
        _apply(task, pending, heard, outcomes, told)
    return {target.key: outcomes.get(target.key, NotBegun()) for _, target in pending}, told


def _apply(
    task: Task,
    pending: Sequence[tuple[PagePlan, TargetPlan]],
    heard: Facts,
    outcomes: dict[Key, Outcome],
    told: Facts,
) -> None:
    proofs: Proofs = {
        (page.page.app, token): facts.asked_at
        for page, target in pending
        for token, facts in _proof(page, target)
        if (page.page.app, token) in heard
    }
    for first in range(0, len(pending), _CHUNK):
        chunk = {target.key: (page, target) for page, target in pending[first : first + _CHUNK]}
        lost = _prove_again(task, list(chunk.values()), proofs, told, older_than=PROOF_AGE / 2)
        # Without an answer a proof is as good as its age, which is looked at again just before the write.
        lost = {key: verdict for key, verdict in lost.items() if verdict.state is State.INVALID}
        outcomes.update({key: ProofLost(verdict) for key, verdict in lost.items()})

        def write(key: Key, chunk: Chunk = chunk) -> None:
            outcomes[key] = _UNANSWERED
            try:
                outcomes[key] = _write(task, chunk, proofs, told, key)
            except Stopping:
                del outcomes[key]
                raise

        each(write, [key for key in chunk if key not in lost], workers=_WORKERS, clock=task.clock, patience=_PATIENCE)


def _proof(page: PagePlan, target: TargetPlan) -> Sequence[tuple[Secret, TokenFacts]]:
    """Return the token that a write puts where applications read it, with what proves it; empty for marks alone."""
    write = target.action.write
    if write is None or write.payload is None:
        return ()
    verdict = page.candidate.verdict if write.token == page.candidate.token else target.current.verdict
    return ((write.token, verdict.facts),) if verdict.facts is not None else ()


def _prove_again(
    task: Task,
    pending: Sequence[tuple[PagePlan, TargetPlan]],
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
        (page, target, token)
        for page, target in pending
        for token, _ in _proof(page, target)
        if not now - older_than <= proofs.get((page.page.app, token), _NEVER) <= now
    ]
    asks: dict[str, dict[Secret, Ask]] = {}
    for page, _, token in aged:
        asks.setdefault(page.page.app, {})[token] = Ask(token, urgent=True)
    facts: dict[tuple[str, Secret], TokenFacts | SourceError] = {}
    for app, of_app in asks.items():
        facts.update(debug(task, app, list(of_app.values())))
    told.update(facts)
    lost: dict[Key, Verdict] = {}
    for page, target, token in aged:
        stored = token != page.candidate.token
        said = facts.get((page.page.app, token))
        verdict = verify(said, page=page.page, now=task.clock.now(), stored=stored)
        if verdict.state is State.VALID and verdict.facts is not None:
            proofs[page.page.app, token] = verdict.facts.asked_at
        else:
            lost[target.key] = verdict
    return lost


def _write(task: Task, chunk: Chunk, proofs: Proofs, told: Facts, key: Key) -> Outcome:
    page, target = chunk[key]
    write = target.action.write
    if write is None:
        raise AssertionError("only places with a write are applied")
    lost = _prove_again(task, [(page, target)], proofs, told, older_than=PROOF_AGE)
    if lost:
        return ProofLost(lost[key])

    def put() -> Written | StoreError:
        store = task.stores[key.store]
        if write.payload is None:
            return store.mark(key, write.marks, version=write.replaces or "")
        return store.write(key, write.payload, write.marks, replaces=write.replaces)

    return attempt(put, lambda where: replace(store_mistake(key.store, where), maybe_written=True))
