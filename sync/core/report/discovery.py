"""What ``discover`` answers: the Pages that system users reach, against those that the configuration lists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sync.core.model import Fetched, Page, SourceError, State
from sync.core.problems import Problem
from sync.core.report.json import problem_json
from sync.core.report.text import count

Edge = Literal["accounts", "assigned_pages", "owned_pages", "client_pages"]
"""A list of Pages at Graph: of the Pages that a system user reaches, of those that are assigned to it, and of its business."""

_OF_USER: Sequence[Edge] = ("assigned_pages", "accounts")
_OF_BUSINESS: Sequence[Edge] = ("owned_pages", "client_pages")


_NO_PAGES = (
    "In Business Settings > Users > System users, assign the Pages to the system user. Check that its token has pages_show_list. "
    "If both are so, run this command again."
)


@dataclass(frozen=True, slots=True)
class Listed:
    """What one list of Graph's showed: names by id. ``problem`` is why more may be in it; None where it was read to its end."""

    names: Mapping[str, str]
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """What was found of one system user: the lists, and what a read of each Page gave, by the Page's id."""

    system_user: str
    lists: Mapping[Edge, Listed]
    read: Mapping[str, Fetched | SourceError]


@dataclass(frozen=True, slots=True)
class FoundPage:
    """One Page that differs. ``problem`` is why its token cannot be read; None where it can be."""

    id: str
    name: str
    system_user: str
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """What could not be found out: a list, or whether a listed Page is reached. ``page`` is None for a list."""

    system_user: str
    subject: str
    problem: Problem
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """How what system users reach differs from what is listed.

    ``not_listed`` are Pages that a system user reaches, or that are assigned to it, and that no Page of the configuration has;
    ``lost`` are those that are listed and cannot be read any more. ``not_assigned`` are Pages of the business that no system user
    reaches; they are no difference. ``unknown`` says what the answer does not know.
    """

    not_listed: tuple[FoundPage, ...]
    lost: tuple[FoundPage, ...]
    not_assigned: tuple[FoundPage, ...]
    unknown: tuple[Unknown, ...]

    @property
    def exit_code(self) -> int:
        """Return 0 where nothing differs, 1 where something does, 3 where that could not be found out."""
        if self.not_listed or self.lost:
            return 1
        return 3 if self.is_partial else 0

    @property
    def is_partial(self) -> bool:
        """Whether there may be differences that were not found; the lists of a business show none."""
        return any(one.subject not in _OF_BUSINESS for one in self.unknown)

    def as_json(self) -> dict[str, Any]:
        """Return the answer in its documented JSON shape, format 1."""
        return {
            "format": 1,
            "not_listed": [_page_json(page) for page in self.not_listed],
            "lost": [_page_json(page) for page in self.lost],
            "not_assigned": [_page_json(page) for page in self.not_assigned],
            "unknown": [
                {
                    "system_user": one.system_user,
                    "subject": one.subject,
                    "page": one.page,
                    "problem": problem_json(one.problem),
                }
                for one in self.unknown
            ],
        }


def discovery(pages: Sequence[Page], reached: Sequence[Reached]) -> Discovery:
    """Compare what system users reach with the Pages of the configuration."""
    listed = {page.id for page in pages}
    not_listed: dict[str, FoundPage] = {}
    lost: list[FoundPage] = []
    business: dict[str, FoundPage] = {}
    unknown: list[Unknown] = []
    for user in reached:
        for page in _new(user, listed):
            known = not_listed.get(page.id)
            # Of two system users the one that can read the Page is the one to list it with.
            if known is None or (known.problem is not None and page.problem is None):
                not_listed[page.id] = page
        lost += _lost(user, pages)
        unknown += _unknown(user, pages)
        business.update({page.id: page for page in _of_business(user) if page.id not in business})
    seen = {page_id for user in reached for edge in _OF_USER for page_id in _names(user, edge)}
    return Discovery(
        not_listed=tuple(sorted(not_listed.values(), key=lambda page: (page.system_user, int(page.id)))),
        lost=tuple(lost),
        not_assigned=tuple(page for page in business.values() if page.id not in seen | listed),
        # Each answer of Graph has its own trace id.
        unknown=tuple(
            {
                (one.system_user, one.subject, one.page, one.problem.code, one.problem.message): one for one in unknown
            }.values()
        ),
    )


def to_read(lists: Mapping[Edge, Listed], listed: Sequence[Page]) -> Sequence[str]:
    """Return the ids of the Pages that a system user's lists show and the configuration does not have."""
    known = {page.id for page in listed}
    found = dict.fromkeys(page_id for edge in _OF_USER if edge in lists for page_id in lists[edge].names)
    return [page_id for page_id in found if page_id not in known]


def _names(user: Reached, edge: Edge) -> Mapping[str, str]:
    return user.lists[edge].names if edge in user.lists else {}


def _new(user: Reached, listed: set[str]) -> Iterator[FoundPage]:
    names = {page_id: name for edge in reversed(_OF_USER) for page_id, name in _names(user, edge).items()}
    for page_id, name in names.items():
        if page_id not in listed:
            read = user.read.get(page_id)
            problem = read.problem if isinstance(read, SourceError) else None
            yield FoundPage(page_id, name, user.system_user, problem)


def _lost(user: Reached, pages: Sequence[Page]) -> Iterator[FoundPage]:
    for page in pages:
        read = user.read.get(page.id) if page.system_user == user.system_user else None
        if isinstance(read, SourceError) and read.state is State.INVALID:
            yield FoundPage(page.id, page.name, page.system_user, read.problem)


def _unknown(user: Reached, pages: Sequence[Page]) -> Iterator[Unknown]:
    """Yield what could not be found out; a cause that many Pages share is one entry."""
    unlisted = _list_problem(user)
    if unlisted is not None:
        yield Unknown(user.system_user, "assigned_pages", unlisted)
    for edge in _OF_BUSINESS:
        problem = user.lists[edge].problem if edge in user.lists else None
        if problem is not None and problem != unlisted:
            yield Unknown(user.system_user, edge, problem)
    for page in pages:
        read = user.read.get(page.id) if page.system_user == user.system_user else None
        if isinstance(read, SourceError) and read.state is State.UNKNOWN and read.problem != unlisted:
            alone = read.scope == "page"
            yield Unknown(user.system_user, "page" if alone else "pages", read.problem, page.name if alone else None)


def _list_problem(user: Reached) -> Problem | None:
    """Return why the lists may lack Pages of a system user; None where that of the assigned ones is whole.

    The list of those that it reaches proves nothing by what it lacks: to some system users it shows a part of them, or none.
    """
    assigned = user.lists.get("assigned_pages", Listed({}))
    if assigned.problem is not None:
        return assigned.problem
    shown = {page_id for edge in _OF_USER for page_id in _names(user, edge)}
    if not shown:
        text = (
            f"Graph lists no Page for system user {user.system_user}: none is assigned, or the token may not list them."
        )
        return Problem("no-access", text, remedy=_NO_PAGES)
    lacks = [page_id for page_id, read in user.read.items() if isinstance(read, Fetched) and page_id not in shown]
    if lacks:
        text = f"Graph's lists lack {count(len(lacks), 'Page')} that system user {user.system_user} reaches, and may lack others."
        return Problem("unexpected-graph-error", text)
    return None


def _of_business(user: Reached) -> Iterator[FoundPage]:
    for edge in _OF_BUSINESS:
        for page_id, name in _names(user, edge).items():
            yield FoundPage(page_id, name, user.system_user)


def _page_json(page: FoundPage) -> dict[str, Any]:
    return {
        "id": page.id,
        "name": page.name,
        "system_user": page.system_user,
        "problem": problem_json(page.problem) if page.problem is not None else None,
    }
