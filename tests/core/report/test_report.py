"""The report of a cycle: its result, its exit code, and its counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from sync.core.judge.decide import Candidate, Kind
from sync.core.judge.verify import verify
from sync.core.model import Absent, Key, State, Stored, StoreError, SystemUserToken, Verdict, Written
from sync.core.plan.model import PagePlan
from sync.core.problems import Problem
from sync.core.report.build import ProofLost
from sync.core.report.causes import causes
from sync.core.report.entries import WORST_FIRST
from sync.core.report.report import EXIT_CODES
from tests.support.reports import AWS, GOOD, account, of
from tests.support.values import (
    KEY,
    NOW,
    OTHER,
    STORE_DOWN,
    USER_TOKEN,
    current,
    facts,
    fetched,
    judged,
    marks,
    page,
    payload,
    stored,
)

UNKNOWN = Verdict(State.UNKNOWN)
NO_ACCESS = Candidate(None, Verdict(State.INVALID, (Problem("no-access", "No token."),)))
GRAPH_DOWN = Candidate(None, Verdict(State.UNKNOWN, (Problem("graph-unavailable", "Silence."),)))
UNJUDGED = current(stored(), UNKNOWN)
BROKEN = current(stored(OTHER), judged(is_valid=False))
FOREIGN = current(Stored(payload(), "2", None))
DENIED = current(replace(STORE_DOWN, error_code="denied", whole=False))
CONFLICT = StoreError("conflict", "Another writer was faster.", "Nothing to do.", owner="nobody")
LOST = ProofLost(verify(facts(is_valid=False, asked_at=NOW), page=page(), now=NOW))


def case(name: str, result: str, *pages: PagePlan, outcomes: Any = None) -> Any:
    """Return a cycle and its result."""
    return pytest.param(pages, outcomes or {}, result, id=name)


@pytest.mark.parametrize(
    ("pages", "outcomes", "result"),
    [
        case("no Pages", "ok"),
        case("all verified", "ok", of(fetched(), GOOD, GOOD), of(fetched(), GOOD, name="paris")),
        case("another string, as good", "ok", of(fetched(), current(stored(OTHER), judged()))),
        case("ends soon: a notice", "ok", of(fetched(), current(stored(), judged(data_access_expires_at=NOW)))),
        case("created", "ok", of(fetched(), current(Absent())), outcomes={KEY: Written("1", True)}),
        case(
            "created, not read back", "degraded", of(fetched(), current(Absent())), outcomes={KEY: Written("1", False)}
        ),
        case("healed", "ok", of(fetched(), BROKEN), outcomes={KEY: Written("4", True)}),
        case("no access, the stored token works", "degraded", of(NO_ACCESS, GOOD)),
        case("a stored token lacks a scope", "degraded", of(fetched(), current(stored(), judged(scopes=frozenset())))),
        case("broken", "degraded", of(NO_ACCESS, BROKEN)),
        case("refused", "degraded", of(fetched(), FOREIGN)),
        case("one secret of two not read", "degraded", of(fetched(), GOOD, current(STORE_DOWN))),
        case("the only secret, key denied", "failed", of(fetched(), DENIED)),
        case(
            "the only write met another writer", "degraded", of(fetched(), current(Absent())), outcomes={KEY: CONFLICT}
        ),
        case("the only write lost its proof", "degraded", of(fetched(), current(Absent())), outcomes={KEY: LOST}),
        case("one Page of two could not be judged", "degraded", of(GRAPH_DOWN, UNJUDGED), of(fetched(), GOOD)),
        case("no fetched token, a stored one judged", "degraded", of(GRAPH_DOWN, GOOD)),
        case("no token could be judged", "failed", of(GRAPH_DOWN, UNJUDGED), of(GRAPH_DOWN, current(Absent()))),
        case("no store reached", "failed", of(fetched(), current(STORE_DOWN), current(STORE_DOWN))),
        case("neither Graph nor store", "failed", of(GRAPH_DOWN, current(STORE_DOWN))),
        case("Graph refuses every Page, which is a judgement", "degraded", of(NO_ACCESS, current(Absent()))),
    ],
)
def test_result(pages: tuple[PagePlan, ...], outcomes: Any, result: str) -> None:
    """The result is one word, and the exit code follows from it."""
    whole = account(*pages, outcomes=outcomes)
    assert (whole.result, whole.exit_code) == (result, {"ok": 0, "degraded": 1, "failed": 3}[result])


def test_exit_codes_are_those_that_are_documented() -> None:
    """Each result has its exit code."""
    assert EXIT_CODES == {"ok": 0, "degraded": 1, "failed": 3, "held": 4}


def test_orphans_and_expiring_system_users_change_no_exit_code() -> None:
    """Orphans and an expiring system user token are reported and do not fail the cycle."""
    ending = Verdict(State.VALID, notices=(Problem("system-user-expiring", "Soon."),), facts=facts())
    whole = account(
        of(fetched(), GOOD),
        orphans=(AWS,),
        user_tokens=(SystemUserToken("main", "messenger", USER_TOKEN, ending),),
        outcomes={},
    )
    assert (whole.result, whole.exit_code) == ("ok", 0)


@pytest.mark.parametrize(
    ("there", "code"),
    [
        pytest.param(GOOD, 0, id="nothing to do"),
        pytest.param(current(stored(OTHER), judged()), 0, id="kept"),
        pytest.param(current(stored(marks=marks(app_id="")), judged()), 1, id="marks to write, all verified"),
        pytest.param(current(Absent()), 1, id="to create"),
        pytest.param(current(STORE_DOWN), 3, id="failed stands before something to do"),
    ],
)
def test_plan_with_something_to_do_ends_with_1(there: Any, code: int) -> None:
    """A plan with something to do ends with 1; one that failed ends with 3."""
    assert account(of(fetched(), there)).exit_code == code


def test_plan_shows_what_would_be_done() -> None:
    """A plan is the report with the actions that a cycle would take, and with what is served before them."""
    (one,) = account(of(fetched(), BROKEN)).pages[0].stores
    assert (one.action, one.reason, one.served, one.fingerprint) == (
        Kind.REPLACED,
        "heal",
        "broken",
        OTHER.fingerprint,
    )


def test_summary_counts_pages_by_the_worst_that_they_serve() -> None:
    """A Page counts once, by the worst that its secrets serve; actions count per secret."""
    counted = account(
        of(fetched(), GOOD, BROKEN),
        of(fetched(), current(STORE_DOWN), current(Absent()), name="b"),
        of(fetched(), FOREIGN, current(STORE_DOWN), name="c"),
        of(fetched(), GOOD, current(STORE_DOWN), name="d"),
        of(fetched(), GOOD, current(stored(OTHER), judged()), name="e"),
        outcomes={AWS: Written("4", True), Key("aws", "meta/pages/b"): Written("1", True)},
    ).summary
    assert counted == {
        "pages": 5,
        "verified": 2,
        "stale": 2,
        "broken": 0,
        "absent": 0,
        "foreign": 1,
        "created": 1,
        "updated": 0,
        "replaced": 1,
        "unchanged": 3,
        "kept": 1,
        "refused": 1,
        "held": 0,
        "failed": 3,
        "graph_requests": 3,
        "graph_calls": 5,
        "store_requests": 4,
    }


def test_worst_first() -> None:
    """Broken is worse than absent, absent than foreign, foreign than stale."""
    assert WORST_FIRST == ("broken", "absent", "foreign", "stale", "verified")
    order = [BROKEN, current(Absent()), FOREIGN, current(STORE_DOWN), GOOD]
    for worse, better in pairwise(order):
        (one,) = account(of(NO_ACCESS, better, worse)).pages
        assert one.served == one.stores[1].served


def test_a_stored_token_that_is_not_judged_waits_for_no_replacement() -> None:
    """The problem of a stored token of which nothing is known keeps its owner and remedy: no replacement is announced."""
    throttled = Verdict(State.UNKNOWN, (Problem("throttled", "Too many."),))
    one = account(of(Candidate(None, throttled), current(stored(), throttled)))
    assert one.pages[0].stores[0].problems == throttled.problems


@pytest.mark.parametrize("code", ["version-sunset", "address-not-allowed", "app-misconfigured"])
def test_a_problem_of_an_app_is_no_notice_besides(code: str) -> None:
    """Where a stored token could not be judged again for the reason that no token could be fetched, that is one cause."""
    refused = Problem(code, "Graph says no.")
    there = current(stored(), replace(judged(), notices=(refused,)))
    report = account(of(Candidate(None, Verdict(State.UNKNOWN, (refused,))), there), of(fetched(), GOOD, name="paris"))
    assert [(cause.key.code, cause.notice) for cause in causes(report.pages, report.user_tokens)] == [(code, False)]


def test_a_notice_of_another_page_is_not_left_out() -> None:
    """What each Page has by itself stays a notice where it is one, whatever problem another Page has."""
    soon = Problem("expires-too-soon", "It expires.")
    one = of(Candidate(None, Verdict(State.INVALID, (soon,))), GOOD)
    report = account(one, of(fetched(), current(stored(), replace(judged(), notices=(soon,))), name="paris"))
    assert [list(cause.pages) for cause in causes(report.pages, report.user_tokens)] == [["berlin"], ["paris"]]
