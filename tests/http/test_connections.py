"""Connections: kept, lost, refused, under TLS, and by way of a proxy."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from sync.core.secret import Secret
from sync.http import Http, HttpError
from tests.support.wire import OK, Wire, answering, reset, wire

TOKEN = "EAAGcanarycanarycanary"


@pytest.fixture
def http() -> Iterator[Http]:
    """Return a client that is closed at the end."""
    client = Http()
    yield client
    client.close()


def failure(http: Http, url: str, method: str = "GET", headers=None, **more) -> HttpError:
    """Send a request that must fail, and give the failure."""
    with pytest.raises(HttpError) as caught:
        http.request(method, url, headers=headers or {}, timeout=5, **more)
    return caught.value


def dies_after_one(server: Wire, sock: socket.socket, number: int) -> None:
    """Answer once, then break the connection as soon as the next request is there: it looked alive until then."""
    server.hear(sock, number)
    sock.sendall(OK)
    server.hear(sock, number)
    reset(sock)


def greets(server: Wire, sock: socket.socket, number: int) -> None:
    """Speak first, and not TLS."""
    sock.sendall(b"220 mail.example ESMTP\r\n")
    server.heard[number] += sock.recv(65536)
    server.over.wait()


def test_one_connection_serves_call_after_call(http: Http) -> None:
    """Connections are kept."""
    with wire(answering(OK)) as server:
        for _ in range(5):
            http.request("GET", server.url, headers={}, timeout=5)
        assert len(server.heard) == 1


def test_many_threads_share_few_connections() -> None:
    """Every call gets its own answer, over no more connections than allowed."""

    def echo(server: Wire, sock: socket.socket, number: int) -> None:
        while request := server.hear(sock, number):
            path = request.split(b" ", 2)[1]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    http = Http(connections=3)
    with wire(echo) as server, ThreadPoolExecutor(12) as pool:
        paths = [f"/{number}" for number in range(200)]
        answers = pool.map(lambda path: http.request("GET", server.url + path, headers={}, timeout=10), paths)
        assert [answer.body.decode() for answer in answers] == paths
        assert len(server.heard) <= 3


def test_a_read_on_a_dead_connection_is_sent_anew(http: Http) -> None:
    """A kept connection that was cut silently costs a read nothing but a new connection."""
    with wire(dies_after_one) as server:
        for _ in range(3):
            assert http.request("GET", server.url, headers={}, timeout=5).body == b"ok"
        assert len(server.heard) == 3


def test_a_write_on_a_dead_connection_is_not_sent_anew(http: Http) -> None:
    """Nobody knows whether the write took effect, so the caller is told."""
    with wire(dies_after_one) as server:
        http.request("GET", server.url, headers={}, timeout=5)
        error = failure(http, server.url, method="PUT", body=b"x")
        assert (error.kind, error.maybe_sent) == ("reset", True)
        assert len(server.heard) == 1


def test_a_read_that_a_new_connection_loses_too_is_given_up(http: Http) -> None:
    """Trying again ends with the first new connection."""

    def cut(server: Wire, sock: socket.socket, number: int) -> None:
        server.hear(sock, number)
        reset(sock)

    with wire(cut) as server:
        assert failure(http, server.url).kind == "reset"
        assert len(server.heard) == 1


def test_a_refused_connection_says_that_nothing_was_sent(http: Http) -> None:
    """A write to a port where nobody listens has not taken effect."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error = failure(http, f"http://127.0.0.1:{port}", method="PUT", body=b"x")
    assert (error.kind, error.maybe_sent) == ("connect", False)


def test_a_name_without_an_address_says_that_nothing_was_sent(http: Http) -> None:
    """A name that cannot be resolved is told from a host that is down."""
    error = failure(http, "http://nowhere.invalid/", method="PUT", body=b"x")
    assert error.kind in ("dns", "timeout")
    assert not error.maybe_sent


def test_a_name_is_resolved(http: Http) -> None:
    """A host may be a name, and its first address need not be the one that answers."""
    with wire(answering(OK)) as server:
        assert http.request("GET", f"http://localhost:{server.port}/", headers={}, timeout=5).body == b"ok"


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:{port}/", {"X-Vault-Token": TOKEN + "\r\nX-Evil: 1"}),
        ("http://127.0.0.1:{port}/", {"X-Vault-Token": TOKEN + "é"}),
        ("http://127.0.0.1:{port}/a b" + TOKEN, {}),
        ("http://127.0.0.1:99999/" + TOKEN, {}),
        ("http://user:" + TOKEN + "@127.0.0.1:{port}/", {}),
        ("ftp://127.0.0.1:{port}/" + TOKEN, {}),
        ("http:///" + TOKEN, {}),
        ("127.0.0.1:{port}/" + TOKEN, {}),
        ("http://127.0.0.1:{port}/\r\nX-Evil: 1" + TOKEN, {}),
        ("http://127.0.0.1:{port}?" + TOKEN, {}),
    ],
    ids=[
        "line break",
        "not ASCII",
        "blank in the path",
        "no such port",
        "password in the URL",
        "scheme",
        "no host",
        "no scheme",
        "line break in the path",
        "no path before the query",
    ],
)
def test_what_cannot_go_on_the_wire_is_refused_without_being_quoted(http: Http, url: str, headers) -> None:
    """A broken token never makes a second header, nor an error that shows it."""
    with wire(answering(OK)) as server:
        error = failure(http, url.replace("{port}", str(server.port)), headers=headers)
        assert (error.kind, error.maybe_sent) == ("bad-request", False)
        assert TOKEN not in repr(error)
        assert error.__context__ is None
        assert all(TOKEN.encode() not in heard for heard in server.heard)


def test_nothing_is_logged(http: Http, caplog) -> None:
    """At level debug no library underneath writes a line about a request."""
    with caplog.at_level(logging.DEBUG), wire(answering(OK)) as server:
        http.request("GET", f"{server.url}/?input_token={TOKEN}", headers={"Authorization": TOKEN}, timeout=5)
        failure(http, "http://127.0.0.1:1/")
        assert caplog.records == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a private certificate authority."""
    return trustme.CA()


def tls_server(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return what a server needs to prove that it is ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_with_an_authority_of_ones_own(authority: trustme.CA, tmp_path: Path) -> None:
    """A private authority is trusted where its file is named, and the connection is kept."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    http = Http(ca_file=str(tmp_path / "ca.pem"))
    with wire(answering(OK), tls=tls_server(authority)) as server:
        for _ in range(3):
            assert http.request("GET", f"https://127.0.0.1:{server.port}/", headers={}, timeout=5).body == b"ok"
        assert len(server.heard) == 1
    http.close()


@pytest.mark.parametrize("case", ["unknown authority", "wrong name", "not TLS"])
def test_a_peer_that_does_not_prove_itself_gets_nothing(authority: trustme.CA, tmp_path: Path, case: str) -> None:
    """No request is sent over a connection whose other end is not proven."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    http = Http(ca_file=None if case == "unknown authority" else str(tmp_path / "ca.pem"))
    name = "vault.example" if case == "wrong name" else "127.0.0.1"
    talk = greets if case == "not TLS" else answering(OK)
    with wire(talk, tls=None if case == "not TLS" else tls_server(authority, name)) as server:
        error = failure(http, f"https://127.0.0.1:{server.port}/", method="PUT", headers={"X": TOKEN}, body=b"x")
        assert (error.kind, error.maybe_sent) == ("tls", False)
        assert TOKEN.encode() not in b"".join(server.heard)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "garbage"])
def test_a_bad_file_of_authorities_is_named_as_such(tmp_path: Path, content: str | None) -> None:
    """A file of authorities that cannot be used is told from a peer that is not trusted."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    assert failure(Http(ca_file=str(path)), "https://127.0.0.1:1/").kind == "ca-file"


ENVIRONMENT = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def test_the_environment_does_not_lead_traffic_elsewhere(http: Http, monkeypatch, tmp_path: Path) -> None:
    """Proxies, password files and authorities of the environment are not obeyed unless asked for."""
    with wire(answering(OK)) as trap, wire(answering(OK)) as server:
        for name in ENVIRONMENT:
            monkeypatch.setenv(name, trap.url)
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        http.request("GET", server.url, headers={}, timeout=5)
        assert failure(http, "https://127.0.0.1:1/").kind == "connect"
        assert trap.heard == []
        assert b"authorization" not in server.heard[0].lower()


def test_the_environment_is_obeyed_where_it_is_trusted(monkeypatch) -> None:
    """With trust in the environment its proxy is used, and its exceptions count."""
    http = Http(trust_env=True)
    with wire(answering(OK)) as proxy, wire(answering(OK)) as server:
        for name in ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        http.request("GET", "http://graph.example/x", headers={}, timeout=5)
        http.request("GET", f"{server.url}/y", headers={}, timeout=5)
        assert proxy.heard[0].startswith(b"GET http://graph.example/x HTTP/1.1")
        assert server.heard[0].startswith(b"GET /y HTTP/1.1")


def test_a_named_proxy_gets_everything_and_its_password() -> None:
    """Plain requests go to the proxy whole, with its own credentials."""
    with wire(answering(OK)) as proxy:
        http = Http(proxy=Secret(f"http://me:pa%20ss@127.0.0.1:{proxy.port}"))
        http.request("GET", "http://graph.example/x", headers={}, timeout=5)
        assert proxy.heard[0].startswith(b"GET http://graph.example/x HTTP/1.1")
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:pa ss") in proxy.heard[0]


def test_tls_goes_through_a_proxy_unseen(authority: trustme.CA, tmp_path: Path) -> None:
    """A proxy sees the host and its own password, never the request."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def tunnel(server: Wire, sock: socket.socket, number: int) -> None:
        server.hear(sock, number)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = tls_server(authority, "graph.example").wrap_socket(sock, server_side=True)
        inner.recv(65536)
        inner.sendall(OK)
        server.over.wait()

    with wire(tunnel) as proxy:
        http = Http(proxy=Secret(proxy.url), ca_file=str(tmp_path / "ca.pem"))
        got = http.request("GET", "https://graph.example/x", headers={"Authorization": TOKEN}, timeout=5)
        assert got.body == b"ok"
        assert proxy.heard[0].startswith(b"CONNECT graph.example:443 HTTP/1.1")
        assert TOKEN.encode() not in proxy.heard[0]
        http.close()


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", f"nonsense-{TOKEN}", f"ftp://{TOKEN}@x"])
def test_a_proxy_address_that_is_none_is_refused_without_being_quoted(address: str) -> None:
    """A proxy that cannot be used fails every call, and shows nothing of its address."""
    error = failure(Http(proxy=Secret(address)), "http://127.0.0.1:1/")
    assert (error.kind, error.maybe_sent) == ("proxy", False)
    assert TOKEN not in repr(error)
    assert error.__context__ is None


def test_a_proxy_that_refuses_the_way_is_told_from_the_peer() -> None:
    """A write that the proxy did not let through was not sent."""
    with wire(answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as proxy:
        http = Http(proxy=Secret(proxy.url))
        error = failure(http, "https://graph.example/x", method="PUT", body=b"x")
        assert (error.kind, error.maybe_sent) == ("proxy", False)


def test_closing_lets_later_calls_connect_anew(http: Http) -> None:
    """After close a call still works, over a new connection."""
    with wire(answering(OK)) as server:
        http.request("GET", server.url, headers={}, timeout=5)
        http.close()
        http.request("GET", server.url, headers={}, timeout=5)
        assert len(server.heard) == 2


def test_a_connection_in_use_is_closed_after_its_call(http: Http) -> None:
    """Closing takes no answer away from a call under way, and keeps no connection of it."""
    asked, go = threading.Event(), threading.Event()

    def waits(server: Wire, sock: socket.socket, number: int) -> None:
        server.hear(sock, number)
        asked.set()
        go.wait(5)
        sock.sendall(OK)
        server.hear(sock, number)

    with wire(waits) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.request, "GET", server.url, headers={}, timeout=5)
        assert asked.wait(5)
        http.close()
        go.set()
        assert answer.result().body == b"ok"
        assert server.all_ended(5)


def test_closing_gives_everything_back() -> None:
    """A client that is closed leaves no thread and no connection behind."""
    with wire(answering(OK)) as server:
        for _ in range(20):
            http = Http()
            http.request("GET", f"http://localhost:{server.port}/", headers={}, timeout=5)
            http.close()
        assert [thread.name for thread in threading.enumerate() if thread.name == "sync-dns"] == []
        assert server.all_ended(5)
