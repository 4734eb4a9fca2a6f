"""The first part of a cycle: read Graph and every store, and change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sync.core.ask.inputs import Inputs
from sync.core.ask.routes import by_id
from sync.core.memory import access
from sync.core.model import Absent, Fetched, Key, Marks, Page, SourceError, Stored, StoreError, SystemUserToken
from sync.cycle.task import Task, attempt, graph_bug, store_bug
from sync.runtime.threads import each
from sync.stores.interface import Store


def observe(task: Task, *, writes: bool) -> Inputs:
    """Read Graph and each store side by side. ``writes``: the plan will be carried out."""
    force_verify = task.selected_from is not None
    lost = {} if force_verify else task.memory.lost
    now = task.clock.now()
    skipped, individually = access.left_out(lost, now), access.to_read_individually(lost, now)
    graph: list[tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]] = []
    current: dict[Key, Stored | Absent | StoreError] = {}

    def read(store: str | None) -> None:
        if store is None:
            pages = [page for page in task.pages if page.name not in skipped]
            graph.append(_read_graph(task, pages, individually, now))
        else:
            current.update(_read_store(task, task.stores[store], failed[store]))

    used = {key.store for page in task.pages for key in page.targets}
    failed = {
        name: attempt(partial(_begin, task, store, writes=writes), partial(store_bug, name))
        for name, store in task.stores.items()
    }
    each(read, [None, *sorted(used)], workers=len(used) + 1, clock=task.clock)
    user_tokens, fetched = graph[0]
    read_at = task.clock.now()
    names = sorted(set(task.stores))
    # Before the tokens are judged, so that a store whose list is slow makes no proof older.
    owned = each(lambda name: _owned(task, name), names, workers=len(names), clock=task.clock)
    return Inputs(
        pages=task.pages,
        instance=task.instance,
        user_tokens=user_tokens,
        fetched={**skipped, **fetched},
        current=current,
        owned=owned,
        memory=task.memory,
        rhythm=task.rhythm,
        now=read_at,
        force_verify=force_verify,
        writes=not task.observe,
        individually=individually,
        skipped=frozenset(skipped),
    )


def _read_graph(
    task: Task, pages: Sequence[Page], individually: frozenset[str], now: datetime
) -> tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]:
    def failed(where: str) -> tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]:
        return {}, {page.name: graph_bug(where) for page in pages}

    def read() -> tuple[Mapping[str, SystemUserToken], Mapping[str, Fetched | SourceError]]:
        memory = task.memory
        singly = by_id(pages, short_lists=memory.short_lists, read_at=memory.read_at, now=now)
        fetched = task.source.read(pages, individually=individually, by_id=singly)
        # After the Pages: reading them may have shown that a system user's token is invalid.
        return task.source.user_tokens(), {page.name: fetched[page.name] for page in pages}

    return attempt(read, failed)


def _begin(task: Task, store: Store, *, writes: bool) -> StoreError | None:
    """Begin a store, once a cycle: beginning it again would wait again for a store that does not answer."""
    if store.name not in task.begun:
        task.begun.add(store.name)
        store.begin(writes=writes)
    return None


def _read_store(task: Task, store: Store, failed: StoreError | None) -> Mapping[Key, Stored | Absent | StoreError]:
    targets = {key: page for page in task.pages for key in page.targets if key.store == store.name}
    if failed is not None:
        return dict.fromkeys(targets, failed)

    def read() -> Mapping[Key, Stored | Absent | StoreError]:
        found = store.read(list(targets), raw=frozenset(key for key, page in targets.items() if page.payload.raw))
        return {key: found[key] for key in targets}

    return attempt(read, lambda where: dict.fromkeys(targets, store_bug(store.name, where)))


def _owned(task: Task, name: str) -> Sequence[tuple[Key, Marks]] | StoreError:
    def failed(where: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        return store_bug(name, where)

    return attempt(lambda: task.stores[name].owned(task.instance), failed)
