"""Connects the model of Vault to the store's HTTP: whole requests in, whole answers out, no socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sync.http import HttpError, Response
from sync.http.response import Sink
from tests.simulation.vault import Ask, Vault
from tests.support.memory_http import MemoryHttp, Sent


@lru_cache
def _split(url: str) -> tuple[str, Mapping[str, str]]:
    parts = urlsplit(url)
    return unquote(parts.path).removeprefix("/v1/"), dict(parse_qsl(parts.query))


def to_ask(sent: Sent, owner: object = None) -> Ask:
    """Convert an HTTP request to the model's."""
    path, query = _split(sent.url)
    return Ask(sent.method, path, query, sent.headers, sent.body, owner)


def poured(response: Response, sink: Sink | None) -> Response:
    """Return an answer as Http does: the body of a 200 goes to the sink in parts, where there is one."""
    if sink is None or response.status != HTTPStatus.OK:
        return response
    half = len(response.body) // 2
    try:
        sink(response.body[:half])
        sink(response.body[half:])
    except ValueError:
        raise HttpError("too-large", maybe_sent=True) from None
    return replace(response, body=b"")


class VaultHttp(MemoryHttp):
    """An Http whose only server is a model, which answers at once."""

    def __init__(self, vault: Vault, **settings: Any) -> None:
        super().__init__(**settings)
        self._vault = vault

    def answer(self, sent: Sent) -> Response:
        """Send a request to the model."""
        reply = self._vault.answer(to_ask(sent))
        if isinstance(reply, str):
            raise HttpError("connect" if reply == "connect" else "timeout", maybe_sent=reply == "hang")
        return poured(Response(reply.status, reply.headers, reply.body), sent.sink)
