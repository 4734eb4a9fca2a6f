"""``/_sandbox/...``: calls to change the world, switch faults, and read its state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sync.sandbox.api.states import NAMES, PAGES, find_page, restore_page, switch_off, switch_on
from sync.sandbox.http.truth import truth
from sync.sandbox.replies import Json, Reply, Request
from sync.sandbox.world.business import TASKS, Calls, FakePage, FakeSystemUser
from sync.sandbox.world.faults import InjectedFault
from sync.sandbox.world.quota import FakeQuotas, Rolling
from sync.sandbox.world.tokens import REVOKED, letters
from sync.sandbox.world.world import World

PREFIX = "/_sandbox"


def control(world: World, request: Request) -> Reply:
    """Answer one call of the control endpoint; an invalid call is a 400 or 404 whose text says what is valid."""
    parts = [part for part in request.path.removeprefix(PREFIX).split("/") if part]
    try:
        with world.lock:
            value = _do(world, request.method, parts, request.params)
    except (ValueError, TypeError) as error:
        return _json(400, {"error": str(error)})
    return _json(404, {"error": "no such control call"}) if value is None else _json(200, value)


def _do(world: World, method: str, parts: list[str], params: dict[str, str]) -> Json | None:
    match method:
        case "GET":
            return _show(world, parts)
        case "POST":
            return _change(world, parts, params)
        case "DELETE" if parts == ["calls"]:
            world.calls = Calls()
        case "DELETE" if parts[:1] == ["faults"]:
            switch_off(world, parts[1] if parts[1:] else None)
        case "DELETE" if parts == ["quota"]:
            world.quotas = FakeQuotas()
        case _:
            return None
    return _show(world, parts[:1])


def _show(world: World, parts: list[str]) -> Json | None:
    match parts:
        case ["truth"]:
            return truth(world)
        case ["calls"]:
            return _calls(world)
        case ["quota"]:
            return world.quotas.show(world.time())
        case ["faults"]:
            return {"faults": [_fault(fault) for fault in world.faults], "known": sorted(NAMES)}
        case _:
            return None


def _change(world: World, parts: list[str], params: dict[str, str]) -> Json | None:
    match parts:
        case ["faults"]:
            return _fault(switch_on(world, _read_fault(params)))
        case ["pages", page, action]:
            return _page(world, find_page(world, page), action, params)
        case ["system-user", action]:
            return _user(world, world.user, action, params)
        case ["app", action]:
            return _app(world, action)
        case ["clock"]:
            world.clock_offset += float(params.get("advance", "0"))
            return {"now": world.time()}
        case ["usage"]:
            return _usage(world, params)
        case ["quota"]:
            return _quota(world, params)
        case _:
            return None


def _calls(world: World) -> Json:
    calls = world.calls
    return {"requests": calls.requests, "calls": calls.calls, "endpoints": dict(sorted(calls.endpoints.items()))}


def _fault(fault: InjectedFault) -> Json:
    return {**asdict(fault), "pages": sorted(fault.pages)}


def _read_fault(params: dict[str, str]) -> InjectedFault:
    pages = _as_json(params, "pages", [], '["rome"], a JSON list of names or ids')
    return InjectedFault(
        name=params.get("name", ""),
        argument=params.get("argument", ""),
        pages=frozenset(str(page) for page in pages),
        kind=params.get("kind", ""),
        times=int(params["times"]) if params.get("times", "null") != "null" else None,
        probability=float(params.get("probability", "1")),
    )


_PAGE_ACTIONS = {
    "revoke": "revoked",
    "unassign": "unassigned",
    "migrate": "moved",
    "delete": "deleted",
    "unpublish": "unpublished",
}


def _page(world: World, page: FakePage, action: str, params: dict[str, str]) -> Json:
    argument = params.get("argument", params.get("shape", params.get("to", "")))
    if action == "restore":
        restore_page(world, page)
    elif action == "assign":
        world.user.assigned[page.id] = TASKS
    elif action == "rotate":
        page.generation += 1
    else:
        _known(PAGES, _PAGE_ACTIONS.get(action, action))(world, page, argument)
    shown: Json = truth(world)["pages"][page.id]
    return shown


def _user(world: World, user: FakeSystemUser, action: str, params: dict[str, str]) -> Json:
    old = user.token
    match action:
        case "rotate":
            seconds, scopes = params.get("expires_in"), params.get("scopes")
            named = _names(scopes) if scopes is not None else None
            world.rotate(user, expires_in=int(seconds) if seconds else None, scopes=named)
            if params.get("revoke_old") in ("true", "1"):
                world.tokens[old].invalid_reason = REVOKED
        case "revoke":
            world.tokens[old].invalid_reason = REVOKED
        case "kill" | "checkpoint":
            world.invalidate(user, int(params.get("subcode", "460" if action == "kill" else "459")))
        case "expire":
            world.tokens[old].expires_at = int(world.time()) + int(params.get("seconds", "-60"))
        case "revive":
            world.restore(user)
        case _:
            raise ValueError("known are rotate, revoke, kill, checkpoint, expire, revive")
    return {"id": user.id, "system_user_token": user.token}


def _app(world: World, action: str) -> Json:
    match action:
        case "block" | "unblock":
            world.app.blocked = action == "block"
        case "reset-secret":
            world.app.secret = letters(32, "secret", world.seed, world.app.secret).lower()
        case _:
            raise ValueError("known are block, unblock, reset-secret")
    return {"id": world.app.id, "app_secret": world.app.secret, "blocked": world.app.blocked}


def _usage(world: World, params: dict[str, str]) -> Json:
    """Set the percent that the usage headers report: ``app``, and ``pages`` as an object by id or name."""
    world.app_usage = int(params.get("app", str(world.app_usage)))
    for named, used in _as_json(params, "pages", {}, '{"rome": 76}, a JSON object of percent by name or id').items():
        find_page(world, named).usage = int(used)
    return {"app": world.app_usage, "pages": {page.id: page.usage for page in world.pages.values()}}


def _quota(world: World, params: dict[str, str]) -> Json:
    """Count and refuse calls: ``app`` calls an hour for the app's own token, ``page`` calls a day for each Page."""
    if "app" in params:
        world.quotas.app = Rolling(_positive(params["app"]))
    if "page" in params:
        world.quotas.page_limit = _positive(params["page"])
        world.quotas.pages.clear()
    return world.quotas.show(world.time())


def _as_json(params: dict[str, str], name: str, without: Any, wanted: str) -> Any:
    """Read a parameter as JSON of the kind of ``without``, or return ``without`` where it is left out, empty or null."""
    text = params.get(name) or "null"
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if value is None:
        return without
    if not isinstance(value, type(without)):
        raise TypeError(f"{name}: write it like {name}={wanted}")
    return value


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("a quota is one call or more")
    return number


def _names(text: str) -> tuple[str, ...]:
    """Read names as a JSON list or with commas between them."""
    listed = json.loads(text) if text.startswith("[") else text.split(",")
    return tuple(str(name) for name in listed if name)


def _known(
    actions: dict[str, Callable[[World, FakePage, str], None]], name: str
) -> Callable[[World, FakePage, str], None]:
    if name not in actions:
        raise ValueError(f"unknown action {name!r}; known are assign, restore, rotate, {', '.join(actions)}")
    return actions[name]


def _json(status: int, value: Json) -> Reply:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Reply(status, (("Content-Type", "application/json"), ("Cache-Control", "no-store")), body)
