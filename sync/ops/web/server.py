"""Serve the site over HTTP in a thread of its own, within limits that no client can exceed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sync.runtime.threads import started

MOST_CONNECTIONS = 100
"""Where there are so many connections, the oldest makes way for a new one, which is more likely to be a health check."""
REQUEST_SECONDS = 10.0
"""How long a client may take to send its request."""
CONNECTION_SECONDS = 30.0
"""How long a connection may last, with the request, the answer, and a client that reads it slowly."""
_HEADER_BYTES = 16 * 1024
_BACKLOG = 128
_STOP_SECONDS = 1.0


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises OSError. It is bound before the daemon starts, so that a taken port is known then."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    addresses = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found_family, kind, protocol, _, address = addresses[0]
    server = socket.socket(found_family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(_BACKLOG)
    except OSError:
        server.close()
        raise
    return server


def address_of(server: socket.socket) -> str:
    """Return the address that a socket listens on, as HOST:PORT."""
    host, port = server.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class WebServer:
    """A server in a thread of its own, which ends with the process at the latest."""

    def __init__(self, server: socket.socket, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            http=_Bounded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._ended = started(lambda: self._server.run(sockets=[server]), name="web")

    def close(self) -> None:
        """Stop the server; a client that is still connected is waited for a second at most."""
        self._server.stop()
        try:
            self._ended.exception(timeout=_STOP_SECONDS)
        except TimeoutError:
            self._server.force_exit = True


class _Server(uvicorn.Server):
    """Waits to be stopped, where uvicorn looks ten times a second, which is most of what an idle daemon costs."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped: Future[None] = Future()

    def stop(self) -> None:
        """Stop the server, from any thread."""
        self.should_exit = True
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def main_loop(self) -> None:
        """Return once the server is stopped."""
        await asyncio.wrap_future(self._stopped)


class _Bounded(H11Protocol):
    """A connection that is closed when it takes too long, or when it is the oldest of too many."""

    _open: ClassVar[dict[_Bounded, None]] = {}
    _timers: tuple[asyncio.TimerHandle, ...] = ()

    def connection_made(self, transport: Any) -> None:
        """Start the limits of time, and close the oldest of too many connections."""
        super().connection_made(transport)
        abort: Callable[[], None] = transport.abort
        self._timers = (
            self.loop.call_later(REQUEST_SECONDS, self._close_without_request),
            self.loop.call_later(CONNECTION_SECONDS, abort),
        )
        if len(self._open) >= MOST_CONNECTIONS:
            # It is forgotten at once: the event loop may accept many more before it has closed this one.
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limits of time."""
        for timer in self._timers:
            timer.cancel()
        self._open.pop(self, None)
        super().connection_lost(exc)

    def _close_without_request(self) -> None:
        if self.cycle is None:
            self.transport.abort()
