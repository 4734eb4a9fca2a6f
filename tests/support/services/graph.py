"""A Graph API for tests: the sandbox, in this process, over HTTP or as a plain function."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from sync.sandbox.api.graph import respond
from sync.sandbox.http.server import Sandbox, start
from sync.sandbox.http.wire import make_request
from sync.sandbox.world.world import World, make_world

NOON = 1_795_608_000.0
"""2026-11-25T12:00:00Z, the time of a world that ``still_world`` gives."""


class Said(NamedTuple):
    """An answer of Graph: ``json`` is the decoded body, header names are as Graph spells them."""

    status: int
    json: Any
    headers: Mapping[str, str]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a healthy sandbox of five Pages, fresh for each test; ``sandbox.world`` may be changed at will."""
    with start(pages=5) as running:
        yield running


@pytest.fixture
def world() -> World:
    """Return a healthy world of five Pages whose clock stands still; ``world.clock_offset`` moves it."""
    return make_world(pages=5, now=lambda: NOON)


def app_token(world: World) -> str:
    """Return the app token that needs no call."""
    return f"{world.app.id}|{world.app.secret}"


def ask(
    world: World,
    target: str,
    *,
    token: str | None = None,
    form: Mapping[str, str] | None = None,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Said:
    """Ask a world without HTTP; ``token`` goes in the header, a ``form`` makes it a POST."""
    sent = {"authorization": f"Bearer {token}"} if token is not None else {}
    sent |= {"content-type": "application/x-www-form-urlencoded"} if form is not None else {}
    verb = method or ("GET" if form is None else "POST")
    reply = respond(world, make_request(verb, target, {**sent, **(headers or {})}, urlencode(form or {}).encode()))
    return Said(reply.status, json.loads(reply.body), dict(reply.headers))


def ask_batch(world: World, items: list[dict[str, Any]], *, token: str | None, **form: str) -> Said:
    """Ask for a batch, with the token in the form."""
    named = {"access_token": token} if token is not None else {}
    return ask(world, "/v25.0/", form={**named, "batch": json.dumps(items), **form})
