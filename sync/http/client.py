"""One request, one answer, within one deadline.

httpx's timeouts are per read, so a slow drip passes them (encode/httpx#1450), and its client logs URLs and obeys the
environment. So requests go straight to httpcore, the engine under httpx, over the sockets of ``sync.http.sockets``. No
error carries a URL, a header or a library's text, nor a chain to an exception that does.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import certifi
import httpcore

from sync.core.secret import Secret
from sync.http.certificate import LookingBackend, Presented, without_trust
from sync.http.pool import HostPool
from sync.http.response import Kind, Refused, Response, Sink, read
from sync.http.sockets import Attempt, Backend, Cut, Stop

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

_REPEATABLE = frozenset({"GET", "HEAD", "LIST"})
_KEEP_ALIVE = 5.0
"""Seconds; shorter than the time after which a NAT forgets a connection, so that no request is lost that way."""

_ALWAYS = [(b"Accept-Encoding", b"identity"), (b"User-Agent", b"page-token-sync")]
_Target = tuple[str, str, int | None, bytes, bytes]


class HttpError(Exception):
    """There was no answer. ``maybe_sent``: the request may have taken effect all the same.

    ``detail`` is a sentence or a phrase for a person, without secrets: OpenSSL's reason, or which file cannot be used.
    """

    def __init__(self, kind: Kind, *, maybe_sent: bool, detail: str = "") -> None:
        super().__init__(kind)
        self.kind: Kind = kind
        self.maybe_sent = maybe_sent
        self.detail = detail


class _Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    limit: int
    sink: Sink | None


class Http:
    """A pool of kept connections, for any number of threads.

    ``ca_file`` replaces the public certificate authorities, ``client_cert`` and ``client_key`` are PEM files for servers that
    require a certificate. ``proxy`` is a URL, which may hold a password. The environment's proxies and authorities are used
    only with ``trust_env``. ``stop`` ends all waiting within half a second of being set.
    """

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        proxy: Secret | None = None,
        trust_env: bool = False,
        connections: int = 8,
        stop: Stop | None = None,
    ) -> None:
        self._ca_file = ca_file
        self._client_files = (client_cert, client_key)
        self._proxy = proxy
        self._trust_env = trust_env
        self._connections = connections
        self._stop = stop
        self._factories: dict[tuple[str, str | None], httpcore.ConnectionPool] = {}
        self._host_pools: dict[tuple[str, str, int | None, str | None], HostPool] = {}
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: float,
        limit: int = 1 << 20,
        sink: Sink | None = None,
    ) -> Response:
        """Send one request and read its answer, all within ``timeout`` seconds; raises HttpError and nothing else.

        A redirect is an answer like any other. ``limit`` is the most bytes of a body, after decompression. A kept
        connection that turns out to be closed before any part of an answer came is replaced, for methods that only read.
        The body of a 200 goes to the ``sink`` in parts, if there is one, and is refused where that raises ValueError.
        """
        end = time.monotonic() + timeout
        request = _Request(method, url, headers, body, limit, sink)
        spare = self._connections if method in _REPEATABLE else 0
        while True:
            attempt = Attempt(end, self._stop)
            answer = self._attempt(attempt, request)
            if isinstance(answer, Response):
                return answer
            if answer.kind != "reset" or attempt.fresh or attempt.received or not spare:
                raise answer
            spare -= 1

    def via(self, url: str) -> str:
        """Return which proxy requests to this URL go through, without its password; empty where there is none."""
        try:
            scheme, host, *_ = _split(url)
            proxy, source = self._route(scheme, host)
            parts = urlsplit(proxy or "")
            shown = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or "without a host"
        except (Refused, ValueError):
            return ""
        return f"the proxy {shown} {source}" if proxy is not None else ""

    def issuer(self, url: str, *, timeout: float) -> str:
        """Return who issued the certificate of a URL's host, trusted or not; "" where there is none.

        The connection ends after the handshake, so that nothing is sent to a host that is not trusted.
        """
        try:
            scheme, host, port, target, authority = _split(url)
            if scheme != "https":
                return ""
            proxy, _ = self._route(scheme, host)
            factory = httpcore.ConnectionPool(
                ssl_context=without_trust(),
                proxy=_proxy(proxy) if proxy is not None else None,
                network_backend=LookingBackend(),
            )
            address = httpcore.URL(scheme=scheme.encode(), host=host.encode(), port=port, target=target)
            attempt = Attempt(time.monotonic() + timeout, self._stop)
            waits = {"timeout": {"connect": attempt, "read": attempt, "write": attempt}}
            factory.create_connection(address.origin).handle_request(
                httpcore.Request("GET", address, headers=[(b"Host", authority)], extensions=waits)
            )
        except Presented as presented:
            return presented.issuer
        except (
            Cut,
            Refused,
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ProxyError,
            ValueError,
        ):
            pass
        return ""

    def close(self) -> None:
        """Close all connections; a later request makes new ones."""
        with self._lock:
            host_pools, self._host_pools = list(self._host_pools.values()), {}
        for host_pool in host_pools:
            host_pool.close()

    def _attempt(self, attempt: Attempt, request: _Request) -> Response | HttpError:
        """Send once. The error is returned, not raised, so that it has no chain to its cause."""
        kind: Kind
        detail = ""
        try:
            attempt.left()
            scheme, host, port, target, authority = _split(request.url)
            address = httpcore.URL(scheme=scheme.encode(), host=host.encode(), port=port, target=target)
            outgoing = httpcore.Request(
                request.method,
                address,
                headers=_headers(authority, request),
                content=request.body,
                extensions={"timeout": {"connect": attempt, "read": attempt, "write": attempt}},
            )
            return self._host_pool(scheme, host, address).send(
                outgoing,
                attempt,
                lambda answer: read(answer.status, answer.headers, answer.stream, request.limit, request.sink),
            )
        except Cut as cut:
            kind, detail = cut.kind, cut.detail
        except Refused as refused:
            kind, detail = refused.kind, refused.detail
        except httpcore.TimeoutException:
            kind = "timeout"
        except httpcore.ProxyError as error:
            kind = "proxy"
            status = str(error)[:3]
            detail = f"HTTP {status}" if status.isdecimal() else ""
        except httpcore.RemoteProtocolError:
            kind = "reset" if attempt.closed else "protocol"
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, ValueError):
            kind = "bad-request"
        except httpcore.NetworkError:
            kind = "reset"
        if kind == "reset" and attempt.secured and not attempt.received and self._client_files[0] is None:
            # Where the server closes at once, its alert that it requires a certificate may be lost.
            detail = "the server closed the connection right after the handshake, and may require a client certificate"
        # What was sent before a proxy failed was sent to the proxy alone.
        return HttpError(kind, maybe_sent=attempt.sent and kind != "proxy", detail=detail)

    def _host_pool(self, scheme: str, host: str, address: httpcore.URL) -> HostPool:
        proxy, _ = self._route(scheme, host)
        key = (scheme, host, address.port, proxy)
        host_pool = self._host_pools.get(key)
        if host_pool is not None:
            return host_pool
        with self._lock:
            factory, origin = self._factory(scheme, proxy), address.origin
            made = HostPool(lambda: factory.create_connection(origin), self._connections)
            return self._host_pools.setdefault(key, made)

    def _factory(self, scheme: str, proxy: str | None) -> httpcore.ConnectionPool:
        """Return what makes connections, through the proxy if there is one."""
        factory = self._factories.get((scheme, proxy))
        if factory is None:
            factory = self._factories[(scheme, proxy)] = httpcore.ConnectionPool(
                # Loading the authorities takes longer than a request, so it waits until there is a certificate to check.
                ssl_context=self._tls() if scheme == "https" else None,
                proxy=_proxy(proxy) if proxy is not None else None,
                keepalive_expiry=_KEEP_ALIVE,
                network_backend=Backend(),
            )
        return factory

    def _route(self, scheme: str, host: str) -> tuple[str | None, str]:
        """Return the proxy for a host, None for none, and where it comes from."""
        if self._proxy is not None:
            return self._proxy.reveal(), "of the configuration"
        if not self._trust_env or urllib.request.proxy_bypass(host):
            return None, ""
        proxies = urllib.request.getproxies_environment()
        name = scheme if scheme in proxies else "all"
        return proxies.get(name), f"of {name.upper()}_PROXY in the environment, where NO_PROXY does not match {host}"

    def _tls(self) -> ssl.SSLContext:
        try:
            if self._ca_file is None and self._trust_env:
                import httpx  # noqa: PLC0415 - it takes as long to load as the rest of this program

                context = httpx.create_ssl_context(trust_env=True)
            else:
                context = ssl.create_default_context(cafile=self._ca_file or certifi.where())
        except OSError:
            raise Refused("ca-file") from None
        _load_certificate(context, *self._client_files)
        return context


def _load_certificate(context: ssl.SSLContext, certificate: str | None, key: str | None) -> None:
    if certificate is None:
        return
    encrypted = False
    for name, path in (("client_cert", certificate), ("client_key", key)):
        try:
            encrypted = b"ENCRYPTED" in Path(path).read_bytes() if path is not None else encrypted
        except OSError:
            raise Refused("tls", f"`{name}` cannot be read") from None
    if encrypted:
        raise Refused("tls", "`client_key` is encrypted, and there is nobody to ask for its password")
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise Refused("tls", "`client_key` is not the key of `client_cert`") from None
        raise Refused("tls", "`client_cert` or `client_key` is not a PEM file of a certificate and its key") from None


def _split(url: str) -> _Target:
    """Return the parts of a URL: scheme, host, port, target, and the authority for the Host header."""
    path = url.find("/", url.find("//") + 2)
    scheme, host, port, authority = _origin(url if path < 0 else url[:path])
    target = "/" if path < 0 else url[path:].partition("#")[0]
    return scheme, host, port, target.encode("ascii"), authority


@lru_cache(maxsize=64)
def _origin(text: str) -> tuple[str, str, int | None, bytes]:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise Refused("bad-request")
    return parts.scheme, parts.hostname, parts.port, parts.netloc.encode("ascii")


def _headers(authority: bytes, request: _Request) -> list[tuple[bytes, bytes]]:
    lines = [(b"Host", authority), *_ALWAYS]
    lines += [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers.items()]
    if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
        lines.append((b"Content-Length", b"%d" % len(request.body or b"")))
    return lines


def _proxy(url: str) -> httpcore.Proxy:
    import httpx  # noqa: PLC0415 - see Http._tls

    try:
        proxy = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL):
        raise Refused("proxy") from None
    if proxy.url.scheme not in ("http", "https"):
        raise Refused("proxy")
    address = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(address, auth=proxy.raw_auth)
