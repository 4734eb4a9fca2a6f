"""The renewal of a system user's token: when it is due, which new token is accepted, and what is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sync.core.memory.renewal import (
    WARN_DAYS,
    Renewal,
    RenewalRule,
    expiry_warnings,
    is_due,
    is_renewed_in_time,
    objection,
    with_renewal,
)
from sync.core.model import NEVER, Expiry, SourceError, State, SystemUserToken, TokenFacts, Verdict
from sync.core.problems import Problem
from sync.graph.user_tokens import judge_user_token
from tests.support.values import APP_ID, KEY, NOW, USER_TOKEN, USER_TOKEN_FINGERPRINT, facts

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
WANTED = RenewalRule(KEY, "token", 14 * DAY)
FAILED = Problem("renewal-failed", "No.")


def ends(expires_at: Expiry | None = NOW + 10 * DAY, **changes: Any) -> TokenFacts:
    """Return what Meta says of a system user's token that ends."""
    return facts(type="SYSTEM_USER", profile_id=None, expires_at=expires_at, **changes)


def user_token(
    expires_at: Expiry | None = NOW + 10 * DAY, *, state: State = State.VALID, problems: tuple[Problem, ...] = ()
) -> SystemUserToken:
    """Make a system user whose token ends, with the notice that it has within fourteen days."""
    soon = isinstance(expires_at, datetime) and expires_at < NOW + 14 * DAY
    notices = (Problem("system-user-expiring", "Soon."),) if soon else ()
    return SystemUserToken("main", "messenger", USER_TOKEN, Verdict(state, problems, notices, ends(expires_at)))


def tried(at: timedelta, **changes: Any) -> Renewal:
    """Make a try so long ago, which failed unless changed."""
    return replace(Renewal(NOW - at, USER_TOKEN_FINGERPRINT, KEY, problem=FAILED), **changes)


UNREAD = SystemUserToken("main", "messenger", None, Verdict(State.INVALID))
NOT_JUDGED = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.UNKNOWN))


@pytest.mark.parametrize(
    ("of", "last", "due"),
    [
        pytest.param(user_token(), None, True, id="near its end"),
        pytest.param(user_token(NOW + 14 * DAY), None, False, id="not yet"),
        pytest.param(user_token(NOW + 14 * DAY - timedelta(seconds=1)), None, True, id="just so"),
        pytest.param(user_token(NEVER), None, False, id="never ends: a renewal would give it an end"),
        pytest.param(user_token(None), None, False, id="its end is not known"),
        pytest.param(user_token(state=State.INVALID), None, False, id="invalid"),
        pytest.param(user_token(state=State.UNKNOWN), None, False, id="not known whether it works"),
        pytest.param(UNREAD, None, False, id="could not be read"),
        pytest.param(NOT_JUDGED, None, False, id="nothing is known of it"),
        pytest.param(user_token(), tried(timedelta(minutes=59)), False, id="tried a moment ago"),
        pytest.param(user_token(), tried(timedelta(0)), False, id="tried now"),
        pytest.param(user_token(), tried(HOUR), True, id="tried an hour ago"),
        pytest.param(user_token(), tried(HOUR / 2, became="other", problem=None), False, id="renewed, but still read"),
        pytest.param(user_token(), tried(HOUR / 2, token="another"), True, id="another one was tried"),
        pytest.param(user_token(), tried(-DAY), True, id="a clock was set back"),
    ],
)
def test_when_it_is_due(of: SystemUserToken, last: Renewal | None, due: bool) -> None:
    """A token is renewed where it works, is known to end within the time given, and was not tried in the last hour."""
    assert is_due(of, WANTED, last, NOW) is due


def test_a_late_renewal_has_several_tries() -> None:
    """Where the time before the end is short the tries follow each other sooner, so that one failure is not the last word."""
    late = replace(WANTED, before=HOUR)
    assert not is_due(user_token(NOW + HOUR / 2), late, tried(timedelta(minutes=14)), NOW)
    assert is_due(user_token(NOW + HOUR / 2), late, tried(timedelta(minutes=15)), NOW)


LATER = ends(NOW + 60 * DAY)
THROTTLED = SourceError(Problem("throttled", "Too much."))


@pytest.mark.parametrize(
    ("new", "says"),
    [
        pytest.param(LATER, None, id="as good, and later"),
        pytest.param(ends(NEVER), None, id="never ends"),
        pytest.param(ends(NOW + 60 * DAY, scopes=frozenset({"pages_messaging", "more"})), None, id="may do more"),
        pytest.param(None, "not asked", id="not asked about"),
        pytest.param(THROTTLED, "Too much.", id="not answered"),
        pytest.param(replace(LATER, is_valid=False), "valid", id="invalid"),
        pytest.param(replace(LATER, is_valid=None), "valid", id="not said to be valid"),
        pytest.param(replace(LATER, app_id="999"), "app_id", id="another app"),
        pytest.param(replace(LATER, app_id=None), "app_id", id="no app"),
        pytest.param(replace(LATER, user_id="999"), "user_id", id="another system user"),
        pytest.param(replace(LATER, user_id=None), "user_id", id="no user"),
        pytest.param(replace(LATER, type="USER"), "type", id="another type"),
        pytest.param(replace(LATER, type=None), "type", id="no type"),
        pytest.param(replace(LATER, scopes=frozenset({"other"})), "lacks pages_messaging", id="lacks a scope"),
        pytest.param(replace(LATER, scopes=None), "scopes", id="no scopes"),
        pytest.param(
            replace(LATER, granular_scopes={"pages_messaging": frozenset({"1"})}), "covers less", id="narrower scope"
        ),
        pytest.param(ends(NOW + 10 * DAY), "no later", id="ends at the same time"),
        pytest.param(ends(NOW + 9 * DAY), "no later", id="ends sooner"),
        pytest.param(ends(None), "when both", id="no end is said"),
    ],
)
def test_which_new_token_is_accepted(new: TokenFacts | SourceError | None, says: str | None) -> None:
    """Only a proven token of the same app, user and type, with all scopes and a later end, takes the old one's place."""
    said = objection(ends(), new)
    assert said is None if says is None else says in (said or "")


def test_what_is_not_known_of_the_old_token_speaks_against_the_new_one() -> None:
    """Where the old token cannot be compared nothing takes its place."""
    for old in (None, ends(scopes=None), ends(user_id=None), ends(None)):
        assert objection(old, LATER) is not None


def test_scopes_for_single_objects_may_grow_and_not_shrink() -> None:
    """A scope for some ids is compared by them; what covered all must cover all."""
    old = ends(granular_scopes={"pages_messaging": frozenset({"1", "2"})})
    assert objection(old, replace(LATER, granular_scopes={"pages_messaging": frozenset({"1", "2", "3"})})) is None
    assert objection(old, replace(LATER, granular_scopes={"pages_messaging": None})) is None
    assert objection(old, replace(LATER, granular_scopes={"pages_messaging": frozenset({"1"})})) is not None


def test_a_failure_is_a_notice_while_its_token_is_in_use() -> None:
    """A failed try stands beside the system user in every report until another token is there, and changes no state."""
    shown = with_renewal(user_token(), tried(HOUR / 2))
    assert shown.verdict.state is State.VALID
    assert shown.verdict.notices == (*user_token().verdict.notices, FAILED)
    for last in (None, tried(HOUR, token="another"), tried(HOUR, problem=None)):
        assert with_renewal(user_token(), last) == user_token()
    assert with_renewal(UNREAD, tried(HOUR)) == UNREAD


def test_the_expiry_of_a_renewed_token_is_no_notice() -> None:
    """Where another token has taken its place an ending one is no notice any more, and all else that is said of it stays."""
    ending, other = Problem("system-user-expiring", "It ends."), Problem("data-access-expiring", "So does this.")
    of = replace(user_token(), verdict=replace(user_token().verdict, notices=(ending, other)))
    assert with_renewal(of, tried(HOUR, problem=None, became="abc")).verdict.notices == (other,)
    assert with_renewal(of, tried(HOUR, problem=None, became="abc", token="another")) == of


@pytest.mark.parametrize(
    ("left", "before", "day", "reports"),
    [
        pytest.param(15 * DAY, None, None, False, id="long"),
        pytest.param(14 * DAY, None, None, False, id="exactly fourteen days"),
        pytest.param(13 * DAY, None, 14, True, id="within fourteen"),
        pytest.param(12 * DAY, 14, 14, False, id="reported already"),
        pytest.param(6 * DAY, 14, 7, True, id="within seven"),
        pytest.param(2 * DAY, 7, 3, True, id="within three"),
        pytest.param(2 * DAY, 3, 3, False, id="reported at three"),
        pytest.param(DAY / 2, 3, 1, True, id="the last day"),
        pytest.param(DAY / 2, None, 1, True, id="first seen on the last day: once"),
        pytest.param(DAY / 2, 1, 1, False, id="reported on the last day"),
        pytest.param(6 * DAY, 3, 3, False, id="a clock was set back"),
    ],
)
def test_each_day_is_reported_once(left: timedelta, before: int | None, day: int | None, reports: bool) -> None:
    """An end is spoken of at 14, 7, 3 and 1 days, each once, and a start that knows nothing speaks of it at once."""
    known = {} if before is None else {USER_TOKEN_FINGERPRINT: before}
    after, names = expiry_warnings({"main": user_token(NOW + left)}, known, (), NOW)
    assert after == ({} if day is None else {USER_TOKEN_FINGERPRINT: day})
    assert names == (("main",) if reports else ())


@pytest.mark.parametrize("day", WARN_DAYS)
@pytest.mark.parametrize("known", [{}, {USER_TOKEN_FINGERPRINT: 14}], ids=["first start", "reported at fourteen"])
@pytest.mark.parametrize(
    "early", [5 * HOUR, HOUR / 6, timedelta(seconds=1), timedelta(0), timedelta(seconds=-1)], ids=str
)
def test_no_two_days_are_reported_within_hours(early: timedelta, known: Mapping[str, int], day: int) -> None:
    """Cycles of 15 minutes, from about so many days before an expiry, report it at each day once; a first report counts for a day close by."""
    expires_at, reported_at, days = NOW + day * DAY + early, [], [one for one in WARN_DAYS if one <= day]
    if known and day == 14:
        days.remove(14)
    for cycle in range(day * 96):
        now = NOW + cycle * timedelta(minutes=15)
        of = replace(UNREAD, token=USER_TOKEN, verdict=judge_user_token(ends(expires_at), APP_ID, now))
        known, names = expiry_warnings({"main": of}, known, (), now + timedelta(seconds=2))
        reported_at += [now] * len(names)
    assert len(reported_at) == len(days)
    assert all(later - before > 5 * HOUR for before, later in pairwise(reported_at))


def test_what_is_reported_has_its_notice() -> None:
    """A token that reaches its day between its verdict and the report is reported by the next cycle, which has the notice."""
    judged = replace(user_token(NOW + 14 * DAY), verdict=Verdict(State.VALID, facts=ends(NOW + 14 * DAY)))
    assert expiry_warnings({"main": judged}, {}, (), NOW + timedelta(seconds=2)) == ({}, ())


def test_what_was_reported_is_kept_while_nothing_is_known() -> None:
    """A cycle in which Meta could not be asked neither reports again nor forgets; another token has its own days."""
    known = {USER_TOKEN_FINGERPRINT: 7, "gone": 3}
    for quiet in (NOT_JUDGED, user_token(NOW + 2 * DAY, state=State.UNKNOWN)):
        assert expiry_warnings({"main": quiet}, known, (), NOW) == ({USER_TOKEN_FINGERPRINT: 7}, ())
    assert expiry_warnings({"main": UNREAD}, known, (), NOW) == (known, ())
    assert expiry_warnings({"main": UNREAD, "other": user_token(NEVER)}, known, (), NOW) == (known, ())
    assert expiry_warnings({}, known, (), NOW) == (known, ())
    assert expiry_warnings({"main": user_token(NEVER)}, known, (), NOW)[1] == ()


def test_whose_renewal_is_at_hand_is_not_spoken_of() -> None:
    """What is renewed in time is not reported; where the renewal failed the expiry is reported as usual."""
    assert expiry_warnings({"main": user_token()}, {}, ("main",), NOW) == ({}, ())
    assert is_renewed_in_time(user_token(NOW + 14 * DAY), WANTED, None, NOW)
    assert is_renewed_in_time(user_token(), WANTED, tried(HOUR / 2, problem=None, became="new"), NOW)
    assert not is_renewed_in_time(user_token(), WANTED, tried(HOUR / 2), NOW)
    assert not is_renewed_in_time(user_token(), WANTED, None, NOW)
    assert not is_renewed_in_time(user_token(), WANTED, tried(HOUR, problem=None, token="another"), NOW)
