"""The Graph API as one function: world and request in, reply out."""

from __future__ import annotations

import re
from dataclasses import replace

from sync.sandbox.api import effects
from sync.sandbox.api.auth import FakeCaller, authenticate, token_text_of
from sync.sandbox.api.batch import answer_batch, parse_batch
from sync.sandbox.api.debug import debug_token
from sync.sandbox.api.edges import read_edge
from sync.sandbox.api.nodes import read_ids, read_node
from sync.sandbox.api.oauth import oauth
from sync.sandbox.replies import (
    NO_TOKEN,
    NO_USER,
    FakeAnswer,
    GraphError,
    Json,
    Reply,
    Request,
    dump,
    unknown_path,
    unsupported,
)
from sync.sandbox.world.faults import draw
from sync.sandbox.world.quota import app_header, app_refused, page_header, page_refused
from sync.sandbox.world.tokens import letters
from sync.sandbox.world.world import World

OLDEST, NEWEST = 21, 27
"""The live versions on 2026-11-24: v20.0 ended 2026-09-24, v27.0 came 2026-11-04 (Meta's changelog)."""

_ALL = 100
_VERSION = re.compile(r"v(\d{1,3})\.(\d{1,3})")


def respond(world: World, request: Request) -> Reply:
    """Answer one HTTP request as Graph would, with the faults that are switched on."""
    with world.lock:
        world.calls.requests += 1
        version, parts = split_version(request.path)
        if version is not None and not parts and request.method == "POST" and "batch" in request.params:
            return _batch(world, request, version)
        return _call(world, request, item=False)


def split_version(path: str) -> tuple[str | None, list[str]]:
    """Return the version that serves this path, and its parts; None where there is no such version.

    Without a version it is the oldest live one, and so it is for one that has ended (measured 2026-09-13 to 2026-10).
    """
    parts = [part for part in path.split("/") if part]
    named = _VERSION.fullmatch(parts[0]) if parts else None
    if named is None:
        return f"v{OLDEST}.0", parts
    number = int(named.group(1))
    live = f"v{max(number, OLDEST)}.0" if number <= NEWEST and named.group(2) in ("0", "1", "2", "3") else None
    return live, parts[1:]


def _batch(world: World, request: Request, version: str) -> Reply:
    fault = draw(world, effects.OF_BATCHES, "batch")
    count = world.calls.endpoints
    count["batch"] = count.get("batch", 0) + 1
    if fault is not None and fault.name in effects.ANSWERS:
        return _reply(world, request, version, effects.ANSWERS[fault.name](fault, ""))
    if fault is not None and fault.name == "batch-refused":
        return _reply(world, request, version, effects.BATCH_REFUSED)
    text = token_text_of(request)
    app = _of_app(world, text) and world.quotas.app
    if app and app.used(world.time()) >= _ALL:
        return _reply(world, request, version, app_refused(app.used(world.time())))
    caller = authenticate(world, request, text) if text is not None else NO_TOKEN
    items = parse_batch(request) if isinstance(caller, FakeCaller) else caller
    if isinstance(items, GraphError):
        return _reply(world, request, version, items)
    answer = answer_batch(world, request, items, version, lambda item: _item(world, item))
    return _reply(world, request, version, effects.spoil(answer, fault))


def _item(world: World, request: Request) -> Reply | None:
    """Answer one item of a batch; None where Graph ran out of time for it."""
    reply = _call(world, request, item=True)
    if not world.faults:
        return reply
    _, parts = split_version(request.path)
    struck = draw(world, "null-items", _kind(parts, request), (_page_of(world, parts, request),))
    return None if struck is not None else reply


def _call(world: World, request: Request, *, item: bool) -> Reply:
    version, parts = split_version(request.path)
    kind, page = _kind(parts, request), _page_of(world, parts, request)
    world.calls.calls += 1
    world.calls.endpoints[kind] = world.calls.endpoints.get(kind, 0) + 1
    fault = draw(world, effects.OF_CALLS, kind, (page,), item=item)
    if fault is not None and fault.name in effects.ANSWERS:
        return _reply(world, request, version, effects.ANSWERS[fault.name](fault, page), page)
    if item and draw(world, "debug-in-batch", kind, (page,), item=True) is not None:
        return _reply(world, request, version, effects.DEBUG_NOT_IN_BATCH)
    answer = _count(world, request, page) or _route(world, request, version, parts)
    if isinstance(answer, FakeAnswer):
        return _reply(world, request, version, answer, page)
    whole = answer if isinstance(answer, GraphError) else FakeAnswer(200, answer)
    return _reply(world, request, version, effects.spoil(_answer(whole), fault), page)


def _count(world: World, request: Request, page: str) -> FakeAnswer | None:
    """Count a call on the quota of its kind of token; an answer where that is used up."""
    text, now, quotas = token_text_of(request), world.time(), world.quotas
    if _of_app(world, text):
        if quotas.app is not None and not quotas.app.call(now):
            return app_refused(quotas.app.used(now))
        return None
    pool = quotas.of_page(page) if text in world.tokens and page in world.pages else None
    if pool is not None and not pool.call(now):
        return page_refused(page, pool.used(now), pool.minutes(now))
    return None


def _of_app(world: World, text: str | None) -> bool:
    """Check whether a text is the app's own token."""
    return text is not None and text not in world.tokens and text.partition("|")[0] == world.app.id


def endpoint(request: Request) -> str:
    """Return the kind of call that a request is, without any of its ids or parameters."""
    return _kind(split_version(request.path)[1], request)


def _kind(parts: list[str], request: Request) -> str:
    match parts:
        case ["debug_token"]:
            return "debug_token"
        case ["oauth", _]:
            return "oauth"
        case [_, ("accounts" | "assigned_pages") as edge]:
            return edge
        case [_, _, *_]:
            return "edge"
        case []:
            return "ids" if "ids" in request.params else "batch"
        case _:
            return "node"


def _page_of(world: World, parts: list[str], request: Request) -> str:
    """Return the id of the Page that a call is about, for faults of Pages; empty where it is about none."""
    text = request.params.get("input_token", "") if parts == ["debug_token"] else token_text_of(request) or ""
    named = parts[0] if parts and parts[0] not in ("me", "debug_token") else ""
    token = world.tokens.get(text)
    return named or (token.page_id or "" if token is not None else "")


def _route(world: World, request: Request, version: str | None, parts: list[str]) -> Json | GraphError:
    method = request.params.get("method", request.method).upper() if request.method == "POST" else request.method
    if version is None or len(parts) > 2:  # noqa: PLR2004 - an edge is the deepest path there is
        return unknown_path("/" + "/".join(parts))
    if parts == ["debug_token"] and request.method != "GET":
        return unsupported(request.method, "debug_token")
    if parts[:1] == ["oauth"]:
        known = len(parts) == 2 and parts[1] in ("access_token", "revoke")  # noqa: PLR2004 - oauth and the word after it
        return oauth(world, request, parts[1]) if known else unknown_path("/" + "/".join(parts))
    if method != "GET":
        return unsupported(method, parts[0] if parts else "")
    text = token_text_of(request)
    if text is None:
        return NO_USER if parts[:1] == ["me"] else NO_TOKEN
    caller = authenticate(world, request, text)
    return caller if isinstance(caller, GraphError) else _read(world, request, version, parts, caller)


def _read(world: World, request: Request, version: str, parts: list[str], caller: FakeCaller) -> Json | GraphError:
    match parts:
        case []:
            return read_ids(world, request, caller) if request.params.get("ids") else unsupported("get", "")
        case ["debug_token"]:
            answer = debug_token(world, request, caller)
            if isinstance(answer, GraphError):
                return answer
            fault = draw(world, frozenset(effects.FACTS), "debug_token", (_page_of(world, parts, request),))
            return effects.distort(answer, fault)
        case [node]:
            return read_node(world, request, caller, node)
        case [node, edge]:
            return read_edge(world, request, caller, (node, edge), version)
        case _:
            return unknown_path("/" + "/".join(parts))


def _answer(what: FakeAnswer | GraphError) -> FakeAnswer:
    return FakeAnswer(what.status, what) if isinstance(what, GraphError) else what


def _reply(world: World, request: Request, version: str | None, what: FakeAnswer | GraphError, page: str = "") -> Reply:
    answer = _answer(what)
    trace = "A" + letters(22, "trace", world.seed, world.calls.requests, world.calls.calls)
    own = dict(answer.headers)
    headers = {
        "Content-Type": answer.content_type,
        "facebook-api-version": version or f"v{OLDEST}.0",
        "x-fb-trace-id": trace[:11],
        "x-fb-request-id": trace,
        "x-fb-rev": "1031337000",
        "Cache-Control": "private, no-cache, no-store, must-revalidate",
        "Expires": "Sat, 01 Jan 2000 00:00:00 GMT",
        "Access-Control-Allow-Origin": "*",
        **_usage(world, request, page),
        **own,
    }
    value = answer.value
    if isinstance(value, GraphError):
        headers["WWW-Authenticate"] = value.challenge()
        answer = replace(answer, status=value.status, value=value.body(trace))
    body = answer.raw if answer.raw is not None else dump(answer.value)
    return Reply(answer.status, tuple(headers.items()), body, answer.behaviour, answer.delay, answer.pause)


def _usage(world: World, request: Request, page: str) -> dict[str, str]:
    """Return the usage header that goes with the kind of token; Graph leaves it out near 0 %."""
    text, now, quotas = token_text_of(request), world.time(), world.quotas
    if text is None:
        return {}
    if text not in world.tokens:
        counted = quotas.app if _of_app(world, text) else None
        used = counted.used(now) if counted is not None else world.app_usage
        return dict((app_header(used),)) if used else {}
    known = world.pages.get(page)
    pool = quotas.of_page(page) if known is not None else None
    if pool is not None:
        used, minutes = pool.used(now), pool.minutes(now)
    else:
        used, minutes = known.usage if known is not None else world.app_usage, 0
    return dict((page_header(page if known is not None else world.business_id, used, minutes),)) if used else {}
