"""What the web server answers. Handlers only render what the daemon has published; none waits for Graph or a store."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.core.report.json import as_json, timestamp
from sync.ops.check import Checks
from sync.ops.health import Health, ready
from sync.ops.status import DaemonStatus, Snapshot
from sync.ops.web.check import check_route

T = TypeVar("T")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # One request a connection: so each of them has an end, and no client holds one open.
    "Connection": "close",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]*)?")
_PIECE = 64 * 1024
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass
class Site:
    """The routes. ``health`` returns whether the daemon is alive.

    ``host`` is the address that the server listens on. ``metrics`` returns the body and content type of a scrape for its Accept
    header, ``page`` the HTML for the query of a request, with ``style_hash`` of its style sheet. ``checks`` are
    those that apps ask for. Without them these paths do not exist.
    """

    status: DaemonStatus
    health: Callable[[], Health]
    host: str
    metrics: Callable[[Snapshot, str], tuple[bytes, str]] | None = None
    page: Callable[[Snapshot, Mapping[str, str]], str] | None = None
    style_hash: str = ""
    checks: Checks | None = None
    _rendered: tuple[Snapshot, bytes] | None = field(default=None, init=False)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1), init=False)

    def app(self) -> ASGIApp:
        """Return the application."""
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/status.json", self._status_json),
        ]
        if self.metrics is not None:
            routes.append(Route("/metrics", self._metrics))
        if self.page is not None:
            routes.append(Route("/", self._page))
        if self.checks is not None:
            routes.append(check_route(self.checks))
        return _Guarded(Starlette(routes=routes), known_hosts(self.host))

    async def _healthz(self, _: Request) -> Response:
        return _answer(self.health())

    async def _readyz(self, _: Request) -> Response:
        snapshot = self.status.snapshot
        return _answer(ready(snapshot), settled=snapshot.is_settled)

    async def _status_json(self, _: Request) -> Response:
        snapshot = self.status.snapshot
        if snapshot.report is None:
            return _answer(ready(snapshot))
        body = await self._in_turn(partial(self._status_text, snapshot))
        return Response(body, media_type="application/json")

    def _status_text(self, snapshot: Snapshot) -> bytes:
        # The text of 10,000 Pages takes a quarter of a second: once a report, however often it is asked for.
        if self._rendered is None or not _says_the_same(self._rendered[0], snapshot):
            self._rendered = (snapshot, json.dumps(status_json(snapshot)).encode())
        return self._rendered[1]

    async def _in_turn(self, render: Callable[[], T]) -> T:
        """Render in a thread, one answer at a time: meanwhile health checks are answered."""
        async with self._turn:
            return await asyncio.to_thread(render)

    async def _metrics(self, request: Request) -> Response:
        assert self.metrics is not None  # noqa: S101 - the route exists only with it
        render = partial(self.metrics, self.status.snapshot, request.headers.get("accept", ""))
        body, content_type = await self._in_turn(render)
        return Response(body, headers={"Content-Type": content_type})

    async def _page(self, request: Request) -> Response:
        assert self.page is not None  # noqa: S101 - the route exists only with it
        policy = f"{_HEADERS['Content-Security-Policy']}; style-src '{self.style_hash}'"
        text = await self._in_turn(partial(self.page, self.status.snapshot, request.query_params))
        return HTMLResponse(text, headers={"Content-Security-Policy": policy} if self.style_hash else {})


def status_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the last report with what has changed since: when the next cycle starts, and a rejected configuration."""
    if snapshot.report is None:
        raise ValueError("no report yet")
    errors = snapshot.config_errors
    return {
        **as_json(snapshot.report),
        "next_cycle_at": timestamp(snapshot.next_cycle_at),
        "config_error": None if errors is None else list(errors),
    }


def known_hosts(listens_on: str) -> frozenset[str] | None:
    """Return the names of this server in a Host header; None where it is reached by names that are not known.

    On loopback only a browser that was led here by another site's name sends another one (DNS rebinding).
    """
    try:
        is_local = ipaddress.ip_address(listens_on).is_loopback
    except ValueError:
        is_local = listens_on == "localhost"
    return _LOCAL_NAMES | {listens_on} if is_local else None


def _says_the_same(before: Snapshot, now: Snapshot) -> bool:
    return (
        before.report is now.report
        and before.config_errors is now.config_errors
        and before.next_cycle_at == now.next_cycle_at
    )


def _answer(health: Health, **more: object) -> Response:
    body = {"status": "ok" if health.ok else "unavailable", "reason": health.reason, **more}
    return JSONResponse(body, status_code=200 if health.ok else 503)


class _Guarded:
    """Adds the headers that every answer has, and refuses requests that name another host."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                headers = {**_HEADERS, "Date": formatdate(usegmt=True)}
                missing = ((name.lower().encode(), value.encode()) for name, value in headers.items())
                message = {
                    **message,
                    "headers": [
                        *message["headers"],
                        *((name, value) for name, value in missing if name not in present),
                    ],
                }
            body = message.get("body", b"")
            # In one piece, the part that a slow client has not read yet would be in memory once more for each client.
            whole = range(0, max(len(body) - _PIECE, 0), _PIECE)
            for start in whole:
                await send({"type": "http.response.body", "body": body[start : start + _PIECE], "more_body": True})
            await send({**message, "body": body[len(whole) * _PIECE :]} if whole else message)

        if scope["type"] != "http":
            return
        app: Callable[[Scope, Receive, Send], Awaitable[None]] = self._app
        if self._hosts is not None and _host(scope) not in self._hosts:
            reason = "The Host header names another host. Use the address that the daemon listens on."
            app = JSONResponse({"status": "refused", "reason": reason}, status_code=421)
        await app(scope, receive, guarded)


def _host(scope: Scope) -> str:
    """Return the host of the Host header without its port; empty where there is none or more than one."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(values) != 1:
        return ""
    found = _HOST.fullmatch(values[0].lower())
    # A name that ends in a dot is the same name, written as an absolute one.
    return found[1].strip("[]").removesuffix(".") if found else ""
