"""Authenticate a request: its token, its proof, and Graph's errors about them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sync.sandbox.replies import (
    APP_BLOCKED,
    APP_UNKNOWN,
    BAD_SIGNATURE,
    CANNOT_PARSE,
    NOT_DECRYPTED,
    PROOF_REQUIRED,
    PROOF_WRONG,
    GraphError,
    Request,
)
from sync.sandbox.world.business import FakeApp
from sync.sandbox.world.tokens import FakeToken, letters
from sync.sandbox.world.world import World

_PROOF_LIFE = 300
_SECONDS = re.compile(r"[0-9]{1,12}")
_TOKEN = re.compile(r"[A-Za-z0-9|_.-]+")


@dataclass(frozen=True, slots=True)
class FakeCaller:
    """A caller whose token is valid; ``token`` is None for the app's own token."""

    app: FakeApp
    text: str = field(repr=False)
    token: FakeToken | None


def app_token(app: FakeApp) -> str:
    """Return the app token that ``oauth/access_token`` returns; ``ID|SECRET`` is equivalent."""
    return f"{app.id}|{letters(27, 'app token', app.id, app.secret)}"


def token_text_of(request: Request) -> str | None:
    """Return the token of a request: from query, form, or header (``Bearer`` or ``OAuth``); None where there is none."""
    named = request.params.get("access_token")
    if named:
        return named
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() or None if kind.lower() in ("bearer", "oauth") else None


@lru_cache(maxsize=4096)
def proof(secret: str, token: str, at: str | None = None) -> str:
    """Return the ``appsecret_proof`` of a token; ``at`` makes the form that ``appsecret_time`` goes with."""
    message = token if at is None else f"{token}|{at}"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def find(world: World, text: str) -> tuple[FakeApp, FakeToken | None] | str:
    """Return the app of a token and the issued token (None for an app token), or Graph's message for text that is no token."""
    token = world.tokens.get(text)
    if token is not None:
        app = world.app_of(token.app_id)
        return (app, token) if app is not None else APP_UNKNOWN
    app_id, bar, secret = text.partition("|")
    if bar:
        app = world.app_of(app_id)
        if app is None:
            return APP_UNKNOWN
        return (app, None) if secret == app.secret or text == app_token(app) else BAD_SIGNATURE
    return NOT_DECRYPTED if text.startswith("EAA") and text.isalnum() else CANNOT_PARSE


def authenticate(world: World, request: Request, text: str, *, secret_shown: bool = False) -> FakeCaller | GraphError:
    """Check a token and its proof; with ``secret_shown`` the request held the app's secret and needs no proof."""
    found = find(world, text)
    if isinstance(found, str):
        unparsable = found == CANNOT_PARSE
        if unparsable and not _TOKEN.fullmatch(text):
            found = f"Malformed access token {text}"
        return GraphError(found, 190, status=401 if unparsable and request.method == "POST" else 400)
    app, token = found
    if app.blocked:
        return APP_BLOCKED
    invalid_reason = world.refuses(token) if token is not None else None
    if invalid_reason is not None:
        return GraphError(invalid_reason.message, 190, invalid_reason.subcode)
    needed = world.require_proof and token is not None and not secret_shown
    refused = _check_proof(world, request.params, app, text, needed=needed)
    return refused or FakeCaller(app, text, token)


def _check_proof(
    world: World, params: Mapping[str, str], app: FakeApp, text: str, *, needed: bool
) -> GraphError | None:
    given, at = params.get("appsecret_proof"), params.get("appsecret_time")
    if given is None:
        return PROOF_REQUIRED if needed else None
    if at is not None and (not _SECONDS.fullmatch(at) or abs(world.time() - int(at)) > _PROOF_LIFE):
        return PROOF_WRONG
    return None if hmac.compare_digest(given.encode(), proof(app.secret, text, at).encode()) else PROOF_WRONG
