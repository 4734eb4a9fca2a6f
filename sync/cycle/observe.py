"""The first part of a cycle: read Graph and every store, and change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sync.core.ask.inputs import Inputs
from sync.core.ask.routes import by_id
from sync.core.memory import access
from sync.core.memory.access import Lost
from sync.core.model import Content, Fetched, Key, Marks, SourceError, StoreError, SystemUserToken
from sync.cycle.task import Task, attempt, graph_bug, store_bug
from sync.runtime.threads import each
from sync.stores.interface import Store


@dataclass(frozen=True, slots=True)
class _GraphRead:
    """What was read of Graph; ``listed`` are those of the alarmed Pages that the list of Pages shows."""

    user_tokens: Mapping[str, SystemUserToken]
    fetched: Mapping[str, Fetched | SourceError]
    individually: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()


def observe(task: Task, *, writes: bool) -> Inputs:
    """Read Graph and each store side by side. ``writes``: the plan will be carried out."""
    force_verify = task.selected_from is not None
    lost = {} if force_verify else task.memory.lost
    now = task.clock.now()
    graph: list[_GraphRead] = []
    current: dict[Key, Content] = {}

    def read(store: str | None) -> None:
        if store is None:
            graph.append(_read_graph(task, lost, now))
        else:
            current.update(_read_store(task, task.stores[store], failed[store]))

    used = {key.store for page in task.pages for key in page.targets}
    failed = {
        name: attempt(partial(_begin, task, store, writes=writes), partial(store_bug, name))
        for name, store in task.stores.items()
    }
    each(read, [None, *sorted(used)], workers=len(used) + 1, clock=task.clock)
    of_graph = graph[0]
    read_at = task.clock.now()
    names = sorted(task.stores) if task.orphans and not task.is_check else []
    # Before the tokens are judged, so that a store whose list is slow makes no proof older.
    owned = each(lambda name: _owned(task, name), names, workers=len(names), clock=task.clock)
    return Inputs(
        pages=task.pages,
        instance=task.instance,
        user_tokens=of_graph.user_tokens,
        fetched=of_graph.fetched,
        current=current,
        owned=owned,
        memory=task.memory,
        rhythm=task.rhythm,
        now=read_at,
        force_verify=force_verify,
        writes=not task.observe,
        individually=of_graph.individually,
        skipped=of_graph.skipped,
        listed=of_graph.listed,
    )


def _read_graph(task: Task, lost: Mapping[str, Lost], now: datetime) -> _GraphRead:
    """Read the system users' tokens and the Pages, without the alarmed ones whose time has not come.

    One of these that the list of Pages shows for the first time since it was lost was assigned again, and is read at once.
    """

    def failed(where: str) -> _GraphRead:
        return _GraphRead({}, {page.name: graph_bug(where) for page in task.pages})

    def read() -> _GraphRead:
        source, memory = task.source, task.memory
        user_tokens = source.user_tokens() if lost else {}
        read_as = {page.name: access.read_as(page, user_tokens.get(page.system_user)) for page in task.pages}
        skipped = access.left_out(lost, read_as=read_as, monotonic=task.clock.monotonic())
        pages = [page for page in task.pages if page.name not in skipped]
        watched = [page for page in task.pages if page.name in skipped]
        individually = access.to_read_individually(lost, now)
        singly = by_id(pages, short_lists=memory.short_lists, read_at=memory.read_at, now=now)
        found = source.read(pages, individually=individually, by_id=singly, watched=watched)
        listed = frozenset(page.name for page in watched if page.name in found)
        fetched = {page.name: found[page.name] for page in pages}
        assigned = [page for page in watched if page.name in listed and not lost[page.name].listed]
        if assigned:
            fetched.update(source.read(assigned, by_id=frozenset(page.name for page in assigned)))
        skipped = {name: error for name, error in skipped.items() if name not in fetched}
        # After the Pages: reading them may have shown that a system user's token is invalid.
        return _GraphRead(source.user_tokens(), {**skipped, **fetched}, individually, frozenset(skipped), listed)

    return attempt(read, failed)


def _begin(task: Task, store: Store, *, writes: bool) -> StoreError | None:
    """Begin a store, once a cycle: beginning it again would wait again for a store that does not answer."""
    if store.name not in task.begun:
        task.begun.add(store.name)
        store.begin(writes=writes)
    return None


def _read_store(task: Task, store: Store, failed: StoreError | None) -> Mapping[Key, Content]:
    targets = {key: page for page in task.pages for key in page.targets if key.store == store.name}
    if failed is not None:
        return dict.fromkeys(targets, failed)

    def read() -> Mapping[Key, Content]:
        found = store.read(list(targets), raw=frozenset(key for key, page in targets.items() if page.payload.raw))
        return {key: found[key] for key in targets}

    return attempt(read, lambda where: dict.fromkeys(targets, store_bug(store.name, where)))


def _owned(task: Task, name: str) -> Sequence[tuple[Key, Marks]] | StoreError:
    return attempt(lambda: task.stores[name].owned(task.instance), partial(store_bug, name))
