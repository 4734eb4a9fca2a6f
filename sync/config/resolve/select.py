"""Select Pages of the configuration by the options of the command line. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sync.config.errors import shown
from sync.config.parse.translate import nearest
from sync.core.model import Key, Page


class SelectionError(Exception):
    """A selection matches nothing or is invalid; the text is for a person, and lists what exists."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The selected Pages, at least one, each with its targets in the selected stores only.

    ``named`` are the targets of the whole configuration: a secret of this instance that is not among them is an orphan.
    """

    pages: tuple[Page, ...]
    named: frozenset[Key]


def select(
    everything: Sequence[Page], *, pages: Sequence[str] = (), labels: Sequence[str] = (), stores: Sequence[str] = ()
) -> Selected:
    """Select Pages by patterns of their names, by labels as KEY=VALUE, and by stores; raises SelectionError.

    A Page must match one value of each option that is given. A Page's id matches like its name. Each value must match a Page,
    so that a misspelt one is noticed.
    """
    for pattern in pages:
        if not any(_is_named(page, pattern) for page in everything):
            raise SelectionError(f"--page {pattern}: no Page has this name; {nearest(pattern, _names(everything))}")
    wanted = [_label(text, everything) for text in labels]
    targets = dict.fromkeys(key.store for page in everything for key in page.targets)
    for store in stores:
        if store not in targets:
            raise SelectionError(f"--store {store}: no Page has this store; {nearest(store, targets)}")
    chosen = tuple(
        page if not stores else replace(page, targets=tuple(key for key in page.targets if key.store in stores))
        for page in everything
        if (not pages or any(_is_named(page, pattern) for pattern in pages))
        and (not wanted or any(page.labels.get(key) == value for key, value in wanted))
        and (not stores or any(key.store in stores for key in page.targets))
    )
    if not chosen:
        raise SelectionError(_nothing(everything, pages=pages, labels=labels, stores=stores))
    return Selected(chosen, frozenset(key for page in everything for key in page.targets))


def select_page(everything: Sequence[Page], name: str, *, stores: Sequence[str] = ()) -> Selected:
    """Select the one Page of this name or id, in all its stores or in some; raises SelectionError."""
    found = [page for page in everything if page.name == name] or [page for page in everything if page.id == name]
    if not found:
        raise SelectionError(f"{shown(name)}: no Page has this name or id; {nearest(name, _names(everything))}")
    if len(found) > 1:
        raise SelectionError(f"{name}: several Pages have this id; name one: {', '.join(_names(found))}")
    only = select(found, stores=stores)
    return replace(only, named=frozenset(key for page in everything for key in page.targets))


def in_one_store(everything: Sequence[Page], page: str | None, store: str | None) -> tuple[Selected, str]:
    """Select one Page, or all, in the given store or in the only one there is; raises SelectionError."""
    found = select(everything) if page is None else select_page(everything, page)
    stores = dict.fromkeys(key.store for one in found.pages for key in one.targets)
    if store is None and len(stores) > 1:
        options = " or ".join(f"--store {name}" for name in stores)
        raise SelectionError(f"There are several stores: add {options}")
    wanted = store or next(iter(stores))
    return replace(select(found.pages, stores=[wanted]), named=found.named), wanted


def check_stores(everything: Collection[str], stores: Iterable[str]) -> None:
    """Check that the configuration has these stores; raises SelectionError."""
    for store in stores:
        if store not in everything:
            raise SelectionError(f"--store {store}: the configuration has no such store; {nearest(store, everything)}")


def _is_named(page: Page, pattern: str) -> bool:
    return fnmatchcase(page.name, pattern) or page.id == pattern


def _names(everything: Iterable[Page]) -> Iterable[str]:
    return (page.name for page in everything)


def _label(text: str, everything: Sequence[Page]) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise SelectionError(f"--label {text}: not of the form KEY=VALUE, such as team=crm")
    known: Mapping[str, None] = dict.fromkeys(
        f"{key}={value}" for page in everything for key, value in page.labels.items()
    )
    if text not in known:
        raise SelectionError(f"--label {text}: no Page has this label; {nearest(text, known, show=_shown_label)}")
    return key, value


def _shown_label(text: str) -> str:
    key, _, value = text.partition("=")
    return f"{shown(key)}={shown(value)}"


def _nothing(everything: Sequence[Page], **given: Sequence[str]) -> str:
    if not everything:
        return "The configuration lists no Pages, so there is nothing to select from."
    given_options = " and ".join(f"--{kind[:-1]} {' or '.join(values)}" for kind, values in given.items() if values)
    return f"Nothing is selected: no Page matches {given_options} together, although each of them alone matches a Page."
