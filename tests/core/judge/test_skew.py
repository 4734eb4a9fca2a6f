"""Two clocks that disagree: what is reported, and what is still decided."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.core.judge.decide import Kind
from sync.core.judge.skew import judging_times, skew_warning
from sync.core.model import Absent, Fetched, State, Stored, SystemUserToken, TokenFacts, Verdict
from sync.core.plan.observation import Observation
from sync.core.plan.plan import Plan, plan
from tests.support.values import (
    FETCHED,
    INSTANCE,
    KEY,
    NOW,
    OTHER,
    USER_TOKEN,
    WEEK,
    facts,
    marks,
    page,
    payload,
    stored,
)

MINUTE = timedelta(minutes=1)
USER = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.VALID, facts=facts(type="SYSTEM_USER")))


def planned(current: Stored | Absent, skew: timedelta, **said: TokenFacts) -> Plan:
    """Plan for the Page berlin, with what Meta says of the ``fetched`` and the ``stored`` token."""
    tokens = {"fetched": FETCHED, "stored": OTHER}
    observed = Observation(
        pages=[page()],
        instance=INSTANCE,
        user_tokens={"main": USER},
        fetched={"berlin": Fetched(FETCHED)},
        current={KEY: current},
        facts={("messenger", tokens[name]): each for name, each in said.items()},
        skew=skew,
    )
    return plan(observed, now=NOW)


@pytest.mark.parametrize(
    ("skew", "words"),
    [
        (timedelta(0), None),
        (60 * timedelta(seconds=1), None),
        (-60 * timedelta(seconds=1), None),
        (61 * timedelta(seconds=1), "61 seconds behind Meta's"),
        (-5 * MINUTE, "5 minutes ahead of Meta's"),
        (10 * MINUTE, "10 minutes behind Meta's: set it right, and keep it so by NTP. Until then"),
    ],
)
def test_a_wrong_clock_is_reported(skew: timedelta, words: str | None) -> None:
    """From a minute on a warning says how wrong the clock is and in which direction, and from five minutes on what follows."""
    text = skew_warning(skew)
    assert text is None if words is None else text is not None and words in text


@pytest.mark.parametrize(("minutes", "times"), [(0, 1), (5, 1), (-5, 1), (5.1, 2), (-1440, 2)])
def test_beyond_five_minutes_both_clocks_judge(minutes: float, times: int) -> None:
    """A small skew is ignored; with a larger one Meta's time counts too."""
    assert judging_times(NOW, minutes * MINUTE)[1:] == (NOW + minutes * MINUTE,)[: times - 1]


@pytest.mark.parametrize(
    ("left", "skew", "state", "kind"),
    [
        (WEEK + 3 * MINUTE, timedelta(0), State.VALID, Kind.CREATED),
        (WEEK + 3 * MINUTE, 4 * MINUTE, State.VALID, Kind.CREATED),
        (WEEK + 3 * MINUTE, 10 * MINUTE, State.UNKNOWN, Kind.KEPT),
        (WEEK - 3 * MINUTE, 10 * MINUTE, State.INVALID, Kind.KEPT),
        (WEEK - 3 * MINUTE, -10 * MINUTE, State.UNKNOWN, Kind.KEPT),
        (60 * 24 * 60 * MINUTE, -24 * 60 * MINUTE, State.VALID, Kind.CREATED),
    ],
)
def test_what_only_one_clock_accepts_is_not_proven(left: timedelta, skew: timedelta, state: State, kind: Kind) -> None:
    """A fetched token is valid where it expires late enough by both clocks, and unknown where they differ."""
    entry = planned(Absent(), skew, fetched=facts(expires_at=NOW + left)).pages[0]
    assert (entry.candidate.verdict.state, entry.targets[0].action.kind) == (state, kind)
    codes = [problem.code for problem in entry.candidate.verdict.problems]
    assert ("clock-skew" in codes) == (state is State.UNKNOWN)


@pytest.mark.parametrize(
    ("left", "skew", "kind"),
    [
        (2 * WEEK - 3 * MINUTE, timedelta(0), Kind.REPLACED),
        (2 * WEEK - 3 * MINUTE, -10 * MINUTE, Kind.KEPT),
        (2 * WEEK + 3 * MINUTE, 10 * MINUTE, Kind.KEPT),
        (2 * WEEK - 3 * MINUTE, 10 * MINUTE, Kind.REPLACED),
    ],
)
def test_what_only_one_clock_would_rotate_stays(left: timedelta, skew: timedelta, kind: Kind) -> None:
    """A stored token that works is replaced near its expiry only where both clocks agree."""
    current = stored(payload=payload(OTHER), marks=marks(OTHER))
    entry = planned(current, skew, fetched=facts(), stored=facts(expires_at=NOW + left)).pages[0]
    assert entry.targets[0].action.kind is kind


def test_a_stored_token_is_not_doubted_for_a_clock() -> None:
    """A stored token whose expiry the clocks judge differently stays valid, with a notice that names the clock."""
    current = stored(payload=payload(OTHER), marks=marks(OTHER))
    said = facts(expires_at=NOW + WEEK - 3 * MINUTE)
    verdict = planned(current, -10 * MINUTE, fetched=facts(), stored=said).pages[0].targets[0].current.verdict
    assert verdict.state is State.VALID
    assert [notice.code for notice in verdict.notices] == ["clock-skew"]


@pytest.mark.parametrize("skew", [timedelta(0), 3650 * 24 * 60 * MINUTE, -3650 * 24 * 60 * MINUTE])
def test_what_meta_refuses_is_invalid_by_any_clock(skew: timedelta) -> None:
    """A token that debug_token calls invalid is invalid by any clock, whatever its expiry."""
    said = facts(is_valid=False, expires_at=NOW + timedelta(days=1))
    current = stored(payload=payload(OTHER), marks=marks(OTHER))
    entry = planned(current, skew, fetched=facts(), stored=said).pages[0]
    assert entry.targets[0].current.verdict.state is State.INVALID
    assert entry.targets[0].action.kind is Kind.REPLACED
