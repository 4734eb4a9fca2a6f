"""Sockets that know the deadline of the request they serve.

httpcore passes a request's timeout to its network backend untouched. Here the timeout is an ``Attempt``, so that
resolving a name, connecting, TLS, sending and each read share one deadline, and can be stopped.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Literal, Protocol, TypeVar

import httpcore

T = TypeVar("T")

SLICE = 0.5
"""Seconds after which a waiting socket checks whether it is to stop."""

_MOST_UNSENT = 1 << 16
"""Bytes above which it gains nothing to send them at once."""

_Addresses = list[tuple[Any, Any, int, str, Any]]


class Stop(Protocol):
    """What asks waiting sockets to stop: an event, or an object with its method."""

    def is_set(self) -> bool:
        """Check whether the thread that asks is to stop."""
        ...


class Cut(Exception):  # noqa: N818 - a signal from a socket to the client, never raised outside of this package
    """The socket ended the attempt; ``kind`` says why, and ``detail`` is OpenSSL's reason where there is one."""

    def __init__(
        self, kind: Literal["timeout", "stopped", "dns", "connect", "tls", "reset", "proxy"], detail: str = ""
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail


class Attempt:
    """One sending of one request: its deadline, and how far it got.

    ``fresh``: a new connection was made for it. ``sent``: a part of the request may have reached the peer.
    ``received``: a part of an answer came. ``closed``: the peer closed the connection. ``secured``: TLS was agreed on for it.
    """

    __slots__ = ("_end", "_stop", "closed", "fresh", "received", "secured", "sent")

    def __init__(self, end: float, stop: Stop | None) -> None:
        self._end = end
        self._stop = stop
        self.fresh = self.sent = self.received = self.closed = self.secured = False

    def left(self) -> float:
        """Return the seconds to the deadline; raises Cut when there are none, or when it is to stop."""
        if self._stop is not None and self._stop.is_set():
            raise Cut("stopped")
        left = self._end - time.monotonic()
        if left <= 0:
            raise Cut("timeout")
        return left


class Stream(httpcore.NetworkStream):
    """A connected socket, plain or under TLS.

    What httpcore writes in parts is sent at once when it begins to read: a body in a packet of its own costs both sides a
    system call and a context switch.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waits: float | None = None
        self._unsent = bytearray()

    def _sliced(self, attempt: Attempt, operation: Callable[[Any], T], argument: Any) -> T:
        while True:
            wait = min(attempt.left(), SLICE)
            if wait != self._waits:  # setting it is a system call
                self._sock.settimeout(wait)
                self._waits = wait
            try:
                return operation(argument)
            except TimeoutError:
                continue

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        """Send what is still to be sent, then read what is there; empty when the peer has closed the connection."""
        attempt: Attempt = timeout
        # A server may refuse early, answer and close: its answer counts, though not all was sent.
        if self._unsent:
            with suppress(httpcore.WriteError):
                self._flush(attempt)
        try:
            data = self._sliced(attempt, self._sock.recv, max_bytes)
        except ssl.SSLError as error:
            attempt.closed = True
            # Under TLS 1.3 a server that refuses the client's certificate, or its absence, says so after the handshake.
            if "ALERT" in (error.reason or ""):
                raise Cut("tls", reason_of(error)) from None
            raise Cut("reset") from None
        except OSError:
            attempt.closed = True
            raise Cut("reset") from None
        if data:
            attempt.received = True
        else:
            attempt.closed = True
        return data

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        """Store a part to be sent. After a WriteError httpcore still reads, since a server may refuse early and close."""
        self._unsent += buffer
        if len(self._unsent) > _MOST_UNSENT:
            self._flush(timeout)

    def _flush(self, attempt: Attempt) -> None:
        rest, self._unsent = memoryview(self._unsent), bytearray()
        try:
            while rest:
                attempt.left()
                attempt.sent = True
                rest = rest[self._sliced(attempt, self._sock.send, rest) :]
        except OSError:
            raise httpcore.WriteError from None

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def detach(self) -> socket.socket:
        """Return the socket, for another stream to use."""
        return self._sock

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        """Make the TLS handshake; what was sent to a proxy before does not count as sent."""
        attempt: Attempt = timeout
        if isinstance(self._sock, ssl.SSLSocket):
            self.close()
            raise Cut("proxy")  # the standard library has no TLS inside TLS
        attempt.sent = attempt.received = False
        wrapped: ssl.SSLSocket | None = None
        try:
            wrapped = ssl_context.wrap_socket(
                self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            stream = Stream(wrapped)
            stream._sliced(attempt, lambda _: wrapped.do_handshake(), None)
        except (OSError, ValueError, Cut) as error:
            (wrapped or self._sock).close()
            raise (error if isinstance(error, Cut) else Cut("tls", reason_of(error))) from None
        attempt.secured = attempt.fresh
        return stream

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for: the TLS object, for the protocol agreed on, and whether an idle socket was closed."""
        match info:
            case "ssl_object":
                return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
            case "is_readable":
                return _ready(self._sock, select.POLLIN, 0)
            case _:
                return None


class Backend(httpcore.NetworkBackend):
    """Makes connections within the deadline of the request that needs them."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> Stream:
        """Connect to the first address that answers; each may use only its share of the time left."""
        attempt: Attempt = timeout
        attempt.fresh = True
        addresses = _resolve(host, port, attempt)
        for tried, (family, _, _, _, address) in enumerate(addresses):
            sock = _connect(family, address, attempt, share=len(addresses) - tried)
            if sock is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return Stream(sock)
        attempt.left()
        raise Cut("connect")


def reason_of(error: OSError | ValueError) -> str:
    """Return OpenSSL's own reason, which quotes nothing but the host name that was asked for; empty where there is none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = error.verify_message
    elif isinstance(error, ConnectionError | ssl.SSLEOFError):
        text = "the server closed the connection during the handshake"
    elif isinstance(error, ssl.SSLError):
        text = (error.reason or "").replace("_", " ").lower()
    else:
        text = ""
    return "".join(char for char in str(text) if char.isprintable())[:200].rstrip(".")


def _ready(sock: socket.socket, event: int, seconds: float) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(seconds * 1000))


def _resolve(host: str, port: int, attempt: Attempt) -> _Addresses:
    """Resolve in a thread of its own, since the system's resolver has no deadline."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass
    found: list[_Addresses] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            found.append([])

    thread = threading.Thread(target=ask, name="sync-dns", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the machine allows no further thread
        raise Cut("dns") from None
    while not found:
        thread.join(min(attempt.left(), SLICE))
    if not found[0]:
        raise Cut("dns")
    return found[0]


def _connect(family: int, address: Any, attempt: Attempt, *, share: int) -> socket.socket | None:
    """Connect to one address within its share of the time left; None where that fails."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        sock.setblocking(False)
        error = sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            until = time.monotonic() + attempt.left() / share
            while not _ready(sock, select.POLLOUT, max(min(attempt.left(), SLICE, until - time.monotonic()), 0)):
                if time.monotonic() >= until:
                    break
            else:
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException as failure:
        sock.close()
        if isinstance(failure, OSError):
            return None
        raise
    if error:
        sock.close()
        return None
    return sock
