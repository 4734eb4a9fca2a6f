"""The truth about a world, for scripts that compare a report with it; tokens are named by fingerprint only."""

from __future__ import annotations

from sync.sandbox.api.auth import Caller
from sync.sandbox.api.nodes import refusal_of
from sync.sandbox.replies import Json
from sync.sandbox.world.business import Page, SystemUser
from sync.sandbox.world.tokens import Token, fingerprint
from sync.sandbox.world.world import World


def truth(world: World) -> Json:
    """Return what every Page would give now (``fingerprint`` None where the next read makes a new string), to each system user, and what every token that was issued is worth now.

    Faults of the wire do not count: it is what a client would find that is answered in the end.
    """
    with world.lock:
        return {
            "now": world.time(),
            "app": {"id": world.app.id, "blocked": world.app.blocked},
            "system_users": {user.id: _user(world, user) for user in world.users.values()},
            "pages": {page.id: _page(world, page) for page in tuple(world.pages.values())},
            "tokens": {fingerprint(token.value): _token(world, token) for token in tuple(world.tokens.values())},
            "faults": [fault.name for fault in world.faults],
        }


def _user(world: World, user: SystemUser) -> Json:
    ailment = world.ailment(world.tokens[user.token])
    return {
        "name": user.name,
        "fingerprint": fingerprint(user.token),
        "valid": ailment is None,
        "why": ailment.why if ailment is not None else None,
        "assigned": sorted(user.assigned),
    }


def _page(world: World, page: Page) -> Json:
    return {
        "name": page.name,
        "kind": page.kind,
        "published": page.published,
        "system_users": {user.id: _fetch(world, page, user) for user in world.users.values()},
    }


def _fetch(world: World, page: Page, user: SystemUser) -> Json:
    why = _why_not(world, page, user)
    if why is not None:
        return {"fetchable": False, "why": why, "fingerprint": None}
    token = world.page_token(page, world.tokens[user.token], peek=True)
    fresh = page.changing or world.outlived(page, world.tokens[user.token])
    return {"fetchable": True, "why": None, "fingerprint": None if fresh else fingerprint(token.value)}


def _why_not(world: World, page: Page, user: SystemUser) -> str | None:
    parent = world.tokens[user.token]
    app = world.app_of(parent.app_id)
    if app is None or app.blocked:
        return "app-blocked"
    if world.ailment(parent) is not None:
        return "system-user-invalid"
    if page.kind != "page":
        return "not-a-page"
    if page.deleted or page.migrated_to is not None:
        return "deleted" if page.deleted else "migrated"
    return "not-entitled" if refusal_of(world, Caller(app, parent.value, parent), page) is not None else None


def _token(world: World, token: Token) -> Json:
    ailment, page = world.ailment(token), world.pages.get(token.page_id or "")
    return {
        "type": token.type,
        "valid": ailment is None,
        "why": ailment.why if ailment is not None else None,
        "subcode": ailment.subcode if ailment is not None else None,
        "app_id": token.app_id,
        "page_id": token.page_id,
        "user_id": token.user_id,
        "parent": fingerprint(token.parent) if token.parent is not None else None,
        "scopes": list(world.scopes_of(token)),
        "untargeted": sorted(page.untargeted) if page is not None else [],
        "expires_at": token.expires_at,
    }
