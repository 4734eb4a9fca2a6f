"""Calls of ``debug_token``, and how its refusals are reported."""

from __future__ import annotations

import json

import httpx
import pytest

from sync.core.judge.verify import verify
from sync.core.model import Fetched, SourceError, State, TokenFacts
from sync.core.secret import Secret
from tests.graph.test_pages import items
from tests.support.graph_stage import Stage, ordinary
from tests.support.values import NOW


def tokens_of(stage: Stage) -> list[Secret]:
    """Fetch the tokens of all Pages."""
    got = stage.source().read(stage.pages())
    stage.seen.clear()
    return [one.token for one in got.values() if isinstance(one, Fetched)]


def test_each_token_gets_its_own_facts() -> None:
    """A hundred and twenty tokens take three batches, and each has the facts of its own Page."""
    stage = Stage(120)
    tokens = tokens_of(stage)
    source = stage.source()
    answered = source.debug("messenger", ordinary(tokens))
    for token in tokens:
        facts = answered[token]
        assert isinstance(facts, TokenFacts)
        assert (facts.is_valid, facts.type) == (True, "PAGE")
        assert facts.profile_id == stage.world.tokens[token.reveal()].page_id
    assert (source.requests, source.calls) == (3, 120)
    assert (source.outcomes, source.calls_by_kind) == ({("debug_token", "ok"): 3}, {("app",): 120})


def test_a_token_that_is_asked_about_twice_costs_one_call() -> None:
    """The same string has one verdict."""
    stage = Stage(2)
    tokens = tokens_of(stage)
    source = stage.source()
    assert len(source.debug("messenger", ordinary([*tokens, *tokens]))) == 2
    assert source.calls == 2


def test_nothing_to_ask_sends_nothing() -> None:
    """No tokens, no request."""
    stage = Stage(1)
    source = stage.source()
    assert source.debug("messenger", ordinary([])) == {}
    assert source.requests == 0


@pytest.mark.parametrize(
    "text", ["garbage", "EAAgarbage", "not a token & é", "123|abc", "x" * 2000, "a\nb", "EAA\ud800"]
)
def test_garbage_is_invalid_and_affects_no_other_token(text: str) -> None:
    """A stored string is sent to Meta as it is, and what debug_token answers is a fact."""
    stage = Stage(2)
    tokens = [*tokens_of(stage), Secret(text)]
    answered = stage.source().debug("messenger", ordinary(tokens))
    facts = answered[Secret(text)]
    assert isinstance(facts, TokenFacts)
    assert facts.is_valid is False
    assert sum(isinstance(one, TokenFacts) and one.is_valid is True for one in answered.values()) == 2


def test_a_string_of_a_megabyte_affects_no_other_token() -> None:
    """A string that Graph may refuse for its length is sent in a batch of its own."""
    stage = Stage(2)
    tokens = tokens_of(stage)
    flood = Secret("EAA" + "x" * (1 << 20))
    stage.before = lambda request: httpx.Response(413, text="<html>") if len(request.content) > 1 << 20 else None
    answered = stage.source().debug("messenger", ordinary([flood, *tokens]))
    assert all(isinstance(answered[token], TokenFacts) for token in tokens)
    error = answered[flood]
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.state) == ("graph-unavailable", State.UNKNOWN)


@pytest.mark.parametrize("text", ["EAA\ud800", "a\nb"])
def test_garbage_can_be_sent_in_the_documented_form(text: str) -> None:
    """A query holds any string as well."""
    stage = Stage(1, token_in_url=True)
    stage.fault("debug-in-batch")
    facts = stage.source().debug("messenger", ordinary([Secret(text)]))[Secret(text)]
    assert isinstance(facts, TokenFacts)
    assert facts.is_valid is False


def test_a_revoked_token_is_invalid_with_metas_message() -> None:
    """The facts carry code and message."""
    stage = Stage(1)
    (token,) = tokens_of(stage)
    stage.fault("revoked@berlin")
    facts = stage.source().debug("messenger", ordinary([token]))[token]
    assert isinstance(facts, TokenFacts)
    assert facts.is_valid is False
    assert facts.error is not None
    assert facts.error.code == 190


def test_a_token_of_another_app_is_wrong() -> None:
    """Meta refuses to debug it, which is an answer too: it is another app's."""
    stage = Stage(2)
    stage.fault("foreign@berlin")
    tokens = tokens_of(stage)
    answered = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in answered.values())
    verdicts = [verify(answered[token], page=page, now=NOW) for token, page in zip(tokens, stage.pages(), strict=True)]
    assert [(one.state, [problem.code for problem in one.problems]) for one in verdicts] == [
        (State.INVALID, ["wrong-app"]),
        (State.VALID, []),
    ]


@pytest.mark.parametrize("fault", ["debug-in-batch", "batch-refused", "debug-not-allowed*2"])
def test_a_refused_form_is_reported_and_no_token_is_in_a_url(fault: str) -> None:
    """Without permission for the documented form there are no facts; the stage checks every URL."""
    stage = Stage(2)
    tokens = tokens_of(stage)
    stage.fault(fault)
    for error in stage.source().debug("messenger", ordinary(tokens)).values():
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("debug-unavailable", State.UNKNOWN, "app")
        assert "token_in_url" in error.problem.remedy


@pytest.mark.parametrize("fault", ["debug-in-batch", "batch-refused", "debug-not-allowed*60"])
def test_the_documented_form_is_used_where_it_is_allowed(fault: str) -> None:
    """With ``token_in_url: fallback`` a refused batch is followed by single calls, and not tried again."""
    stage = Stage(60, token_in_url=True)
    tokens = tokens_of(stage)
    stage.fault(fault)
    answered = stage.source(workers=1).debug("messenger", ordinary(tokens))
    assert sum(isinstance(one, TokenFacts) and one.is_valid is True for one in answered.values()) >= 50
    assert len([one for one in stage.seen if one.method == "POST"]) <= 2


def test_a_refusal_of_the_documented_form_is_reported() -> None:
    """After both forms there is nothing left to try."""
    stage = Stage(2, token_in_url=True)
    tokens = tokens_of(stage)
    stage.fault("debug-not-allowed")
    errors = stage.source().debug("messenger", ordinary(tokens)).values()
    assert {one.problem.code for one in errors if isinstance(one, SourceError)} == {"debug-unavailable"}


def test_an_answer_without_facts_is_retried_once() -> None:
    """An answer that does not say whether the token is valid decides nothing; the second answer counts."""
    stage = Stage(3)
    tokens = tokens_of(stage)
    stage.fault("debug-without-data*1")
    answered = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in answered.values())
    stage.fault("debug-without-data")
    errors = stage.source().debug("messenger", ordinary(tokens)).values()
    assert {one.problem.code for one in errors if isinstance(one, SourceError)} == {"debug-unavailable"}
    assert all(isinstance(one, SourceError) and one.state is State.UNKNOWN for one in errors)


def test_items_that_timed_out_are_retried_by_themselves() -> None:
    """A null item is sent again in a batch of its own, never in a URL."""
    stage = Stage(5)
    tokens = tokens_of(stage)
    stage.fault("null-items:debug_token*2")
    answered = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in answered.values())
    assert [len(items(request)) for request in stage.seen] == [5, 1, 1]


@pytest.mark.parametrize("fault", ["null-items:debug_token", "html:debug_token", "short-array", "null-body"])
def test_an_answer_that_never_comes_is_unknown(fault: str) -> None:
    """A missing answer decides nothing."""
    stage = Stage(5)
    tokens = tokens_of(stage)
    stage.fault(fault)
    for error in stage.source().debug("messenger", ordinary(tokens)).values():
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state) == ("graph-unavailable", State.UNKNOWN)
    assert len(stage.seen) < 20


def test_a_batch_that_is_too_large_is_halved() -> None:
    """It is halved until Graph answers."""
    stage = Stage(40)
    tokens = tokens_of(stage)

    def greedy(request: httpx.Request) -> httpx.Response | None:
        if len(items(request)) <= 10:
            return None
        return httpx.Response(500, json={"error": {"code": 1, "message": "Please reduce the amount of data"}})

    stage.before = greedy
    answered = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in answered.values())


def test_a_throttled_app_is_not_called_again() -> None:
    """The first throttled answer ends all debugging of this cycle."""
    stage = Stage(300)
    tokens = tokens_of(stage)
    stage.fault("throttled-app:batch")
    source = stage.source(workers=1)
    errors = source.debug("messenger", ordinary(tokens)).values()
    assert {(one.problem.code, one.scope) for one in errors if isinstance(one, SourceError)} == {("throttled", "app")}
    assert len(errors) == 300
    assert source.requests == 1
    assert source.outcomes == {("debug_token", "throttled"): 1}


def test_an_error_that_quotes_the_debugged_token_does_not_show_it() -> None:
    """A stored string of any form is recognised in Meta's message."""
    stage = Stage(1)
    token = Secret("stored-by-a-stranger")
    body = {"data": {"is_valid": False, "error": {"code": 190, "message": f"Malformed access token {token.reveal()}"}}}
    stage.before = lambda _: httpx.Response(200, json=[{"code": 200, "body": json.dumps(body)}])
    answered = stage.source().debug("messenger", ordinary([token]))
    assert token.reveal() not in repr(answered)
    assert token.fingerprint in repr(answered)


WHOLE = {
    "is_valid": True,
    "type": "PAGE",
    "app_id": "1",
    "profile_id": "2",
    "scopes": ["pages_messaging"],
    "expires_at": 0,
    "user_id": "3",
}


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        pytest.param({"type": None}, "type", id="type"),
        pytest.param({"type": "PAGE\ud800"}, "type", id="type with half a surrogate"),
        pytest.param({"type": "P" * 5000}, "type", id="type that is endless"),
        pytest.param({"app_id": None}, "app_id", id="app_id"),
        pytest.param({"profile_id": None}, "profile_id", id="profile_id"),
        pytest.param({"profile_id": "\ud800"}, "profile_id", id="profile_id that is no id"),
        pytest.param({"scopes": None}, "scopes", id="scopes"),
        pytest.param({"scopes": "pages_messaging"}, "scopes", id="scopes of another type"),
        pytest.param({"expires_at": None}, "expires_at", id="expires_at"),
        pytest.param({"expires_at": "soon"}, "expires_at", id="expires_at of another type"),
        pytest.param({"type": "SYSTEM_USER", "app_id": None}, "app_id", id="app_id of a system user token"),
        pytest.param({"type": "SYSTEM_USER", "expires_at": None}, "expires_at", id="expires_at of a system user token"),
        pytest.param({"type": "USER", "scopes": None}, "scopes", id="scopes of a person's token"),
    ],
)
def test_a_partial_answer_is_no_answer(changes: dict[str, object], absent: str) -> None:
    """Where a field is absent that the judgement needs, the error names it and is Meta's, and nothing is known."""
    stage = Stage(1)
    data = {name: value for name, value in {**WHOLE, **changes}.items() if value is not None}
    stage.before = lambda _: httpx.Response(200, json=[{"code": 200, "body": json.dumps({"data": data})}])
    source = stage.source()
    error = source.debug("messenger", ordinary([Secret("EAAx")]))[Secret("EAAx")]
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.state, error.problem.owner) == ("debug-unavailable", State.UNKNOWN, "meta")
    assert absent in error.problem.message


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"is_valid": False}, id="invalid"),
        pytest.param({**WHOLE, "type": "SYSTEM_USER", "profile_id": None}, id="of a system user"),
        pytest.param({"is_valid": True, "type": "APP"}, id="of an app"),
        pytest.param({**WHOLE, "user_id": None}, id="without a user"),
    ],
)
def test_an_answer_with_all_that_decides_is_whole(data: dict[str, object]) -> None:
    """An answer needs only the fields on which the judgement of its kind of token depends."""
    stage = Stage(1)
    stage.before = lambda _: httpx.Response(200, json=[{"code": 200, "body": json.dumps({"data": data})}])
    facts = stage.source().debug("messenger", ordinary([Secret("EAAx")]))[Secret("EAAx")]
    assert isinstance(facts, TokenFacts)


def test_partial_answers_cost_one_call_each() -> None:
    """Fifty partial answers are not asked for again within the cycle."""
    stage = Stage(1)
    data = {name: value for name, value in WHOLE.items() if name != "type"}
    stage.before = lambda request: httpx.Response(
        200, json=[{"code": 200, "body": json.dumps({"data": data})} for _ in items(request)]
    )
    source = stage.source()
    answered = source.debug("messenger", ordinary([Secret(f"EAA{number}") for number in range(50)]))
    assert len(answered) == 50
    assert (source.requests, source.calls) == (1, 50)
