"""The web server, over real sockets: what it answers, whom it refuses, and what no client can do to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from sync.config.listen import host_and_port
from sync.core.report.report import Report
from sync.ops.health import HEART_SECONDS, Health, alive, ready
from sync.ops.status import DaemonStatus, Snapshot
from sync.ops.web import server as limits
from sync.ops.web.server import WebServer, address_of, bind
from sync.ops.web.site import Site, known_hosts
from sync.runtime.threads import SystemClock
from tests.support.reports import GOOD, account, of
from tests.support.values import fetched

STUCK = 600.0


class Web:
    """A running server over a status that a test changes."""

    def __init__(self, port: int, status: DaemonStatus) -> None:
        self.port = port
        self.status = status

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send one request; return status, headers by their lower-case name, and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        answer: HTTPResponse = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def json(self, path: str) -> tuple[int, Any]:
        """Send one request; return status and the JSON of the body."""
        status, _, body = self.ask(path)
        return status, json.loads(body)

    def connect(self) -> socket.socket:
        """Open a connection that sends nothing yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@contextmanager
def serving(host: str = "127.0.0.1", **parts: Any) -> Iterator[Web]:
    """Run a server until the block ends."""
    clock = SystemClock()
    status = DaemonStatus(clock)

    def health() -> Health:
        return alive(status.snapshot, now=clock.monotonic(), stuck_after=STUCK)

    bound = bind(host, 0)
    running = WebServer(bound, Site(status, health, host, **parts).app())
    try:
        yield Web(bound.getsockname()[1], status)
    finally:
        running.close()


@pytest.fixture
def web() -> Iterator[Web]:
    """Return a running server."""
    with serving() as web:
        yield web


@pytest.fixture
def report() -> Report:
    """Return the report of a cycle."""
    return account(of(fetched(), GOOD))


@pytest.mark.parametrize(
    ("changed", "ok", "reason"),
    [
        ({}, True, "waits for the next cycle"),
        ({"heart_at": -HEART_SECONDS - 1}, False, "61 seconds"),
        ({"cycle_began_at": -1000.0, "advanced_at": -1.0}, True, "is running"),
        ({"cycle_began_at": -1000.0, "advanced_at": -STUCK - 1}, False, "stuck"),
        ({"cycle_began_at": -STUCK - 1, "advanced_at": None}, False, "stuck"),
    ],
)
def test_alive(changed: dict[str, float | None], reason: str, *, ok: bool) -> None:
    """The daemon is alive while its scheduler is active and a running cycle advances."""
    found = alive(replace(Snapshot(0.0), **changed), now=0.0, stuck_after=STUCK)
    assert found.ok is ok
    assert reason in found.reason


def test_ready_once_the_first_cycle_has_ended(report: Report) -> None:
    """The daemon is ready when the first cycle has ended, whatever its result."""
    assert not ready(Snapshot(0.0)).ok
    assert ready(Snapshot(0.0, report=report)).ok


def test_health_checks(web: Web, report: Report) -> None:
    """Before the first cycle the daemon is alive and not ready; afterwards it is both; each answer has a reason."""
    assert web.json("/healthz")[0] == 200
    not_yet = {"status": "unavailable", "reason": "The first cycle has not ended yet.", "settled": True}
    assert web.json("/readyz") == (503, not_yet)
    assert web.json("/status.json")[0] == 503
    web.status.reported(report)
    assert web.json("/readyz")[0] == 200


def test_status_is_the_report_with_what_changed_since(web: Web, report: Report) -> None:
    """``/status.json`` is the last report, with the errors of a rejected configuration and the time of the next cycle."""
    due = datetime(2030, 1, 1, tzinfo=UTC)
    web.status.reported(replace(report, frame=replace(report.frame, next_cycle_at=due)))
    status, found = web.json("/status.json")
    assert found["next_cycle_at"] == "2030-01-01T00:00:00Z"
    assert (status, found["format"], found["cycle"], found["config_error"]) == (200, 1, report.frame.cycle, None)
    web.status.rejected([{"code": "syntax"}])
    assert web.json("/status.json")[1]["config_error"] == [{"code": "syntax"}]
    web.status.configured()
    assert web.json("/status.json")[1]["config_error"] is None


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/status.json", "/nothing"])
def test_safe_headers_and_methods(web: Web, path: str) -> None:
    """Each answer may neither be framed, sniffed nor stored, names no server, and ends its connection; only GET and HEAD are allowed."""
    status, headers, _ = web.ask(path)
    assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert headers["connection"] == "close"
    assert abs(parsedate_to_datetime(headers["date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "server" not in headers
    assert web.ask(path, "HEAD")[2] == b""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        refused, allowed, _ = web.ask(path, method)
        assert refused == (404 if status == 404 else 405)
        assert status == 404 or set(allowed["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8087", 200),
        ("LOCALHOST:1", 200),
        ("localhost.:8087", 200),
        ("evil.example.", 421),
        ("[::1]:8087", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("localhost:80@evil.example", 421),
        ("", 421),
    ],
)
def test_host_header_on_loopback(web: Web, host: str, status: int) -> None:
    """A page of another site cannot read this server by a name that leads to loopback."""
    assert web.ask("/healthz", Host=host)[0] == status


def test_host_header_on_all_interfaces() -> None:
    """A server that listens on all interfaces is reached by names that it does not know."""
    assert known_hosts("0.0.0.0") is None
    with serving("0.0.0.0") as web:
        assert web.ask("/healthz", Host="page-token-sync.apps.svc:8087")[0] == 200


def test_paths_that_are_served_by_parts() -> None:
    """Metrics and the page exist where something renders them; the page may use its own style sheet alone."""
    with serving() as web:
        assert (web.ask("/metrics")[0], web.ask("/")[0]) == (404, 404)
    with serving(
        metrics=lambda *_: (b"a 1\n", "text/plain; version=0.0.4"),
        page=lambda _, query: f"<p>{len(query)}",
        style_hash="sha256-abc",
    ) as web:
        assert web.ask("/metrics")[2] == b"a 1\n"
        _, headers, body = web.ask("/?q=1")
        assert body == b"<p>1"
        assert headers["content-security-policy"].endswith("; style-src 'sha256-abc'")


def test_a_bug_while_rendering_is_an_answer() -> None:
    """An exception in a part is answered with 500, says nothing of it, and does not end the server."""

    def broken(*_: object) -> tuple[bytes, str]:
        raise ValueError("EAA" + "x" * 60)

    with serving(metrics=broken) as web:
        status, headers, body = web.ask("/metrics")
        assert (status, b"EAA" in body, headers["connection"]) == (500, False, "close")
        assert web.ask("/healthz")[0] == 200


def test_clients_that_send_slowly_or_never(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends no request, or half of one, is disconnected, and others are answered meanwhile."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.5)
    silent, slow = web.connect(), web.connect()
    slow.send(b"GET /healthz HTTP/1.1\r\nHost: localh")
    assert web.ask("/healthz")[0] == 200
    for client in (silent, slow):
        assert client.recv(1) == b""


def test_a_client_that_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read a large answer is disconnected."""
    monkeypatch.setattr(limits, "CONNECTION_SECONDS", 0.5)
    with serving(metrics=lambda *_: (b"x" * (32 << 20), "text/plain")) as web:
        client = web.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        end = time.monotonic() + 5
        while limits._Bounded._open:
            assert time.monotonic() < end
            time.sleep(0.05)


def is_open(client: socket.socket) -> bool:
    """Check whether a connection on which nothing comes is still open."""
    client.settimeout(0.01)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    except ConnectionResetError:
        pass
    return False


def test_too_many_connections(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are held open do not keep a health check out: the oldest ones are closed."""
    monkeypatch.setattr(limits, "MOST_CONNECTIONS", 20)
    held = [web.connect() for _ in range(100)]
    for _ in range(5):
        assert web.ask("/healthz")[0] == 200
    assert sum(map(is_open, held)) <= 20


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        b"GET /healthz\r\n\r\n",
    ],
    ids=["long path", "long header", "TLS", "no host", "two hosts", "HTTP/0.9"],
)
def test_requests_that_are_none(web: Web, request_bytes: bytes) -> None:
    """A request that is too large or malformed is refused, and the next one is answered."""
    client = web.connect()
    try:
        client.sendall(request_bytes)
        answer = client.recv(65536)
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    assert answer == b"" or b" 4" in answer.split(b"\r\n")[0]
    assert web.ask("/healthz")[0] == 200


@pytest.mark.parametrize("length", [0, 1, 65536, 65537, 131072, 200_000])
def test_large_answers_are_whole(length: int) -> None:
    """An answer that is sent in pieces arrives whole, with its length."""
    text = bytes(number % 251 for number in range(length))
    with serving(metrics=lambda *_: (text, "text/plain")) as web:
        _, headers, body = web.ask("/metrics")
        assert (body, headers["content-length"]) == (text, str(length))


def test_many_requests(web: Web, report: Report) -> None:
    """Requests for the report are answered from one text, however many come."""
    web.status.reported(report)
    began = time.monotonic()
    for _ in range(500):
        assert web.ask("/status.json")[0] == 200
    assert time.monotonic() - began < 20


def test_a_health_check_beside_a_slow_page() -> None:
    """While an answer is rendered that takes long, health checks are answered, and further pages wait for their turn."""
    rendering, end = threading.Event(), threading.Event()
    at_once = [0, 0]

    def page(*_: object) -> str:
        at_once[0] += 1
        at_once[1] = max(at_once)
        rendering.set()
        assert end.wait(10)
        at_once[0] -= 1
        return "<p>"

    with serving(page=page) as web:
        clients = [web.connect() for _ in range(3)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert rendering.wait(10)
        assert web.ask("/healthz")[0] == 200
        end.set()
        assert all(b"200 OK" in client.recv(65536) for client in clients)
    assert at_once == [0, 1]


def test_stopping_waits_for_no_client() -> None:
    """The server stops within seconds while clients hold connections open."""
    with serving() as web:
        held = [web.connect() for _ in range(10)]
        held[0].send(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
    assert time.monotonic() - began < 3


def test_a_port_that_is_taken() -> None:
    """A taken port and an address of another host are errors before anything starts."""
    with bind("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(OSError, match="assign"):
        bind("192.0.2.1", 0)


def test_ipv6() -> None:
    """A server can listen on an IPv6 address."""
    with bind("::1", 0) as server:
        assert address_of(server).startswith("[::1]:")


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("127.0.0.1:8087", ("127.0.0.1", 8087)),
        ("[::]:8087", ("::", 8087)),
        ("localhost:0", ("localhost", 0)),
        ("host.internal:65535", ("host.internal", 65535)),
        *(
            (wrong, None)
            for wrong in ("8087", ":8087", "a:", "a:-1", "a:65536", "::1:80", "[a]:1", "a b:1", "a:1\n", "http://a:1")
        ),
    ],
)
def test_addresses_to_listen_on(listen: str, found: tuple[str, int] | None) -> None:
    """An address to listen on is a host and a port; an IPv6 address stands in brackets."""
    if found is None:
        with pytest.raises(ValueError, match=r"HOST:PORT|'a'"):
            host_and_port(listen)
    else:
        assert host_and_port(listen) == found
