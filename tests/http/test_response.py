"""Answers that are too much, too little, or not HTTP."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from sync.http import Http, HttpError
from tests.support.wire import OK, Wire, answering, once, reset, wire


@pytest.fixture
def http() -> Iterator[Http]:
    """Return a client that is closed at the end."""
    client = Http()
    yield client
    client.close()


def failure(http: Http, url: str, method: str = "GET", **more) -> HttpError:
    """Send a request that must fail, and give the failure."""
    with pytest.raises(HttpError) as caught:
        http.request(method, url, headers={}, timeout=5, **more)
    return caught.value


def whole(*lines: bytes, body: bytes = b"") -> bytes:
    """Write an answer of status 200."""
    return b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def test_an_answer_comes_with_names_in_lower_case(http: Http) -> None:
    """Status, headers and body are what was sent; a header that came twice is joined."""
    answer = b"HTTP/1.1 404 Not Found\r\nX-Index: a\r\nX-INDEX: b\r\nContent-Length: 3\r\n\r\nabc"
    with wire(answering(answer)) as server:
        got = http.request("GET", f"{server.url}/v1/x?list=true", headers={"X-Vault-Token": "t"}, timeout=5)
        assert (got.status, got.headers["x-index"], got.body) == (404, "a, b", b"abc")
        head = server.heard[0].split(b"\r\n")
        assert head[0] == b"GET /v1/x?list=true HTTP/1.1"
        assert b"X-Vault-Token: t" in head
        assert b"Accept-Encoding: identity" in head
        assert b"Host: 127.0.0.1:%d" % server.port in head


def test_a_body_is_sent_with_its_length(http: Http) -> None:
    """A body goes as it is; a POST without one says so."""
    with wire(answering(OK)) as server:
        http.request("POST", server.url, headers={"Content-Type": "application/json"}, body=b'{"a":1}', timeout=5)
        http.request("POST", server.url, headers={}, timeout=5)
        assert server.heard[0].endswith(b"Content-Length: 0\r\n\r\n")
        assert b'Content-Length: 7\r\n\r\n{"a":1}POST / ' in server.heard[0]


def test_a_gzip_bomb_does_not_go_off(http: Http) -> None:
    """200 kB that unpack to 200 MiB are given up at the limit, in memory too."""
    bomb = gzip.compress(bytes(200 << 20))
    with wire(answering(whole(b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb), body=bomb))) as server:
        tracemalloc.start()
        try:
            assert failure(http, server.url).kind == "too-large"
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_packed_answer_is_unpacked(http: Http, pack) -> None:
    """A peer that packs what was asked for unpacked is understood all the same."""
    body = pack(b"hello" * 100)
    name = b"gzip" if pack is gzip.compress else b"deflate"
    with wire(answering(whole(b"Content-Encoding: " + name, b"Content-Length: %d" % len(body), body=body))) as server:
        assert http.request("GET", server.url, headers={}, timeout=5).body == b"hello" * 100


@pytest.mark.parametrize(
    ("encoding", "body", "kind"),
    [
        (b"gzip", gzip.compress(b"hello" * 100)[:-9], "protocol"),
        (b"gzip", b"<html>", "protocol"),
        (b"br", b"anything", "unwanted-encoding"),
        (b"gzip, gzip", b"anything", "unwanted-encoding"),
    ],
    ids=["cut", "not packed at all", "brotli", "packed twice"],
)
def test_what_cannot_be_unpacked_is_no_answer(http: Http, encoding: bytes, body: bytes, kind: str) -> None:
    """Half a packed body, or one packed by means that are not bounded here, is refused."""
    answer = whole(b"Content-Encoding: " + encoding, b"Content-Length: %d" % len(body), body=body)
    with wire(answering(answer)) as server:
        assert failure(http, server.url).kind == kind


def test_an_announced_gigabyte_is_not_read(http: Http) -> None:
    """A length over the limit is refused by its header alone."""
    with wire(answering(whole(b"Content-Length: 1073741824"))) as server:
        start = time.monotonic()
        assert failure(http, server.url).kind == "too-large"
        assert time.monotonic() - start < 1


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until the end"])
def test_an_endless_body_is_given_up_at_the_limit(http: Http, chunked: bool) -> None:
    """A body without an announced length is read no further than the limit."""
    sent = [0]
    ended = threading.Event()

    def flood(server: Wire, sock: socket.socket, number: int) -> None:
        server.hear(sock, number)
        sock.sendall(whole(b"Transfer-Encoding: chunked") if chunked else whole(b"Connection: close"))
        piece = b"10000\r\n" + bytes(0x10000) + b"\r\n" if chunked else bytes(0x10000)
        try:
            while not server.over.is_set():
                sock.sendall(piece)
                sent[0] += len(piece)
        finally:
            ended.set()

    with wire(flood) as server:
        assert failure(http, server.url).kind == "too-large"
        assert ended.wait(5)
        assert sent[0] < 32 << 20


def test_the_limit_itself_is_allowed(http: Http) -> None:
    """A body of exactly the limit is an answer, one byte more is not."""
    with wire(answering(whole(b"Content-Length: 100", body=b"x" * 100))) as server:
        assert len(http.request("GET", server.url, headers={}, timeout=5, limit=100).body) == 100
        assert failure(http, server.url, limit=99).kind == "too-large"


def test_endless_headers_are_given_up(http: Http) -> None:
    """Headers that do not end are cut off long before they fill the memory."""

    def endless(server: Wire, sock: socket.socket, number: int) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.over.is_set():
            sock.sendall(b"X-Filler: " + b"x" * 4000 + b"\r\n")

    with wire(endless) as server:
        assert failure(http, server.url).kind in ("protocol", "reset")


def test_a_header_of_three_megabytes_is_given_up(http: Http) -> None:
    """One endless header line is no better than many."""
    with wire(once(whole(b"X-App-Usage: " + b"9" * (3 << 20)))) as server:
        assert failure(http, server.url).kind in ("protocol", "reset")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (whole(b"Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n0\r\n\r\n"), "protocol"),
        (whole(b"Transfer-Encoding: chunked", body=b"3\r\nhello\r\n0\r\n\r\n"), "protocol"),
        (whole(b"Transfer-Encoding: chunked", body=b"ff\r\nhello\r\n"), "reset"),
        (whole(b"Content-Length: 100", body=b"hello"), "reset"),
        (whole(b"Content-Length: many"), "protocol"),
        (whole(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"), "protocol"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200", "reset"),
        (b"", "reset"),
    ],
    ids=[
        "chunk size no number",
        "chunk size too small",
        "chunk size too large",
        "length too large",
        "length no number",
        "two lengths",
        "not HTTP",
        "cut in the head",
        "nothing",
    ],
)
def test_a_broken_answer_is_no_answer(http: Http, answer: bytes, kind: str) -> None:
    """Half an answer is never taken for a whole one."""
    with wire(once(answer)) as server:
        error = failure(http, server.url, method="POST")
        assert (error.kind, error.maybe_sent) == (kind, True)


@pytest.mark.parametrize("bytes_sent", [0, 5, 20, 45])
def test_a_reset_of_a_write_is_reported_and_never_repeated(http: Http, bytes_sent: int) -> None:
    """A write whose answer was lost may have taken effect, so it is sent once only."""

    def cut(server: Wire, sock: socket.socket, number: int) -> None:
        server.hear(sock, number)
        sock.sendall(whole(b"Content-Length: 10", body=b"0123456789")[:bytes_sent])
        reset(sock)

    with wire(cut) as server:
        error = failure(http, server.url, method="POST", body=b"x")
        assert (error.kind, error.maybe_sent) == ("reset", True)
        assert len(server.heard) == 1


def test_a_redirect_is_an_answer_and_leads_nowhere(http: Http) -> None:
    """The place that a redirect names is never asked, so it never sees a token."""
    with wire(answering(OK)) as elsewhere:
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere.url}/x\r\nContent-Length: 0\r\n\r\n"
        with wire(answering(moved.encode())) as server:
            got = http.request("GET", server.url, headers={"X-Vault-Token": "t"}, timeout=5)
            assert (got.status, got.headers["location"]) == (307, f"{elsewhere.url}/x")
        assert elsewhere.heard == []
