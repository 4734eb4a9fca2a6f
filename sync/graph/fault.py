"""What came from Graph instead of an answer, and a sentence about it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "error",
    "transport",
    "down",
    "null",
    "bad-answer",
    "no-token",
    "malformed-token",
    "user-token",
    "other-page",
    "no-facts",
    "partial-facts",
    "no-new-token",
]
"""What came instead of an answer. "error": Graph's error envelope. "null": an item that ran out of time in a batch.
"bad-answer": not JSON, or JSON of no known form. "down": Graph was not called any more. From "no-token" on: an answer of
status 200 without what was asked for; ``text`` of "partial-facts" names the absent field."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer. ``text`` holds no token; ``transport`` is the kind of a failed HTTP request.

    ``user_text`` is what Graph wants a person to be shown, where it says that. ``retry_after`` is in seconds. ``regain`` is
    the minutes until a full quota opens again, where Graph states them. ``address`` is what was called, with the version, and
    ``via`` the proxy between.
    ``detail`` is OpenSSL's reason of a failed handshake. ``lacks`` names the permissions that the system user token lacks by this error, and ``granted`` is a sentence about those
    that it has although the error demands them; see ``permissions.py``.
    """

    kind: Kind
    status: int | None = None
    code: int | None = None
    subcode: int | None = None
    type: str = ""
    text: str = ""
    transient: bool = False
    retry_after: int | None = None
    fbtrace_id: str | None = None
    transport: str = ""
    regain: int | None = None
    user_text: str = ""
    address: str = ""
    via: str = ""
    lacks: str = ""
    granted: str = ""
    detail: str = ""


_TRANSPORT = {
    "timeout": "Graph{at} did not answer within graph.timeout.",
    "dns": "The host name {host} has no IP address: DNS does not know it, or cannot be reached. Graph was looked for{at}.",
    "connect": "The connection to Graph{at} failed.",
    "tls": "The certificate of Graph{at} is not trusted, or TLS failed.",
    "ca-file": "The file of certificate authorities in graph.ca_file cannot be used.",
    "proxy": "The proxy in graph.proxy is not the URL of an HTTP proxy, or refused the connection to Graph{at}.",
    "reset": "The connection to Graph{at} was closed before the answer was complete.",
    "too-large": "The answer of Graph{at} was larger than is accepted.",
    "bad-request": "The request to Graph cannot be written: a credential has characters that HTTP does not allow.",
}
_NOT_HTTP = "The answer of Graph{at} was not valid HTTP."
_KINDS = {
    "down": "Graph is not called any more in this cycle, after three failed requests in a row.",
    "null": "Graph ran out of time for this part of a batch.",
    "no-token": "Graph answered for the Page without a token.",
    "malformed-token": "Graph answered for the Page with a text that cannot be a token: it is not printable ASCII without "
    "blanks of at most 4,096 characters.",
    "user-token": "Graph returned the system user's own token instead of a Page token.",
    "other-page": "Graph answered for another id than was requested.",
    "no-new-token": "Graph answered the exchange without a new token.",
    "no-facts": "debug_token answered without saying whether the token is valid.",
}


def asks_to_wait(fault: Fault) -> bool:
    """Check whether an answer without a code of Graph's asks to wait, as a server or a proxy does."""
    return fault.code is None and (fault.status == 429 or fault.retry_after is not None)  # noqa: PLR2004 - HTTP's own number


def explain(fault: Fault) -> str:
    """Return a sentence about what happened, with what Graph wants a person to be shown, or else its message."""
    at = f" at {fault.address}" if fault.address else ""
    via = f" It was called through {fault.via}." if fault.via else ""
    match fault.kind:
        case "error":
            return f"Graph says: {fault.user_text or fault.text or 'an error without a message'}"
        case "transport":
            return _transport_text(fault, at) + via
        case "down" if fault.transport:
            return f"{_transport_text(fault, at)}{via} {_KINDS['down']}"
        case "partial-facts":
            return f"debug_token's answer has no usable {fault.text}, so the token cannot be judged."
        case "bad-answer" if fault.retry_after is not None or asks_to_wait(fault):
            return f"Graph{at} asks to wait (HTTP {fault.status}).{via}"
        case "bad-answer":
            return f"The answer of Graph{at} cannot be used (HTTP {fault.status}).{via}"
        case _:
            return _KINDS[fault.kind]


def _transport_text(fault: Fault, at: str) -> str:
    host = "of the proxy" if fault.via else "in graph.base_url"
    text = _TRANSPORT.get(fault.transport, _NOT_HTTP).format(at=at, host=host)
    return f"{text} OpenSSL says: {fault.detail}." if fault.transport == "tls" and fault.detail else text
