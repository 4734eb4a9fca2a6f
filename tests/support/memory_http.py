"""An Http without a network: a request is a value, which a subclass answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from sync.http import Http, Response
from sync.http.response import Sink


class Sent(NamedTuple):
    """One request, as the program sends it; header names are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
    limit: int
    sink: Sink | None

    @property
    def target(self) -> str:
        """Path and query, as in the request line."""
        parts = urlsplit(self.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")


class MemoryHttp(Http, ABC):
    """An Http whose only server is ``answer``."""

    @abstractmethod
    def answer(self, sent: Sent) -> Response:
        """Return the answer to a request; raises HttpError and nothing else."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: float,
        limit: int = 1 << 20,
        sink: Sink | None = None,
    ) -> Response:
        """Let the subclass answer a request."""
        lowered = {name.lower(): value for name, value in headers.items()}
        return self.answer(Sent(method, url, lowered, body or b"", timeout, limit, sink))
