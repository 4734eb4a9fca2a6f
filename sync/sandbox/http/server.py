"""The sandbox over HTTP: one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from sync.sandbox.api.graph import endpoint, respond
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.control import PREFIX, control
from sync.sandbox.http.wire import format_head, make_request, parse_head
from sync.sandbox.replies import Reply, Request
from sync.sandbox.world.quota import Rolling
from sync.sandbox.world.world import World, make_world

MAX_HEAD, MAX_BODY = 64 * 1024, 16 * 1024 * 1024
_LENGTH = re.compile(r"[0-9]{1,9}")


Log = Callable[[str], None]
"""Is called with one line per request: method, endpoint, status. No id, query or token is ever in it."""


class Server:
    """A running HTTP server over a world; ``close`` ends it and every connection."""

    def __init__(
        self, world: World, listen: str = "127.0.0.1:0", *, latency_ms: float = 0, log: Log | None = None
    ) -> None:
        """Serve from a thread; raises OSError where the address is not available, ValueError where it is invalid."""
        self.world = world
        self.latency_ms = latency_ms
        self._log = log
        host, _, port = listen.rpartition(":")
        if not _LENGTH.fullmatch(port):
            raise ValueError(f"{listen!r} is not HOST:PORT")
        self._loop = asyncio.new_event_loop()
        try:
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._serve, host.strip("[]") or "127.0.0.1", int(port), limit=MAX_HEAD)
            )
        except BaseException:
            self._loop.close()
            raise
        address = self._server.sockets[0].getsockname()
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.url = f"http://{name}:{address[1]}"
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, drop what is open, and wait for the thread; closing twice is allowed."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        open_now = tuple(self._connections)
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False where the connection is to be closed."""
        head = parse_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
        if head is None:
            await self._send(writer, _plain(400), keep_alive=False)
            return False
        method, target, headers = head
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not _LENGTH.fullmatch(length) or int(length) > MAX_BODY:
            await self._send(writer, _plain(411), keep_alive=False)
            return False
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = make_request(method, target, headers, await reader.readexactly(int(length)))
        keep_alive = headers.get("connection", "").lower() != "close"
        reply = await self._answer(request)
        if self._log is not None:
            self._log(f"{method} {endpoint(request)} {reply.status}{f' {reply.behaviour}' if reply.behaviour else ''}")
        if reply.behaviour == "hang":
            await reader.read()
            return False
        return await self._send(writer, reply, keep_alive=keep_alive, head_only=method == "HEAD")

    async def _answer(self, request: Request) -> Reply:
        if request.path.startswith(PREFIX):
            return control(self.world, request)
        reply = respond(self.world, request)
        wait = reply.delay + self.latency_ms / 1000
        if wait > 0:
            await asyncio.sleep(wait)
        return reply

    async def _send(
        self, writer: asyncio.StreamWriter, reply: Reply, *, keep_alive: bool, head_only: bool = False
    ) -> bool:
        head = format_head(reply, length=len(reply.body), keep_alive=keep_alive)
        body = b"" if head_only else reply.body
        match reply.behaviour:
            case None:
                writer.write(head + body)
                await writer.drain()
                return keep_alive
            case "hang" | "close":
                pass
            case "cut":
                writer.write(head + body[: len(body) // 2])
                await writer.drain()
            case "drip-headers":
                await _drip(writer, head + body, reply.pause)
            case "drip-body":
                writer.write(head)
                await _drip(writer, body, reply.pause)
        return False


async def _drip(writer: asyncio.StreamWriter, data: bytes, pause: float) -> None:
    """Send one byte at a time, each well within the timeout of a single read."""
    for position in range(len(data)):
        writer.write(data[position : position + 1])
        await writer.drain()
        await asyncio.sleep(pause)


def _plain(status: int) -> Reply:
    return Reply(status, (("Content-Type", "text/plain"),), b"")


class Sandbox:
    """A world and its server, with the credentials that a client needs; all values are made up."""

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self._server = server
        self.url = server.url
        self.app_id = world.app.id
        self.app_secret = world.app.secret

    @property
    def system_user_token(self) -> str:
        """The system user's current token."""
        return self.world.user.token

    @property
    def pages(self) -> list[dict[str, str]]:
        """The Pages as ``{"id", "name"}``, in the order they were made."""
        return [{"id": page.id, "name": page.name} for page in self.world.pages.values()]

    def describe(self) -> dict[str, Any]:
        """Return what ``sandbox --output json`` prints."""
        return {
            "url": self.url,
            "app_id": self.app_id,
            "app_secret": self.app_secret,
            "system_user_token": self.system_user_token,
            "pages": self.pages,
        }

    def close(self) -> None:
        """Stop the server."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(
    listen: str = "127.0.0.1:0",
    *,
    pages: int = 5,
    faults: Iterable[str] = (),
    latency_ms: float = 0,
    app_quota: int | None = None,
    seed: int = 0,
    now: Callable[[], float] = time.time,
    log: Log | None = None,
) -> Sandbox:
    """Start a sandbox; ``faults`` are as on the command line, ``latency_ms`` is added to each HTTP request.

    ``app_quota`` is the number of calls an hour for the app's own token; None for no limit. Raises ValueError where a
    fault is unknown, OSError where the address is not available.
    """
    world = make_world(pages=pages, seed=seed, now=now)
    world.quotas.app = Rolling(app_quota) if app_quota is not None else None
    for fault in faults:
        switch_on(world, fault)
    return Sandbox(world, Server(world, listen, latency_ms=latency_ms, log=log))
