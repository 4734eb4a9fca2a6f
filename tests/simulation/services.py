"""The connections from a life to the models: an Http to Graph, one to Vault, and boto3's transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from sync.http import HttpError, Response
from sync.sandbox.api.graph import respond
from sync.sandbox.http.wire import make_request
from sync.sandbox.replies import Request
from sync.sandbox.world.world import World
from tests.simulation.answers import Weather, given, items_of
from tests.simulation.checker import Checker
from tests.simulation.process import Life
from tests.simulation.secrets_manager import SecretsManager
from tests.simulation.vault import Vault
from tests.simulation.vault_http import poured, to_ask
from tests.support.memory_http import MemoryHttp, Sent

AWS_READ_TIMEOUT = 6.0


class GraphHttp(MemoryHttp):
    """Graph, as one life reaches it."""

    def __init__(self, life: Life, world: World, weather: Weather, checker: Checker) -> None:
        super().__init__()
        self._life = life
        self._world = world
        self._weather = weather
        self._checker = checker

    def answer(self, sent: Sent) -> Response:
        """Send to the sandbox's world; its wire faults become what a client would see."""
        self._checker.url(sent.url)
        asked = _asked(sent.method, sent.target, tuple(sent.headers.items()), sent.body)
        what = f"graph {sent.method} {sent.target.partition('?')[0]}"
        if sent.body and self._life.simulation.trace is not None:
            what += f" {_shape(asked)}"
        reply = self._life.call("graph", what, sent.timeout, lambda: respond(self._world, asked))
        if reply.delay:
            self._life.wait(min(reply.delay, sent.timeout))
        if reply.behaviour in ("hang", "drip-headers", "drip-body") or reply.delay >= sent.timeout:
            self._life.silence("graph", what, sent.timeout)
        if reply.behaviour is not None:
            self._life.disturbed.add("graph")
            raise HttpError("reset", maybe_sent=True)
        content = self._weather.edited(asked, reply.status, reply.body)
        self._record_answers(asked, reply.status, content)
        return Response(reply.status, {name.lower(): value for name, value in reply.headers}, content)

    def _record_answers(self, asked: Request, status: int, content: bytes) -> None:
        """Record what Graph answers about tokens, and which it gives."""
        self._checker.gives(self._life, given(asked, content))
        for item in items_of(asked, status, content):
            if item.path == "debug_token":
                answer = item.debugged(self._life.simulation.time, self._world.app.id)
                if answer is not None:
                    self._life.record_answer(item.params["input_token"], answer)
            elif item.path == "me" and item.refuses_token:
                self._life.refused[item.params["access_token"]] = self._life.simulation.time


class VaultHttp(MemoryHttp):
    """A Vault cluster behind a load balancer, as one life reaches it; ``watch`` gets each URL that is requested."""

    def __init__(self, life: Life, store: str, vault: Vault, watch: Callable[[str], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._life = life
        self._store = store
        self._vault = vault
        self._watch = watch

    def answer(self, sent: Sent) -> Response:
        """Send to a node that the load balancer chooses."""
        self._watch(sent.url)
        ask = to_ask(sent, self._life)
        what = f"{self._store} {sent.method} {ask.path}"
        reply = self._life.call(self._store, what, sent.timeout, lambda: self._vault.answer(ask))
        if reply == "connect":
            self._life.disturbed.add(self._store)
            raise HttpError("connect", maybe_sent=False)
        if isinstance(reply, str):
            self._life.silence(self._store, what, sent.timeout)
            raise AssertionError("unreachable")  # noqa: TRY004 - silence never returns
        if reply.status >= 500 or reply.status in (307, 412, 429):
            self._life.disturbed.add(self._store)
        return poured(Response(reply.status, reply.headers, reply.body), sent.sink)


def aws_send(
    life: Life, store: str, model: SecretsManager, throttled: Callable[[], str | None]
) -> Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]:
    """Return the transport of boto3's requests; ``throttled`` returns an error that AWS answers instead."""
    url = "https://secretsmanager.simulated"

    def send(operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = body.get("SecretId") or body.get("Name") or ""

        def carry_out() -> tuple[int, dict[str, Any]]:
            code = throttled()
            if code is not None:
                life.disturbed.add(store)
                return (500 if code == "InternalServiceError" else 400), {"__type": code, "Message": "no"}
            return model.call(operation, body, owner=life)

        try:
            return life.call(store, f"{store} {operation} {name}", AWS_READ_TIMEOUT, carry_out)
        except HttpError as error:
            if error.kind == "timeout":
                raise ReadTimeoutError(endpoint_url=url) from None
            if error.maybe_sent:
                raise ConnectionClosedError(endpoint_url=url, request=None, response=None) from None
            raise EndpointConnectionError(endpoint_url=url) from None

    return send


@lru_cache(maxsize=256)
def _asked(method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Request:
    """Parse a request as the sandbox does; most of them are repeated exactly in the next cycle."""
    return make_request(method, target, dict(headers), body)


def _shape(asked: Request) -> str:
    items = json.loads(asked.form.get("batch", "[]"))
    return ",".join(item["relative_url"].partition("?")[0] for item in items)
