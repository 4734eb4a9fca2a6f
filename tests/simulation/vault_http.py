"""Connects the model of Vault to the store's HTTP: whole requests in, whole answers out, no socket."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sync.http import Http, HttpError, Response
from tests.simulation.vault import Ask, Vault


@lru_cache
def _split(url: str) -> tuple[str, Mapping[str, str]]:
    parts = urlsplit(url)
    return unquote(parts.path).removeprefix("/v1/"), dict(parse_qsl(parts.query))


def to_ask(method: str, url: str, headers: Mapping[str, str], body: bytes | None, owner: object = None) -> Ask:
    """Convert an HTTP request to the model's."""
    path, query = _split(url)
    return Ask(method, path, query, {name.lower(): value for name, value in headers.items()}, body or b"", owner)


class VaultHttp(Http):
    """An Http whose only server is a model, which answers at once."""

    def __init__(self, vault: Vault, **settings: Any) -> None:
        super().__init__(**settings)
        self._vault = vault

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: float,
        limit: int = 1 << 20,
    ) -> Response:
        """Send a request to the model."""
        reply = self._vault.answer(to_ask(method, url, headers, body))
        if isinstance(reply, str):
            raise HttpError("connect" if reply == "connect" else "timeout", maybe_sent=reply == "hang")
        return Response(reply.status, reply.headers, reply.body)
