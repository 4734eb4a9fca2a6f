"""Delete the orphans of a configuration: secrets of its instance that none of its Pages uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sync.app.app import App
from sync.app.changing import change
from sync.config.resolve.overlap import in_other_stores
from sync.core.model import Absent, Content, Key, Removed, StoreError
from sync.core.plan.guards import Brake
from sync.core.plan.prune import Pruned, orphans, removals, removed
from sync.cycle.task import attempt, store_bug
from sync.runtime.threads import Clock
from sync.stores.interface import Store


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
    warnings = tuple(f"store {name}: {text}" for name, store in stores.items() for text in store.warnings)
    return Pruned(removals(owned, current, brake=brake, observe=observe), unlisted, len(stores), warnings)


def _read(store: Store, keys: Sequence[Key]) -> Mapping[Key, Content]:
    wanted = [key for key in keys if key.store == store.name]

    def failed(where: str) -> Mapping[Key, Content]:
        return dict.fromkeys(wanted, store_bug(store.name, where))

    return attempt(lambda: store.read(wanted), failed)


def carry_out(pruned: Pruned, stores: Mapping[str, Store], clock: Clock) -> Pruned:
    """Delete what may be deleted; what shutdown leaves undone stays to be deleted."""
    chosen = {one.key: one for one in pruned.removals if one.action == "delete"}

    def remove(key: Key) -> Removed | Absent | StoreError:
        return stores[key.store].remove(key, version=chosen[key].version, marks=chosen[key].marks)

    done = change(remove, chosen, clock)
    answer = tuple(removed(one, done[one.key]) if one.key in done else one for one in pruned.removals)
    return replace(pruned, removals=answer, cut_short=len(done) < len(chosen))
