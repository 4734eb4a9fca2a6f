"""Delete the orphans of a configuration: secrets of its instance that none of its Pages uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from sync.app.app import App
from sync.config.resolve.overlap import in_other_stores
from sync.core.model import Absent, Key, Removed, Stored, StoreError
from sync.core.plan.guards import Brake
from sync.core.plan.prune import Pruned, Removal, failed, orphans, removals
from sync.cycle.task import attempt, store_bug
from sync.runtime.threads import Clock, Stopping, each
from sync.stores.interface import Store

_WORKERS = 8
_PATIENCE = 6.5
"""Seconds that shutdown waits for deletions that have begun."""

Content = Stored | Absent | StoreError


def prune(app: App, only: Collection[str] = (), *, write: bool) -> Pruned:
    """Find the orphans in all stores, or in ``only`` some, and with ``write`` delete those that may be deleted."""
    config, settings = app.config, app.config.settings
    stores = {name: store for name, store in app.begin(writes=write).items() if not only or name in only}
    named = {key for page in config.pages for key in page.targets} | in_other_stores(settings, config.pages)
    brake, observe = Brake(settings.brake.share, settings.brake.min_changes), settings.mode == "observe"
    found = find(stores, settings.instance, named, brake=brake, observe=observe)
    return carry_out(found, stores, app.clock) if write else found


def find(stores: Mapping[str, Store], instance: str, named: Collection[Key], *, brake: Brake, observe: bool) -> Pruned:
    """List and read the orphans: secrets of the instance that are not among ``named``, the targets of the whole configuration."""
    owned = {name: attempt(partial(store.owned, instance), partial(store_bug, name)) for name, store in stores.items()}
    found = orphans(owned, instance, named)
    current = {key: content for store in stores.values() for key, content in _read(store, found).items()}
    unlisted = {name: listed for name, listed in owned.items() if isinstance(listed, StoreError)}
    return Pruned(removals(owned, current, brake=brake, observe=observe), unlisted, len(stores))


def _read(store: Store, keys: Sequence[Key]) -> Mapping[Key, Content]:
    wanted = [key for key in keys if key.store == store.name]

    def failed(where: str) -> Mapping[Key, Content]:
        return dict.fromkeys(wanted, store_bug(store.name, where))

    return attempt(lambda: store.read(wanted), failed)


def carry_out(pruned: Pruned, stores: Mapping[str, Store], clock: Clock) -> Pruned:
    """Delete what may be deleted, several at once; what shutdown leaves undone stays to be deleted."""
    chosen = {one.key: one for one in pruned.removals if one.action == "delete"}
    done: dict[Key, Removal] = {}

    def remove(key: Key) -> None:
        one = chosen[key]
        done[key] = failed(one, _UNANSWERED)
        try:
            done[key] = _removed(stores[key.store], one)
        except Stopping:
            del done[key]
            raise

    with suppress(Stopping):
        each(remove, chosen, workers=_WORKERS, clock=clock, patience=_PATIENCE)
    answer = tuple(done.get(one.key, one) for one in pruned.removals)
    return replace(pruned, removals=answer, cut_short=len(done) < len(chosen))


def _removed(store: Store, one: Removal) -> Removal:
    def remove() -> Removed | Absent | StoreError:
        return store.remove(one.key, version=one.version, marks=one.marks)

    match attempt(remove, lambda where: replace(store_bug(store.name, where), maybe_written=True)):
        case StoreError() as error:
            return failed(one, error)
        case Absent():
            return replace(one, action="deleted", message="It was gone already.")
        case Removed() as removed:
            return replace(one, action="deleted", removed=removed)


_UNANSWERED = StoreError(
    "timeout",
    "The store had not answered when shutdown left no more time; the secret may be deleted.",
    "Run prune again: it shows what is left.",
    maybe_written=True,
)
