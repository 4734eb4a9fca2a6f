"""``debug_token``: the facts of a token."""

from __future__ import annotations

from sync.sandbox.api.auth import FakeCaller, find
from sync.sandbox.replies import NOT_THE_APP, OTHER_APP, GraphError, Json, Request
from sync.sandbox.world.business import FakeApp
from sync.sandbox.world.tokens import FakeToken
from sync.sandbox.world.world import World


def debug_token(world: World, request: Request, caller: FakeCaller) -> Json | GraphError:
    """Answer ``GET /debug_token``: an invalid ``input_token`` is an answer, a caller without permission an error."""
    text = request.params.get("input_token")
    if not text:
        return GraphError("(#100) The parameter input_token is required")
    itself = caller.text == text and world.system_user_may_debug_itself
    if caller.token is not None and not (itself and caller.token.type == "SYSTEM_USER"):
        return NOT_THE_APP
    found = find(world, text)
    if isinstance(found, str):
        return {"data": {"error": {"code": 190, "message": found}, "is_valid": False, "scopes": []}}
    app, token = found
    if app.id != caller.app.id:
        return OTHER_APP
    if token is None:
        return {"data": {"app_id": app.id, "type": "APP", "application": app.name, "is_valid": True, "scopes": []}}
    return {"data": facts(world, app, token)}


def facts(world: World, app: FakeApp, token: FakeToken) -> Json:
    """Return the ``data`` of one issued token, in the order of live answers; an invalid one keeps all but its scopes."""
    invalid_reason = world.invalid_reason(token)
    data: Json = {"app_id": app.id, "type": token.type, "application": app.name, "data_access_expires_at": 0}
    if invalid_reason is not None:
        error: Json = {"code": 190, "message": invalid_reason.message}
        data["error"] = error if invalid_reason.subcode is None else {**error, "subcode": invalid_reason.subcode}
    data |= {"expires_at": token.expires_at, "is_valid": invalid_reason is None}
    if token.type == "SYSTEM_USER":
        data["issued_at"] = token.issued_at
    if token.page_id is not None:
        data["profile_id"] = token.page_id
    scopes = world.scopes_of(token) if invalid_reason is None else ()
    data["scopes"] = list(scopes)
    if invalid_reason is None:
        data["granular_scopes"] = [_granular(world, token, scope) for scope in scopes]
    return {**data, "user_id": token.user_id}


def _granular(world: World, token: FakeToken, scope: str) -> Json:
    page = world.pages.get(token.page_id or "")
    if page is None or scope not in page.untargeted:
        return {"scope": scope}
    return {"scope": scope, "target_ids": [world.neighbour(page.id)]}
