"""Mark secrets that this instance did not write as its own, once their tokens are proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.app.app import App
from sync.app.changing import change
from sync.config.resolve.select import Selected
from sync.core.model import Content, Key, Stored, StoreError, Written
from sync.core.plan.adopt import Adoption, adoptions, assumed, marked
from sync.runtime.threads import Clock
from sync.stores.interface import Store


def adopt(app: App, selection: Selected, *, by_name: bool, write: bool) -> tuple[Adoption, ...]:
    """Ask Meta about each stored token, and with ``write`` mark the secrets that are proven.

    What is marked is what was judged: a secret that changes meanwhile is a conflict. ``by_name``: a person has named the one Page.
    """
    settings = app.config.settings
    read: dict[Key, Content] = {}

    def assume(current: Mapping[Key, Content]) -> Mapping[Key, Content]:
        read.update(current)
        return assumed(selection.pages, current, settings.instance)

    plan = app.look(selection, assume)
    found = adoptions(
        plan.pages,
        read,
        instance=settings.instance,
        by_name=by_name,
        observe=settings.mode == "observe",
        now=app.clock.now(),
        user_tokens=plan.user_tokens,
    )
    return carry_out(found, app.stores, app.clock) if write else found


def carry_out(found: Sequence[Adoption], stores: Mapping[str, Store], clock: Clock) -> tuple[Adoption, ...]:
    """Mark what may be marked; what shutdown leaves undone stays to be adopted."""
    chosen = {one.key: one for one in found if one.action == "adopt"}

    def mark(key: Key) -> Written | StoreError:
        one = chosen[key]
        if one.marks is None or not isinstance(one.read, Stored):
            raise AssertionError("only what was read and proven is marked")
        return stores[key.store].mark(key, one.marks, version=one.read.version, read=one.read)

    done = change(mark, chosen, clock)
    return tuple(marked(one, done[one.key]) if one.key in done else one for one in found)
