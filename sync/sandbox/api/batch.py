"""Batches: up to fifty calls in one request, each with its own answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from sync.sandbox.replies import FakeAnswer, GraphError, Json, Reply, Request
from sync.sandbox.world.faults import draw
from sync.sandbox.world.world import World

MAX_ITEMS = 50
_INHERITED = ("access_token", "appsecret_proof", "appsecret_time")


def parse_batch(request: Request) -> list[Json] | GraphError:
    """Read the items; an error of the envelope has no code, as at Graph."""
    try:
        items = json.loads(request.params["batch"])
    except (ValueError, RecursionError):
        return _refused("Invalid batch message: the parameter batch must be a JSON array")
    if not isinstance(items, list) or not items:
        return _refused("Invalid batch message: the parameter batch must be a JSON array")
    if len(items) > MAX_ITEMS:
        return _refused(f"Too many requests in batch message. Maximum batch size is {MAX_ITEMS}")
    named = {item.get("name") for item in items if isinstance(item, dict)}
    for item in items:
        if not isinstance(item, dict) or not all(
            isinstance(item.get(name), str) for name in ("method", "relative_url")
        ):
            return _refused("Invalid batch message: an item needs a method and a relative_url")
        needed = item.get("depends_on")
        if needed is not None and needed not in named:
            return _refused(f"Dependency '{needed}' of a batch request does not exist")
    return items


def answer_batch(
    world: World, request: Request, items: list[Json], version: str, call: Callable[[Request], Reply | None]
) -> FakeAnswer:
    """Answer each item through ``call``; the status of the whole is always 200."""
    with_headers = request.params.get("include_headers") not in ("false", "0")
    answers: list[Json | None] = []
    spoilt, delay = None, 0.0
    for item in items:
        asked = _item(request, item, version)
        reply = call(asked)
        if reply is None:
            answers.append(None)
            continue
        spoilt, delay = spoilt or (reply if reply.behaviour else None), max(delay, reply.delay)
        answers.append(_entry(reply, with_headers=with_headers))
    if draw(world, "short-array", "batch") is not None:
        del answers[-1:]
    if spoilt is None:
        return FakeAnswer(200, answers, delay=delay)
    return FakeAnswer(200, answers, behaviour=spoilt.behaviour, delay=delay, pause=spoilt.pause)


def _item(request: Request, item: Json, version: str) -> Request:
    """Return the request of an item; parameters that it lacks come from the envelope."""
    path, _, query = item["relative_url"].partition("?")
    own_query, form = _parsed(query), _parsed(str(item.get("body") or ""))
    outer = request.params
    inherited = {name: outer[name] for name in _INHERITED if name in outer and name not in form}
    first, _, _rest = path.strip("/").partition("/")
    versioned = path if first[:1] == "v" and first[1:2].isdigit() else f"{version}/{path.lstrip('/')}"
    return Request(
        method=item["method"].upper(),
        path=unquote("/" + versioned.lstrip("/")),
        query={**inherited, **own_query},
        headers={name: request.headers[name] for name in ("authorization", "host") if name in request.headers},
        form=form,
    )


@lru_cache(maxsize=1024)
def _parsed(query: str) -> Mapping[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def _entry(reply: Reply, *, with_headers: bool) -> Json:
    entry: dict[str, Any] = {"code": reply.status}
    if with_headers:
        entry["headers"] = [{"name": name, "value": value} for name, value in reply.headers]
    return {**entry, "body": reply.body.decode("utf-8", "replace")}


def _refused(message: str) -> GraphError:
    return GraphError(message, None, type="GraphBatchException")
