"""Read an answer completely, up to a limit; or say in which way the request failed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

Kind = Literal[
    "timeout",
    "stopped",
    "dns",
    "connect",
    "tls",
    "ca-file",
    "proxy",
    "reset",
    "protocol",
    "too-large",
    "unwanted-encoding",
    "bad-request",
]
"""How a request failed. "bad-request": it could not be written, for example for a line break in a token."""


Sink = Callable[[bytes], None]
_GZIP_OR_ZLIB = 47


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. Header names are in lower case; a header that came twice is joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):  # noqa: N818 - a signal inside this package
    """A request or an answer that this package does not accept; never raised outside of it."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail


def read(
    status: int, lines: Iterable[tuple[bytes, bytes]], chunks: Any, limit: int, sink: Sink | None = None
) -> Response:
    """Read a complete answer; raises Refused where its body is larger than ``limit``, or in an unknown encoding.

    A body with status 200 goes to the ``sink`` in parts where there is one, and is refused where that raises ValueError.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in lines:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise Refused("too-large")
    match headers.get("content-encoding", "").strip().lower():
        case "" | "identity":
            parts = _plain(chunks, limit)
        case "gzip" | "x-gzip" | "deflate":
            parts = _inflated(chunks, limit)
        case _:
            raise Refused("unwanted-encoding")
    if sink is None or status != HTTPStatus.OK:
        return Response(status, headers, b"".join(parts))
    try:
        for part in parts:
            sink(part)
    except ValueError:
        raise Refused("too-large") from None
    return Response(status, headers, b"")


def _plain(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise Refused("too-large")
        yield chunk


def _inflated(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Decompress a body that should not be compressed, never beyond ``limit``, so that a compression bomb does no harm."""
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    size, raw = 0, 0
    try:
        for chunk in chunks:
            raw += len(chunk)
            part = inflater.decompress(chunk, limit - size + 1)
            size += len(part)
            if max(size, raw) > limit:
                raise Refused("too-large")
            yield part
    except zlib.error:
        raise Refused("protocol") from None
    if raw and not inflater.eof:
        raise Refused("protocol")
