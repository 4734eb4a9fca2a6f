"""No call lives longer than its deadline, whatever the peer does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sync.http import Http, HttpError
from tests.support.raw_server import OK, RawServer, raw_server
from tests.support.timing import TRIES, seconds

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture
def http() -> Iterator[Http]:
    """Return a client that is closed at the end."""
    client = Http()
    yield client
    client.close()


def cut_off(within: float, http: Http, method: str, url: str, **more: Any) -> HttpError:
    """Return the error of a call with a timeout of 0.3 seconds, which must end within so many."""
    errors: list[HttpError] = []

    def call() -> None:
        with pytest.raises(HttpError) as caught:
            http.request(method, url, headers={}, timeout=0.3, **more)
        errors.append(caught.value)

    assert any(seconds(call) < within for _ in range(TRIES))
    return errors[-1]


def silent(server: RawServer, sock: socket.socket, number: int) -> None:
    """Accept and do nothing."""
    server.over.wait()


def hangs_after_the_request(server: RawServer, sock: socket.socket, number: int) -> None:
    """Read the request and do nothing."""
    server.receive(sock, number)
    server.over.wait()


def drips_the_head(server: RawServer, sock: socket.socket, number: int) -> None:
    """Send a head that never ends, byte by byte."""
    server.drip(sock, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000)


def drips_the_body(server: RawServer, sock: socket.socket, number: int) -> None:
    """Send a body byte by byte."""
    sock.sendall(HEAD)
    server.drip(sock, b"x" * 100_000)


def stops_in_the_body(server: RawServer, sock: socket.socket, number: int) -> None:
    """Send half a body."""
    sock.sendall(HEAD + b"x" * 50_000)
    server.over.wait()


def never_gets_to_the_answer(server: RawServer, sock: socket.socket, number: int) -> None:
    """Send interim answers continuously."""
    while not server.over.is_set():
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize(
    "talk",
    [silent, hangs_after_the_request, drips_the_head, drips_the_body, stops_in_the_body, never_gets_to_the_answer],
)
def test_the_whole_answer_has_one_deadline(http: Http, talk) -> None:
    """A peer that hangs or drips is cut off when the timeout of the whole call is over."""
    with raw_server(talk) as server:
        error = cut_off(1.0, http, "GET", server.url)
        assert (error.kind, error.maybe_sent) == ("timeout", True)


def test_a_peer_that_reads_nothing_is_cut_off(http: Http) -> None:
    """A body that cannot be sent has the same deadline."""
    with raw_server(silent) as server:
        assert cut_off(1.0, http, "POST", server.url, body=b"x" * (32 << 20)).kind == "timeout"


def test_a_full_backlog_is_cut_off(http: Http) -> None:
    """A connection that is never accepted has the same deadline, and nothing was sent."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    try:
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        error = cut_off(1.0, http, "GET", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert not error.maybe_sent or error.kind == "timeout"
    finally:
        for sock in [*fillers, listener]:
            sock.close()


def test_a_hanging_tls_handshake_is_cut_off(http: Http) -> None:
    """A peer that does not answer the handshake is cut off, and the request was not sent."""
    with raw_server(silent) as server:
        # Reading the authorities is part of the first call.
        error = cut_off(1.5, http, "PUT", f"https://127.0.0.1:{server.port}", body=b"{}")
        assert (error.kind, error.maybe_sent) == ("timeout", False)


def test_waiting_for_a_free_connection_is_cut_off() -> None:
    """A pool without a free connection does not extend the deadline of a call."""
    http = Http(connections=1)
    with raw_server(silent) as server:
        first = threading.Thread(target=_hang, args=(http, server.url))
        first.start()
        while not server.received:
            server.over.wait(0.01)
        error = cut_off(0.7, http, "PUT", server.url, body=b"")
        assert (error.kind, error.maybe_sent) == ("timeout", False)
    first.join()


def _hang(http: Http, url: str) -> None:
    with contextlib.suppress(HttpError):
        http.request("GET", url, headers={}, timeout=10)


def test_stopping_cuts_a_waiting_call_short() -> None:
    """A shutdown ends a call whose peer hangs."""
    stop = threading.Event()
    http = Http(stop=stop)

    def asks_to_stop(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        stop.set()
        server.over.wait()

    with raw_server(asks_to_stop) as server:
        start = time.monotonic()
        with pytest.raises(HttpError) as caught:
            http.request("GET", server.url, headers={}, timeout=30)
        assert time.monotonic() - start < 2
        assert (caught.value.kind, caught.value.maybe_sent) == ("stopped", True)
        with pytest.raises(HttpError) as caught:
            http.request("GET", server.url, headers={}, timeout=30)
        assert (caught.value.kind, caught.value.maybe_sent) == ("stopped", False)


def test_a_deadline_of_one_call_does_not_apply_to_the_next(http: Http) -> None:
    """A later call on a kept connection has its own deadline."""

    def slow_second(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        sock.sendall(OK)
        server.receive(sock, number)
        server.over.wait(0.6)
        sock.sendall(OK)

    with raw_server(slow_second) as server:
        assert http.request("GET", server.url, headers={}, timeout=0.3).body == b"ok"
        assert http.request("GET", server.url, headers={}, timeout=5).body == b"ok"
        assert len(server.received) == 1
