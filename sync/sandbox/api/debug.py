"""``debug_token``: what Meta says of a token that somebody holds."""

from __future__ import annotations

from sync.sandbox.api.auth import Caller, find
from sync.sandbox.replies import NOT_THE_APP, OTHER_APP, GraphError, Json, Request
from sync.sandbox.world.business import App
from sync.sandbox.world.tokens import Token
from sync.sandbox.world.world import World


def debug_token(world: World, request: Request, caller: Caller) -> Json | GraphError:
    """Answer a GET of ``/debug_token``: a bad ``input_token`` is an answer, a caller without the right is an error."""
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


def facts(world: World, app: App, token: Token) -> Json:
    """Return the ``data`` of one issued token, in the order of live answers; an invalid one keeps all but its scopes."""
    ailment = world.ailment(token)
    data: Json = {"app_id": app.id, "type": token.type, "application": app.name, "data_access_expires_at": 0}
    if ailment is not None:
        error: Json = {"code": 190, "message": ailment.message}
        data["error"] = error if ailment.subcode is None else {**error, "subcode": ailment.subcode}
    data |= {"expires_at": token.expires_at, "is_valid": ailment is None}
    if token.type == "SYSTEM_USER":
        data["issued_at"] = token.issued_at
    if token.page_id is not None:
        data["profile_id"] = token.page_id
    scopes = world.scopes_of(token) if ailment is None else ()
    data["scopes"] = list(scopes)
    if ailment is None:
        data["granular_scopes"] = [_granular(world, token, scope) for scope in scopes]
    return {**data, "user_id": token.user_id}


def _granular(world: World, token: Token, scope: str) -> Json:
    page = world.pages.get(token.page_id or "")
    if page is None or scope not in page.untargeted:
        return {"scope": scope}
    return {"scope": scope, "target_ids": [world.neighbour(page.id)]}
