"""System users' tokens: judged once per cycle, and what their state does to their Pages."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.core.model import Fetched, SourceError, State, SystemUserToken, TokenFacts
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


def test_a_healthy_token_is_valid_and_asked_about_once() -> None:
    """However often it is asked for, the verdict costs one call in a cycle."""
    stage = Stage()
    source = stage.source()
    for _ in range(3):
        assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])
    assert (source.requests, source.calls) == (1, 1)


@pytest.mark.parametrize("fault", ["dead", "dead=458", "expired", "dead=467"])
def test_a_dead_token_is_found_once_and_nothing_is_fetched_with_it(fault: str) -> None:
    """Every Page is told its system user's problem, which says nothing of the Page, and no Page is asked for."""
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


def test_an_ending_token_is_valid_with_a_notice() -> None:
    """Within fourteen days of its end a token is spoken of, and works."""
    stage = Stage()
    stage.fault("ending")
    source = stage.source()
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], ["system-user-expiring"])
    assert all(isinstance(one, Fetched) for one in source.read(stage.pages()).values())


@pytest.mark.parametrize(("left", "notices"), [(timedelta(days=14), 0), (timedelta(days=13, hours=23), 1)])
def test_the_notice_begins_fourteen_days_before_the_end(left: timedelta, notices: int) -> None:
    """The boundary is exact."""
    facts = TokenFacts(asked_at=NOW, is_valid=True, app_id="1", expires_at=NOW + left)
    assert len(judge_user_token(facts, "1", NOW).notices) == notices


def test_a_token_of_another_app_is_wrong() -> None:
    """Meta refuses to debug it with our app, and no Page is asked for."""
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
    """A Page's or an app's token in a system user's place is named as what it is."""
    verdict = judge_user_token(TokenFacts(asked_at=NOW, is_valid=True, app_id="1", type=kind), "1", NOW)
    assert (verdict.state, [problem.code for problem in verdict.problems]) == (State.INVALID, ["wrong-type"])
    assert kind in verdict.problems[0].message


def test_facts_without_an_app_decide_nothing() -> None:
    """A missing field is not known, never valid."""
    verdict = judge_user_token(TokenFacts(asked_at=NOW, is_valid=True), "1", NOW)
    assert (verdict.state, verdict.problems[0].code) == (State.UNKNOWN, "debug-unavailable")


def test_a_token_that_cannot_be_read_is_the_operators_business() -> None:
    """The message names the reference; neither the token nor a Page is asked about."""
    stage = Stage()
    source = stage.source(token=UNREADABLE)
    got = source.read(stage.pages())
    user_token = source.user_tokens()["main"]
    assert codes(user_token) == (State.INVALID, ["system-user-invalid"], [])
    assert user_token.token is None
    assert (user_token.verdict.problems[0].owner, user_token.verdict.problems[0].message) == (
        "operator",
        str(UNREADABLE),
    )
    assert "Put the token where" in user_token.verdict.problems[0].remedy
    assert all(isinstance(one, SourceError) and one.state is State.UNKNOWN for one in got.values())
    assert source.requests == 0


def test_an_app_secret_that_cannot_be_read_lets_no_call_out() -> None:
    """Nothing can be said of any token of the app."""
    stage = Stage()
    source = stage.source(secret=UNREADABLE)
    got = source.read(stage.pages())
    told = source.debug("messenger", ordinary([Secret("EAAx")]))
    assert codes(source.user_tokens()["main"]) == (State.UNKNOWN, ["app-secret-invalid"], [])
    for error in (*got.values(), *told.values()):
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("app-secret-invalid", State.UNKNOWN, "app")
        assert error.problem.message == str(UNREADABLE)
        assert "Put the secret" in error.problem.remedy
    assert source.requests == 0


def test_a_wrong_app_secret_is_said_once_and_nothing_more_is_asked() -> None:
    """Meta's refusal of the app's token makes everything of that app unknown."""
    stage = Stage(60)
    source = stage.source(secret=Secret("0123456789abcdef0123456789abcdef"))
    got = source.read(stage.pages())
    told = source.debug("messenger", ordinary([Secret("EAAx"), Secret("EAAy")]))
    assert codes(source.user_tokens()["main"]) == (State.UNKNOWN, ["app-secret-invalid"], [])
    for error in (*got.values(), *told.values()):
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state, error.scope) == ("app-secret-invalid", State.UNKNOWN, "app")
    assert source.requests == 1


def test_a_token_that_dies_in_the_middle_is_judged_once_more() -> None:
    """A Page's 190 has the system user's token judged again, once, and its Pages blame it and not themselves."""
    stage = Stage(120)
    source = stage.source()
    source.user_tokens()
    stage.fault("dead")
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"system-user-invalid"}
    assert len(got) == 120
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["system-user-invalid"], [])
    debugged = [one for one in stage.seen if b"debug_token" in one.content]
    assert len(debugged) == 2
    assert source.requests <= 4


def test_a_190_of_one_page_leaves_the_system_user_alive() -> None:
    """Where the token debugs valid the Page is to blame, and all others are read."""
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


def test_a_190_of_a_page_says_nothing_while_the_system_user_cannot_be_judged() -> None:
    """Without Meta's word on the parent nobody is blamed."""
    stage = Stage(3)
    stage.fault("debug-not-allowed", "error:node=190")
    source = stage.source()
    for error in source.read(stage.pages()).values():
        assert isinstance(error, SourceError)
        assert (error.problem.code, error.state) == ("debug-unavailable", State.UNKNOWN)


@pytest.mark.parametrize("text", ["EAA\nX-Evil: 1", "EAA\ud800", "EAAé", " "])
def test_a_garbled_credential_is_dead_and_not_a_crash(text: str) -> None:
    """What no header could carry goes in a body, and Meta calls it invalid."""
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


def test_one_system_users_death_is_no_other_ones() -> None:
    """Pages of a living system user are read, those of a dead one wait."""
    stage = Stage(3)
    second = stage.world.add_user("Second")
    stage.fault("dead")
    users = [
        SystemUserCredentials("second", "messenger", Secret(second.token)),
        SystemUserCredentials("third", "messenger", UNREADABLE),
    ]
    source = stage.source(users=users)
    got = source.read([*stage.pages(), *stage.pages("second"), *stage.pages("third")])
    assert {name: one.verdict.state for name, one in source.user_tokens().items()} == {
        "main": State.INVALID,
        "second": State.VALID,
        "third": State.INVALID,
    }
    assert {name for name, one in got.items() if isinstance(one, Fetched)} == {
        page.name for page in stage.pages("second")
    }
    assert len(got) == 9


def test_one_apps_refusal_is_no_other_ones() -> None:
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
    """Have Meta judge the system user's token, and remember what it said."""
    facts = stage.source().user_tokens()["main"].verdict.facts
    assert facts is not None
    stage.seen.clear()
    return {(stage.world.app.id, Secret(stage.world.user.token).fingerprint): facts}


@pytest.mark.parametrize(("seconds", "calls"), [(0, 0), (3599, 0), (3600, 1), (-60, 1)])
def test_a_token_that_was_valid_is_judged_again_after_an_hour(seconds: int, calls: int) -> None:
    """Until then what is remembered of it counts; a word from the future does not."""
    stage = Stage(3)
    remembered = known(stage)
    stage.clock.advance(seconds)
    source = stage.source(known=remembered)
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])
    assert source.calls == calls


def test_a_remembered_token_that_died_is_found_by_the_first_page_that_says_so() -> None:
    """What is remembered counts no more once a read says 190."""
    stage = Stage(30)
    remembered = known(stage)
    stage.fault("dead")
    source = stage.source(known=remembered)
    got = source.read(stage.pages())
    assert {one.problem.code for one in got.values() if isinstance(one, SourceError)} == {"system-user-invalid"}
    assert codes(source.user_tokens()["main"]) == (State.INVALID, ["system-user-invalid"], [])


def test_a_remembered_death_is_asked_about_in_each_cycle() -> None:
    """So that its repair is noticed at once."""
    stage = Stage(3)
    stage.fault("dead")
    remembered = known(stage)
    stage.world.revive(stage.world.user)
    source = stage.source(known=remembered)
    assert codes(source.user_tokens()["main"]) == (State.VALID, [], [])
    assert source.calls == 1


def test_a_remembered_token_that_has_ended_meanwhile_is_judged_again() -> None:
    """Its end was known."""
    stage = Stage(3)
    stage.fault("ending=600")
    remembered = known(stage)
    stage.clock.advance(601)
    assert codes(stage.source(known=remembered).user_tokens()["main"])[0] is State.INVALID


def test_what_is_remembered_of_another_string_or_app_says_nothing() -> None:
    """A rotated token is judged at once."""
    stage = Stage(3)
    remembered = known(stage)
    stage.world.rotate(stage.world.user)
    source = stage.source(known=remembered)
    source.user_tokens()
    assert source.calls == 1
