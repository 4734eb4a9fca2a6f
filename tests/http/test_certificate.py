"""Who issued a server's certificate, whether or not it is trusted."""

from __future__ import annotations

import socket
import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sync.core.secret import Secret
from sync.http import Http
from sync.http.certificate import issuer_of
from tests.support.raw_server import OK, RawServer, answering, raw_server


@pytest.fixture(scope="module")
def server_context() -> ssl.SSLContext:
    """Return a server's TLS context, with a certificate of an authority that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA(organization_name="Corp Inspection CA").issue_cert("vault.example").configure_cert(context)
    return context


def test_an_untrusted_issuer_is_named_and_gets_nothing(server_context: ssl.SSLContext) -> None:
    """The organization of the authority is returned; the server receives no request."""
    http = Http()
    with raw_server(answering(OK), tls=server_context) as server:
        assert http.issuer(f"https://127.0.0.1:{server.port}/v25.0/", timeout=5) == "Corp Inspection CA"
        assert server.all_ended(5)
        assert b"".join(server.received) == b""


def test_the_issuer_behind_a_proxy_is_named(server_context: ssl.SSLContext) -> None:
    """A proxy is asked for a tunnel, and sees the host alone."""

    def tunnel(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        server_context.wrap_socket(sock, server_side=True).recv(65536)

    with raw_server(tunnel) as proxy:
        http = Http(proxy=Secret(proxy.url))
        assert http.issuer("https://graph.example/x", timeout=5) == "Corp Inspection CA"
        assert proxy.received[0].startswith(b"CONNECT graph.example:443 HTTP/1.1")
        assert b"/x" not in proxy.received[0]


def test_without_a_certificate_there_is_no_issuer() -> None:
    """Plain HTTP, a server that speaks no TLS, a closed port, a name without an address and a refused tunnel have none."""
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with raw_server(answering(OK)) as plain, raw_server(answering(refused)) as proxy:
        for http, url in (
            (Http(), plain.url),
            (Http(), f"https://127.0.0.1:{plain.port}/"),
            (Http(), "https://127.0.0.1:1/"),
            (Http(), "https://graph.invalid/"),
            (Http(), "nonsense"),
            (Http(proxy=Secret(proxy.url)), "https://graph.example/"),
            (Http(proxy=Secret("ftp://x")), "https://graph.example/"),
        ):
            assert http.issuer(url, timeout=0.5) == "", url


@given(st.binary(max_size=300))
def test_what_is_no_certificate_has_no_issuer(data: bytes) -> None:
    """Bytes of an unknown server never raise."""
    assert issuer_of(data) == ""


def test_a_certificate_that_is_cut_off_has_no_issuer() -> None:
    """Each part of a certificate is none; control characters in a name are left out."""
    whole = trustme.CA(organization_name="Corp\x1b[31m").cert_pem.bytes().decode()
    certificate = ssl.PEM_cert_to_DER_cert(whole)
    assert issuer_of(certificate) == "Corp[31m"
    assert {issuer_of(certificate[:size]) for size in range(0, len(certificate), 7)} == {""}
