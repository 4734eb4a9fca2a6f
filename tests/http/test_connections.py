"""Connections: kept, lost, refused, with TLS, and through a proxy."""

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
from tests.support.raw_server import OK, RawServer, answering, raw_server, reset

TOKEN = "EAAGcanarycanarycanary"


@pytest.fixture
def http() -> Iterator[Http]:
    """Return a client that is closed at the end."""
    client = Http()
    yield client
    client.close()


def failure(http: Http, url: str, method: str = "GET", headers=None, **more) -> HttpError:
    """Send a request that must fail, and return the error."""
    with pytest.raises(HttpError) as caught:
        http.request(method, url, headers=headers or {}, timeout=5, **more)
    return caught.value


def breaks_after_one(server: RawServer, sock: socket.socket, number: int) -> None:
    """Answer once, and reset the connection when the next request arrives; until then it looks usable."""
    server.receive(sock, number)
    sock.sendall(OK)
    server.receive(sock, number)
    reset(sock)


def speaks_first(server: RawServer, sock: socket.socket, number: int) -> None:
    """Send bytes first, which are not TLS."""
    sock.sendall(b"220 mail.example ESMTP\r\n")
    server.received[number] += sock.recv(65536)
    server.over.wait()


def test_one_connection_serves_call_after_call(http: Http) -> None:
    """Several calls use one connection."""
    with raw_server(answering(OK)) as server:
        for _ in range(5):
            http.request("GET", server.url, headers={}, timeout=5)
        assert len(server.received) == 1


def test_many_threads_share_few_connections() -> None:
    """Every call gets its own answer, over no more connections than allowed."""

    def echo(server: RawServer, sock: socket.socket, number: int) -> None:
        while request := server.receive(sock, number):
            path = request.split(b" ", 2)[1]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    http = Http(connections=3)
    with raw_server(echo) as server, ThreadPoolExecutor(12) as pool:
        paths = [f"/{number}" for number in range(200)]
        answers = pool.map(lambda path: http.request("GET", server.url + path, headers={}, timeout=10), paths)
        assert [answer.body.decode() for answer in answers] == paths
        assert len(server.received) <= 3


def test_a_read_on_a_broken_connection_is_sent_again(http: Http) -> None:
    """A read on a kept connection that was cut is sent again over a new one."""
    with raw_server(breaks_after_one) as server:
        for _ in range(3):
            assert http.request("GET", server.url, headers={}, timeout=5).body == b"ok"
        assert len(server.received) == 3


def test_a_write_on_a_broken_connection_is_not_sent_again(http: Http) -> None:
    """Whether the write took effect is unknown, so the caller gets the error."""
    with raw_server(breaks_after_one) as server:
        http.request("GET", server.url, headers={}, timeout=5)
        error = failure(http, server.url, method="PUT", body=b"x")
        assert (error.kind, error.maybe_sent) == ("reset", True)
        assert len(server.received) == 1


def test_a_read_is_retried_on_one_new_connection_only(http: Http) -> None:
    """A read that fails on a new connection is not retried."""

    def cut(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        reset(sock)

    with raw_server(cut) as server:
        assert failure(http, server.url).kind == "reset"
        assert len(server.received) == 1


def test_a_refused_connection_reports_that_nothing_was_sent(http: Http) -> None:
    """A write to a port without a listener has not taken effect."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error = failure(http, f"http://127.0.0.1:{port}", method="PUT", body=b"x")
    assert (error.kind, error.maybe_sent) == ("connect", False)


def test_a_name_without_an_address_reports_that_nothing_was_sent(http: Http) -> None:
    """A name that cannot be resolved has its own error."""
    error = failure(http, "http://nowhere.invalid/", method="PUT", body=b"x")
    assert error.kind in ("dns", "timeout")
    assert not error.maybe_sent


def test_a_name_is_resolved(http: Http) -> None:
    """A host may be a name, and its first address need not be the one that answers."""
    with raw_server(answering(OK)) as server:
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
def test_an_invalid_request_is_refused_without_being_quoted(http: Http, url: str, headers) -> None:
    """A malformed token adds no second header, and no error shows it."""
    with raw_server(answering(OK)) as server:
        error = failure(http, url.replace("{port}", str(server.port)), headers=headers)
        assert (error.kind, error.maybe_sent) == ("bad-request", False)
        assert TOKEN not in repr(error)
        assert error.__context__ is None
        assert all(TOKEN.encode() not in data for data in server.received)


def test_nothing_is_logged(http: Http, caplog) -> None:
    """At level debug no library logs a request."""
    with caplog.at_level(logging.DEBUG), raw_server(answering(OK)) as server:
        http.request("GET", f"{server.url}/?input_token={TOKEN}", headers={"Authorization": TOKEN}, timeout=5)
        failure(http, "http://127.0.0.1:1/")
        assert caplog.records == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a private certificate authority."""
    return trustme.CA()


def tls_server(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_with_a_private_authority(authority: trustme.CA, tmp_path: Path) -> None:
    """A private authority is trusted where its file is configured, and the connection is kept."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    http = Http(ca_file=str(tmp_path / "ca.pem"))
    with raw_server(answering(OK), tls=tls_server(authority)) as server:
        for _ in range(3):
            assert http.request("GET", f"https://127.0.0.1:{server.port}/", headers={}, timeout=5).body == b"ok"
        assert len(server.received) == 1
    http.close()


@pytest.mark.parametrize("case", ["unknown authority", "wrong name", "not TLS"])
def test_a_peer_without_a_valid_certificate_receives_nothing(authority: trustme.CA, tmp_path: Path, case: str) -> None:
    """No request is sent to a peer whose certificate is not verified."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    http = Http(ca_file=None if case == "unknown authority" else str(tmp_path / "ca.pem"))
    name = "vault.example" if case == "wrong name" else "127.0.0.1"
    talk = speaks_first if case == "not TLS" else answering(OK)
    with raw_server(talk, tls=None if case == "not TLS" else tls_server(authority, name)) as server:
        error = failure(http, f"https://127.0.0.1:{server.port}/", method="PUT", headers={"X": TOKEN}, body=b"x")
        assert (error.kind, error.maybe_sent) == ("tls", False)
        assert TOKEN.encode() not in b"".join(server.received)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "garbage"])
def test_an_unusable_file_of_authorities_has_its_own_error(tmp_path: Path, content: str | None) -> None:
    """An unusable file of authorities is a different error from an untrusted peer."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    assert failure(Http(ca_file=str(path)), "https://127.0.0.1:1/").kind == "ca-file"


ENVIRONMENT = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def test_the_environment_does_not_redirect_traffic(http: Http, monkeypatch, tmp_path: Path) -> None:
    """Proxies, password files and authorities of the environment are ignored by default."""
    with raw_server(answering(OK)) as trap, raw_server(answering(OK)) as server:
        for name in ENVIRONMENT:
            monkeypatch.setenv(name, trap.url)
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        http.request("GET", server.url, headers={}, timeout=5)
        assert failure(http, "https://127.0.0.1:1/").kind == "connect"
        assert trap.received == []
        assert b"authorization" not in server.received[0].lower()


def test_the_environment_is_used_where_it_is_trusted(monkeypatch) -> None:
    """With ``trust_env`` the proxy of the environment is used, and so are its exceptions."""
    http = Http(trust_env=True)
    with raw_server(answering(OK)) as proxy, raw_server(answering(OK)) as server:
        for name in ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        http.request("GET", "http://graph.example/x", headers={}, timeout=5)
        http.request("GET", f"{server.url}/y", headers={}, timeout=5)
        assert proxy.received[0].startswith(b"GET http://graph.example/x HTTP/1.1")
        assert server.received[0].startswith(b"GET /y HTTP/1.1")


def test_a_configured_proxy_gets_every_request_and_its_password() -> None:
    """Plain requests go to the proxy, with the proxy's own credentials."""
    with raw_server(answering(OK)) as proxy:
        http = Http(proxy=Secret(f"http://me:pa%20ss@127.0.0.1:{proxy.port}"))
        http.request("GET", "http://graph.example/x", headers={}, timeout=5)
        assert proxy.received[0].startswith(b"GET http://graph.example/x HTTP/1.1")
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:pa ss") in proxy.received[0]


def test_tls_is_tunnelled_through_a_proxy(authority: trustme.CA, tmp_path: Path) -> None:
    """A proxy sees the host and its own password, never the request."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def tunnel(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = tls_server(authority, "graph.example").wrap_socket(sock, server_side=True)
        inner.recv(65536)
        inner.sendall(OK)
        server.over.wait()

    with raw_server(tunnel) as proxy:
        http = Http(proxy=Secret(proxy.url), ca_file=str(tmp_path / "ca.pem"))
        answer = http.request("GET", "https://graph.example/x", headers={"Authorization": TOKEN}, timeout=5)
        assert answer.body == b"ok"
        assert proxy.received[0].startswith(b"CONNECT graph.example:443 HTTP/1.1")
        assert TOKEN.encode() not in proxy.received[0]
        http.close()


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", f"nonsense-{TOKEN}", f"ftp://{TOKEN}@x"])
def test_an_invalid_proxy_address_is_refused_without_being_quoted(address: str) -> None:
    """An unusable proxy fails every call, and the error shows nothing of its address."""
    error = failure(Http(proxy=Secret(address)), "http://127.0.0.1:1/")
    assert (error.kind, error.maybe_sent) == ("proxy", False)
    assert TOKEN not in repr(error)
    assert error.__context__ is None


def test_a_proxy_that_refuses_a_tunnel_has_its_own_error() -> None:
    """A write that the proxy refused to forward was not sent."""
    with raw_server(answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as proxy:
        http = Http(proxy=Secret(proxy.url))
        error = failure(http, "https://graph.example/x", method="PUT", body=b"x")
        assert (error.kind, error.maybe_sent) == ("proxy", False)


def test_a_closed_client_connects_again(http: Http) -> None:
    """A call after close opens a new connection."""
    with raw_server(answering(OK)) as server:
        http.request("GET", server.url, headers={}, timeout=5)
        http.close()
        http.request("GET", server.url, headers={}, timeout=5)
        assert len(server.received) == 2


def test_a_connection_in_use_is_closed_after_its_call(http: Http) -> None:
    """Closing does not interrupt a call in progress, and its connection is closed afterwards."""
    asked, go = threading.Event(), threading.Event()

    def waits(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        asked.set()
        go.wait(5)
        sock.sendall(OK)
        server.receive(sock, number)

    with raw_server(waits) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.request, "GET", server.url, headers={}, timeout=5)
        assert asked.wait(5)
        http.close()
        go.set()
        assert answer.result().body == b"ok"
        assert server.all_ended(5)


def test_closing_releases_everything() -> None:
    """A closed client leaves no thread and no connection."""
    with raw_server(answering(OK)) as server:
        for _ in range(20):
            http = Http()
            http.request("GET", f"http://localhost:{server.port}/", headers={}, timeout=5)
            http.close()
        assert [thread.name for thread in threading.enumerate() if thread.name == "sync-dns"] == []
        assert server.all_ended(5)
