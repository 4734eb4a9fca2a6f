"""What ``check`` answers about a Page: whether its secrets work, what a fingerprint is to them, and the exit code."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from sync.cli.output.check import headline, matched, secret_lines
from sync.core.judge.decide import Candidate, Current
from sync.core.model import NEVER, Absent, Key, State, Verdict
from sync.core.problems import Problem
from sync.core.report.inspection import Inspection, Match, Works, as_json, inspection
from tests.support.reports import of
from tests.support.values import (
    FETCHED,
    INSTANCE,
    KEY,
    NOW,
    OTHER,
    STORE_DOWN,
    current,
    fetched,
    judged,
    marks,
    stored,
)

GOOD = current(stored(), judged())
BROKEN = current(stored(OTHER), judged(is_valid=False))
REFUSED = current(stored(), Verdict(State.VALID, (), (Problem("probe-failed", "Graph refuses it."),), judged().facts))
LACKING = current(stored(), judged(scopes=frozenset()))
FOREIGN = current(stored(marks=marks(instance="another")))
NO_ACCESS = Candidate(None, Verdict(State.INVALID, (Problem("no-access", "Graph refuses the Page."),)))
REPLACED = current(stored(OTHER, marks=marks(FETCHED)), judged())
"""Somebody else wrote another token into a secret of this instance."""
UNREAD = Current(STORE_DOWN)
NOTHING = Current(Absent())


def look(*there: Current, candidate: Candidate | None = None, asked: str | None = None, **more: Any) -> Inspection:
    """Inspect a Page with one secret for each ``there``."""
    return inspection(of(candidate or fetched(), *there), instance=INSTANCE, now=NOW, fingerprint=asked, **more)


@pytest.mark.parametrize(
    ("there", "works", "code"),
    [
        ([GOOD], "yes", 0),
        ([BROKEN], "no", 1),
        ([NOTHING], "no", 1),
        ([REFUSED], "no", 1),
        ([LACKING], "yes", 1),
        ([FOREIGN], "unknown", 1),
        ([UNREAD], "unknown", 3),
        ([GOOD, BROKEN], "no", 1),
        ([GOOD, UNREAD], "unknown", 3),
        ([BROKEN, UNREAD], "no", 1),
    ],
)
def test_whether_it_works(there: list[Current], works: Works, code: int) -> None:
    """A secret that does not work decides for the Page, then one of which that could not be found out."""
    found = look(*there)
    assert (found.works, found.exit_code) == (works, code)
    assert as_json(found)["works"] == works


def test_a_page_that_is_lost_is_a_problem_even_while_its_token_works() -> None:
    """The stored token of a Page that Graph refuses may work, but the exit code is that of a problem."""
    found = look(GOOD, candidate=NO_ACCESS)
    assert (found.works, found.exit_code) == ("yes", 1)


@pytest.mark.parametrize(
    ("there", "earlier", "asked", "match", "code"),
    [
        ([GOOD], None, FETCHED.fingerprint, "current", 0),
        ([GOOD], None, "0" * 12, "not-current", 1),
        ([GOOD], {KEY: {OTHER.fingerprint: "2"}}, OTHER.fingerprint, "earlier", 1),
        ([GOOD], {KEY: {OTHER.fingerprint: "2"}}, "0" * 12, "unknown", 1),
        ([REPLACED], None, FETCHED.fingerprint, "earlier", 1),
        ([UNREAD], None, FETCHED.fingerprint, None, 3),
        ([NOTHING], None, FETCHED.fingerprint, "not-current", 1),
        ([GOOD, BROKEN], None, FETCHED.fingerprint, "current", 1),
        ([GOOD, UNREAD], None, "0" * 12, "not-current", 3),
    ],
)
def test_what_a_fingerprint_is(
    there: list[Current], earlier: dict[Key, dict[str, str]] | None, asked: str, match: Match | None, code: int
) -> None:
    """A fingerprint is a current one, an earlier one, or not; nothing is said of a secret that was not read."""
    found = look(*there, asked=asked, earlier=earlier)
    assert (found.match, found.exit_code) == (match, code)


def test_the_earlier_version_is_named() -> None:
    """The newest version that holds the token is named, where the store keeps one."""
    found = look(GOOD, asked=OTHER.fingerprint, earlier={KEY: {OTHER.fingerprint: "2"}})
    assert (
        matched(found)
        == f"Token {OTHER.fingerprint} is an earlier one: read the secret again (store vault, version 2)."
    )
    assert as_json(found)["stores"][0]["matched_version"] == "2"
    assert as_json(look(GOOD, asked=FETCHED.fingerprint))["stores"][0]["matched_version"] is None


def test_the_answer_in_words() -> None:
    """Each line answers one question, with what the next cycle does about a secret that does not work."""
    found = look(BROKEN, asked=OTHER.fingerprint)
    assert headline(found) == ("Page berlin (101010101010101), 1 secret: applications cannot work with what is stored.")
    assert matched(found) == f"Token {OTHER.fingerprint} is the current one (store vault)."
    assert list(secret_lines(found, found.secrets[0])) == [
        "works: no, the secret holds no working token; debug_token answered 2026-11-25T11:59:55Z",
        f"token: {OTHER.fingerprint}, version 3, expires: never",
        "written: 2026-11-24T00:00:00Z (36 h ago) by instance acme-prod, created",
        "next cycle: to replace, heal: the stored token is invalid",
    ]


def test_who_wrote_what_stands_there() -> None:
    """The marks are those of the token that this instance wrote, which somebody else may have replaced."""
    found = look(REPLACED, asked=FETCHED.fingerprint)
    lines = list(secret_lines(found, found.secrets[0]))
    assert (
        f"written: token {FETCHED.fingerprint}, which somebody else has replaced since, 2026-11-24T00:00:00Z "
        in (lines[2])
    )
    assert (
        matched(found)
        == f"Token {FETCHED.fingerprint} is the one that Graph returns for the Page now, and no secret holds it."
    )


def test_what_was_written_before() -> None:
    """A secret that was deleted was not replaced, and the reason of its write is not what is true now."""
    found = look(current(stored(state="deleted", payload=None, marks=marks(reason="heal"))))
    written, reason = list(secret_lines(found, found.secrets[0]))[1:3]
    assert "somebody else has deleted since" in written
    assert reason.startswith("heal: ")


@pytest.mark.parametrize("written_at", ["", "yesterday", "2026-11-24T00:00:00", "9999-99-99"])
def test_a_mark_that_is_no_time(written_at: str) -> None:
    """What another program wrote into a mark is shown as it is, and breaks nothing."""
    found = look(current(stored(marks=marks(written_at=written_at)), judged()))
    written = list(secret_lines(found, found.secrets[0]))[2]
    assert written == f"written:{f' {written_at}' if written_at else ''} by instance acme-prod, created"


def test_json() -> None:
    """The JSON is the report's entry of the Page with what ``check`` adds, and holds no token."""
    found = as_json(look(GOOD, UNREAD, asked=FETCHED.fingerprint))
    assert (found["format"], found["name"], found["checked_at"]) == (1, "berlin", "2026-11-25T12:00:00Z")
    assert (found["asked_fingerprint"], found["match"]) == (FETCHED.fingerprint, "current")
    good, unread = found["stores"]
    assert {
        name: good[name] for name in ("works", "match", "instance", "written_at", "written_reason", "expires_at")
    } == {
        "works": "yes",
        "match": "current",
        "instance": "acme-prod",
        "written_at": "2026-11-24T00:00:00Z",
        "written_reason": "created",
        "expires_at": None,
    }
    assert (unread["works"], unread["match"], unread["instance"], unread["error_code"]) == (
        "unknown",
        None,
        None,
        "unreachable",
    )
    assert FETCHED.reveal() not in json.dumps(found)


def test_expiry_of_a_stored_token_that_is_not_the_fetched_one() -> None:
    """The expiry is that of the stored token, as debug_token states it."""
    ends = datetime.fromisoformat("2027-01-01T00:00:00+00:00")
    found = look(current(stored(OTHER), judged(expires_at=ends)), candidate=fetched(expires_at=NEVER))
    assert as_json(found)["stores"][0]["expires_at"] == "2027-01-01T00:00:00Z"
