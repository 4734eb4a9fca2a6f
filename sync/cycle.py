"""One cycle: observe everything, plan purely, apply exactly the plan, account for it once."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from ulid import ULID

from sync.core.model import (
    Absent,
    Fetched,
    Key,
    Marks,
    Page,
    Parent,
    SourceError,
    State,
    Stored,
    StoreError,
    TokenFacts,
    Verdict,
    Written,
)
from sync.core.plan import Observation, PagePlan, PlacePlan, Plan, is_to_be_judged, plan, stored_token, writes
from sync.core.problems import Problem
from sync.core.report import Frame, Outcome, ProofLost, Report, Traffic, report
from sync.core.secret import Secret
from sync.core.verify import verify
from sync.graph.interface import Source
from sync.stores.interface import Store
from sync.threads import Clock, each

PROOF_AGE = timedelta(seconds=60)
"""How old a proof may be when a value is written on its strength."""

_WORKERS = 8
_CHUNK = 200
"""So many writes are begun before the proofs of the next ones are looked at again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """What one cycle is to work on: the whole configuration's Pages, and who does what."""

    instance: str
    pages: Sequence[Page]
    source: Source
    stores: Mapping[str, Store]
    clock: Clock
    verify_interval_seconds: int
    warnings: tuple[str, ...] = ()


def run(task: Task, *, write: bool, cycle: str | None = None) -> Report:
    """Carry out one cycle and account for it; with ``write`` False it stops after the plan.

    Raises nothing but Stopping: whatever goes wrong at a Page, a store or a system user is in the report.
    """
    started_at, started = task.clock.now(), task.clock.monotonic()
    before = {name: store.requests for name, store in task.stores.items()}
    observed = observe(task, writes=write)
    planned = plan(observed, pages=task.pages, instance=task.instance, now=task.clock.now())
    outcomes = apply(task, planned) if write else None
    frame = Frame(
        instance=task.instance,
        cycle=cycle or str(ULID()),
        started_at=started_at,
        finished_at=task.clock.now(),
        duration_seconds=task.clock.monotonic() - started,
        verify_interval_seconds=task.verify_interval_seconds,
        traffic=Traffic(
            graph_requests=task.source.requests,
            graph_calls=task.source.calls,
            store_requests=sum(store.requests - before[name] for name, store in task.stores.items()),
        ),
        warnings=_warnings(task, planned),
    )
    return report(planned, frame, outcomes, instance=task.instance)


def observe(task: Task, *, writes: bool) -> Observation:
    """Read everything and change nothing: Graph and each store side by side. ``writes``: the plan will be carried out."""
    graph: list[tuple[Mapping[str, Parent], Mapping[str, Fetched | SourceError], Facts]] = []
    held: dict[Key, Stored | Absent | StoreError] = {}

    def look(at: str | None) -> None:
        if at is None:
            graph.append(_read_graph(task))
        else:
            held.update(_read_store(task, task.stores[at], mistakes[at]))

    used = {key.store for page in task.pages for key in page.places}
    mistakes = {
        name: attempt(partial(_begin, store, writes=writes), partial(_store_bug, name))
        for name, store in task.stores.items()
    }
    each(look, [None, *sorted(used)], workers=len(used) + 1, clock=task.clock)
    parents, fetched, facts = graph[0]
    facts.update(_judge(task, _stored_tokens(task, held), known=facts))
    names = sorted(set(task.stores))
    owned = each(lambda name: _owned(task, name), names, workers=len(names), clock=task.clock)
    return Observation(parents, fetched, held, facts, owned)


def apply(task: Task, planned: Plan) -> Mapping[Key, Outcome]:
    """Carry out the plan, place by place; decides nothing, but writes nothing whose proof has grown old or was lost."""
    todo = list(writes(planned))
    outcomes: dict[Key, Outcome] = {}
    proofs: Proofs = {
        (page.page.app, token): facts.asked_at for page, place in todo for token, facts in _proof(page, place)
    }
    for first in range(0, len(todo), _CHUNK):
        chunk = {place.key: (page, place) for page, place in todo[first : first + _CHUNK]}
        lost = _prove_again(task, list(chunk.values()), proofs, older_than=PROOF_AGE / 2)
        outcomes.update({key: ProofLost(verdict) for key, verdict in lost.items()})
        write = partial(_write, task, chunk, proofs)
        outcomes.update(each(write, [key for key in chunk if key not in lost], workers=_WORKERS, clock=task.clock))
    return outcomes


def attempt(work: Callable[[], T], failed: Callable[[str], T]) -> T:
    """Do ``work``; a mistake of ours in it becomes a value, so that it stops no other Page, store or system user.

    This is the only ``except Exception`` of the package. ``failed`` gets the exception's class and place, never its
    text, which may hold a secret.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the one place, see above
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return failed(f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}")


Facts = dict[tuple[str, Secret], TokenFacts | SourceError]
Proofs = dict[tuple[str, Secret], datetime]


def _read_graph(task: Task) -> tuple[Mapping[str, Parent], Mapping[str, Fetched | SourceError], Facts]:
    def failed(where: str) -> tuple[Mapping[str, Parent], Mapping[str, Fetched | SourceError], Facts]:
        return {}, {page.name: _bug(where) for page in task.pages}, {}

    def read() -> tuple[Mapping[str, Parent], Mapping[str, Fetched | SourceError], Facts]:
        fetched = task.source.read(task.pages)
        # Asked for after the read, which may have found that a system user died meanwhile.
        parents = task.source.parents()
        tokens: dict[str, list[Secret]] = {}
        for page in task.pages:
            got = fetched[page.name]
            if isinstance(got, Fetched):
                tokens.setdefault(page.app, []).append(got.token)
        return parents, fetched, _judge(task, tokens, known={})

    return attempt(read, failed)


def _begin(store: Store, *, writes: bool) -> StoreError | None:
    store.begin(writes=writes)
    return None


def _read_store(task: Task, store: Store, mistake: StoreError | None) -> Mapping[Key, Stored | Absent | StoreError]:
    places = {key: page for page in task.pages for key in page.places if key.store == store.name}
    if mistake is not None:
        return dict.fromkeys(places, mistake)

    def read() -> Mapping[Key, Stored | Absent | StoreError]:
        found = store.read(list(places), raw=frozenset(key for key, page in places.items() if page.payload.raw))
        return {key: found[key] for key in places}

    return attempt(read, lambda where: dict.fromkeys(places, _store_bug(store.name, where)))


def _owned(task: Task, name: str) -> Sequence[tuple[Key, Marks]] | StoreError:
    def failed(where: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        return _store_bug(name, where)

    return attempt(lambda: task.stores[name].owned(task.instance), failed)


def _stored_tokens(task: Task, held: Mapping[Key, Stored | Absent | StoreError]) -> Mapping[str, Sequence[Secret]]:
    tokens: dict[str, list[Secret]] = {}
    for page in task.pages:
        for key in page.places:
            token = stored_token(page, held[key]) if is_to_be_judged(page, held[key], task.instance) else None
            if token is not None:
                tokens.setdefault(page.app, []).append(token)
    return tokens


def _judge(task: Task, tokens: Mapping[str, Sequence[Secret]], *, known: Facts) -> Facts:
    """Have each token that is not known yet judged by Meta, once, whatever the number of places that hold it."""
    facts: Facts = {}
    for app, of_app in tokens.items():
        due = list(dict.fromkeys(token for token in of_app if (app, token) not in known))
        if due:
            facts.update(_debug(task, app, due))
    return facts


def _debug(task: Task, app: str, tokens: Sequence[Secret]) -> Facts:
    def failed(where: str) -> Mapping[Secret, TokenFacts | SourceError]:
        return dict.fromkeys(tokens, _bug(where))

    def ask() -> Mapping[Secret, TokenFacts | SourceError]:
        found = task.source.debug(app, tokens)
        return {token: found[token] for token in tokens}

    return {(app, token): facts for token, facts in attempt(ask, failed).items()}


def _proof(page: PagePlan, place: PlacePlan) -> Sequence[tuple[Secret, TokenFacts]]:
    """Give the token that a write puts where applications read it, with what proves it; empty for marks alone."""
    write = place.action.write
    if write is None or write.payload is None:
        return ()
    verdict = page.candidate.verdict if write.token == page.candidate.token else place.held.verdict
    return ((write.token, verdict.facts),) if verdict.facts is not None else ()


def _prove_again(
    task: Task, todo: Sequence[tuple[PagePlan, PlacePlan]], proofs: Proofs, *, older_than: timedelta
) -> Mapping[Key, Verdict]:
    """Ask Meta again for the proofs that have grown old; gives the places whose proof is lost."""
    oldest = task.clock.now() - older_than
    aged = [
        (page, place, token)
        for page, place in todo
        for token, _ in _proof(page, place)
        if proofs[page.page.app, token] < oldest
    ]
    tokens: dict[str, list[Secret]] = {}
    for page, _, token in aged:
        tokens.setdefault(page.page.app, []).append(token)
    facts = _judge(task, tokens, known={})
    lost: dict[Key, Verdict] = {}
    for page, place, token in aged:
        stored = token != page.candidate.token
        verdict = verify(facts[page.page.app, token], page=page.page, now=task.clock.now(), stored=stored)
        if verdict.state is State.VALID and verdict.facts is not None:
            proofs[page.page.app, token] = verdict.facts.asked_at
        else:
            lost[place.key] = verdict
    return lost


def _write(task: Task, chunk: Mapping[Key, tuple[PagePlan, PlacePlan]], proofs: Proofs, key: Key) -> Outcome:
    page, place = chunk[key]
    write = place.action.write
    if write is None:
        raise AssertionError("only places with a write are applied")
    lost = _prove_again(task, [(page, place)], proofs, older_than=PROOF_AGE)
    if lost:
        return ProofLost(lost[key])

    def put() -> Written | StoreError:
        store = task.stores[key.store]
        if write.payload is None:
            return store.mark(key, write.marks, version=write.replaces or "")
        return store.write(key, write.payload, write.marks, replaces=write.replaces)

    return attempt(put, lambda where: replace(_store_bug(key.store, where), maybe_written=True))


def _warnings(task: Task, planned: Plan) -> tuple[str, ...]:
    unlisted = (
        f"store {name}: orphans could not be listed: {error.message}" for name, error in planned.unlisted.items()
    )
    of_stores = (f"store {name}: {text}" for name, store in task.stores.items() for text in store.warnings)
    return (*task.warnings, *task.source.warnings, *of_stores, *unlisted)


def _bug(where: str) -> SourceError:
    return SourceError(
        Problem(
            "unexpected-graph-error", f"This program made a mistake: {where}.", remedy="Report it with this message."
        ),
        scope="graph",
    )


def _store_bug(store: str, where: str) -> StoreError:
    return StoreError(
        "unexpected", f"This program made a mistake at the store {store}: {where}.", "Report it with this message."
    )
