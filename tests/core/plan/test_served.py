"""What applications are served by a target: as it was read, and after what was done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.decide import Candidate, Current, Kind
from sync.core.judge.verify import verify
from sync.core.model import Absent, SourceError, State, Stored, StoreError, Verdict, Written
from sync.core.payload import Payload
from sync.core.plan.served import is_broken
from sync.core.problems import Problem
from sync.core.report.build import ProofLost
from tests.support.reports import AWS, account, entry, of
from tests.support.values import (
    FETCHED,
    KEY,
    NOW,
    OTHER,
    STORE_DOWN,
    current,
    facts,
    fetched,
    judged,
    marks,
    page,
    payload,
    stored,
)

INVALID, VALID, UNKNOWN = judged(is_valid=False), judged(), Verdict(State.UNKNOWN)
THROTTLED = verify(SourceError(Problem("throttled", "Too many.")), page=page(), now=NOW)
LOST = verify(facts(is_valid=False, asked_at=NOW), page=page(), now=NOW)
CRASH = Stored(payload(OTHER), "1", None, first=True)
LABELLED = page(labels={"team": "crm"})
CONFLICT = StoreError("conflict", "Another writer was faster.", "Nothing to do.", owner="nobody")


@pytest.mark.parametrize(
    ("there", "served"),
    [
        pytest.param(current(stored(), VALID), "verified", id="valid"),
        pytest.param(current(stored(), judged(scopes=frozenset())), "verified", id="valid, lacks a scope"),
        pytest.param(current(stored(), judged(expires_at=NOW)), "verified", id="valid, ends soon"),
        pytest.param(current(stored(), UNKNOWN), "stale", id="not asked"),
        pytest.param(current(stored(), THROTTLED), "stale", id="could not be asked"),
        pytest.param(current(STORE_DOWN), "stale", id="could not be read"),
        pytest.param(current(stored(), INVALID), "broken", id="invalid"),
        pytest.param(current(stored(), judged(type="USER")), "broken", id="of a wrong type"),
        pytest.param(current(stored(), judged(app_id="9")), "broken", id="another app's"),
        pytest.param(current(stored(), judged(profile_id="9")), "broken", id="another Page's token"),
        pytest.param(current(stored(payload=None)), "broken", id="unreadable"),
        pytest.param(current(stored(payload=Payload({}))), "broken", id="no token in it"),
        pytest.param(current(Absent()), "absent", id="nothing"),
        pytest.param(current(Stored(None, "3", marks(), "deleted")), "absent", id="deleted"),
        pytest.param(current(Stored(None, "", marks(), "empty")), "absent", id="a container without a value"),
        pytest.param(current(stored(blocked="scheduled-deletion"), VALID), "absent", id="about to be deleted"),
        pytest.param(current(stored(blocked="rotation-enabled"), VALID), "foreign", id="rotation enabled"),
        pytest.param(current(stored(blocked="replica"), VALID), "foreign", id="a replica"),
        pytest.param(current(CRASH, VALID), "foreign", id="an interrupted create, not yet marked"),
        pytest.param(current(Stored(payload(), "2", None), VALID), "foreign", id="unmarked"),
        pytest.param(current(stored(marks=marks(instance="x")), VALID), "foreign", id="another instance's"),
        pytest.param(current(stored(marks=marks(page_id="9")), VALID), "foreign", id="another Page's secret"),
        pytest.param(
            current(Stored(None, "3", marks(instance="x"), "deleted")), "absent", id="another instance's, deleted"
        ),
        pytest.param(current(Stored(None, "0", None, "empty")), "absent", id="somebody's container without a value"),
        pytest.param(
            current(Stored(None, "1", marks(), "empty", blocked="rotation-enabled")),
            "absent",
            id="rotation, without a value",
        ),
    ],
)
def test_served_as_read(there: Current, served: str) -> None:
    """What was read from a target, and the verdict on its token, say what applications are served."""
    assert entry(there).served == served


@pytest.mark.parametrize(
    ("verdict", "broken"),
    [
        (INVALID, True),
        (VALID, False),
        (UNKNOWN, False),
        (Verdict(State.INVALID, (Problem("missing-scope", "x"),)), False),
    ],
)
def test_only_a_fatal_problem_breaks(verdict: Verdict, broken: bool) -> None:
    """A token is broken by what makes it useless, not by what calls for a better one."""
    assert is_broken(verdict) is broken


@pytest.mark.parametrize(
    ("there", "of_page", "outcome", "expected"),
    [
        pytest.param(
            current(Absent()),
            page(),
            Written("1", True),
            ("created", "verified", FETCHED, None, "1", True),
            id="created",
        ),
        pytest.param(
            current(Absent()),
            page(),
            Written("1", False),
            ("created", "stale", FETCHED, None, "1", False),
            id="created?",
        ),
        pytest.param(
            current(stored(OTHER), INVALID),
            page(),
            Written("4", True),
            ("replaced", "verified", FETCHED, OTHER, "4", True),
            id="healed",
        ),
        pytest.param(
            current(stored(OTHER), INVALID),
            page(),
            Written("4", False),
            ("replaced", "stale", FETCHED, OTHER, "4", False),
            id="healed, not read back",
        ),
        pytest.param(
            current(CRASH, VALID),
            page(),
            Written("1", True),
            ("updated", "verified", OTHER, None, "1", True),
            id="marked",
        ),
        pytest.param(
            current(CRASH, VALID),
            page(),
            Written("1", False),
            ("updated", "foreign", OTHER, None, "1", False),
            id="marked, not read back",
        ),
        pytest.param(
            current(stored(), VALID),
            LABELLED,
            Written("3", False),
            ("updated", "verified", FETCHED, None, "3", False),
            id="labels, not read back: the payload is as it was",
        ),
        pytest.param(
            current(stored(OTHER), VALID),
            LABELLED,
            Written("3", True),
            ("updated", "verified", OTHER, None, "3", True),
            id="labels beside another token",
        ),
        pytest.param(
            current(Absent()), page(), CONFLICT, ("failed", "absent", None, None, None, None), id="create: conflict"
        ),
        pytest.param(
            current(stored(OTHER), INVALID),
            page(),
            CONFLICT,
            ("failed", "broken", OTHER, None, "3", None),
            id="heal: conflict, nothing changed",
        ),
        pytest.param(
            current(stored(OTHER), INVALID),
            page(),
            replace(CONFLICT, error_code="timeout", maybe_written=True),
            ("failed", "stale", OTHER, None, "3", None),
            id="heal: perhaps written",
        ),
        pytest.param(
            current(stored(), VALID),
            LABELLED,
            replace(CONFLICT, maybe_written=True),
            ("failed", "verified", FETCHED, None, "3", None),
            id="labels: perhaps written, the payload is as it was",
        ),
        pytest.param(
            current(Absent()),
            page(),
            ProofLost(LOST),
            ("kept", "absent", None, None, None, True),
            id="create: proof lost",
        ),
        pytest.param(
            current(stored(OTHER), INVALID),
            page(),
            ProofLost(LOST),
            ("kept", "broken", OTHER, None, "3", True),
            id="heal: proof lost",
        ),
    ],
)
def test_served_after_writing(there: Current, of_page: Any, outcome: Any, expected: tuple[Any, ...]) -> None:
    """After a write the entry speaks of what is stored now, as far as that is known."""
    now = entry(there, outcome=outcome, of_page=of_page)
    action, served, token, before, version, confirmed = expected
    assert (now.action.value, now.served, now.version, now.confirmed) == (action, served, version, confirmed)
    assert now.fingerprint == (token.fingerprint if token else None)
    assert now.previous_fingerprint == (before.fingerprint if before else None)


def test_healed_target_has_no_problem_left() -> None:
    """The problems of the token that was replaced are not reported of the new one."""
    there = current(stored(OTHER), INVALID)
    assert [problem.code for problem in entry(there).problems] == ["token-invalid"]
    assert entry(there, outcome=Written("4", True)).problems == ()


def test_failed_write_reports_the_problems_of_store_and_token() -> None:
    """A heal that failed reports both that the stored token is invalid and why it is still there."""
    now = entry(current(stored(OTHER), INVALID), outcome=CONFLICT)
    assert [problem.code for problem in now.problems] == ["token-invalid", "store-failed"]
    assert (now.error_code, now.reason) == ("conflict", None)


@pytest.mark.parametrize(
    ("outcome", "owner", "cause"),
    [
        (ProofLost(Verdict(State.UNKNOWN, (Problem("address-not-allowed", "Refused."),))), "app-admin", "allowlist"),
        (ProofLost(Verdict(State.UNKNOWN, (Problem("version-sunset", "Refused."),))), "operator", "graph.version"),
        (replace(CONFLICT, owner="operator", remedy="Free some space."), "operator", "Free some space."),
    ],
)
def test_an_invalid_token_that_was_not_replaced_names_who_must_act(outcome: Any, owner: str, cause: str) -> None:
    """Where a person must act before the replacement can be written, the invalid token's problem names that person too."""
    problem, why = entry(current(stored(OTHER), INVALID), outcome=outcome).problems
    assert (problem.code, problem.owner, why.owner) == ("token-invalid", owner, owner)
    assert f"{why.code} is solved" in problem.remedy
    assert cause in problem.remedy


@pytest.mark.parametrize(
    ("verdict", "state", "served"),
    [
        pytest.param(LOST, State.INVALID, "broken", id="Meta refuses it now"),
        pytest.param(THROTTLED, State.VALID, "verified", id="Meta cannot be asked now"),
        pytest.param(
            verify(facts(scopes=frozenset()), page=page(), now=NOW),
            State.INVALID,
            "verified",
            id="it lacks a scope now",
        ),
    ],
)
def test_lost_proof_gives_the_last_verdict_everywhere(verdict: Verdict, state: State, served: str) -> None:
    """When the proof of a token is lost, its Page and each target that holds it report the last answer of debug_token."""
    old = current(stored(payload=Payload({"access_token": FETCHED.reveal()})), VALID)
    whole = of(fetched(), old, current(stored(), VALID))
    (now,) = account(whole, outcomes={KEY: ProofLost(verdict)}).pages
    assert (now.fetched, now.problems) == (state, verdict.problems if state is State.INVALID else ())
    assert [(one.key, one.action, one.reason, one.served) for one in now.stores] == [
        (KEY, Kind.KEPT, "proof-lost", served),
        (AWS, Kind.UNCHANGED, None, served),
    ]


def test_token_written_before_its_proof_was_lost_elsewhere_is_not_verified() -> None:
    """A place that was written just before Meta took its word back does not go on saying verified."""
    whole = of(fetched(), current(Absent()), current(Absent()))
    (now,) = account(whole, outcomes={KEY: Written("1", True), AWS: ProofLost(LOST)}).pages
    assert [one.served for one in now.stores] == ["broken", "absent"]
    assert [problem.code for problem in now.stores[0].problems] == ["token-invalid"]


def test_verified_since() -> None:
    """An entry says when Meta was last asked, whatever it said; nothing where Meta was not."""
    asked = NOW - timedelta(seconds=5)
    assert entry(current(stored(), VALID)).verified_at == entry(current(stored(), INVALID)).verified_at == asked
    assert entry(current(stored(), UNKNOWN)).verified_at is None
    assert entry(current(stored(), judged(is_valid=None))).verified_at is None
    assert entry(current(Absent()), candidate=Candidate(None, UNKNOWN)).verified_at is None
