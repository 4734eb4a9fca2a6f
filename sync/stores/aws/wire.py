"""The wire under boto3's clients: an answer is read only so far, and not at all once its call is given up.

boto3 reads an answer whole, however long it is, and has no timeout for all of one. The hook is the connections, since
what an endpoint sends without end need not be a body. This room is the one that loads the library, so nothing but the
first call may load it: half a second and 60 MB.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import botocore.session
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from sync.stores.aws.errors import CutError

T = TypeVar("T")
_MOST = 8 << 20
"""Bytes of an answer. Twenty secrets of 64 KiB, each byte of them escaped in six, are 7.5 MiB."""
_CHUNK = 1 << 16
_here = threading.local()


class Call:
    """What one thread asks by one client, be it in several requests; another thread may give it up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False
        self._connection: Any = None

    def run(self, work: Callable[[], T]) -> T:
        """Do the asking; raises CutError where an answer was too long, or this was given up."""
        _here.call = self
        return work()

    def give_up(self) -> None:
        """Have nothing more be read or sent for it, not even by the library's retries."""
        with self._lock:
            self._over = True
            sock = getattr(self._connection, "sock", None)
        if sock is not None:
            # Not a TLS socket's own way, which takes the TLS from under the thread that reads.
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def take(self, connection: Any) -> None:
        """Note which connection it waits for; raises CutError where it was given up."""
        with self._lock:
            self._connection = connection
            if not self._over:
                return
        connection.close()
        raise CutError


class Session(botocore.session.Session):  # type: ignore[misc]  # the library has no types
    """A session whose clients, those among them that the library makes to find credentials, read only so far."""

    def create_client(self, *given: Any, **named: Any) -> Any:
        """Make a client."""
        client = super().create_client(*given, **named)
        # The library has no other way to it than these two names of its own (seen with 1.44).
        pools = client._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001 - as above
        pools.update(http=_Pool, https=_SecurePool)
        return client


class _Bounded:
    """What is different in a connection."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # mixed into the library's connections
        _take(self)

    def request(self, *given: Any, **named: Any) -> None:
        _take(self)
        super().request(*given, **named)  # type: ignore[misc]  # as above

    def getresponse(self) -> Any:
        answer = super().getresponse()  # type: ignore[misc]  # as above
        answer.stream = partial(_stream, answer, self)
        return answer


class _Connection(_Bounded, AWSHTTPConnection):  # type: ignore[misc]  # the library has no types
    pass


class _SecureConnection(_Bounded, AWSHTTPSConnection):  # type: ignore[misc]  # as above
    pass


class _Pool(AWSHTTPConnectionPool):  # type: ignore[misc]  # as above
    ConnectionCls = _Connection


class _SecurePool(AWSHTTPSConnectionPool):  # type: ignore[misc]  # as above
    ConnectionCls = _SecureConnection


def _take(connection: Any) -> None:
    call: Call | None = getattr(_here, "call", None)
    if call is not None:
        call.take(connection)


def _stream(answer: Any, connection: Any) -> Iterator[bytes]:
    """Return the body in pieces as they come; the library's own way waits for whole ones, and for a line without end."""
    size = 0
    while piece := answer.read1(_CHUNK):
        size += len(piece)
        if size > _MOST:
            connection.close()
            raise CutError
        yield piece
