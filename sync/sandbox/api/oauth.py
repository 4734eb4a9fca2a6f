"""``oauth/access_token`` and ``oauth/revoke``."""

from __future__ import annotations

from sync.sandbox.api.auth import app_token, authenticate, token_text_of
from sync.sandbox.replies import APP_BLOCKED, APP_UNKNOWN, NO_TOKEN, GraphError, Json, Request
from sync.sandbox.world.business import FakeApp
from sync.sandbox.world.tokens import REVOKED
from sync.sandbox.world.world import World

SIXTY_DAYS = 5183944


def oauth(world: World, request: Request, what: str) -> Json | GraphError:
    """Answer ``/oauth/{what}``."""
    app = _client(world, request)
    if isinstance(app, GraphError):
        return app
    if what == "revoke":
        return _revoke(world, request, app)
    grant = request.params.get("grant_type")
    if grant == "client_credentials":
        return {"access_token": app_token(app), "token_type": "bearer"}
    if grant == "fb_exchange_token":
        return _exchange(world, request, app)
    return GraphError("Missing redirect_uri parameter.", 191)


def _client(world: World, request: Request) -> FakeApp | GraphError:
    client = request.params.get("client_id")
    if not client:
        return GraphError("Missing client_id parameter.", 101)
    app = world.app_of(client)
    if app is None:
        return GraphError(APP_UNKNOWN, 101)
    if request.params.get("client_secret") != app.secret:
        return GraphError("Error validating client secret.", 1)
    if app.blocked:
        return APP_BLOCKED
    return app


def _exchange(world: World, request: Request, app: FakeApp) -> Json | GraphError:
    text = request.params.get("fb_exchange_token")
    if not text:
        return GraphError("fb_exchange_token parameter not specified", 1)
    caller = authenticate(world, request, text, secret_shown=True)
    if isinstance(caller, GraphError):
        return caller
    user = world.users.get(caller.token.user_id) if caller.token is not None else None
    if user is None or caller.app.id != app.id:
        return GraphError("Error validating access token: The token was not issued to this application.", 190)
    ending = request.params.get("set_token_expires_in_60_days") in ("true", "1")
    new = world.rotate(user, expires_in=SIXTY_DAYS if ending else None)
    answer: Json = {"access_token": new.value, "token_type": "bearer"}
    return {**answer, "expires_in": SIXTY_DAYS} if ending else answer


def _revoke(world: World, request: Request, app: FakeApp) -> Json | GraphError:
    text = token_text_of(request)
    if text is None:
        return NO_TOKEN
    caller = authenticate(world, request, text, secret_shown=True)
    if isinstance(caller, GraphError):
        return caller
    token = world.tokens.get(request.params.get("revoke_token", ""))
    if token is None or token.app_id != app.id or caller.app.id != app.id:
        return GraphError("(#100) Invalid parameter: revoke_token")
    token.invalid_reason = REVOKED
    return {"success": "true"}
