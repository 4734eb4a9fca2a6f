"""Listings: the Pages of a system user and of a business, with cursors."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import urlencode

from sync.sandbox.api.auth import FakeCaller
from sync.sandbox.api.fields import parse_fields
from sync.sandbox.api.nodes import PAGE_FIELDS, own_id, page_row, user_of
from sync.sandbox.replies import NO_USER, GraphError, Json, Request, nonexisting_field, permission_required, unsupported
from sync.sandbox.world.business import FakePage, FakeSystemUser
from sync.sandbox.world.faults import draw
from sync.sandbox.world.tokens import FakeToken
from sync.sandbox.world.world import World

DEFAULT_LIMIT, MAX_LIMIT = 25, 100
_LIMIT = re.compile(r"[1-9][0-9]{0,8}")
_NODE_TYPES = {"page": "Page", "user": "User"}
_ROW = ("access_token", "category", "category_list", "name", "id", "tasks")
_ASSIGNED_ROW = ("name", "tasks", "id")
_OF_BUSINESS = frozenset({"owned_pages", "client_pages"})
LISTED_FIELDS = frozenset({*PAGE_FIELDS, "tasks", "permitted_tasks"})
"""What a listed Page may be asked for: ``tasks`` belongs to the listing, not to the Page."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """One requested list, and the system user who may read it."""

    world: World
    request: Request
    token: FakeToken
    user: FakeSystemUser
    edge: str
    version: str


def read_edge(
    world: World, request: Request, caller: FakeCaller, path: tuple[str, str], version: str
) -> Json | GraphError:
    """Answer ``/{id}/{edge}``: a system user may list its own Pages, and those of its business with a permission for that."""
    node, edge = own_id(caller) if path[0] == "me" else path[0], path[1]
    if not node:
        return NO_USER
    user = user_of(world, caller)
    refused = _refused(world, caller, user, node, edge)
    if refused is not None or user is None or caller.token is None:
        return refused or unsupported("get", node)
    asked = parse_fields(request.params.get("fields"))
    if isinstance(asked, GraphError):
        return asked
    known = PAGE_FIELDS if edge in _OF_BUSINESS else LISTED_FIELDS
    strange = next((name for name in asked if name not in known), None)
    if strange is not None:
        return nonexisting_field(strange, "Page")
    return _answer(_Listing(world, request, caller.token, user, edge, version), asked)


def _refused(world: World, caller: FakeCaller, user: FakeSystemUser | None, node: str, edge: str) -> GraphError | None:
    """Return why this caller may not list this; None where it may."""
    if node == world.business_id and edge in _OF_BUSINESS:
        if user is None or caller.token is None:
            return unsupported("get", node)
        allowed = "business_management" in world.scopes_of(caller.token)
        return None if allowed else permission_required("business_management")
    if edge not in {"accounts", "assigned_pages"} or (user is None and node == own_id(caller)):
        page = world.pages.get(node)
        if page is None and node not in world.users:
            return unsupported("get", node)
        return nonexisting_field(edge, _NODE_TYPES[page.kind if page else "user"])
    return None if user is not None and node == user.id else unsupported("get", node)


def _answer(listing: _Listing, asked: tuple[str, ...]) -> Json | GraphError:
    world, edge, params = listing.world, listing.edge, listing.request.params
    if draw(world, "listing-empty", edge) is not None:
        return {"data": []}
    pages = _visible(listing)
    limit, start = _limit(params.get("limit")), _start(pages, params.get("after"))
    if start is None:
        return GraphError("(#100) Invalid parameter: the cursor is not valid")
    rows = pages[start : start + limit]
    bare = draw(world, "listing-without-tokens", edge) is not None or bool(listing.user.lacking)
    hole = draw(world, "listing-hole", edge) is not None
    names = asked or (_ROW if edge == "accounts" else _ASSIGNED_ROW)
    answer: Json = {"data": [] if hole else [_row(listing, page, names, bare=bare) for page in rows]}
    if rows:
        cursors = {"before": _cursor(rows[0]), "after": _cursor(rows[-1])}
        more = {"next": _next(listing, limit, cursors["after"])} if start + limit < len(pages) else {}
        answer["paging"] = {"cursors": cursors, **more}
    if params.get("summary") in {"true", "1", "total_count"}:
        answer["summary"] = {"total_count": len(pages)}
    return answer


def _visible(listing: _Listing) -> list[FakePage]:
    """Return the listed Pages; since v17.0 ``accounts`` leaves out a business's Pages without ``business_management``."""
    pages = listing.world.pages
    if listing.edge in _OF_BUSINESS:
        shared = listing.edge == "client_pages"
        held = [page for page in pages.values() if page.in_business and page.shared is shared]
        return sorted((page for page in held if _is_listed(page)), key=lambda page: page.id)
    seen = [pages[page_id] for page_id in listing.user.assigned if page_id in pages]
    seen = [page for page in seen if _is_listed(page)]
    if listing.edge == "accounts" and "business_management" not in listing.token.scopes:
        seen = [page for page in seen if not page.in_business]
    return sorted(seen, key=lambda page: page.id)


def _is_listed(page: FakePage) -> bool:
    return page.kind == "page" and not page.deleted and page.migrated_to is None


def _row(listing: _Listing, page: FakePage, names: tuple[str, ...], *, bare: bool) -> Json:
    row = page_row(listing.world, page)
    if listing.edge not in _OF_BUSINESS:
        row["tasks"] = row["permitted_tasks"] = list(listing.user.assigned[page.id])
    if listing.edge == "accounts" and "access_token" in names and not bare:
        row["access_token"] = listing.world.page_token(page, listing.token).value
    return {**{name: row[name] for name in names if row.get(name) is not None}, "id": page.id}


def _limit(text: str | None) -> int:
    return min(int(text), MAX_LIMIT) if text and _LIMIT.fullmatch(text) else DEFAULT_LIMIT


def _cursor(page: FakePage) -> str:
    return base64.urlsafe_b64encode(page.id.encode()).decode()


def _start(pages: list[FakePage], after: str | None) -> int | None:
    """Return where the next rows begin; the cursor of a Page that was removed meanwhile keeps its position."""
    if not after:
        return 0
    try:
        last = base64.urlsafe_b64decode(after.encode()).decode()
    except (binascii.Error, UnicodeError):
        return None
    return (
        next((position for position, page in enumerate(pages) if page.id > last), len(pages))
        if last.isdecimal()
        else None
    )


def _next(listing: _Listing, limit: int, after: str) -> str:
    """Return the URL of the next rows, with the token in clear text, as Graph's has it."""
    host = listing.request.headers.get("host")
    base = f"http://{host}" if host else "https://graph.facebook.com"
    kept = {name: value for name, value in listing.request.params.items() if name in {"fields", "summary"}}
    query = {"access_token": listing.token.value, "pretty": "0", **kept, "limit": str(limit), "after": after}
    node = listing.world.business_id if listing.edge in _OF_BUSINESS else listing.user.id
    return f"{base}/{listing.version}/{node}/{listing.edge}?{urlencode(query)}"
