"""What ``debug_token`` is asked, and how its refusals are told."""

from __future__ import annotations

import json

import httpx
import pytest

from sync.core.model import Fetched, SourceError, State, TokenFacts
from sync.core.secret import Secret
from tests.graph.test_pages import items
from tests.support.graph_stage import Stage, ordinary


def tokens_of(stage: Stage) -> list[Secret]:
    """Fetch the tokens of all Pages."""
    got = stage.source().read(stage.pages())
    stage.seen.clear()
    return [one.token for one in got.values() if isinstance(one, Fetched)]


def test_each_token_gets_its_own_facts() -> None:
    """A hundred and twenty tokens take three batches, and every one is told what it is."""
    stage = Stage(120)
    tokens = tokens_of(stage)
    source = stage.source()
    told = source.debug("messenger", ordinary(tokens))
    for token in tokens:
        facts = told[token]
        assert isinstance(facts, TokenFacts)
        assert (facts.is_valid, facts.type) == (True, "PAGE")
        assert facts.profile_id == stage.world.tokens[token.reveal()].page_id
    assert (source.requests, source.calls) == (3, 120)


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
def test_garbage_is_invalid_and_harms_no_other(text: str) -> None:
    """What a store may hold goes to Meta as it is, and Meta's word on it is a fact."""
    stage = Stage(2)
    tokens = [*tokens_of(stage), Secret(text)]
    told = stage.source().debug("messenger", ordinary(tokens))
    facts = told[Secret(text)]
    assert isinstance(facts, TokenFacts)
    assert facts.is_valid is False
    assert sum(isinstance(one, TokenFacts) and one.is_valid is True for one in told.values()) == 2


def test_a_string_of_a_megabyte_keeps_no_token_from_its_facts() -> None:
    """What Graph may refuse for its length stands in a batch of its own."""
    stage = Stage(2)
    tokens = tokens_of(stage)
    flood = Secret("EAA" + "x" * (1 << 20))
    stage.before = lambda request: httpx.Response(413, text="<html>") if len(request.content) > 1 << 20 else None
    told = stage.source().debug("messenger", ordinary([flood, *tokens]))
    assert all(isinstance(told[token], TokenFacts) for token in tokens)
    error = told[flood]
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.state) == ("graph-unavailable", State.UNKNOWN)


@pytest.mark.parametrize("text", ["EAA\ud800", "a\nb"])
def test_garbage_goes_by_the_documented_form_too(text: str) -> None:
    """A query takes any string as well."""
    stage = Stage(1, token_in_url=True)
    stage.fault("debug-in-batch")
    facts = stage.source().debug("messenger", ordinary([Secret(text)]))[Secret(text)]
    assert isinstance(facts, TokenFacts)
    assert facts.is_valid is False


def test_a_revoked_token_is_invalid_with_metas_word() -> None:
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
    """Meta refuses to debug it, which is an answer too: it is not ours."""
    stage = Stage(2)
    stage.fault("foreign@berlin")
    tokens = tokens_of(stage)
    told = stage.source().debug("messenger", ordinary(tokens))
    errors = [one for one in told.values() if isinstance(one, SourceError)]
    assert [(one.problem.code, one.state, one.scope) for one in errors] == [("wrong-app", State.INVALID, "page")]


@pytest.mark.parametrize("fault", ["debug-in-batch", "batch-refused", "debug-not-allowed*2"])
def test_a_refused_form_is_said_and_no_token_stands_in_a_url(fault: str) -> None:
    """Without leave to use the documented form nothing can be said, which the stage checks on every URL."""
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
    told = stage.source(workers=1).debug("messenger", ordinary(tokens))
    assert sum(isinstance(one, TokenFacts) and one.is_valid is True for one in told.values()) >= 50
    assert len([one for one in stage.seen if one.method == "POST"]) <= 2


def test_the_documented_form_that_is_refused_too_is_said() -> None:
    """After both forms there is nothing left to try."""
    stage = Stage(2, token_in_url=True)
    tokens = tokens_of(stage)
    stage.fault("debug-not-allowed")
    errors = stage.source().debug("messenger", ordinary(tokens)).values()
    assert {one.problem.code for one in errors if isinstance(one, SourceError)} == {"debug-unavailable"}


def test_an_answer_without_facts_is_asked_once_more() -> None:
    """What leaves out whether the token is valid decides nothing; the second answer counts."""
    stage = Stage(3)
    tokens = tokens_of(stage)
    stage.fault("debug-without-data*1")
    told = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in told.values())
    stage.fault("debug-without-data")
    errors = stage.source().debug("messenger", ordinary(tokens)).values()
    assert {one.problem.code for one in errors if isinstance(one, SourceError)} == {"debug-unavailable"}
    assert all(isinstance(one, SourceError) and one.state is State.UNKNOWN for one in errors)


def test_items_that_were_given_up_are_asked_by_themselves() -> None:
    """An item that is null is asked again in a batch of its own, never in a URL."""
    stage = Stage(5)
    tokens = tokens_of(stage)
    stage.fault("null-items:debug_token*2")
    told = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in told.values())
    assert [len(items(request)) for request in stage.seen] == [5, 1, 1]


@pytest.mark.parametrize("fault", ["null-items:debug_token", "html:debug_token", "short-array", "null-body"])
def test_what_stays_out_is_unknown(fault: str) -> None:
    """Nothing is concluded from answers that do not come."""
    stage = Stage(5)
    tokens = tokens_of(stage)
    stage.fault(fault)
    for error in stage.source().debug("messenger", ordinary(tokens)).values():
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state) == ("graph-unavailable", State.UNKNOWN)
    assert len(stage.seen) < 20


def test_too_much_at_once_is_asked_in_halves() -> None:
    """Graph's wish for less data is met until it answers."""
    stage = Stage(40)
    tokens = tokens_of(stage)

    def greedy(request: httpx.Request) -> httpx.Response | None:
        if len(items(request)) <= 10:
            return None
        return httpx.Response(500, json={"error": {"code": 1, "message": "Please reduce the amount of data"}})

    stage.before = greedy
    told = stage.source().debug("messenger", ordinary(tokens))
    assert all(isinstance(one, TokenFacts) for one in told.values())


def test_a_throttled_app_is_not_asked_further() -> None:
    """The first such answer ends all debugging of this cycle."""
    stage = Stage(300)
    tokens = tokens_of(stage)
    stage.fault("throttled-app:batch")
    source = stage.source(workers=1)
    errors = source.debug("messenger", ordinary(tokens)).values()
    assert {(one.problem.code, one.scope) for one in errors if isinstance(one, SourceError)} == {("throttled", "app")}
    assert len(errors) == 300
    assert source.requests == 1


def test_an_error_that_quotes_the_token_that_was_asked_about_does_not_show_it() -> None:
    """A stored string of any form is recognised in Meta's words about it."""
    stage = Stage(1)
    token = Secret("stored-by-a-stranger")
    body = {"data": {"is_valid": False, "error": {"code": 190, "message": f"Malformed access token {token.reveal()}"}}}
    stage.before = lambda _: httpx.Response(200, json=[{"code": 200, "body": json.dumps(body)}])
    told = stage.source().debug("messenger", ordinary([token]))
    assert token.reveal() not in repr(told)
    assert token.fingerprint in repr(told)
