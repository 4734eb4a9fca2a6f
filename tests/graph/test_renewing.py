"""The exchange of a system user's token, and each way in which it can fail."""

from __future__ import annotations

from urllib.parse import parse_qs

import httpx
import pytest

from sync.core.model import SourceError, State, TokenFacts
from sync.core.secret import CredentialError, Secret
from tests.support.graph_stage import Stage, ordinary

DAY = 86_400


def exchanges(stage: Stage) -> list[httpx.Request]:
    """Return the requests for a new token."""
    return [request for request in stage.seen if "/oauth/" in str(request.url)]


def ending(days: int = 5) -> Stage:
    """Return a stage whose system user's token expires."""
    stage = Stage()
    stage.fault(f"expiring={days * DAY}")
    return stage


def test_a_lost_answer_is_retried_and_its_token_forgotten() -> None:
    """Where the answer broke off the exchange is retried: the lost token does no harm, and the old one stays valid."""
    stage = ending()
    old = stage.world.user.token
    stage.fault("cut:oauth*1")
    new = stage.source().exchange("main")
    assert isinstance(new, Secret)
    assert (len(exchanges(stage)), new.reveal()) == (2, stage.world.user.token)
    assert stage.world.invalid_reason(stage.world.tokens[old]) is None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("hang:oauth", "graph-unavailable"),
        ("half-json:oauth", "graph-unavailable"),
        ("empty-body:oauth", "graph-unavailable"),
        ("server-error:oauth", "graph-unavailable"),
        ("error:oauth=3962", "renewal-failed"),
        ("error:oauth=200", "renewal-failed"),
        ("error:oauth=190/460", "renewal-failed"),
        ("app-blocked:oauth", "app-blocked"),
        ("throttled-app:oauth", "throttled"),
        ("policy:oauth", "policy-blocked"),
        ("checkpoint:oauth", "policy-blocked"),
    ],
)
def test_a_refused_exchange_is_a_value(fault: str, code: str) -> None:
    """Each refusal has its own problem, and it does not change the verdict on the old token."""
    stage = ending()
    source = stage.source()
    source.user_tokens()
    stage.fault(fault)
    error = source.exchange("main")
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.state) == (code, State.UNKNOWN)
    assert stage.world.user.token not in repr(error)
    assert source.user_tokens()["main"].verdict.state is State.VALID


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token":null}',
        b'{"access_token":7}',
        b'{"access_token":""}',
        b'{"access_token":"EAA\\nx"}',
        b'{"access_token":"EAA x"}',
        b'{"access_token":"\\u20ac"}',
        b'{"token_type":"bearer"}',
        b'{"access_token":"' + b"E" * 5000 + b'"}',
    ],
)
def test_an_answer_without_a_usable_token_is_a_failure(body: bytes) -> None:
    """A text that a header cannot hold is no token."""
    stage = ending()
    stage.before = lambda request: httpx.Response(200, content=body) if "/oauth/" in str(request.url) else None
    error = stage.source().exchange("main")
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.problem.owner) == ("renewal-failed", "app-admin")


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_error_that_quotes_the_request_shows_none_of_it(status: int) -> None:
    """Where Graph quotes the request, neither the token nor the app's secret is shown."""
    stage = ending()

    def quote(request: httpx.Request) -> httpx.Response | None:
        said = {"error": {"message": f"Malformed {request.content.decode()}", "code": 190, "fbtrace_id": "x"}}
        return httpx.Response(status, json=said) if "/oauth/" in str(request.url) else None

    stage.before = quote
    error = stage.source().exchange("main")
    assert isinstance(error, SourceError)
    assert "Malformed" in error.problem.message or status == 500
    for secret in (stage.world.user.token, stage.world.app.secret):
        assert not any(secret[start : start + 16] in repr(error) for start in range(len(secret) - 15))


def test_the_same_token_again_is_no_new_one() -> None:
    """Where Graph returns the token that it was sent, the exchange failed."""
    stage = ending()
    same = f'{{"access_token":"{stage.world.user.token}"}}'.encode()
    stage.before = lambda request: httpx.Response(200, content=same) if "/oauth/" in str(request.url) else None
    error = stage.source().exchange("main")
    assert isinstance(error, SourceError)
    assert error.problem.code == "renewal-failed"


def test_a_token_that_became_invalid_is_judged_again() -> None:
    """Where Graph refuses the old token, debug_token is called for it, and its verdict is reported."""
    stage = ending()
    source = stage.source()
    source.user_tokens()
    stage.fault("invalid")
    error = source.exchange("main")
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.problem.graph_subcode) == ("system-user-invalid", 460)
    assert source.user_tokens()["main"].verdict.state is State.INVALID


def test_an_unusable_credential_is_not_exchanged() -> None:
    """No exchange is sent with an invalid token, an unreadable token, or for an app with an unreadable secret."""
    invalid = Stage()
    invalid.fault("invalid")
    error = CredentialError("file /run/secrets/x: no such file")
    for stage, source in (
        (invalid, invalid.source()),
        (alive := Stage(), alive.source(token=error)),
        (other := Stage(), other.source(secret=error)),
    ):
        assert isinstance(source.exchange("main"), SourceError)
        assert exchanges(stage) == []


def test_all_parameters_are_in_the_body() -> None:
    """The exchange names its grant, the app, and sixty days, in the body of one POST; no secret is in the URL or a header."""
    stage = ending()
    old = stage.world.user.token
    assert isinstance(stage.source().exchange("main"), Secret)
    (request,) = exchanges(stage)
    assert parse_qs(request.content.decode()) == {
        "grant_type": ["fb_exchange_token"],
        "client_id": [stage.world.app.id],
        "client_secret": [stage.world.app.secret],
        "set_token_expires_in_60_days": ["true"],
        "fb_exchange_token": [old],
    }
    assert not request.url.query
    assert not any(secret in str(request.headers) for secret in (old, stage.world.app.secret))


def test_a_new_token_expires_later_and_the_old_one_stays_valid() -> None:
    """debug_token confirms both: the new one with sixty days, the old one as before."""
    stage = ending()
    old, source = Secret(stage.world.user.token), stage.source()
    new = source.exchange("main")
    assert isinstance(new, Secret)
    answered = source.debug("messenger", ordinary([old, new]))
    before, after = answered[old], answered[new]
    assert isinstance(before, TokenFacts)
    assert isinstance(after, TokenFacts)
    assert (before.is_valid, after.is_valid, after.user_id) == (True, True, before.user_id)
    assert (after.expires_at or 0) > (before.expires_at or 0)  # type: ignore[operator]
