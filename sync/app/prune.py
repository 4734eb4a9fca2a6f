"""Delete the orphans of a configuration: secrets of its instance that none of its Pages uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sync.app.app import App
from sync.app.changing import change
from sync.config.resolve.overlap import in_other_stores
from sync.core.model import Absent, Content, Key, Page, Removed, StoreError
from sync.core.plan.guards import Brake
from sync.core.plan.prune import Pruned, orphans, removals, removed, successors
from sync.cycle.task import attempt, store_bug
from sync.runtime.threads import Clock
from sync.stores.interface import Store


def prune(app: App, only: Collection[str] = (), *, write: bool) -> Pruned:
    """Find the orphans in all stores, or in ``only`` some, and with ``write`` delete those that may be deleted."""
    config, settings = app.config, app.config.settings
    stores = app.begin(writes=write)
    brake, observe = Brake(settings.brake.share, settings.brake.min_changes), settings.mode == "observe"
    found = find(
        stores,
        settings.instance,
        config.pages,
        only,
        others=in_other_stores(settings, config.pages),
        brake=brake,
        observe=observe,
    )
    return carry_out(found, stores, app.clock) if write else found


def find(
    stores: Mapping[str, Store],
    instance: str,
    pages: Sequence[Page],
    only: Collection[str] = (),
    *,
    others: frozenset[Key] = frozenset(),
    brake: Brake,
    observe: bool,
) -> Pruned:
    """List and read the orphans: secrets of the instance that are neither targets of ``pages``, which are all, nor among ``others``.

    What replaces an orphan is read together with it, also in a store that is not among ``only``.
    """
    listed = {name: store for name, store in stores.items() if not only or name in only}
    owned = {name: attempt(partial(store.owned, instance), partial(store_bug, name)) for name, store in listed.items()}
    found = orphans(owned, instance, {key for page in pages for key in page.targets} | others)
    replaced_by = successors(owned, found, pages)
    raw = {key for named in replaced_by.values() for page, key in named if page.payload.raw}
    keys = dict.fromkeys([*found, *(key for named in replaced_by.values() for _, key in named)])
    current = {key: content for store in stores.values() for key, content in _read(store, keys, raw).items()}
    return Pruned(
        removals(owned, current, replaced_by, instance=instance, brake=brake, observe=observe),
        {name: answer for name, answer in owned.items() if isinstance(answer, StoreError)},
        len(listed),
        tuple(f"store {name}: {text}" for name, store in listed.items() for text in store.warnings),
    )


def _read(store: Store, keys: Iterable[Key], raw: Collection[Key]) -> Mapping[Key, Content]:
    wanted = [key for key in keys if key.store == store.name]

    def failed(where: str) -> Mapping[Key, Content]:
        return dict.fromkeys(wanted, store_bug(store.name, where))

    return attempt(lambda: store.read(wanted, raw=frozenset(raw)), failed) if wanted else {}


def carry_out(pruned: Pruned, stores: Mapping[str, Store], clock: Clock) -> Pruned:
    """Delete what may be deleted; what shutdown leaves undone stays to be deleted."""
    chosen = {one.key: one for one in pruned.removals if one.action == "delete"}

    def remove(key: Key) -> Removed | Absent | StoreError:
        return stores[key.store].remove(key, version=chosen[key].version, marks=chosen[key].marks)

    done = change(remove, chosen, clock)
    answer = tuple(removed(one, done[one.key]) if one.key in done else one for one in pruned.removals)
    return replace(pruned, removals=answer, cut_short=len(done) < len(chosen))
