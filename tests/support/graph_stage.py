"""The sandbox behind a transport without a network, on a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import parse_qs, unquote_plus

import httpx

from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import Ask, Page, TokenFacts
from sync.core.payload import PayloadTemplate
from sync.core.secret import CredentialError, Secret
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.source import GraphSettings, GraphSource
from sync.sandbox.api.graph import respond
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.wire import make_request
from sync.sandbox.world.world import World, make_world
from tests.support.clock import FakeClock
from tests.support.transport_http import TransportHttp

BASE = "https://graph.example"
NO_POOLS: Mapping[QuotaKey, Pool] = {}
NOTHING_KNOWN: Mapping[tuple[str, str], TokenFacts] = {}
Before = Callable[[httpx.Request], httpx.Response | None]


def ordinary(tokens: Iterable[Secret]) -> list[Ask]:
    """Ask about tokens that need no repair."""
    return [Ask(token) for token in tokens]


class Stage:
    """A sandbox and the requests that reach it. Each is checked for tokens in its URL and for its proof.

    ``before`` may answer in the sandbox's place.
    """

    def __init__(self, pages: int = 5, *, token_in_url: bool = False) -> None:
        self.clock = FakeClock()
        self.world: World = make_world(pages=pages, now=lambda: self.clock.now().timestamp())
        self.seen: list[httpx.Request] = []
        self.before: Before | None = None
        self.settings = GraphSettings(base_url=BASE, version="v25.0", timeout=60, token_in_url=token_in_url)

    def fault(self, *names: str) -> None:
        """Switch faults of the sandbox on."""
        for name in names:
            switch_on(self.world, name)

    def pages(self, user: str = "main", app: str = "messenger", ids: Sequence[str] | None = None) -> list[Page]:
        """Return the sandbox's Pages as configured."""
        template = PayloadTemplate.parse({"token": "{token}"}, {})
        return [
            Page(page.id, f"{user}-{page.name}", user, app, self.world.app.id, (), template)
            for page in self.world.pages.values()
            if ids is None or page.id in ids
        ]

    def source(
        self,
        *,
        secret: Secret | CredentialError | None = None,
        token: Secret | CredentialError | None = None,
        apps: Sequence[AppCredentials] = (),
        users: Sequence[SystemUserCredentials] = (),
        workers: int = 4,
        pools: Mapping[QuotaKey, Pool] = NO_POOLS,
        known: Mapping[tuple[str, str], TokenFacts] = NOTHING_KNOWN,
    ) -> GraphSource:
        """Return the source of a new cycle, with the sandbox's credentials unless others are given."""
        own_app = AppCredentials("messenger", self.world.app.id, secret or Secret(self.world.app.secret))
        own_user = SystemUserCredentials("main", "messenger", token or Secret(self.world.user.token))
        return GraphSource(
            http=TransportHttp(httpx.MockTransport(self.answer)),
            settings=self.settings,
            apps=[own_app, *apps],
            system_users=[own_user, *users],
            clock=self.clock,
            workers=workers,
            pools=pools,
            known=known,
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request as the sandbox does, or as ``before`` wants it."""
        self.seen.append(request)
        self._check(request)
        answered = self.before(request) if self.before is not None else None
        if answered is not None:
            return answered
        target = request.url.raw_path.decode()
        reply = respond(self.world, make_request(request.method, target, dict(request.headers), request.content))
        match reply.behaviour:
            case "drip-headers" | "drip-body" | "hang":
                self.clock.advance(self.settings.timeout)
                raise httpx.ReadTimeout("")
            case "cut" | "close":
                raise httpx.ReadError("")
        return httpx.Response(reply.status, headers=list(reply.headers), content=reply.body)

    def _check(self, request: httpx.Request) -> None:
        url = unquote_plus(str(request.url))
        assert url.startswith(BASE + "/v25.0/")
        secrets = [*self.world.tokens, self.world.app.secret]
        if not (self.settings.token_in_url and "/debug_token?" in url):
            assert not any(secret in url for secret in secrets)
        if "/oauth/access_token" in url:
            assert (request.method, request.url.query) == ("POST", b"")
            return
        fields = parse_qs(request.url.query.decode()) | parse_qs(request.content.decode())
        assert len(fields["appsecret_proof"][0]) == 64
        assert "authorization" in request.headers or "access_token" in fields
