"""Who issued the certificate that a server presents, trusted or not: a proxy that inspects TLS is known by it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import httpcore

from sync.http.sockets import Backend, Stream

_ORGANIZATION, _COMMON_NAME = b"\x55\x04\x0a", b"\x55\x04\x03"
"""The attributes 2.5.4.10 and 2.5.4.3 of X.520, as they are encoded."""
_VERSION, _LONG = 0xA0, 0x80
_LONGEST = 100


class Presented(Exception):  # noqa: N818 - what was found, and no error
    """The handshake is over, and nothing else is sent; ``issuer`` is the name in the certificate, "" where it has none."""

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self.issuer = issuer


def without_trust() -> ssl.SSLContext:
    """Return a context that accepts every certificate: only for connections on which nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class LookingBackend(Backend):
    """Makes connections that end with the handshake, which raises Presented."""

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Stream:
        """Connect as usual."""
        return _LookingStream(super().connect_tcp(*args, **kwargs).detach())


class _LookingStream(Stream):
    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        secured = super().start_tls(ssl_context, server_hostname, timeout)
        certificate = secured.get_extra_info("ssl_object").getpeercert(binary_form=True)
        secured.close()
        raise Presented(issuer_of(certificate or b""))


def issuer_of(certificate: bytes) -> str:
    """Return the issuer's common name and organization of a certificate in DER; "" where it cannot be read."""
    try:
        ((_, body),) = _elements(certificate)
        (_, signed), *_ = _elements(body)
        fields = [content for tag, content in _elements(signed) if tag != _VERSION]
        names = dict(_attributes(fields[2]))  # after the serial number and the algorithm
    except (IndexError, ValueError):
        return ""
    found = dict.fromkeys(names[kind] for kind in (_COMMON_NAME, _ORGANIZATION) if kind in names)
    text = ", ".join(name.decode("utf-8", "replace") for name in found)
    return "".join(char for char in text if char.isprintable())[:_LONGEST]


def _attributes(name: bytes) -> Iterator[tuple[bytes, bytes]]:
    for _, of_set in _elements(name):
        for _, attribute in _elements(of_set):
            (_, kind), (_, value) = _elements(attribute)
            yield kind, value


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of the elements that follow each other; raises IndexError or ValueError for what is no DER."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & _LONG:
            count = length & ~_LONG
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError
        yield tag, data[at : at + length]
        at += length
