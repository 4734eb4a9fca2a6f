"""From Meta's facts to a verdict, a case for each rule and each boundary."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.verify import expires_within, verify
from sync.core.model import NEVER, Checks, GraphErrorFacts, SourceError, State, TokenFacts
from sync.core.problems import Problem
from tests.support.values import NOW, PAGE_ID, WEEK, facts, page

MOMENT = timedelta(microseconds=1)
VALID, INVALID, UNKNOWN = State.VALID, State.INVALID, State.UNKNOWN


def case(name: str, state: State, *codes: str, checks: Checks | None = None, **changes: Any) -> Any:
    """Return what Meta says and what a fetched token is then."""
    return pytest.param(changes, checks or Checks(), state, list(codes), id=name)


@pytest.mark.parametrize(
    ("changes", "checks", "state", "codes"),
    [
        case("a good Page token that never ends", VALID),
        case("is_valid missing", UNKNOWN, "debug-unavailable", is_valid=None),
        case("is_valid false", INVALID, "token-invalid", is_valid=False),
        case("is_valid false and nothing else said", INVALID, "token-invalid", is_valid=False, type=None, app_id=None),
        case("is_valid false, its end has passed", INVALID, "token-expired", is_valid=False, expires_at=NOW),
        case("is_valid false, its end is to come", INVALID, "token-invalid", is_valid=False, expires_at=NOW + MOMENT),
        case(
            "is_valid false, Meta says expired",
            INVALID,
            "token-expired",
            is_valid=False,
            error=GraphErrorFacts(190, 463, "Session has expired"),
        ),
        *(
            case(
                f"is_valid false, its user is blocked ({code}/{subcode})",
                INVALID,
                "policy-blocked",
                is_valid=False,
                error=GraphErrorFacts(code, subcode, "The user is enrolled in a blocking, logged-in checkpoint"),
            )
            for code, subcode in ((190, 459), (190, 464), (190, 490), (368, None))
        ),
        case("is_valid counts before type", INVALID, "token-invalid", is_valid=False, type="USER"),
        case("type missing", UNKNOWN, "debug-unavailable", type=None),
        case("a user's token", INVALID, "wrong-type", type="USER"),
        case("a system user's token that names the Page", INVALID, "wrong-type", type="SYSTEM_USER"),
        case("type counts before app", INVALID, "wrong-type", type="APP", app_id="9", profile_id="9"),
        case("app_id missing", UNKNOWN, "debug-unavailable", app_id=None),
        case("another app", INVALID, "wrong-app", app_id="9"),
        case("Meta refuses it as another app's", INVALID, "wrong-app", is_valid=None, type=None, of_another_app=True),
        case("another app, profile_id missing", INVALID, "wrong-app", app_id="9", profile_id=None),
        case("profile_id missing", UNKNOWN, "debug-unavailable", profile_id=None),
        case("another Page", INVALID, "wrong-page", profile_id="9"),
        case("another app and another Page", INVALID, "wrong-app", "wrong-page", app_id="9", profile_id="9"),
        case("scopes missing", UNKNOWN, "debug-unavailable", scopes=None),
        case("scopes missing, none asked for", VALID, scopes=None, checks=Checks(scopes=())),
        case("a permission missing", INVALID, "missing-scope", scopes=frozenset({"pages_show_list"})),
        case(
            "a permission for another Page only",
            INVALID,
            "missing-scope",
            granular_scopes={"pages_messaging": frozenset({"9"})},
        ),
        case("a permission for this Page", VALID, granular_scopes={"pages_messaging": frozenset({"9", PAGE_ID})}),
        case("a permission for all Pages", VALID, granular_scopes={"pages_messaging": None}),
        case(
            "targets of a permission that is no pages_* are not looked at",
            VALID,
            checks=Checks(scopes=("business_management",)),
            scopes=frozenset({"business_management"}),
            granular_scopes={"business_management": frozenset({"9"})},
        ),
        case("a life of exactly checks.expires", VALID, expires_at=NOW + WEEK),
        case("a life a moment shorter", INVALID, "expires-too-soon", expires_at=NOW + WEEK - MOMENT),
        case("its expiry absent", UNKNOWN, "debug-unavailable", expires_at=None),
        case(
            "its expiry absent, under never",
            UNKNOWN,
            "debug-unavailable",
            expires_at=None,
            checks=Checks(expires=NEVER),
        ),
        case(
            "an end in years under never",
            INVALID,
            "expires-too-soon",
            expires_at=NOW + 999 * WEEK,
            checks=Checks(expires=NEVER),
        ),
        case("no end under never", VALID, checks=Checks(expires=NEVER)),
        case(
            "a permission missing and too short a life",
            INVALID,
            "missing-scope",
            "expires-too-soon",
            scopes=frozenset(),
            expires_at=NOW,
        ),
    ],
)
def test_fetched_token(changes: dict[str, Any], checks: Checks, state: State, codes: list[str]) -> None:
    """A fetched token is valid, invalid or unknown by the first rule that says so."""
    verdict = verify(facts(**changes), page=page(checks=checks), now=NOW)
    assert (verdict.state, [problem.code for problem in verdict.problems]) == (state, codes)


@pytest.mark.parametrize(
    ("changes", "state", "codes", "notices"),
    [
        pytest.param({}, VALID, [], [], id="good"),
        pytest.param({"scopes": frozenset()}, VALID, ["missing-scope"], [], id="lacks a permission: works, a problem"),
        pytest.param({"expires_at": NOW + WEEK - MOMENT}, VALID, [], ["expires-too-soon"], id="ends soon: a notice"),
        pytest.param({"expires_at": NOW + WEEK}, VALID, [], [], id="ends just late enough"),
        pytest.param({"is_valid": False}, INVALID, ["token-invalid"], [], id="invalid"),
        pytest.param({"profile_id": "9"}, INVALID, ["wrong-page"], [], id="another Page's"),
        pytest.param({"scopes": None}, UNKNOWN, ["debug-unavailable"], [], id="scopes missing"),
        pytest.param({"expires_at": None}, VALID, [], [], id="its expiry absent: works"),
    ],
)
def test_stored_token(changes: dict[str, Any], state: State, codes: list[str], notices: list[str]) -> None:
    """A stored token that applications work with stays valid, with what it lacks beside it."""
    verdict = verify(facts(**changes), page=page(), now=NOW, stored=True)
    assert verdict.state is state
    assert [problem.code for problem in verdict.problems] == codes
    assert [problem.code for problem in verdict.notices] == notices


@pytest.mark.parametrize("is_stored", [False, True], ids=["fetched", "stored"])
@pytest.mark.parametrize(
    ("ends", "checks", "noticed"),
    [
        pytest.param(NOW + WEEK - MOMENT, Checks(), True, id="within checks.expires"),
        pytest.param(NOW + WEEK, Checks(), False, id="later"),
        pytest.param(NEVER, Checks(), False, id="never"),
        pytest.param(NOW + WEEK, Checks(expires=NEVER), False, id="to come, under never"),
        pytest.param(NOW - MOMENT, Checks(expires=NEVER), True, id="passed, under never"),
    ],
)
def test_end_of_data_access_is_a_notice(ends: Any, checks: Checks, noticed: bool, is_stored: bool) -> None:
    """Data access that expires soon, or has expired, changes no verdict and is a notice."""
    verdict = verify(facts(data_access_expires_at=ends), page=page(checks=checks), now=NOW, stored=is_stored)
    assert verdict.state is VALID
    assert [notice.code for notice in verdict.notices] == ["data-access-expiring"] * noticed


def test_not_asked_is_unknown_without_a_problem() -> None:
    """A token that Meta was not asked about is unknown, and nothing is wrong."""
    verdict = verify(None, page=page(), now=NOW)
    assert (verdict.state, verdict.problems) == (UNKNOWN, ())


@pytest.mark.parametrize("state", [INVALID, UNKNOWN])
def test_error_of_the_source_is_the_verdict(state: Any) -> None:
    """What Graph answered in place of facts is the verdict, with its problem."""
    problem = Problem("throttled", "Too many calls.")
    verdict = verify(SourceError(problem, state), page=page(), now=NOW)
    assert (verdict.state, verdict.problems, verdict.facts) == (state, (problem,), None)


def test_message_and_codes_of_meta_reach_the_operator() -> None:
    """A refused token's problem carries what Meta said: message, code, subcode and trace id."""
    error = GraphErrorFacts(190, 460, "The password was changed.", "Atrace")
    (problem,) = verify(facts(is_valid=False, error=error), page=page(), now=NOW).problems
    assert "The password was changed." in problem.message
    assert (problem.graph_code, problem.graph_subcode, problem.fbtrace_id) == (190, 460, "Atrace")


@pytest.mark.parametrize("expires", [timedelta(hours=12), timedelta(days=7), NEVER])
def test_short_life_names_both_ends(expires: Any) -> None:
    """The problem of too short a life says when the token ends and what is asked for."""
    verdict = verify(facts(expires_at=NOW), page=page(checks=Checks(expires=expires)), now=NOW)
    message = verdict.problems[0].message
    wanted = {timedelta(hours=12): "12 hours", timedelta(days=7): "7 days", NEVER: "never expires"}[expires]
    assert "2026-11-25T12:00Z" in message
    assert wanted in message


@pytest.mark.parametrize(
    ("ends", "life", "within"),
    [
        pytest.param(None, WEEK, False, id="absent"),
        pytest.param(None, NEVER, False, id="absent, under never"),
        pytest.param(NEVER, NEVER, False, id="never, under never"),
        pytest.param(NOW + 99 * WEEK, NEVER, True, id="some end, under never"),
        pytest.param(NOW + WEEK, WEEK, False, id="exactly then"),
        pytest.param(NOW + WEEK - MOMENT, WEEK, True, id="a moment before"),
    ],
)
def test_expires_within(ends: Any, life: Any, within: bool) -> None:
    """A token ends within a life only if it ends at all and sooner than that."""
    assert expires_within(ends, life, NOW) is within


def test_facts_without_any_field_prove_nothing() -> None:
    """An answer in which every field is missing is unknown, never valid and never invalid."""
    assert verify(TokenFacts(asked_at=NOW), page=page(), now=NOW).state is UNKNOWN


def test_a_block_without_a_message_quotes_nothing() -> None:
    """Where Meta gives no message with a block, the sentence does not announce one."""
    blocked = facts(is_valid=False, error=GraphErrorFacts(190, 459))
    assert verify(blocked, page=page(), now=NOW).problems[0].message == (
        "Meta has blocked the user behind the fetched token, and does not accept it."
    )
