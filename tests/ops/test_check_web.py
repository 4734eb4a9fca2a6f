"""The endpoint for checks: who may ask, what is answered, and that a client which goes away changes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sync.core.secret import CredentialError, Secret
from sync.ops.check import Checks, Refusal
from sync.ops.turns import Turns
from sync.ops.web.check import check_route
from sync.runtime.threads import SystemClock
from tests.support.checker import FakeChecker

TOKEN = "a-token-of-the-web-server"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BERLIN = "/v1/pages/berlin/check"
WAIT = 20.0


class Client:
    """A client of the endpoint, without a network; each request has an event loop of its own."""

    def __init__(self, checker: FakeChecker, *, patience: float = WAIT) -> None:
        turns = Turns()
        with turns.cycle():
            pass
        checks = Checks(checker, turns=turns, clock=SystemClock())
        self.app = Starlette(routes=[check_route(checks, patience=patience)])

    def request(self, method: str, path: str, headers: Any = None) -> httpx.Response:
        """Send a request."""

        async def send() -> httpx.Response:
            """Record one message."""
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def post(self, path: str, headers: Any = None) -> httpx.Response:
        """Send a POST."""
        return self.request("POST", path, headers)


def new_checker(work: Any = lambda: None) -> FakeChecker:
    """Return a checker that asks for the token."""
    checker = FakeChecker(work)
    checker.expected = Secret(TOKEN)
    return checker


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Return what a check waits for; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_a_check_is_answered() -> None:
    """With the token a check is answered by what it found; a second one within the minute by when to ask again."""
    web = Client(new_checker())
    answer = web.post(BERLIN, headers=BEARER)
    assert (answer.status_code, answer.json()["served"], answer.json()["changed"]) == (200, "verified", True)
    assert answer.json()["retry_after"] == 60
    again = web.post(BERLIN, headers=BEARER)
    assert again.status_code == 429
    assert 0 < int(again.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": TOKEN}, id="no scheme"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, id="another scheme"),
        pytest.param({"Authorization": "Bearer "}, id="empty"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, id="longer"),
        pytest.param({"Authorization": f"Bearer {TOKEN[:-1]}"}, id="shorter"),
        pytest.param({"Authorization": "Bearer ä".encode("latin-1").decode("latin-1")}, id="not ASCII"),
        pytest.param({"Authorization": f"Bearer {'x' * 8000}"}, id="very long"),
    ],
)
@pytest.mark.parametrize("page", ["berlin", "unknown"])
def test_without_the_token_nothing_is_checked(headers: dict[str, str], page: str) -> None:
    """A request without the token is answered 401, whether or not the Page exists, and the token is not in the answer."""
    checker = new_checker()
    checker.refused = {"unknown": Refusal(404, "Unknown.")}
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = Client(checker).post(f"/v1/pages/{page}/check", headers=encoded)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.text
    assert checker.batches.empty()


def test_the_scheme_is_read_in_any_case() -> None:
    """The scheme of the header has no case, as HTTP says; the token has."""
    assert Client(new_checker()).post(BERLIN, headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert Client(new_checker()).post(BERLIN, headers={"Authorization": f"Bearer {TOKEN.upper()}"}).status_code == 401


@pytest.mark.parametrize(
    ("expected", "status"), [(None, 404), (CredentialError("{file: /x}: missing"), 503)], ids=["not set", "unreadable"]
)
def test_without_a_token_in_the_configuration_nobody_may_ask(expected: Any, status: int) -> None:
    """A token that is not configured or cannot be read opens nothing, even to a request with an empty token."""
    checker = new_checker()
    checker.expected = expected
    for headers in ({"Authorization": "Bearer "}, {}, BEARER):
        answer = Client(checker).post(BERLIN, headers=headers)
        assert answer.status_code == status
        assert "/x" not in answer.text
    assert checker.batches.empty()


def test_an_unknown_page_is_not_found() -> None:
    """A Page that is not configured is answered 404, whatever characters its name has."""
    checker = new_checker()
    name = "x%0a%22%3Cscript%3E"
    checker.refused = {'x\n"<script>': Refusal(404, "The configuration has no Page of this name.")}
    answer = Client(checker).post(f"/v1/pages/{name}/check", headers=BEARER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_asks_for_a_check(method: str) -> None:
    """Another method is answered 405 and checks nothing."""
    checker = new_checker()
    answer = Client(checker).request(method, BERLIN, headers=BEARER)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert checker.batches.empty()


def test_a_slow_check_is_accepted_and_goes_on(release: threading.Event) -> None:
    """A check that takes too long is answered 202; asking again shares it until it has ended."""
    checker = new_checker(lambda: release.wait(WAIT))
    web = Client(checker, patience=0.05)
    answer = web.post(BERLIN, headers=BEARER)
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "10")
    assert answer.json() == {"page": "berlin", "retry_after": 10}
    assert web.post(BERLIN, headers=BEARER).status_code == 202
    release.set()
    while web.post(BERLIN, headers=BEARER).status_code == 202:
        pass
    assert checker.batches.qsize() == 1


def test_a_client_that_hangs_up_ends_no_check(release: threading.Event) -> None:
    """The check of a client that is gone ends like any other, and one that asks meanwhile gets its result."""
    checker = new_checker(lambda: release.wait(WAIT))
    web = Client(checker)

    async def hang_up() -> None:
        """Leave before the answer."""
        scope = {
            "type": "http",
            "method": "POST",
            "path": BERLIN,
            "query_string": b"",
            "headers": [(b"authorization", BEARER["Authorization"].encode())],
        }
        request = asyncio.ensure_future(web.app(scope, _nothing, _nothing))  # type: ignore[arg-type]
        await asyncio.to_thread(checker.batches.get, timeout=WAIT)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)

    asyncio.run(hang_up())
    threading.Timer(0.1, release.set).start()
    assert web.post(BERLIN, headers=BEARER).status_code == 200
    assert checker.batches.empty()


async def _nothing(*_: object) -> dict[str, str]:
    return {"type": "http.request"}
