"""System users' tokens: judged once per cycle, and the effect of their state on their Pages."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl

import httpx
import pytest

from sync.core.model import Fetched, SourceError, State, SystemUserToken, TokenFacts
from sync.core.problems import READ_AGAIN
from sync.core.secret import CredentialError, Secret
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.user_tokens import judge_user_token
from tests.support.graph_stage import Stage, ordinary
from tests.support.values import NOW

UNREADABLE = CredentialError("file /run/secrets/x: no such file")


def codes(user_token: SystemUserToken) -> tuple[State, list[str], list[str]]:
    """Return state, problems and notices of a system user's token."""
    verdict = user_token.verdict
    return verdict.state, [one.code for one in verdict.problems], [one.code for one in verdict.notices]


def test_a_valid_token_is_judged_once() -> None:
    """However often it is asked for, the verdict costs one call in a cycle."""
    stage = Stage()
    source = stage.source()
    for _ in range(3):
        assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])
    assert (source.requests, source.calls) == (1, 1)


@pytest.mark.parametrize("fault", ["invalid", "invalid=458", "expired", "invalid=467"])
def test_an_invalid_token_is_found_once_and_nothing_is_read_with_it(fault: str) -> None:
    """Every Page has its system user's problem, which says nothing of the Page, and no Page is asked for."""
    stage = Stage(100)
    stage.fault(fault)
    source = stage.source()
    got = source.read(stage.pages())
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["system-user-invalid"], [])
    assert len(got) == 100
    for error in got.values():
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("system-user-invalid", State.UNKNOWN, "system_user")
        assert error.problem.graph_code == 190
    assert source.requests == 1


def test_an_expiring_token_is_valid_with_a_notice() -> None:
    """Within fourteen days of its expiry a token is reported, and it works."""
    stage = Stage()
    stage.fault("expiring")
    source = stage.source()
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], ["system-user-expiring"])
    assert all(isinstance(one, Fetched) for one in source.read(stage.pages()).values())


@pytest.mark.parametrize(("left", "notices"), [(timedelta(days=14), 0), (timedelta(days=13, hours=23), 1)])
def test_the_notice_begins_fourteen_days_before_it_expires(left: timedelta, notices: int) -> None:
    """The boundary is exact."""
    facts = TokenFacts(asked_at=NOW, is_valid=True, app_id="1", expires_at=NOW + left)
    assert len(judge_user_token(facts, "1", NOW).notices) == notices


def test_a_token_of_another_app_is_wrong() -> None:
    """Meta refuses to debug it with this app, and no Page is asked for."""
    stage = Stage()
    token = stage.world.tokens[stage.world.user.token]
    token.app_id = stage.world.other_app.id
    source = stage.source()
    got = source.read(stage.pages())
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["wrong-app"], [])
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"wrong-app"}
    assert source.requests == 1


def test_facts_of_another_app_are_wrong_too() -> None:
    """Where Meta answers with another app's id, that counts the same."""
    verdict = judge_user_token(TokenFacts(asked_at=NOW, is_valid=True, app_id="2"), "1", NOW)
    assert (verdict.state, verdict.problems[0].code) == (State.INVALID, "wrong-app")


@pytest.mark.parametrize("kind", ["PAGE", "APP"])
def test_a_token_of_another_kind_is_wrong(kind: str) -> None:
    """A Page's or an app's token instead of a system user's is reported as such."""
    verdict = judge_user_token(TokenFacts(asked_at=NOW, is_valid=True, app_id="1", type=kind), "1", NOW)
    assert (verdict.state, [problem.code for problem in verdict.problems]) == (State.INVALID, ["wrong-type"])
    assert kind in verdict.problems[0].message


def test_facts_without_an_app_decide_nothing() -> None:
    """A missing field is unknown, never valid."""
    verdict = judge_user_token(TokenFacts(asked_at=NOW, is_valid=True), "1", NOW)
    assert (verdict.state, verdict.problems[0].code) == (State.UNKNOWN, "debug-unavailable")


def test_an_unreadable_token_is_for_the_operator() -> None:
    """The message names the reference; neither the token nor a Page is asked about."""
    stage = Stage()
    source = stage.source(token=UNREADABLE)
    got = source.read(stage.pages())
    user_token = source.user_tokens()["main"]
    assert codes(user_token) == (State.UNKNOWN, ["credential-unavailable"], [])
    assert user_token.token is None
    assert user_token.verdict.problems[0].owner == "operator"
    assert user_token.verdict.problems[0].message == f"The system user token cannot be read: {UNREADABLE}."
    assert "Put the token where" in user_token.verdict.problems[0].remedy
    assert READ_AGAIN in user_token.verdict.problems[0].remedy
    assert all(isinstance(one, SourceError) and one.state is State.UNKNOWN for one in got.values())
    assert source.requests == 0


def test_an_unreadable_app_secret_stops_every_call() -> None:
    """Every token of the app is unknown."""
    stage = Stage()
    source = stage.source(secret=UNREADABLE)
    got = source.read(stage.pages())
    answered = source.debug("messenger", ordinary([Secret("EAAx")]))
    assert codes(source.user_tokens()["main"]) == (State.UNKNOWN, ["credential-unavailable"], [])
    for error in (*got.values(), *answered.values()):
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("credential-unavailable", State.UNKNOWN, "app")
        assert error.problem.message == f"The app secret cannot be read: {UNREADABLE}."
        assert "Put the secret" in error.problem.remedy
        assert READ_AGAIN in error.problem.remedy
    assert source.requests == 0


def test_a_wrong_app_secret_is_reported_and_no_more_calls_are_made() -> None:
    """Meta's refusal of the app's token makes everything of that app unknown."""
    stage = Stage(60)
    source = stage.source(secret=Secret("0123456789abcdef0123456789abcdef"))
    got = source.read(stage.pages())
    answered = source.debug("messenger", ordinary([Secret("EAAx"), Secret("EAAy")]))
    assert codes(source.user_tokens()["main"]) == (State.UNKNOWN, ["app-secret-invalid"], [])
    for error in (*got.values(), *answered.values()):
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("app-secret-invalid", State.UNKNOWN, "app")
    assert source.requests == 1


def test_a_token_that_becomes_invalid_in_a_cycle_is_judged_again() -> None:
    """A Page's 190 has the system user's token judged again, once, and its Pages report that token and not themselves."""
    stage = Stage(120)
    source = stage.source()
    source.user_tokens()
    stage.fault("invalid")
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"system-user-invalid"}
    assert len(got) == 120
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["system-user-invalid"], [])
    debugged = [one for one in stage.seen if b"debug_token" in one.content]
    assert len(debugged) == 2
    assert source.requests <= 4


def test_a_190_of_one_page_leaves_the_system_user_valid() -> None:
    """Where debug_token calls the token valid, the Page is the cause, and all others are read."""
    stage = Stage(5)
    stage.fault("error=190@berlin", "error=190/460@paris")
    source = stage.source()
    got = source.read(stage.pages())
    for name in ("main-berlin", "main-paris"):
        error = got[name]
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("no-access", State.INVALID, "page")
    assert sum(isinstance(one, Fetched) for one in got.values()) == 3
    assert codes(source.user_tokens()["main"])[0] is State.VALID
    assert len([one for one in stage.seen if b"debug_token" in one.content]) == 2


def test_a_190_of_a_page_decides_nothing_without_a_verdict_on_the_user_token() -> None:
    """Neither the Page nor the system user is called invalid."""
    stage = Stage(3)
    stage.fault("debug-not-allowed", "error:node=190")
    source = stage.source()
    for error in source.read(stage.pages()).values():
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state) == ("debug-unavailable", State.UNKNOWN)


@pytest.mark.parametrize("text", ["EAA\nX-Evil: 1", "EAA\ud800", "EAAé", " "])
def test_a_garbled_credential_is_invalid_and_not_a_crash(text: str) -> None:
    """A string that no header could hold is sent in a body, and Meta calls it invalid."""
    stage = Stage(2)
    source = stage.source(token=Secret(text))
    got = source.read(stage.pages())
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["system-user-invalid"], [])
    assert len(got) == 2


def test_a_garbled_app_secret_is_wrong_and_not_a_crash() -> None:
    """The same holds for the app's secret."""
    stage = Stage(2)
    source = stage.source(secret=Secret("é\ud800\n"))
    assert codes(source.user_tokens()["main"]) == (State.UNKNOWN, ["app-secret-invalid"], [])


def test_an_invalid_system_user_affects_no_other() -> None:
    """Pages of a valid system user are read, those of an invalid one wait."""
    stage = Stage(3)
    second = stage.world.add_user("Second")
    stage.fault("invalid")
    users = [
        SystemUserCredentials("second", "messenger", Secret(second.token)),
        SystemUserCredentials("third", "messenger", UNREADABLE),
    ]
    source = stage.source(users=users)
    got = source.read([*stage.pages(), *stage.pages("second"), *stage.pages("third")])
    assert {name: one.verdict.state for name, one in source.user_tokens().items()} == {
        "main": State.INVALID,
        "second": State.VALID,
        "third": State.UNKNOWN,
    }
    assert {name for name, one in got.items() if isinstance(one, Fetched)} == {
        page.name for page in stage.pages("second")
    }
    assert len(got) == 9


def test_a_refused_app_affects_no_other() -> None:
    """An app whose secret is wrong does not stop the Pages of another."""
    stage = Stage(3)
    second = stage.world.add_user("Second")
    second.app_id = stage.world.other_app.id
    stage.world.rotate(second)
    source = stage.source(
        secret=Secret("wrong"),
        apps=[AppCredentials("other", stage.world.other_app.id, Secret(stage.world.other_app.secret))],
        users=[SystemUserCredentials("second", "other", Secret(second.token))],
    )
    got = source.read([*stage.pages(), *stage.pages("second", "other")])
    assert {name: one.verdict.state for name, one in source.user_tokens().items()} == {
        "main": State.UNKNOWN,
        "second": State.VALID,
    }
    assert {name for name, one in got.items() if isinstance(one, Fetched)} == {
        page.name for page in stage.pages("second", "other")
    }


def known(stage: Stage) -> dict[tuple[str, str], TokenFacts]:
    """Return the facts of the system user's token, as a cycle remembers them."""
    facts = stage.source().user_tokens()["main"].verdict.facts
    assert facts is not None
    stage.seen.clear()
    return {(stage.world.app.id, Secret(stage.world.user.token).fingerprint): facts}


@pytest.mark.parametrize(("seconds", "calls"), [(0, 0), (3599, 0), (3600, 1), (-60, 1)])
def test_a_token_that_was_valid_is_judged_again_after_an_hour(seconds: int, calls: int) -> None:
    """Until then its remembered facts are used; facts from the future are not."""
    stage = Stage(3)
    remembered = known(stage)
    stage.clock.advance(seconds)
    source = stage.source(known=remembered)
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])
    assert source.calls == calls


def test_a_remembered_token_that_became_invalid_is_found_by_the_first_190() -> None:
    """The remembered facts are not used after a read answered 190."""
    stage = Stage(30)
    remembered = known(stage)
    stage.fault("invalid")
    source = stage.source(known=remembered)
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"system-user-invalid"}
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["system-user-invalid"], [])


@pytest.mark.parametrize("pages", [3, 30])
def test_a_permission_that_was_removed_within_the_hour_is_missing_at_once(pages: int) -> None:
    """What debug_token listed in an earlier cycle does not turn a missing permission into a Page without access."""
    stage = Stage(pages)
    remembered = known(stage)
    stage.clock.advance(900)
    stage.fault("missing-permission=pages_show_list")
    source = stage.source(known=remembered)
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"missing-permission"}
    assert sum("debug_token" in request.content.decode() for request in stage.seen) == 1


def test_a_permission_that_is_listed_and_demanded_costs_one_question() -> None:
    """Where debug_token lists it still, the Page is not assigned; the token is judged once in the cycle, and no throttle wipes what is known."""
    stage = Stage(3)
    remembered = known(stage)
    stage.clock.advance(900)
    refusal = {"error": {"code": 283, "message": "(#283) Requires pages_show_list permission to manage the object"}}

    def refuse(request: httpx.Request) -> httpx.Response | None:
        batch = dict(parse_qsl(request.content.decode())).get("batch", "")
        if "access_token" not in batch or "debug_token" in batch:
            return None
        items = [{"code": 403, "body": json.dumps(refusal)} for _ in json.loads(batch)]
        return httpx.Response(200, json=items)

    stage.before = refuse
    source = stage.source(known=remembered)
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"no-access"}
    assert source.calls == 3 + 1
    stage.fault("throttled-app:debug_token")
    source = stage.source(known=remembered)
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"no-access"}
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])


def test_a_remembered_invalid_token_is_judged_in_each_cycle() -> None:
    """So its repair is noticed at once."""
    stage = Stage(3)
    stage.fault("invalid")
    remembered = known(stage)
    stage.world.restore(stage.world.user)
    source = stage.source(known=remembered)
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])
    assert source.calls == 1


def test_a_remembered_token_that_has_expired_is_judged_again() -> None:
    """Its expiry was known."""
    stage = Stage(3)
    stage.fault("expiring=600")
    remembered = known(stage)
    stage.clock.advance(601)
    assert codes(stage.source(known=remembered).user_tokens()["main"])[0] is State.INVALID


def test_facts_of_another_token_or_app_are_not_used() -> None:
    """A rotated token is judged at once."""
    stage = Stage(3)
    remembered = known(stage)
    stage.world.rotate(stage.world.user)
    source = stage.source(known=remembered)
    source.user_tokens()
    assert source.calls == 1


@pytest.mark.parametrize(("kind", "codes_"), [("USER", ["not-a-system-user"]), ("SYSTEM_USER", []), (None, [])])
def test_a_person_s_token_works_with_a_notice(kind: str | None, codes_: list[str]) -> None:
    """A person's token is used like a system user's, and reported: it stops working with that person."""
    facts = TokenFacts(asked_at=NOW, is_valid=True, app_id="1", type=kind)
    verdict = judge_user_token(facts, "1", NOW)
    assert (verdict.state, [notice.code for notice in verdict.notices]) == (State.VALID, codes_)
    expiring = replace(facts, expires_at=NOW + timedelta(days=1))
    assert [notice.code for notice in judge_user_token(expiring, "1", NOW).notices] == ["system-user-expiring", *codes_]


@pytest.mark.parametrize(
    ("hours", "state"), [(2, State.VALID), (47, State.VALID), (48, State.UNKNOWN), (-2, State.UNKNOWN)]
)
def test_a_partial_answer_leaves_what_is_known_of_a_user_token(hours: int, state: State) -> None:
    """An answer without a field that decides displaces no verdict that counts; one of two days ago or of the future does not."""
    stage = Stage(3)
    remembered = known(stage)
    stage.clock.advance(3600 * hours)
    partial = json.dumps({"data": {"is_valid": True, "type": "SYSTEM_USER"}})
    stage.before = lambda request: (
        httpx.Response(200, json=[{"code": 200, "body": partial}]) if b"debug_token" in request.content else None
    )
    source = stage.source(known=remembered)
    assert source.user_tokens()["main"].verdict.state is state
    assert all(isinstance(one, Fetched) for one in source.read(stage.pages()).values())
