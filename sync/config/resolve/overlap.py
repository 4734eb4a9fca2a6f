"""Find the secrets that two stores of the configuration both list. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sync.config.schema.settings import Settings
from sync.config.schema.stores.store import below
from sync.core.model import Key, Page


def in_other_stores(settings: Settings, pages: Sequence[Page]) -> frozenset[Key]:
    """Return the targets of the Pages under the names that other stores have for them.

    Two stores may be in one directory, one inside the other's, or in one mount. Each then lists what the other wrote.
    """
    roots = {name: store.root() for name, store in settings.stores.items()}
    near = {name: [other for other in roots if other != name and _overlap(roots[name], roots[other])] for name in roots}
    return frozenset(_names(roots, near, pages)) if any(near.values()) else frozenset()


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return below(one, other) is not None or below(other, one) is not None


def _names(
    roots: Mapping[str, tuple[str, ...]], near: Mapping[str, Sequence[str]], pages: Sequence[Page]
) -> Iterator[Key]:
    for key in (key for page in pages for key in page.targets):
        here = roots[key.store][-1] + key.path
        yield from (
            Key(other, here.removeprefix(roots[other][-1]))
            for other in near[key.store]
            if here.startswith(roots[other][-1])
        )
