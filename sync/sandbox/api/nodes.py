"""Reads of single nodes: a Page, a person, a system user, the app, the business."""

from __future__ import annotations

from sync.sandbox.api.auth import FakeCaller
from sync.sandbox.api.fields import parse_fields
from sync.sandbox.replies import (
    FIELD_ONLY,
    NO_USER,
    REFUSALS,
    GraphError,
    Json,
    Request,
    nonexisting_field,
    permission_required,
    unsupported,
)
from sync.sandbox.world.business import FakePage, FakeSystemUser
from sync.sandbox.world.world import World

MAX_IDS = 50
PAGE_FIELDS = (
    "about",
    "access_token",
    "business",
    "category",
    "category_list",
    "fan_count",
    "has_transitioned_to_new_page_experience",
    "id",
    "is_published",
    "link",
    "name",
    "username",
    "verification_status",
)
_USER_FIELDS = ("first_name", "id", "last_name", "name")
_APP_FIELDS = ("category", "id", "link", "name", "namespace", "owner_business")
_EDGES = {
    "page": ("conversations", "feed", "subscribed_apps"),
    "user": ("accounts", "assigned_pages"),
    "application": (),
}


def read_node(world: World, request: Request, caller: FakeCaller, node: str) -> Json | GraphError:
    """Answer ``/{id}`` and ``/me``."""
    asked = parse_fields(request.params.get("fields"))
    if isinstance(asked, GraphError):
        return asked
    node = own_id(caller) if node == "me" else node
    if not node:
        return NO_USER
    if not node.isdecimal():
        return _by_name(world, node)
    page, user = world.pages.get(node), world.users.get(node)
    answer: Json | GraphError
    kind: str
    if page is not None:
        answer, kind = _page(world, request, caller, page, asked), page.kind
    elif user is not None and caller.token is not None and caller.token.app_id == user.app_id:
        answer, kind = _plain(asked, {"name": user.name, "id": user.id}, _USER_FIELDS, "User"), "user"
    elif node in (world.app.id, world.other_app.id):
        app = world.app if node == world.app.id else world.other_app
        row = {"name": app.name, "id": app.id, "owner_business": {"id": app.business_id, "name": "Acme"}}
        answer, kind = _plain(asked, row, _APP_FIELDS, "Application"), "application"
    elif node == world.business_id:
        answer, kind = _plain(asked, {"name": "Acme", "id": node}, ("id", "name"), "Business"), "business"
    else:
        return unsupported("get", node)
    return answer if isinstance(answer, GraphError) else {**answer, **_metadata(request, kind)}


def read_ids(world: World, request: Request, caller: FakeCaller) -> Json | GraphError:
    """Answer ``/?ids=``: an object by id; one bad id fails the whole call."""
    ids = [part.strip() for part in request.params.get("ids", "").split(",") if part.strip()]
    if len(ids) > MAX_IDS:
        return GraphError(f"(#100) Too many IDs. Maximum: {MAX_IDS}. Provided: {len(ids)}.")
    answers: Json = {}
    for node in ids:
        answer = read_node(world, request, caller, node)
        if isinstance(answer, GraphError):
            return answer
        answers[node] = answer
    return answers


def own_id(caller: FakeCaller) -> str:
    """Return who ``me`` is: the Page of a Page token, else the system user; empty for an app token."""
    return "" if caller.token is None else caller.token.page_id or caller.token.user_id


def user_of(world: World, caller: FakeCaller) -> FakeSystemUser | None:
    """Return the system user, or the person in its position, who calls with a token of its own."""
    token = caller.token
    return world.users.get(token.user_id) if token is not None and token.page_id is None else None


def lacking_permission(world: World, caller: FakeCaller) -> str | None:
    """Return a permission that the caller's token was generated without, and that reading a Page's token demands."""
    user = user_of(world, caller)
    return min(user.lacking, default=None) if user is not None else None


def page_row(world: World, page: FakePage) -> Json:
    """Return the fields of a Page, without its token."""
    return {
        "about": f"Acme in {page.name}",
        "business": {"id": world.business_id, "name": "Acme"} if page.in_business else None,
        "category": "Shopping & retail",
        "category_list": [{"id": "200600219953504", "name": "Shopping & retail"}],
        "fan_count": 12,
        "has_transitioned_to_new_page_experience": True,
        "id": page.id,
        "is_published": page.published,
        "link": f"https://www.facebook.com/{page.username}",
        "name": page.name,
        "username": page.username,
        "verification_status": "not_verified",
    }


def _page(
    world: World, request: Request, caller: FakeCaller, page: FakePage, asked: tuple[str, ...]
) -> Json | GraphError:
    if page.kind == "user":
        row = {"name": page.name, "first_name": page.name, "last_name": "Doe", "id": page.id}
        return _plain(asked, row, _USER_FIELDS, "User")
    if page.deleted:
        return unsupported(request.method, page.id)
    if page.migrated_to is not None:
        return GraphError(
            f"(#21) Page ID {page.id} was migrated to page ID {page.migrated_to}.  "
            "Please update your API calls to the new ID",
            21,
        )
    strange = next((name for name in asked if name not in PAGE_FIELDS), None)
    if strange is not None:
        return nonexisting_field(strange, "Page")
    lacking = lacking_permission(world, caller) if "access_token" in asked else None
    if lacking is not None:
        return permission_required(lacking)
    refusal = refusal_of(world, caller, page)
    if refusal is not None and (refusal not in FIELD_ONLY or "access_token" in asked):
        refused = unsupported(request.method, page.id) if refusal == "object-missing" else REFUSALS[refusal]
        if refused is not None:
            return refused
    row = page_row(world, page)
    answer = {name: row[name] for name in asked or ("name",) if row.get(name) is not None}
    if "access_token" in asked and refusal is None and caller.token is not None:
        own = caller.token.page_id == page.id
        answer["access_token"] = caller.text if own else world.page_token(page, caller.token).value
    answer.pop("id", None)
    return {**answer, "id": page.id}


def refusal_of(world: World, caller: FakeCaller, page: FakePage) -> str | None:
    """Return the shape in which this caller is refused this Page's token; None where it may have it."""
    token = caller.token
    if token is None:
        return "public-content"
    if token.page_id == page.id:
        return None
    user = user_of(world, caller)
    if user is None:
        return "object-missing"
    if page.id not in user.assigned:
        return page.refusal
    return None if any(scope.startswith("pages_") for scope in token.scopes) else "impersonation"


def _plain(asked: tuple[str, ...], row: Json, known: tuple[str, ...], node_type: str) -> Json | GraphError:
    strange = next((name for name in asked if name not in known), None)
    if strange is not None:
        return nonexisting_field(strange, node_type)
    return {**{name: row[name] for name in asked or ("name",) if name in row and name != "id"}, "id": row["id"]}


def _by_name(world: World, name: str) -> GraphError:
    if any(page.username == name for page in world.pages.values()):
        return GraphError(f"(#803) Cannot query users by their username ({name})", 803)
    return GraphError(f"(#803) Some of the aliases you requested do not exist: {name}", 803, status=404)


def _metadata(request: Request, kind: str) -> Json:
    if request.params.get("metadata") not in ("1", "true"):
        return {}
    names = {"page": PAGE_FIELDS, "user": _USER_FIELDS, "application": _APP_FIELDS}.get(kind, ("id", "name"))
    fields = [{"name": name, "description": f"The {kind}'s {name}.", "type": "string"} for name in names]
    return {"metadata": {"fields": fields, "type": kind, "connections": {edge: edge for edge in _EDGES.get(kind, ())}}}
