"""The last part of a cycle: carry out exactly the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sync.core.judge.decide import is_repair
from sync.core.judge.verify import verify
from sync.core.model import (
    Answers,
    AppToken,
    Ask,
    Key,
    SourceError,
    State,
    Stored,
    StoreError,
    TokenFacts,
    Verdict,
    Written,
)
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.plan.plan import Plan, writes
from sync.core.problems import Problem
from sync.core.report.build import NotBegun, Outcome, ProofLost
from sync.core.secret import Secret
from sync.cycle.ask import debug
from sync.cycle.task import Task, attempt, store_bug
from sync.runtime.threads import Stopping, each

PROOF_AGE = timedelta(seconds=60)
"""The maximum age of the proof of a token when the token is written."""

_WORKERS = 8
_CHUNK = 200
"""The number of writes that begin before the proofs of the next ones are checked again."""

_PATIENCE = 6.5
"""Seconds that shutdown waits for writes that have begun, of ten for everything; the stores end theirs a little earlier."""

_UNANSWERED = StoreError(
    "timeout",
    "The store had not answered when shutdown left no more time; the write may have been done.",
    "Nothing to do: the next start finds out.",
    owner="nobody",
    maybe_written=True,
)

_NOT_ASKED = SourceError(
    Problem(
        "throttled",
        "Meta was not asked about the token again just before the write, to keep within the quota of the app. The write waits.",
    ),
    scope="app",
)

_NEVER = datetime.min.replace(tzinfo=UTC)

Chunk = Mapping[Key, tuple[PagePlan, TargetPlan]]
NewAnswers = dict[AppToken, TokenFacts | SourceError]
Proofs = dict[AppToken, datetime]


def apply(task: Task, planned: Plan, answers: Answers) -> tuple[Mapping[Key, Outcome], Answers]:
    """Carry out the plan; return the outcome for each target, and what debug_token answered meanwhile.

    ``answers`` are those of this cycle: what is only remembered proves nothing here, whatever a clock says of its age.
    Decides nothing, but writes nothing whose proof is too old or was lost. Shutdown leaves the rest undone, and what was
    done is returned all the same: a store lets Stopping through only before it has begun a write.
    """
    pending = list(writes(planned))
    outcomes: dict[Key, Outcome] = {}
    new: NewAnswers = {}
    with suppress(Stopping):
        _apply(task, pending, answers, outcomes, new)
    return {target.key: outcomes.get(target.key, NotBegun()) for _, target in pending}, new


def _apply(
    task: Task,
    pending: Sequence[tuple[PagePlan, TargetPlan]],
    answers: Answers,
    outcomes: dict[Key, Outcome],
    new: NewAnswers,
) -> None:
    proofs: Proofs = {
        (page.page.app, token): facts.asked_at
        for page, target in pending
        for token, facts in _proof(page, target)
        if (page.page.app, token) in answers
    }
    for first in range(0, len(pending), _CHUNK):
        chunk = {target.key: (page, target) for page, target in pending[first : first + _CHUNK]}
        lost = _prove_again(task, list(chunk.values()), proofs, new, older_than=PROOF_AGE / 2)
        # Without an answer a proof holds for its age, which is checked again just before the write.
        lost = {
            key: verdict
            for key, verdict in lost.items()
            if verdict.state is State.INVALID or not _is_proven(task, chunk[key], proofs)
        }
        outcomes.update({key: ProofLost(verdict) for key, verdict in lost.items()})

        def write(key: Key, chunk: Chunk = chunk) -> None:
            outcomes[key] = _UNANSWERED
            try:
                outcomes[key] = _write(task, chunk, proofs, new, key)
            except Stopping:
                del outcomes[key]
                raise

        each(write, [key for key in chunk if key not in lost], workers=_WORKERS, clock=task.clock, patience=_PATIENCE)


def _proof(page: PagePlan, target: TargetPlan) -> Sequence[tuple[Secret, TokenFacts]]:
    """Return the token that a write hands to applications, with the facts that prove it; empty where only marks are written."""
    write = target.action.write
    if write is None or write.payload is None:
        return ()
    verdict = page.candidate.verdict if write.token == page.candidate.token else target.current.verdict
    return ((write.token, verdict.facts),) if verdict.facts is not None else ()


def _prove_again(
    task: Task,
    pending: Sequence[tuple[PagePlan, TargetPlan]],
    proofs: Proofs,
    new: NewAnswers,
    *,
    older_than: timedelta,
) -> Mapping[Key, Verdict]:
    """Ask debug_token again for the proofs that are too old; return the targets whose proof is lost.

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
    for page, target, token in aged:
        of_app = asks.setdefault(page.page.app, {})
        urgent = is_repair(target.action) or (token in of_app and of_app[token].urgent)
        of_app[token] = Ask(token, urgent=urgent)
    answers: NewAnswers = {}
    for app, of_app in asks.items():
        answers.update(debug(task, app, list(of_app.values())))
    new.update(answers)
    lost: dict[Key, Verdict] = {}
    for page, target, token in aged:
        stored = token != page.candidate.token
        answer = answers.get((page.page.app, token), _NOT_ASKED)
        verdict = verify(answer, page=page.page, now=task.clock.now(), stored=stored)
        if verdict.state is State.VALID and verdict.facts is not None:
            proofs[page.page.app, token] = verdict.facts.asked_at
        else:
            lost[target.key] = verdict
    return lost


def _is_proven(task: Task, write: tuple[PagePlan, TargetPlan], proofs: Proofs) -> bool:
    """Check whether the proof of a write is recent enough now."""
    (page, target), now = write, task.clock.now()
    return all(
        now - PROOF_AGE <= proofs.get((page.page.app, token), _NEVER) <= now for token, _ in _proof(page, target)
    )


def _write(task: Task, chunk: Chunk, proofs: Proofs, new: NewAnswers, key: Key) -> Outcome:
    page, target = chunk[key]
    write = target.action.write
    if write is None:
        raise AssertionError("only targets with a write are applied")
    lost = _prove_again(task, [(page, target)], proofs, new, older_than=PROOF_AGE)
    if lost:
        return ProofLost(lost[key])

    def put() -> Written | StoreError:
        store = task.stores[key.store]
        if write.payload is None:
            read = target.current.content
            return store.mark(
                key, write.marks, version=write.replaces or "", read=read if isinstance(read, Stored) else None
            )
        return store.write(key, write.payload, write.marks, replaces=write.replaces)

    return attempt(put, lambda where: replace(store_bug(key.store, where), maybe_written=True))
