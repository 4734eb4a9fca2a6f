"""Which problems began, last and ended: each cause is logged when it begins, once a day, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.decide import Candidate, Current
from sync.core.judge.verify import verify
from sync.core.memory.problems import OpenProblem, ProblemKey
from sync.core.model import SourceError, State, Stored, SystemUserToken, Verdict
from sync.core.plan.model import PagePlan
from sync.core.plan.plan import Plan
from sync.core.problems import Problem
from sync.core.report.build import report
from sync.core.report.events import Event, events
from sync.core.report.report import Report
from tests.support.reports import FRAME, GOOD, MAIN, of
from tests.support.values import INSTANCE, NOW, STORE_DOWN, USER_TOKEN, current, fetched, judged, page, payload, stored

NO_ACCESS = Problem("no-access", "No token.")
INVALID = Problem("system-user-invalid", "It was revoked.")
HOUR = timedelta(hours=1)


def candidate(problem: Problem, scope: Any = "page", state: Any = State.INVALID) -> Candidate:
    """Return the candidate of a Page for which Graph gave an error."""
    return Candidate(None, verify(SourceError(problem, state, scope), page=page(), now=NOW))


LOST = candidate(NO_ACCESS)
THROTTLED = candidate(Problem("throttled", "Too many."), "app", State.UNKNOWN)
GRAPH_DOWN = candidate(Problem("graph-unavailable", "Silence."), "app", State.UNKNOWN)
OF_INVALID_USER = candidate(INVALID, "system_user", State.UNKNOWN)
FOREIGN = current(Stored(payload(), "2", None))


class Watch:
    """Cycles one after the other, each of which knows what the one before it left open."""

    def __init__(self) -> None:
        self.now = NOW
        self.open: Mapping[ProblemKey, OpenProblem] = {}

    def cycle(
        self, *pages: PagePlan, user_token: SystemUserToken = MAIN, after: timedelta = HOUR
    ) -> Sequence[tuple[str, str]]:
        """Return the events of the next cycle with their problems, without its end."""
        found = list(events(self.report(*pages, user_token=user_token, after=after)))[:-1]
        return [(event.name, event.fields["problem"]) for event in found]

    def report(self, *pages: PagePlan, user_token: SystemUserToken = MAIN, after: timedelta = HOUR) -> Report:
        """Return the report of the next cycle."""
        self.now += after
        plan = Plan(pages, (user_token,), (), {}, "")
        made = report(plan, replace(FRAME, started_at=self.now), {}, instance=INSTANCE, known=self.open)
        self.open = made.changes.open
        return made


def two(candidate: Candidate, there: Current = GOOD) -> tuple[PagePlan, PagePlan]:
    """Return two Pages that are alike."""
    return of(candidate, there, name="berlin"), of(candidate, there, name="rome")


def test_a_cause_is_logged_when_it_begins_once_a_day_and_when_it_ends() -> None:
    """In three days of a cause there are a line when it begins, a reminder each day, and a line when it ends."""
    watch = Watch()
    logged = [(hour, name) for hour in range(72) for name, _ in watch.cycle(*two(LOST))]
    logged += [(72, name) for name, _ in watch.cycle(*two(fetched()))]
    assert logged == [(0, "problem_started"), (24, "problem_reminder"), (48, "problem_reminder"), (72, "problem_ended")]
    assert watch.cycle(*two(fetched())) == []


def test_the_end_has_how_long_the_cause_lasted() -> None:
    """The last line of a cause has since when it lasted, for how long, and what it was."""
    watch = Watch()
    watch.cycle(*two(LOST))
    watch.cycle(*two(LOST))
    (ended, _) = events(watch.report(*two(fetched())))
    assert ended == Event(
        "info",
        "problem_ended",
        {
            "system_user": "main",
            "problem": "no-access",
            "message": "Ended after 2:00:00: The system user cannot get a token of this Page.",
            "since": "2026-11-25T13:00:00Z",
            "duration_ms": 7_200_000,
        },
    )


def test_a_reminder_has_since_when_the_cause_lasts() -> None:
    """A reminder is the first line again, with since when."""
    watch = Watch()
    (began, _) = events(watch.report(*two(LOST)))
    (reminder, _) = events(watch.report(*two(LOST), after=timedelta(hours=24)))
    assert reminder.fields == {**began.fields, "since": "2026-11-25T13:00:00Z"}


def test_a_page_more_or_less_is_the_same_cause() -> None:
    """The number of Pages that have a problem changes nothing while one has it."""
    watch = Watch()
    assert watch.cycle(*two(LOST)) == [("problem_started", "no-access")]
    assert watch.cycle(of(LOST, GOOD), of(fetched(), GOOD, name="rome")) == []
    assert watch.cycle(*two(LOST)) == []


def test_a_cause_that_begins_again_is_logged_again() -> None:
    """A cause that ended and comes back is a new one."""
    watch = Watch()
    names = [watch.cycle(*two(now)) for now in (LOST, fetched(), LOST)]
    assert names == [
        [("problem_started", "no-access")],
        [("problem_ended", "no-access")],
        [("problem_started", "no-access")],
    ]


@pytest.mark.parametrize("hidden", [THROTTLED, GRAPH_DOWN, OF_INVALID_USER])
def test_a_cause_that_cannot_be_seen_has_not_ended(hidden: Candidate) -> None:
    """While a Page cannot be asked for, its own problem is neither ended nor reminded of; later it ends."""
    watch = Watch()
    watch.cycle(*two(LOST))
    (other,) = watch.cycle(*two(hidden), after=timedelta(hours=25))
    assert other[0] in ("graph_throttled", "problem_started", "system_user_invalid")
    assert ("problem_ended", "no-access") in watch.cycle(*two(fetched()))
    assert watch.open == {}


def test_an_app_s_problem_lasts_while_graph_is_silent() -> None:
    """A refused app has not ended because Graph could not be reached."""
    watch = Watch()
    blocked = candidate(Problem("app-blocked", "Blocked."), "app", State.UNKNOWN)
    assert watch.cycle(*two(blocked)) == [("app_refused", "app-blocked")]
    assert watch.cycle(*two(GRAPH_DOWN)) == [("problem_started", "graph-unavailable")]
    assert sorted(watch.cycle(*two(fetched()))) == [
        ("problem_ended", "app-blocked"),
        ("problem_ended", "graph-unavailable"),
    ]


def test_a_system_user_s_problem_ends_with_its_token() -> None:
    """An invalid system user ends when its token is valid, and not while nothing is known of it."""
    watch = Watch()
    invalid = replace(MAIN, token=USER_TOKEN, verdict=Verdict(State.INVALID, (INVALID,)))
    assert watch.cycle(*two(OF_INVALID_USER), user_token=invalid) == [("system_user_invalid", "system-user-invalid")]
    unknown = replace(MAIN, verdict=Verdict(State.UNKNOWN))
    assert watch.cycle(*two(Candidate(None, Verdict(State.UNKNOWN))), user_token=unknown) == []
    assert watch.cycle(*two(fetched())) == [("problem_ended", "system-user-invalid")]


def test_a_refused_secret_lasts_while_its_store_fails() -> None:
    """What was found in a store has not ended because the store could not be read."""
    watch = Watch()
    assert watch.cycle(*two(fetched(), FOREIGN)) == [("page_refused", "secret-foreign")]
    assert watch.cycle(*two(fetched(), current(STORE_DOWN))) == [("store_failed", "store-failed")]
    assert watch.cycle(*two(fetched(), FOREIGN)) == [("problem_ended", "store-failed")]
    assert watch.cycle(*two(fetched())) == [("problem_ended", "secret-foreign")]


def test_two_errors_of_a_store_are_two_causes_that_do_not_alternate() -> None:
    """A store that fails now in one way, now in another, begins each once and ends both when it works."""
    watch = Watch()
    ways = [current(STORE_DOWN), current(replace(STORE_DOWN, error_code="timeout"))] * 3
    logged = [name for way in ways for name, _ in watch.cycle(*two(fetched(), way))]
    assert logged == ["store_failed", "store_failed"]
    assert [name for name, _ in watch.cycle(*two(fetched()))] == ["problem_ended", "problem_ended"]


def test_a_clock_that_was_set_back_costs_one_reminder() -> None:
    """A line that seems to lie in the future is logged again at once, and no duration is negative."""
    watch = Watch()
    watch.cycle(*two(LOST))
    assert watch.cycle(*two(LOST), after=-timedelta(hours=5)) == [("problem_reminder", "no-access")]
    assert watch.cycle(*two(LOST)) == []
    (ended, _) = events(watch.report(*two(fetched())))
    assert ended.fields["duration_ms"] == 0


def test_a_notice_is_no_cause_in_the_log() -> None:
    """What changes no result has no line of its own when it begins or ends."""
    watch = Watch()
    expiring = replace(MAIN, verdict=replace(MAIN.verdict, notices=(Problem("system-user-expiring", "Soon."),)))
    assert watch.cycle(*two(fetched()), user_token=expiring) == []
    assert watch.open == {}


def test_a_cause_that_becomes_worse_is_logged_again() -> None:
    """Twice as many Pages, or a stored token that stops working, are logged before the day is over."""
    watch = Watch()
    assert watch.cycle(of(LOST, GOOD), of(fetched(), GOOD, name="rome")) == [("problem_started", "no-access")]
    assert watch.cycle(*two(LOST)) == [("problem_reminder", "no-access")]
    assert watch.cycle(*two(LOST)) == []
    broken = watch.cycle(*two(LOST, current(stored(), judged(is_valid=False))))
    assert ("problem_reminder", "no-access") in broken
    assert watch.cycle(*two(LOST, current(stored(), judged(is_valid=False)))) == []


def test_a_failed_write_has_not_ended_while_no_write_is_tried() -> None:
    """Where Graph gives no token nothing is written, so that a store that refused a write may refuse the next one too."""
    watch = Watch()
    watch.cycle(*two(fetched(), current(STORE_DOWN)))
    assert ("problem_ended", "store-failed") not in watch.cycle(*two(GRAPH_DOWN))
    assert ("problem_ended", "store-failed") in watch.cycle(*two(fetched()))


def test_what_is_unknown_of_a_system_user_is_not_called_invalid() -> None:
    """An error of Graph's about a system user's token is a problem, and does not say that the token stopped working."""
    watch = Watch()
    odd = Verdict(State.UNKNOWN, (Problem("unexpected-graph-error", "Code 99."),))
    (began,) = watch.cycle(*two(fetched()), user_token=replace(MAIN, verdict=odd))
    assert began == ("problem_started", "unexpected-graph-error")
