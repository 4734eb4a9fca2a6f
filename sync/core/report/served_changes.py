"""What apps get since a cycle: the Pages whose secrets serve something else than before. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sync.core.memory.problems import ServedBefore
from sync.core.plan.served import Served
from sync.core.problems import Problem
from sync.core.report.entries import PageEntry, StoreEntry


@dataclass(frozen=True, slots=True)
class ServedChange:
    """Pages whose secrets in ``stores`` serve something else than in the last cycle, for the same problems."""

    was: str
    served: Served
    stores: tuple[str, ...]
    pages: Sequence[PageEntry]
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class _Move:
    """What the Pages of one line share: from what to what, under which system user, and by which problem."""

    was: str
    served: Served
    system_user: str
    cause: tuple[str, str] = ("", "")


def served_now(pages: Sequence[PageEntry], before: ServedBefore = MappingProxyType({})) -> ServedBefore:
    """Return what is served, as the next cycle compares it; of Pages that are not among these, what was served before."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    names = {page.name for page in pages}
    for store, of_store in before.items():
        for served, others in of_store.items():
            found[store][served].extend(name for name in others if name not in names)
    for page in pages:
        for entry in page.stores:
            found[entry.key.store][entry.served].append(page.name)
    return {store: {served: tuple(names) for served, names in of_store.items()} for store, of_store in found.items()}


def served_changes(pages: Iterable[PageEntry], before: ServedBefore) -> Iterator[ServedChange]:
    """Yield the Pages that serve something else than before, together where it is the same change for the same problem."""
    was = {
        (store, name): served
        for store, of_store in before.items()
        for served, names in of_store.items()
        for name in names
    }
    found: dict[tuple[_Move, tuple[str, ...]], list[tuple[PageEntry, Problem | None]]] = defaultdict(list)
    for page in pages:
        moves: dict[_Move, list[StoreEntry]] = defaultdict(list)
        for entry in page.stores:
            old = was.get((entry.key.store, page.name), entry.served)
            if old != entry.served:
                moves[_Move(old, entry.served, page.system_user)].append(entry)
        for move, entries in moves.items():
            problem = _reason(page, entries[0])
            cause = (problem.code, problem.owner) if problem is not None else ("", "")
            found[replace(move, cause=cause), tuple(entry.key.store for entry in entries)].append((page, problem))
    for (move, stores), of in found.items():
        problems = [problem for _, problem in of if problem is not None]
        yield ServedChange(move.was, move.served, stores, [page for page, _ in of], problems)


def _reason(page: PageEntry, entry: StoreEntry) -> Problem | None:
    """Return the problem behind what a secret serves: its own, or that of the fetched token; none where all is well."""
    if entry.served == "verified":
        return None
    return next(iter((*entry.problems, *page.problems)), None)
