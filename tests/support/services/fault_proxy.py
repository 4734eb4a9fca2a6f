"""An HTTP proxy that stands between a store and its server, and does to single requests what networks and proxies do."""

from __future__ import annotations

import http.client
import itertools
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer given in place of the server's."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class Deed(Enum):
    """What is done to a request instead of answering it."""

    CUT = "the connection ends before the server sees the request"
    LOSE = "the server does it, and the connection ends before the answer"
    HANG = "nothing comes"


Rule = Callable[[Asked], Reply | Deed | None]
"""Decides about one request; None passes it on."""


@dataclass
class Between:
    """The running proxy: ``rule`` and ``upstreams`` may be changed at any time, ``asked`` is all that came.

    With several ``upstreams`` each request goes to the next, be it alive or not, as with a balancer that knows nothing of health.
    ``done`` is called once the server has done a request and before its answer goes on, ``told`` once that has gone.
    """

    url: str
    upstreams: Sequence[str] = ()
    rule: Rule | None = None
    done: Callable[[Asked], None] | None = None
    told: Callable[[Asked], None] | None = None
    asked: list[Asked] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    """The statuses of the answers that came from a server."""

    def writes(self) -> list[Asked]:
        """Return the requests that may change data or marks."""
        return [a for a in self.asked if a.method in ("POST", "PUT", "PATCH", "DELETE") and "/data/" in a.path]


def times(count: int, deed: Reply | Deed, method: str, part: str) -> Rule:
    """Do the deed to the first ``count`` requests of this method whose path has this part."""
    left = [count]

    def rule(asked: Asked) -> Reply | Deed | None:
        if asked.method == method and part in asked.path and left[0] > 0:
            left[0] -= 1
            return deed
        return None

    return rule


@contextmanager
def between(upstream: str, ca: Path | None = None, *, others: Sequence[str] = ()) -> Iterator[Between]:
    """Stand before ``upstream`` and ``others`` on a free port, until the block ends."""
    over = threading.Event()
    turn = itertools.count()
    tls = ssl.create_default_context(cafile=str(ca)) if ca else None

    class Handler(BaseHTTPRequestHandler):
        """Lets a request through, or does to it what the rule says."""

        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Stay silent."""

        def handle_any(self) -> None:
            """Do with one request as the rule says."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            proxy.asked.append(asked)
            deed = proxy.rule(asked) if proxy.rule else None
            if isinstance(deed, Reply):
                self.answer(deed.status, deed.headers, deed.body.encode())
                return
            if deed is Deed.HANG:
                over.wait(30)
            if deed in (Deed.HANG, Deed.CUT):
                self.close_connection = True
                return
            try:
                status, headers, answer = forward(asked)
            except (OSError, http.client.HTTPException):
                if len(proxy.upstreams) == 1:
                    raise
                self.close_connection = True
                return
            if proxy.done:
                proxy.done(asked)
            proxy.answered.append(status)
            if deed is Deed.LOSE:
                self.close_connection = True
                return
            self.answer(status, headers, answer)
            if proxy.told:
                proxy.told(asked)

        def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            """Send an answer whole, with a length of its own."""
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_LIST = handle_any  # noqa: N815 - http.server's names

    def forward(asked: Asked) -> tuple[int, Mapping[str, str], bytes]:
        target = urlsplit(proxy.upstreams[next(turn) % len(proxy.upstreams)])
        if tls is not None:
            line: http.client.HTTPConnection = http.client.HTTPSConnection(target.netloc, timeout=20, context=tls)
        else:
            line = http.client.HTTPConnection(target.netloc, timeout=20)
        try:
            line.request(asked.method, asked.path, asked.body or None, dict(asked.headers))
            answer = line.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            line.close()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Between(f"http://127.0.0.1:{server.server_port}", (upstream, *others))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
