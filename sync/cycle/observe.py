"""The first part of a cycle: read everything, and change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sync.core.ask import due
from sync.core.ask.inputs import Scene
from sync.core.ask.remember import with_later, with_probes, with_told
from sync.core.ask.resolve import heard
from sync.core.ask.routes import by_id
from sync.core.memory import access
from sync.core.memory.memory import token_id
from sync.core.model import (
    Absent,
    Ask,
    Fetched,
    Key,
    Marks,
    Page,
    Probe,
    SourceError,
    Stored,
    StoreError,
    SystemUserToken,
    TokenFacts,
)
from sync.core.plan.guards import doubted, unread_targets
from sync.core.plan.plan import Observation, judged_plans
from sync.core.secret import Secret
from sync.cycle.task import Task, attempt, graph_mistake, store_mistake
from sync.runtime.threads import each
from sync.stores.interface import Store

Facts = dict[tuple[str, Secret], TokenFacts | SourceError]


@dataclass(frozen=True, slots=True)
class Sight:
    """What one cycle saw: what is planned on, and what is remembered of it.

    ``told`` is what Meta said in this cycle, ``probed`` how stored tokens were taken, both by app and token. ``alone`` names
    the Pages that were read by themselves, and ``skipped`` the alarmed ones that were not read.
    """

    observation: Observation
    scene: Scene
    told: Facts
    probed: Mapping[tuple[str, Secret], Probe]
    individually: frozenset[str]
    skipped: frozenset[str]


def observe(task: Task, *, writes: bool) -> Sight:
    """Read Graph and each store side by side, then ask Meta what is due. ``writes``: the plan will be carried out."""
    lost = {} if _forces_verify(task) else task.memory.lost
    now = task.clock.now()
    skipped, individually = access.left_out(lost, now), access.to_be_read_alone(lost, now)
    graph: list[tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]] = []
    current: dict[Key, Stored | Absent | StoreError] = {}

    def look(at: str | None) -> None:
        if at is None:
            graph.append(
                _read_graph(task, [page for page in task.pages if page.name not in skipped], individually, now)
            )
        else:
            current.update(_read_store(task, task.stores[at], mistakes[at]))

    used = {key.store for page in task.pages for key in page.targets}
    mistakes = {
        name: attempt(partial(_begin, store, writes=writes), partial(store_mistake, name))
        for name, store in task.stores.items()
    }
    each(look, [None, *sorted(used)], workers=len(used) + 1, clock=task.clock)
    user_tokens, fetched = graph[0]
    scene = Scene(
        pages=task.pages,
        instance=task.instance,
        user_tokens=user_tokens,
        fetched={**skipped, **fetched},
        current=current,
        memory=task.memory,
        rhythm=task.rhythm,
        now=task.clock.now(),
        force_verify=_forces_verify(task),
        writes=not task.observe,
    )
    names = sorted(set(task.stores))
    # Before the tokens are judged, so that a slow list of a store makes no proof older.
    owned = each(lambda name: _owned(task, name), names, workers=len(names), clock=task.clock)
    asks = due.asks(scene)
    probed = _probe(task, due.probes(scene, task.probe_every, exclude=_named(asks)))
    if "refused" in probed.values():
        scene = replace(scene, memory=with_probes(task.memory, _by_id(task, probed), scene.now))
        asks = due.asks(scene)
    told = _debug_all(task, asks)
    # What the quota had no room for is used itself at least, on its own Page's quota.
    left = _probe(task, due.probes(scene, task.probe_every, exclude={*told, *probed}))
    if left:
        probed |= left
        scene = replace(scene, memory=with_probes(scene.memory, _by_id(task, left), scene.now))
    # One that was refused is judged, and if it turned out to be dead the fetched one is pressing, which it was not before.
    for _ in ("refused", "dead") if told or left else ():
        more = _urgent_besides(due.asks(replace(scene, memory=with_told(scene, told))), told)
        if not more:
            break
        told.update(_debug_all(task, more))
        asks = {app: (*asks.get(app, ()), *more.get(app, ())) for app in {**asks, **more}}
    observation = heard(
        scene, _named(asks), told, Observation(user_tokens, scene.fetched, current, {}, owned, skew=task.source.skew)
    )
    if task.confirm_mass_invalid:
        observation = _ask_twice(task, scene, told, observation)
    return Sight(observation, scene, told, probed, individually, frozenset(skipped))


def debug(task: Task, app: str, asks: Sequence[Ask]) -> Facts:
    """Have Meta say what tokens are; what there was no room for in the app's quota is not in the answer."""

    def failed(where: str) -> Mapping[Secret, TokenFacts | SourceError]:
        return dict.fromkeys((ask.token for ask in asks), graph_mistake(where))

    found = attempt(lambda: task.source.debug(app, asks), failed)
    return {(app, token): facts for token, facts in found.items()}


def _forces_verify(task: Task) -> bool:
    return task.selected_from is not None


def _read_graph(
    task: Task, pages: Sequence[Page], individually: frozenset[str], now: datetime
) -> tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]:
    def failed(where: str) -> tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]:
        return {}, {page.name: graph_mistake(where) for page in pages}

    def read() -> tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]:
        memory = task.memory
        singly = by_id(pages, short_lists=memory.short_lists, read_at=memory.read_at, now=now)
        fetched = task.source.read(pages, individually=individually, by_id=singly)
        # Asked for after the read, which may have found that a system user died meanwhile.
        return task.source.user_tokens(), {page.name: fetched[page.name] for page in pages}

    return attempt(read, failed)


def _begin(store: Store, *, writes: bool) -> StoreError | None:
    store.begin(writes=writes)
    return None


def _read_store(task: Task, store: Store, mistake: StoreError | None) -> Mapping[Key, Stored | Absent | StoreError]:
    targets = {key: page for page in task.pages for key in page.targets if key.store == store.name}
    if mistake is not None:
        return dict.fromkeys(targets, mistake)

    def read() -> Mapping[Key, Stored | Absent | StoreError]:
        found = store.read(list(targets), raw=frozenset(key for key, page in targets.items() if page.payload.raw))
        return {key: found[key] for key in targets}

    return attempt(read, lambda where: dict.fromkeys(targets, store_mistake(store.name, where)))


def _owned(task: Task, name: str) -> Sequence[tuple[Key, Marks]] | StoreError:
    def failed(where: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        return store_mistake(name, where)

    return attempt(lambda: task.stores[name].owned(task.instance), failed)


def _named(asks: Mapping[str, Sequence[Ask]]) -> frozenset[tuple[str, Secret]]:
    return frozenset((app, ask.token) for app, of_app in asks.items() for ask in of_app)


def _probe(task: Task, wanted: Mapping[str, Mapping[Secret, str]]) -> dict[tuple[str, Secret], Probe]:
    found: dict[tuple[str, Secret], Probe] = {}
    for app, pages in wanted.items():
        unknown: Mapping[Secret, Probe] = dict.fromkeys(pages, "unknown")
        answers = attempt(partial(task.source.probe, app, pages), lambda _, unknown=unknown: unknown)  # type: ignore[misc]
        found.update({(app, token): answer for token, answer in answers.items()})
    return found


def _by_id(task: Task, probed: Mapping[tuple[str, Secret], Probe]) -> Mapping[tuple[str, str], Probe]:
    ids = {page.app: page.app_id for page in task.pages}
    return {token_id(ids[app], token): answer for (app, token), answer in probed.items()}


def _debug_all(task: Task, asks: Mapping[str, Sequence[Ask]]) -> Facts:
    told: Facts = {}
    for app, of_app in asks.items():
        told.update(debug(task, app, of_app))
    return told


def _urgent_besides(asks: Mapping[str, Sequence[Ask]], told: Facts) -> Mapping[str, Sequence[Ask]]:
    """Return what has become urgent and was not answered yet."""
    urgent = {
        app: [ask for ask in of_app if ask.urgent and (app, ask.token) not in told] for app, of_app in asks.items()
    }
    return {app: of_app for app, of_app in urgent.items() if of_app}


def _ask_twice(task: Task, scene: Scene, told: Facts, observation: Observation) -> Observation:
    """Ask again about a mass of tokens that Meta calls invalid; ``told`` gets the second word."""
    plans = judged_plans(observation, pages=task.pages, instance=task.instance, now=scene.now)
    again: dict[str, list[Ask]] = {}
    unread = unread_targets(plans, task.selected_from)
    for app, token in sorted(doubted(plans, task.brake, unread), key=lambda doubt: (doubt[0], doubt[1].fingerprint)):
        again.setdefault(app, []).append(Ask(token, urgent=True))
    second = _debug_all(task, again)
    told.update(with_later(told, second))
    answered = {key: facts for key, facts in second.items() if isinstance(facts, TokenFacts)}
    twice = {key for key, facts in answered.items() if facts.is_valid is False}
    return replace(
        observation, facts={**observation.facts, **answered}, twice=frozenset(twice) | set(observation.twice)
    )
