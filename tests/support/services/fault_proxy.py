"""An HTTP proxy between a store and its server, which makes single requests fail as networks and proxies do."""

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
class Request:
    """One request as the proxy received it; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer that the proxy sends instead of the server."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class Fault(Enum):
    """What the proxy does instead of answering a request."""

    CUT = "the connection ends before the server receives the request"
    LOSE = "the server carries the request out, and the connection ends before the answer"
    HANG = "no answer comes"


Rule = Callable[[Request], Reply | Fault | None]
"""Returns what happens to one request; None passes it on."""


@dataclass
class FaultProxy:
    """The running proxy: ``rule`` and ``upstreams`` may be changed at any time, ``requests`` is all that was received.

    With several ``upstreams`` each request goes to the next one, running or not, as with a load balancer without health checks.
    ``before_answer`` is called when the server has answered and the answer is not sent on yet, ``after_answer`` after that.
    """

    url: str
    upstreams: Sequence[str] = ()
    rule: Rule | None = None
    before_answer: Callable[[Request], None] | None = None
    after_answer: Callable[[Request], None] | None = None
    requests: list[Request] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """The statuses of the answers of the servers."""

    def writes(self) -> list[Request]:
        """Return the requests that may change data or marks."""
        return [a for a in self.requests if a.method in ("POST", "PUT", "PATCH", "DELETE") and "/data/" in a.path]


def times(count: int, fault: Reply | Fault, method: str, part: str) -> Rule:
    """Return a rule that applies ``fault`` to the first ``count`` requests of this method whose path has this part."""
    left = [count]

    def rule(request: Request) -> Reply | Fault | None:
        if request.method == method and part in request.path and left[0] > 0:
            left[0] -= 1
            return fault
        return None

    return rule


@contextmanager
def fault_proxy(upstream: str, ca: Path | None = None, *, others: Sequence[str] = ()) -> Iterator[FaultProxy]:
    """Run a proxy in front of ``upstream`` and ``others`` on a free port, until the block ends."""
    over = threading.Event()
    turn = itertools.count()
    tls = ssl.create_default_context(cafile=str(ca)) if ca else None

    class Handler(BaseHTTPRequestHandler):
        """Passes a request on, or applies the rule's fault to it."""

        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Stay silent."""

        def handle_any(self) -> None:
            """Handle one request as the rule says."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            proxy.requests.append(request)
            fault = proxy.rule(request) if proxy.rule else None
            if isinstance(fault, Reply):
                self.answer(fault.status, fault.headers, fault.body.encode())
                return
            if fault is Fault.HANG:
                over.wait(30)
            if fault in (Fault.HANG, Fault.CUT):
                self.close_connection = True
                return
            try:
                status, headers, answer = forward(request)
            except (OSError, http.client.HTTPException):
                if len(proxy.upstreams) == 1:
                    raise
                self.close_connection = True
                return
            if proxy.before_answer:
                proxy.before_answer(request)
            proxy.statuses.append(status)
            if fault is Fault.LOSE:
                self.close_connection = True
                return
            self.answer(status, headers, answer)
            if proxy.after_answer:
                proxy.after_answer(request)

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

    def forward(request: Request) -> tuple[int, Mapping[str, str], bytes]:
        target = urlsplit(proxy.upstreams[next(turn) % len(proxy.upstreams)])
        if tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(target.netloc, timeout=20, context=tls)
        else:
            connection = http.client.HTTPConnection(target.netloc, timeout=20)
        try:
            connection.request(request.method, request.path, request.body or None, dict(request.headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_port}", (upstream, *others))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
