"""Connections for boto3's clients that bound the length of an answer, and stop reading once its call is cancelled.

boto3 reads whole answers of any length and has no timeout for the whole of one. The hook is in the connections, since an
endpoint can send endless headers as well as an endless body. This module imports botocore, which costs half a second and
60 MB, so only the first call may import it.
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

from sync.core.json_text import fits
from sync.stores.aws.errors import AbortedError

T = TypeVar("T")
_MOST = 8 << 20
"""Most bytes of an answer: twenty secrets of 64 KiB with every byte escaped as six are 7.5 MiB."""
_CHUNK = 1 << 16
_here = threading.local()


class BoundedCall:
    """One call of one thread, in one or more requests; another thread may cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._connection: Any = None

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work``; raises AbortedError where an answer was too long or the call was cancelled."""
        _here.call = self
        return work()

    def cancel(self) -> None:
        """Let nothing more be read or sent for this call, not even by boto3's retries."""
        with self._lock:
            self._cancelled = True
            sock = getattr(self._connection, "sock", None)
        if sock is not None:
            # The TLS socket's own shutdown would remove the TLS object that the reading thread uses.
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def attach(self, connection: Any) -> None:
        """Record the connection in use; raises AbortedError where the call was cancelled."""
        with self._lock:
            self._connection = connection
            if not self._cancelled:
                return
        connection.close()
        raise AbortedError


class Session(botocore.session.Session):  # type: ignore[misc]  # the library has no types
    """A session whose clients, including those that botocore makes to find credentials, use bounded connections."""

    def create_client(self, *given: Any, **named: Any) -> Any:
        """Make a client."""
        client = super().create_client(*given, **named)
        # botocore offers no public way to set the connection classes (seen with 1.44).
        pools = client._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001 - as above
        pools.update(http=_Pool, https=_SecurePool)
        return client


class _Bounded:
    """What a bounded connection does in addition."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # mixed into botocore's connections
        _attach(self)

    def request(self, *given: Any, **named: Any) -> None:
        _attach(self)
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


def _attach(connection: Any) -> None:
    call: BoundedCall | None = getattr(_here, "call", None)
    if call is not None:
        call.attach(connection)


def _stream(answer: Any, connection: Any) -> Iterator[bytes]:
    """Yield the whole body once it is known to fit; botocore's own reader waits for full pieces, and for an endless line."""
    body = bytearray()
    while piece := answer.read1(_CHUNK):
        body += piece
        if len(body) > _MOST:
            break
    if len(body) > _MOST or not fits(bytes(body)):
        connection.close()
        raise AbortedError
    yield bytes(body)
