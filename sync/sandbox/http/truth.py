"""The state of a world, for scripts that compare a report with it; tokens appear as fingerprints only."""

from __future__ import annotations

from sync.sandbox.api.auth import FakeCaller
from sync.sandbox.api.nodes import refusal_of
from sync.sandbox.replies import Json
from sync.sandbox.world.business import FakePage, FakeSystemUser
from sync.sandbox.world.tokens import BLOCKED, FakeToken, fingerprint
from sync.sandbox.world.world import World


def truth(world: World) -> Json:
    """Return which token each Page has for each system user now, and whether every issued token is valid.

    ``fingerprint`` is None where the next read creates a new token. Faults of single answers are ignored.
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


def _user(world: World, user: FakeSystemUser) -> Json:
    invalid_reason = world.invalid_reason(world.tokens[user.token])
    return {
        "name": user.name,
        "fingerprint": fingerprint(user.token),
        "valid": invalid_reason is None,
        "why": invalid_reason.why if invalid_reason is not None else None,
        "assigned": sorted(user.assigned),
    }


def _page(world: World, page: FakePage) -> Json:
    return {
        "name": page.name,
        "kind": page.kind,
        "published": page.published,
        "system_users": {user.id: _fetch(world, page, user) for user in world.users.values()},
    }


def _fetch(world: World, page: FakePage, user: FakeSystemUser) -> Json:
    why = _why_not(world, page, user)
    if why is not None:
        return {"fetchable": False, "why": why, "fingerprint": None}
    token = world.page_token(page, world.tokens[user.token], peek=True)
    fresh = page.changing or world.outlived(page, world.tokens[user.token])
    return {"fetchable": True, "why": None, "fingerprint": None if fresh else fingerprint(token.value)}


def _why_not(world: World, page: FakePage, user: FakeSystemUser) -> str | None:
    user_token = world.tokens[user.token]
    app = world.app_of(user_token.app_id)
    if app is None or app.blocked:
        return "app-blocked"
    reason = world.invalid_reason(user_token)
    if reason is not None:
        return "policy-blocked" if reason.subcode in BLOCKED else "system-user-invalid"
    if user.lacking:
        return "missing-permission"
    if page.kind != "page":
        return "not-a-page"
    if page.deleted or page.migrated_to is not None:
        return "deleted" if page.deleted else "migrated"
    return (
        "not-entitled" if refusal_of(world, FakeCaller(app, user_token.value, user_token), page) is not None else None
    )


def _token(world: World, token: FakeToken) -> Json:
    invalid_reason, page = world.invalid_reason(token), world.pages.get(token.page_id or "")
    return {
        "type": token.type,
        "valid": invalid_reason is None,
        "why": invalid_reason.why if invalid_reason is not None else None,
        "subcode": invalid_reason.subcode if invalid_reason is not None else None,
        "app_id": token.app_id,
        "page_id": token.page_id,
        "user_id": token.user_id,
        "derived_from": fingerprint(token.derived_from) if token.derived_from is not None else None,
        "scopes": list(world.scopes_of(token)),
        "untargeted": sorted(page.untargeted) if page is not None else [],
        "expires_at": token.expires_at,
    }
