"""A server that answers every request with too much, too slowly, too deep, or nonsense."""

from __future__ import annotations

import gzip
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_MIB = 1 << 20


def _bomb() -> Iterator[bytes]:
    body = gzip.compress(bytes(200 * _MIB), 9)
    yield _HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _endless_body() -> Iterator[bytes]:
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % (1 << 16) + b" " * (1 << 16) + b"\r\n"
    yield from itertools.repeat(chunk, 1 << 14)


def _announced_gigabyte() -> Iterator[bytes]:
    yield _HEAD + b"Content-Length: 1073741824\r\n\r\n"
    yield from itertools.repeat(b" " * (1 << 16), 1 << 14)


def _endless_header() -> Iterator[bytes]:
    yield _HEAD
    yield from (b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(1 << 20))


def _endless_header_line() -> Iterator[bytes]:
    yield _HEAD + b"X-Long: "
    yield from itertools.repeat(b"y" * (1 << 16), 1 << 14)


def _endless_interim() -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 1000, 1 << 14)


def _lying_chunk() -> Iterator[bytes]:
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"
    yield from itertools.repeat(b" " * (1 << 16), 1 << 14)


def _endless_chunk_size() -> Iterator[bytes]:
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;"
    yield from itertools.repeat(b"x" * (1 << 16), 1 << 14)


def _endless_trailer() -> Iterator[bytes]:
    yield _HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    yield from itertools.repeat(b"X-More: y\r\n" * 1000, 1 << 14)


def _endless_continue() -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 1 << 14)


def _body(body: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body])


def _drip_body() -> Iterator[bytes]:
    yield _HEAD + b"Content-Length: 1000\r\n\r\n"
    yield from _slowly(b" " * 1000)


def _drip_header() -> Iterator[bytes]:
    yield from _slowly(_HEAD * 100)


def _slowly(data: bytes) -> Iterator[bytes]:
    for byte in data:
        time.sleep(0.05)
        yield bytes([byte])


ATTACKS: dict[str, Callable[[], Iterator[bytes]]] = {
    "gzip bomb": _bomb,
    "endless body": _endless_body,
    "announced gigabyte": _announced_gigabyte,
    "endless header": _endless_header,
    "endless header line": _endless_header_line,
    "endless interim answers": _endless_interim,
    "endless 100 Continue": _endless_continue,
    "chunk size that lies": _lying_chunk,
    "endless chunk size": _endless_chunk_size,
    "endless trailer": _endless_trailer,
    "slow body": _drip_body,
    "slow header": _drip_header,
    "deep JSON": _body(b"[" * 100_000),
    "deep JSON objects": _body(b'{"data":' * 20_000),
    "a number of 5,000 digits": _body(b'{"data": ' + b"9" * 5000 + b"}"),
    "NaN": _body(b'{"data": NaN, "id": NaN}'),
    "half a surrogate": _body(b'{"data": {"data": "\\ud800"}, "error": {"message": "\\udfff", "code": 1}}'),
    "the same key twice": _body(b'{"data": {"is_valid": true}, "data": {"is_valid": false}}'),
    "HTML": _body(b"<html>sign in"),
    "null": _body(b"null"),
    "no body": _body(b""),
    "not HTTP": lambda: iter([b"SSH-2.0-OpenSSH_9.6\r\n"]),
}


@contextmanager
def hostile_server(attack: str) -> Iterator[str]:
    """Run one kind of attack on a free port until the block ends; yield the address."""
    over = threading.Event()

    def serve(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.settimeout(10)
            sock.recv(1 << 16)
            for piece in ATTACKS[attack]():
                if over.is_set():
                    return
                sock.sendall(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
