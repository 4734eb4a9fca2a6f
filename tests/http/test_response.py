"""Answers that are too large, incomplete, or not HTTP."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from sync.http import Http, HttpError
from tests.support.raw_server import OK, RawServer, answering, once, raw_server, reset


@pytest.fixture
def http() -> Iterator[Http]:
    """Return a client that is closed at the end."""
    client = Http()
    yield client
    client.close()


def failure(http: Http, url: str, method: str = "GET", **more) -> HttpError:
    """Send a request that must fail, and return the error."""
    with pytest.raises(HttpError) as caught:
        http.request(method, url, headers={}, timeout=5, **more)
    return caught.value


def ok_answer(*lines: bytes, body: bytes = b"") -> bytes:
    """Return an answer of status 200."""
    return b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def test_an_answer_has_header_names_in_lower_case(http: Http) -> None:
    """Status, headers and body are those that were sent; a repeated header is joined."""
    answer = b"HTTP/1.1 404 Not Found\r\nX-Index: a\r\nX-INDEX: b\r\nContent-Length: 3\r\n\r\nabc"
    with raw_server(answering(answer)) as server:
        response = http.request("GET", f"{server.url}/v1/x?list=true", headers={"X-Vault-Token": "t"}, timeout=5)
        assert (response.status, response.headers["x-index"], response.body) == (404, "a, b", b"abc")
        head = server.received[0].split(b"\r\n")
        assert head[0] == b"GET /v1/x?list=true HTTP/1.1"
        assert b"X-Vault-Token: t" in head
        assert b"Accept-Encoding: identity" in head
        assert b"Host: 127.0.0.1:%d" % server.port in head


def test_a_body_is_sent_with_its_length(http: Http) -> None:
    """A body is sent unchanged; a POST without a body has length 0."""
    with raw_server(answering(OK)) as server:
        http.request("POST", server.url, headers={"Content-Type": "application/json"}, body=b'{"a":1}', timeout=5)
        http.request("POST", server.url, headers={}, timeout=5)
        assert server.received[0].endswith(b"Content-Length: 0\r\n\r\n")
        assert b'Content-Length: 7\r\n\r\n{"a":1}POST / ' in server.received[0]


def test_a_gzip_bomb_is_not_unpacked(http: Http) -> None:
    """200 kB that unpack to 200 MiB are refused at the limit, before memory is used for them."""
    bomb = gzip.compress(bytes(200 << 20))
    with raw_server(
        answering(ok_answer(b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb), body=bomb))
    ) as server:
        tracemalloc.start()
        try:
            assert failure(http, server.url).kind == "too-large"
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_packed_answer_is_unpacked(http: Http, pack) -> None:
    """An answer that is compressed against the request is read as well."""
    body = pack(b"hello" * 100)
    name = b"gzip" if pack is gzip.compress else b"deflate"
    with raw_server(
        answering(ok_answer(b"Content-Encoding: " + name, b"Content-Length: %d" % len(body), body=body))
    ) as server:
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
def test_an_answer_that_cannot_be_unpacked_is_an_error(http: Http, encoding: bytes, body: bytes, kind: str) -> None:
    """An incomplete compressed body, or one in an unsupported encoding, is refused."""
    answer = ok_answer(b"Content-Encoding: " + encoding, b"Content-Length: %d" % len(body), body=body)
    with raw_server(answering(answer)) as server:
        assert failure(http, server.url).kind == kind


def test_an_announced_gigabyte_is_not_read(http: Http) -> None:
    """A length over the limit is refused by its header alone."""
    with raw_server(answering(ok_answer(b"Content-Length: 1073741824"))) as server:
        # The server sends no byte of it: reading would end with the timeout.
        assert failure(http, server.url).kind == "too-large"


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until the end"])
def test_an_endless_body_is_cut_off_at_the_limit(http: Http, chunked: bool) -> None:
    """A body without an announced length is read no further than the limit."""
    sent = [0]
    ended = threading.Event()

    def flood(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        sock.sendall(ok_answer(b"Transfer-Encoding: chunked") if chunked else ok_answer(b"Connection: close"))
        piece = b"10000\r\n" + bytes(0x10000) + b"\r\n" if chunked else bytes(0x10000)
        try:
            while not server.over.is_set():
                sock.sendall(piece)
                sent[0] += len(piece)
        finally:
            ended.set()

    with raw_server(flood) as server:
        assert failure(http, server.url).kind == "too-large"
        assert ended.wait(5)
        assert sent[0] < 32 << 20


def test_the_limit_itself_is_allowed(http: Http) -> None:
    """A body of exactly the limit is an answer, one byte more is not."""
    with raw_server(answering(ok_answer(b"Content-Length: 100", body=b"x" * 100))) as server:
        assert len(http.request("GET", server.url, headers={}, timeout=5, limit=100).body) == 100
        assert failure(http, server.url, limit=99).kind == "too-large"


def test_endless_headers_are_cut_off(http: Http) -> None:
    """Headers that do not end are cut off long before they fill the memory."""

    def endless(server: RawServer, sock: socket.socket, number: int) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.over.is_set():
            sock.sendall(b"X-Filler: " + b"x" * 4000 + b"\r\n")

    with raw_server(endless) as server:
        assert failure(http, server.url).kind in ("protocol", "reset")


def test_a_header_of_three_megabytes_is_cut_off(http: Http) -> None:
    """One header line that is too long is cut off as well."""
    with raw_server(once(ok_answer(b"X-App-Usage: " + b"9" * (3 << 20)))) as server:
        assert failure(http, server.url).kind in ("protocol", "reset")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ok_answer(b"Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n0\r\n\r\n"), "protocol"),
        (ok_answer(b"Transfer-Encoding: chunked", body=b"3\r\nhello\r\n0\r\n\r\n"), "protocol"),
        (ok_answer(b"Transfer-Encoding: chunked", body=b"ff\r\nhello\r\n"), "reset"),
        (ok_answer(b"Content-Length: 100", body=b"hello"), "reset"),
        (ok_answer(b"Content-Length: many"), "protocol"),
        (ok_answer(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"), "protocol"),
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
def test_a_malformed_answer_is_an_error(http: Http, answer: bytes, kind: str) -> None:
    """A partial answer is never returned as a complete one."""
    with raw_server(once(answer)) as server:
        error = failure(http, server.url, method="POST")
        assert (error.kind, error.maybe_sent) == (kind, True)


@pytest.mark.parametrize("bytes_sent", [0, 5, 20, 45])
def test_a_reset_of_a_write_is_reported_and_never_repeated(http: Http, bytes_sent: int) -> None:
    """A write whose answer was lost may have taken effect, so it is not sent again."""

    def cut(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        sock.sendall(ok_answer(b"Content-Length: 10", body=b"0123456789")[:bytes_sent])
        reset(sock)

    with raw_server(cut) as server:
        error = failure(http, server.url, method="POST", body=b"x")
        assert (error.kind, error.maybe_sent) == ("reset", True)
        assert len(server.received) == 1


def test_a_redirect_is_returned_and_not_followed(http: Http) -> None:
    """The address in a redirect receives no request, and so no token."""
    with raw_server(answering(OK)) as elsewhere:
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere.url}/x\r\nContent-Length: 0\r\n\r\n"
        with raw_server(answering(moved.encode())) as server:
            response = http.request("GET", server.url, headers={"X-Vault-Token": "t"}, timeout=5)
            assert (response.status, response.headers["location"]) == (307, f"{elsewhere.url}/x")
        assert elsewhere.received == []
