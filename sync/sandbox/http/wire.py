"""The part of HTTP/1.1 that the sandbox supports: parse requests, format replies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from sync.sandbox.replies import Reply, Request

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'name="([^"]*)"')


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Read method, target and headers (names in lower case); None where it is not HTTP/1.x. HTTP/1.0 closes the connection."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        return None
    pairs = (line.partition(":") for line in lines if line)
    headers = {"connection": "close"} if words[2] == "HTTP/1.0" else {}
    headers |= {name.strip().lower(): value.strip() for name, _, value in pairs}
    return words[0], words[1], headers


def make_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Return the request that ``respond`` takes; ``target`` is path and query as in the request line."""
    path, _, query = target.partition("?")
    return Request(
        method=method.upper(),
        path=unquote(path),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in headers.items()},
        form=parse_form(headers.get("content-type", ""), body),
    )


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """Read a form in each encoding that Graph takes: url-encoded, multipart, or a JSON object."""
    if not body:
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _parse_multipart(content_type, body)
    if kind == "application/json":
        return _parse_json(body)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _parse_json(body: bytes) -> dict[str, str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: item if isinstance(item, str) else json.dumps(item) for name, item in value.items()}


def _parse_multipart(content_type: str, body: bytes) -> dict[str, str]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        return {}
    form: dict[str, str] = {}
    for part in body.split(b"--" + found.group(1).encode("latin-1", "replace"))[1:]:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if blank and name is not None:
            form[name.group(1).decode("utf-8", "replace")] = content.removesuffix(b"\r\n").decode("utf-8", "replace")
    return form


def format_head(reply: Reply, *, length: int, keep_alive: bool) -> bytes:
    """Write status line and headers, with the blank line that ends them."""
    phrase = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    lines += [f"Date: {formatdate(usegmt=True)}", f"Content-Length: {length}"]
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
