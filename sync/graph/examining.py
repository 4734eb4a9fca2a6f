"""Read what explains why an app, a system user or a Page does not work; a cycle calls none of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.core.model import SourceError, State
from sync.graph.answers import Answer
from sync.graph.caller import Caller
from sync.graph.client import Client
from sync.graph.errors import classify
from sync.graph.fault import Fault
from sync.graph.listing import ROWS, next_cursor, rows
from sync.graph.quotas import Quotas

_LONGEST_TEXT, _MOST_TASKS = 200, 50
"""Far more than any name, type or task of Meta's."""
_MOST_PAGES = 20_000
"""Entries of a list after which it counts as incomplete."""


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A Page as an edge lists it; ``tasks`` is None where the edge does not have them."""

    id: str
    name: str
    tasks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The Pages of an edge by id. ``complete``: it was read to its end, so that a Page which is absent is not listed."""

    pages: Mapping[str, ListedPage]
    complete: bool


@dataclass(frozen=True, slots=True)
class Node:
    """What an id stands for: its type, such as ``page``, and its name; each is "" where Graph does not say it."""

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """Graph does not answer: why, and how the request failed, such as ``dns`` or ``tls``; "" where an answer came that is not Graph's."""

    error: SourceError
    transport: str


@dataclass(frozen=True, slots=True)
class Examiner:
    """Calls that find out more about one app, one system user or one Page; each costs one call, a list one for 100 Pages.

    An edge that Graph refuses says nothing about the app: apps and system users of some businesses lack it.
    """

    client: Client
    quotas: Quotas
    apps: Collection[str]
    proxy_error: SourceError | None
    app_caller: Callable[[str], Caller | SourceError]
    user_caller: Callable[[str], Caller | SourceError]

    def reach(self) -> Unreached | None:
        """Return why Graph does not answer at all, after which nothing else is sent; None where it does. It sends no token."""
        if self.proxy_error is not None:
            return Unreached(self.proxy_error, "")
        fault = self.client.reach()
        if fault is None:
            return None
        unreached = Unreached(classify(fault, "debug").error(fault), fault.transport)
        for app in self.apps:
            self.quotas.close_app(app, unreached.error)
        return unreached

    def issuer(self) -> str:
        """Return who issued the certificate that Graph's address presents, trusted or not; "" where that is not known."""
        return self.client.issuer()

    @property
    def via(self) -> str:
        """The proxy that Graph is reached through; "" where there is none."""
        return self.client.via

    def app_name(self, app: str) -> str | SourceError:
        """Return the name of an app at Meta, read with the app's own token."""
        caller = self.app_caller(app)
        if isinstance(caller, SourceError):
            return caller
        blocked = self.quotas.blocked(caller)
        if blocked is not None:
            return blocked
        answer = self.client.get(caller, caller.app_id, {"fields": "id,name"}, "debug")
        if isinstance(answer, Fault):
            return self.quotas.record_fault(caller, classify(answer, "debug"), answer)
        return _text(answer.value.get("name"))

    def app_business(self, app: str) -> str | SourceError:
        """Return the id of the business that owns an app; "" where Graph does not say it."""
        caller = self.app_caller(app)
        if isinstance(caller, SourceError):
            return caller
        answer = self.client.get(caller, caller.app_id, {"fields": "owner_business"}, "debug")
        if isinstance(answer, Fault):
            return self._edge_error(caller, answer)
        owner = answer.value.get("owner_business")
        return _text(owner.get("id")) if isinstance(owner, Mapping) else ""

    def listed_pages(self, system_user: str) -> Listing | SourceError:
        """Return the Pages that Graph lists for a system user; the list lacks some at times, and may be empty."""
        return self._list(system_user, "me/accounts", "id,name")

    def assigned_pages(self, system_user: str) -> Listing | SourceError:
        """Return the Pages that are assigned to a system user, with its tasks."""
        return self._list(system_user, "me/assigned_pages", "id,name,tasks")

    def business_pages(self, system_user: str, business: str, *, owned: bool) -> Listing | SourceError:
        """Return the Pages that a business owns, or those that others share with it."""
        return self._list(system_user, f"{business}/{'owned_pages' if owned else 'client_pages'}", "id,name")

    def node(self, system_user: str, node_id: str) -> Node | SourceError:
        """Return what an id stands for, as far as a system user may see it."""
        caller = self.user_caller(system_user)
        if isinstance(caller, SourceError):
            return caller
        answer = self.client.get(caller, node_id, {"fields": "id,name", "metadata": "1"}, "page", pages=(node_id,))
        if isinstance(answer, Fault):
            return self._edge_error(caller, answer)
        metadata = answer.value.get("metadata")
        kind = metadata.get("type") if isinstance(metadata, Mapping) else None
        return Node(_text(kind), _text(answer.value.get("name")))

    def _list(self, system_user: str, path: str, fields: str) -> Listing | SourceError:
        caller = self.user_caller(system_user)
        if isinstance(caller, SourceError):
            return caller
        found: dict[str, ListedPage] = {}
        params, cursors = {"fields": fields, "limit": str(ROWS)}, set[str]()
        while len(found) < _MOST_PAGES:
            blocked = self.quotas.blocked(caller)
            if blocked is not None:
                return blocked
            answer = self.client.get(caller, path, params, "page")
            if isinstance(answer, Fault):
                return self._edge_error(caller, answer)
            found.update({page.id: page for page in _listed(answer)})
            after = next_cursor(answer.value)
            if after is None or after in cursors:
                return Listing(found, complete=after is None)
            cursors.add(after)
            params["after"] = after
        return Listing(found, complete=False)

    def _edge_error(self, caller: Caller, fault: Fault) -> SourceError:
        """Return why an edge gave nothing. It closes no app: only a rate limit is recorded."""
        row = classify(fault, "page", State.VALID)
        return self.quotas.record_fault(caller, row, fault) if row.problem == "throttled" else row.error(fault)


def _listed(answer: Answer) -> Sequence[ListedPage]:
    return [
        ListedPage(row["id"], _text(row.get("name")), _tasks(row.get("tasks")))
        for row in rows(answer.value)
        if isinstance(row.get("id"), str)
    ]


def _tasks(value: Any) -> tuple[str, ...] | None:
    return tuple(filter(None, map(_text, value[:_MOST_TASKS]))) if isinstance(value, list) else None


def _text(value: Any) -> str:
    """Return a text of Graph's as it may be shown; "" where it is none."""
    return "".join(char for char in value[:_LONGEST_TEXT] if char.isprintable()) if isinstance(value, str) else ""
