"""Which causes began, last and ended: each is logged when it begins, once a day, and when it ends, with its Pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.decide import Candidate, Current
from sync.core.judge.verify import verify
from sync.core.memory.problems import Reported
from sync.core.model import Absent, SourceError, State, Stored, StoreError, SystemUserToken, Verdict, Written
from sync.core.plan.guards import hold
from sync.core.plan.model import PagePlan
from sync.core.plan.plan import Plan
from sync.core.problems import Problem
from sync.core.report.build import Outcome, report
from sync.core.report.cause_events import duration
from sync.core.report.changes import and_warned
from sync.core.report.event import Event
from sync.core.report.events import events
from sync.core.report.report import Report
from tests.support.reports import FRAME, GOOD, MAIN, of
from tests.support.values import (
    INSTANCE,
    NOW,
    OTHER,
    STORE_DOWN,
    USER_TOKEN,
    current,
    fetched,
    judged,
    page,
    payload,
    stored,
)

NO_ACCESS = Problem("no-access", "No token.")
INVALID = Problem("system-user-invalid", "It was revoked.")
ODD = Problem("unexpected-graph-error", "An error.", graph_code=1)
HOUR = timedelta(hours=1)
CYCLE = timedelta(minutes=15)


def candidate(problem: Problem, scope: Any = "page", state: Any = State.INVALID) -> Candidate:
    """Return the candidate of a Page for which Graph gave an error."""
    return Candidate(None, verify(SourceError(problem, state, scope), page=page(), now=NOW))


LOST = candidate(NO_ACCESS)
THROTTLED = candidate(Problem("throttled", "Too many."), "app", State.UNKNOWN)
GRAPH_DOWN = candidate(Problem("graph-unavailable", "Silence."), "app", State.UNKNOWN)
OF_INVALID_USER = candidate(INVALID, "system_user", State.UNKNOWN)
FOREIGN = current(Stored(payload(), "2", None))
DEAD = current(stored(OTHER), judged(is_valid=False))
DENIED = current(StoreError("denied", "The policy denies update.", "Grant it."))


class Watch:
    """Cycles one after the other, each of which knows what the one before it reported."""

    def __init__(self) -> None:
        self.now = NOW
        self.reported = Reported()

    def cycle(
        self, *pages: PagePlan, user_token: SystemUserToken = MAIN, after: timedelta = HOUR, **frame: Any
    ) -> Sequence[tuple[str, str | None]]:
        """Return the events of the next cycle with their problems, without its end."""
        return [
            (event.name, event.fields.get("problem"))
            for event in self.events(*pages, user_token=user_token, after=after, **frame)
        ]

    def events(self, *pages: PagePlan, **changes: Any) -> Sequence[Event]:
        """Return the events of the next cycle, without its end."""
        return list(events(self.report(*pages, **changes)))[:-1]

    def report(
        self,
        *pages: PagePlan,
        user_token: SystemUserToken = MAIN,
        after: timedelta = HOUR,
        checksum: str = "",
        outcomes: dict[Any, Outcome] | None = None,
        is_check: bool = False,
        **frame: Any,
    ) -> Report:
        """Return the report of the next cycle, or of a check of some Pages."""
        self.now += after
        plan = Plan(pages, (user_token,), (), {}, checksum)
        framed = replace(FRAME, started_at=self.now, **frame)
        made = report(plan, framed, outcomes or {}, instance=INSTANCE, before=self.reported, is_check=is_check)
        self.reported = made.changes.reported
        return made


def two(candidate: Candidate, there: Current = GOOD) -> tuple[PagePlan, PagePlan]:
    """Return two Pages that are alike."""
    return of(candidate, there, name="berlin"), of(candidate, there, name="rome")


def held(*names: str, reason: str = "hold") -> list[PagePlan]:
    """Return Pages whose write is held."""
    pages = [of(fetched(), current(stored(OTHER), judged(scopes=frozenset())), name=name) for name in names]
    return [
        replace(one, targets=tuple(replace(target, action=hold(target.action, reason)) for target in one.targets))
        for one in pages
    ]


def named(event: Event) -> list[str]:
    """Return the names of a line's Pages."""
    return event.fields.get("pages") or [event.fields["page"]]


def test_a_cause_is_logged_when_it_begins_once_a_day_and_when_it_ends() -> None:
    """In three days of a cause there are a line when it begins, a reminder each day, and a line when it ends."""
    watch = Watch()
    logged = [(hour, name) for hour in range(72) for name, _ in watch.cycle(*two(LOST))]
    logged += [(72, name) for name, _ in watch.cycle(*two(fetched()))]
    assert logged == [(0, "problem_started"), (24, "problem_reminder"), (48, "problem_reminder"), (72, "problem_ended")]
    assert watch.cycle(*two(fetched())) == []


def test_the_end_has_how_long_the_cause_lasted_and_its_pages() -> None:
    """The last line of a cause has since when it lasted, for how long, whom it concerned, and reads as over."""
    watch = Watch()
    watch.cycle(*two(LOST))
    watch.cycle(*two(LOST))
    (ended,) = watch.events(*two(fetched()))
    assert ended == Event(
        "info",
        "problem_ended",
        {
            "pages": ["berlin", "rome"],
            "page_count": 2,
            "system_user": "main",
            "problem": "no-access",
            "message": "no-access is over; it lasted 2 h.",
            "resolution": "resolved",
            "since": "2026-11-25T13:00:00Z",
            "duration_ms": 7_200_000,
        },
    )


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=15), "15 min"),
        (timedelta(minutes=61, seconds=5), "1 h 1 min"),
        (timedelta(days=2, minutes=3), "2 d"),
        (timedelta(days=400, hours=1), "400 d 1 h"),
    ],
)
def test_a_length_of_time_is_written_in_its_two_largest_units(length: timedelta, text: str) -> None:
    """A person reads how long it lasted without counting."""
    assert duration(length) == text


def test_a_reminder_has_since_when_the_cause_lasts() -> None:
    """A reminder is the first line again, with since when."""
    watch = Watch()
    (began,) = watch.events(*two(LOST))
    (reminder,) = watch.events(*two(LOST), after=timedelta(hours=24))
    assert reminder.fields == {**began.fields, "since": "2026-11-25T13:00:00Z"}


def test_a_page_that_joins_or_leaves_a_cause_is_named() -> None:
    """Each Page has its own problem: a line names it when it joins, and when it leaves, and says nothing of the others."""
    watch = Watch()
    (began,) = watch.events(of(LOST, GOOD), of(fetched(), GOOD, name="rome"))
    (joined,) = watch.events(*two(LOST))
    (left,) = watch.events(of(fetched(), GOOD), of(LOST, GOOD, name="rome"))
    assert [(event.name, named(event)) for event in (began, joined, left)] == [
        ("problem_started", ["berlin"]),
        ("problem_started", ["rome"]),
        ("problem_ended", ["berlin"]),
    ]
    assert left.fields["duration_ms"] == 7_200_000
    (last,) = watch.events(*two(fetched()))
    assert (named(last), last.fields["duration_ms"]) == (["rome"], 7_200_000)


def test_a_reminder_names_all_pages_of_a_cause_once_a_day() -> None:
    """However many Pages joined at different hours, the reminder of a cause is one line a day."""
    watch = Watch()
    watch.cycle(of(LOST, GOOD), of(fetched(), GOOD, name="rome"))
    watch.cycle(*two(LOST))
    reminders = [(hour, named(one)) for hour in range(2, 60) for one in watch.events(*two(LOST))]
    assert reminders == [(24, ["berlin", "rome"]), (48, ["berlin", "rome"])]


@pytest.mark.parametrize(
    ("broken", "error_code"),
    [(FOREIGN, None), (DENIED, "denied")],
)
def test_a_secret_that_joins_a_cause_of_its_store_is_named(broken: Current, error_code: str | None) -> None:
    """What concerns single secrets of a store is a line for each that joins."""
    watch = Watch()
    watch.cycle(of(fetched(), broken), of(fetched(), GOOD, name="rome"))
    (joined,) = [event for event in watch.events(*two(fetched(), broken)) if event.name != "served_changed"]
    assert (named(joined), joined.fields.get("error_code")) == (["rome"], error_code)


def test_a_page_that_joins_a_cause_of_all_is_no_news() -> None:
    """What all Pages of an app, a system user or a store share is one line, whoever meets it when."""
    for shared in (of(THROTTLED, GOOD, name="rome"), of(fetched(), current(STORE_DOWN), name="rome")):
        watch = Watch()
        first = replace(shared, page=replace(shared.page, name="berlin"))
        assert len(watch.cycle(first)) == 1
        assert [event.name for event in watch.events(first, shared)] == []


def test_a_cause_that_begins_again_is_logged_again() -> None:
    """A cause that was over for more than an hour and comes back is a new one."""
    watch = Watch()
    names = [watch.cycle(*two(now), after=2 * HOUR) for now in (LOST, fetched(), fetched(), LOST)]
    assert names == [
        [("problem_started", "no-access")],
        [("problem_ended", "no-access")],
        [],
        [("problem_started", "no-access")],
    ]
    (ended,) = watch.events(*two(fetched()))
    assert ended.fields["duration_ms"] == 3_600_000


def test_a_problem_that_another_person_must_solve_since_is_not_over() -> None:
    """Where only the owner of a problem changes, its first line for the new owner is logged, and no line says that it ended."""
    watch = Watch()
    mine = candidate(replace(NO_ACCESS, owner="operator"))
    assert watch.cycle(of(LOST, GOOD)) == [("problem_started", "no-access")]
    assert watch.cycle(of(mine, GOOD)) == [("problem_started", "no-access")]
    assert watch.cycle(of(fetched(), GOOD)) == [("problem_ended", "no-access")]


def test_a_problem_lasts_since_it_began_whoever_must_act() -> None:
    """Each owner's line says once since when a problem lasts, also where they alternate, and its end counts from its beginning."""
    watch = Watch()
    mine = candidate(replace(NO_ACCESS, owner="operator"))
    cycles = (LOST, mine, LOST, mine, fetched())
    lines = [(number, one) for number, found in enumerate(cycles) for one in watch.events(of(found, GOOD), after=CYCLE)]
    assert [(number, event.name, event.fields.get("owner"), event.fields.get("since")) for number, event in lines] == [
        (0, "problem_started", "business-admin", None),
        (1, "problem_started", "operator", "2026-11-25T12:15:00Z"),
        (4, "problem_ended", None, "2026-11-25T12:15:00Z"),
    ]
    assert lines[-1][1].fields["duration_ms"] == 3_600_000


def test_a_problem_that_recurs_for_one_owner_ends_for_none_of_them() -> None:
    """While a problem that recurs may come back for one owner, no line says that it is over for another."""
    watch = Watch()
    mine = candidate(replace(NO_ACCESS, owner="operator"))
    cycles = (LOST, fetched(), mine, LOST, fetched(), LOST, mine, fetched())
    lines = [(number, one) for number, found in enumerate(cycles) for one in watch.events(of(found, GOOD), after=CYCLE)]
    assert [(number, event.name, event.fields.get("owner")) for number, event in lines] == [
        (0, "problem_started", "business-admin"),
        (1, "problem_ended", None),
        (2, "problem_started", "operator"),
        (3, "problem_started", "business-admin"),
    ]
    away = [(number, event.name) for number in range(8) for event in watch.events(of(fetched(), GOOD), after=CYCLE)]
    assert away == [(2, "problem_ended")]


def test_a_problem_of_pages_that_their_system_user_has_too_began_once() -> None:
    """What single Pages have and their system user's token has at times is one problem: it begins once and ends once."""
    watch = Watch()
    odd = candidate(ODD, "page", State.UNKNOWN)
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    lines = [
        (number, event)
        for number, (found, user_token) in enumerate(
            [(odd, MAIN), (odd, user_has_it), (odd, MAIN), (odd, user_has_it), (fetched(), MAIN)]
        )
        for event in watch.events(*two(found, GOOD), user_token=user_token, after=CYCLE)
    ]
    assert [(number, event.name, named(event), event.fields.get("since")) for number, event in lines] == [
        (0, "problem_started", ["berlin", "rome"], None),
        (4, "problem_ended", ["berlin", "rome"], "2026-11-25T12:15:00Z"),
    ]
    assert lines[-1][1].fields["duration_ms"] == 3_600_000


@pytest.mark.parametrize("owner", ["operator", "meta"])
def test_a_problem_of_the_token_lasts_since_its_pages_had_it(owner: str) -> None:
    """Where another must act once the token has the problem too, his line says since when the Pages have it."""
    watch = Watch()
    odd = replace(ODD, owner="operator")
    watch.cycle(*two(candidate(odd, "page", State.UNKNOWN), GOOD))
    theirs = replace(ODD, owner=owner)
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(theirs,)))
    lines = watch.events(*two(candidate(theirs, "page", State.UNKNOWN), GOOD), user_token=user_has_it)
    assert [(event.name, event.fields["owner"], event.fields["since"]) for event in lines] == (
        [] if owner == "operator" else [("problem_started", "meta", "2026-11-25T13:00:00Z")]
    )


def test_a_page_that_joins_is_news_also_where_the_token_has_the_problem() -> None:
    """Where the token has a problem that not all of the Pages had, one line names them all and since when the first has it."""
    watch = Watch()
    odd = candidate(ODD, "page", State.UNKNOWN)
    watch.cycle(of(odd, GOOD, name="berlin"), of(fetched(), GOOD, name="rome"))
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    (begun,) = watch.events(*two(odd, GOOD), user_token=user_has_it)
    assert (named(begun), begun.fields["since"]) == (["berlin", "rome"], "2026-11-25T13:00:00Z")


def test_a_problem_of_the_token_is_not_over_while_its_pages_have_it() -> None:
    """Where the token had the problem alone and its Pages have it next, that begins nothing, and it ends once."""
    watch = Watch()
    odd = candidate(ODD, "page", State.UNKNOWN)
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    cycles = [
        (odd, user_has_it),
        (fetched(), user_has_it),
        (odd, MAIN),
        (fetched(), user_has_it),
        (odd, MAIN),
        (fetched(), MAIN),
    ]
    lines = [
        (number, event.name)
        for number, (found, user_token) in enumerate(cycles)
        for event in watch.events(*two(found, GOOD), user_token=user_token, after=CYCLE)
    ]
    assert lines == [(0, "problem_started"), (5, "problem_ended")]


def test_a_problem_of_the_token_is_not_over_while_a_page_of_it_cannot_be_seen() -> None:
    """Where one of its Pages is not read, the problem of the token waits for it, and ends with the Page's, once."""
    watch = Watch()
    odd, blocked = candidate(ODD, "page", State.UNKNOWN), candidate(Problem("policy-blocked", "No."), "page")
    blocked = replace(blocked, verdict=replace(blocked.verdict, state=State.UNKNOWN))
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    watch.cycle(*two(fetched(), GOOD), user_token=user_has_it, after=CYCLE)
    watch.cycle(of(fetched(), GOOD, name="berlin"), of(odd, GOOD, name="rome"), after=CYCLE)
    unread = (of(fetched(), GOOD, name="berlin"), of(blocked, GOOD, name="rome"))
    assert [problem for _, problem in watch.cycle(*unread, after=CYCLE)] == ["policy-blocked"]
    ended = [one for one in watch.events(*two(fetched(), GOOD), after=CYCLE) if one.fields["problem"] == ODD.code]
    assert [(one.name, one.fields["since"]) for one in ended] == [("problem_ended", "2026-11-25T12:15:00Z")]


def test_a_problem_of_the_token_is_not_over_while_it_may_recur_at_a_page() -> None:
    """Where a Page's end waits for an hour, since the problem came back there, that of the token waits with it."""
    watch = Watch()
    odd = candidate(ODD, "page", State.UNKNOWN)
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    well = two(fetched(), GOOD)
    cycles = [(two(odd, GOOD), MAIN), (well, MAIN), (two(odd, GOOD), MAIN), (well, user_has_it), (well, MAIN)]
    cycles += [(well, MAIN)] * 6
    lines = [
        (number, event.name)
        for number, (pages, user_token) in enumerate(cycles)
        for event in watch.events(*pages, user_token=user_token, after=CYCLE)
    ]
    started, ended = "problem_started", "problem_ended"
    assert lines == [(0, started), (1, ended), (2, started), (3, started), (7, ended)]


@pytest.mark.parametrize("first", ["pages", "token"])
def test_a_problem_recurs_for_the_token_and_its_pages(first: str) -> None:
    """What Pages had and their system user's token has within an hour of its end recurs, and the other way round."""
    watch = Watch()
    odd = candidate(ODD, "page", State.UNKNOWN)
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    users = (MAIN, user_has_it) if first == "pages" else (user_has_it, MAIN)
    assert watch.cycle(*two(odd, GOOD), user_token=users[0], after=CYCLE) == [("problem_started", ODD.code)]
    assert watch.cycle(*two(fetched(), GOOD), after=CYCLE) == [("problem_ended", ODD.code)]
    (begun,) = watch.events(*two(odd, GOOD), user_token=users[1], after=CYCLE)
    assert (begun.name, begun.fields["since"]) == ("problem_started", "2026-11-25T12:15:00Z")
    assert "over for less than an hour" in begun.fields["message"]


def test_a_page_that_had_no_part_in_the_token_s_problem_is_news() -> None:
    """Where the token no longer has a problem, it begins for a Page that did not have it, and for no other; it ends for all."""
    watch = Watch()
    odd = candidate(ODD, "page", State.UNKNOWN)
    user_has_it = replace(MAIN, verdict=Verdict(State.UNKNOWN, problems=(ODD,)))
    berlin, rome = two(odd, GOOD)
    assert watch.cycle(berlin, two(fetched(), GOOD)[1], user_token=user_has_it) == [("problem_started", ODD.code)]
    assert watch.cycle(*two(fetched(), GOOD), user_token=user_has_it) == []
    (begun,) = watch.events(berlin, rome)
    assert (begun.name, named(begun)) == ("problem_started", ["rome"])
    (ended,) = watch.events(*two(fetched(), GOOD))
    assert (ended.name, sorted(named(ended))) == ("problem_ended", ["berlin", "rome"])


def test_a_cause_that_comes_and_goes_does_not_flood() -> None:
    """One that returns within an hour is said to recur, lasts until it was away for an hour, and then ends once."""
    watch = Watch()
    lines = [
        (number, event)
        for number in range(96)
        for event in watch.events(*two(LOST if number % 2 == 0 else fetched()), after=CYCLE)
    ]
    assert [(number, event.name) for number, event in lines] == [
        (0, "problem_started"),
        (1, "problem_ended"),
        (2, "problem_started"),
    ]
    assert "Its end is logged when it has been over for an hour." in lines[-1][1].fields["message"]
    assert lines[-1][1].fields["since"] == "2026-11-25T12:15:00Z"
    away = [(number, event.name) for number in range(8) for event in watch.events(*two(fetched()), after=CYCLE)]
    assert away == [(2, "problem_ended")]


@pytest.mark.parametrize("hidden", [THROTTLED, GRAPH_DOWN, OF_INVALID_USER])
def test_a_cause_that_cannot_be_seen_has_not_ended(hidden: Candidate) -> None:
    """While a Page cannot be asked for, its own problem is neither ended nor reminded of; later it ends."""
    watch = Watch()
    watch.cycle(*two(LOST))
    (other,) = watch.cycle(*two(hidden))
    assert other[0] in ("graph_throttled", "problem_started", "system_user_invalid")
    assert ("problem_ended", "no-access") in watch.cycle(*two(fetched()))


def test_a_page_that_can_be_seen_ends_though_another_cannot() -> None:
    """One Page that cannot be asked for hides no other Page's end."""
    watch = Watch()
    watch.cycle(*two(LOST))
    ended = watch.events(of(fetched(), GOOD), of(THROTTLED, GOOD, name="rome"))
    assert [(one.name, named(one)) for one in ended if one.name == "problem_ended"] == [("problem_ended", ["berlin"])]


def test_a_cause_that_cannot_be_seen_for_a_day_is_closed() -> None:
    """It counts as ended, is said to be unchecked, and is logged again where it is found again."""
    watch = Watch()
    watch.cycle(*two(LOST))
    ended = [event for _ in range(30) for event in watch.events(*two(THROTTLED)) if event.name == "problem_ended"]
    assert [event.fields["problem"] for event in ended] == ["no-access"]
    assert "could not be checked for a day" in ended[0].fields["message"]
    assert ended[0].fields["resolution"] == "unknown"
    assert ("problem_started", "no-access") in watch.cycle(*two(LOST))


def test_the_problem_of_a_page_that_is_no_longer_configured_ends() -> None:
    """A Page that leaves the configuration takes its problems with it, and the line says why."""
    watch = Watch()
    watch.cycle(*two(LOST))
    (ended,) = watch.events(of(LOST, GOOD))
    assert (ended.name, named(ended)) == ("problem_ended", ["rome"])
    assert "the configuration no longer has the Page" in ended.fields["message"]


DENIED_STORE = current(StoreError("login-refused", "The login is refused.", "Grant it."))


@pytest.mark.parametrize(
    ("before", "user_token", "after", "gone"),
    [
        (of(fetched(), GOOD, FOREIGN), MAIN, of(fetched(), GOOD), "secret"),
        (of(fetched(), GOOD, FOREIGN), MAIN, of(fetched(), GOOD, name="rome"), "Page"),
        (of(fetched(), GOOD, DENIED_STORE), MAIN, of(fetched(), GOOD), "store"),
        (
            of(OF_INVALID_USER, GOOD),
            replace(MAIN, token=USER_TOKEN, verdict=Verdict(State.INVALID, (INVALID,))),
            of(fetched(), GOOD, name="rome", system_user="other"),
            "system user",
        ),
    ],
)
def test_a_cause_whose_subject_was_removed_is_not_called_over(
    before: PagePlan, user_token: SystemUserToken, after: PagePlan, gone: str
) -> None:
    """An edit that removes what had a problem does not solve it: the line says what was removed."""
    watch = Watch()
    assert len(watch.cycle(before, user_token=user_token)) == 1
    (ended,) = watch.events(after, user_token=replace(MAIN, system_user=after.page.system_user))
    assert (ended.name, ended.fields["resolution"]) == ("problem_ended", "removed")
    assert f"is no longer checked, since the configuration no longer has the {gone}; it" in ended.fields["message"]


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


def test_graph_answers_where_it_refuses() -> None:
    """A throttle is an answer, so that the outage before it has ended."""
    watch = Watch()
    watch.cycle(*two(GRAPH_DOWN))
    assert watch.cycle(*two(THROTTLED)) == [("graph_throttled", "throttled"), ("problem_ended", "graph-unavailable")]


def test_a_system_user_s_problem_ends_with_its_token() -> None:
    """An invalid system user ends when its token is valid, and not while nothing is known of it."""
    watch = Watch()
    invalid = replace(MAIN, token=USER_TOKEN, verdict=Verdict(State.INVALID, (INVALID,)))
    assert watch.cycle(*two(OF_INVALID_USER), user_token=invalid) == [("system_user_invalid", "system-user-invalid")]
    unknown = replace(MAIN, verdict=Verdict(State.UNKNOWN))
    assert watch.cycle(*two(Candidate(None, Verdict(State.UNKNOWN))), user_token=unknown) == []
    (ended,) = watch.events(*two(fetched()))
    assert (ended.name, ended.fields["problem"], named(ended)) == (
        "problem_ended",
        "system-user-invalid",
        ["berlin", "rome"],
    )


def test_a_refused_secret_lasts_while_its_store_fails() -> None:
    """What was found in a store has not ended because the store could not be read."""
    watch = Watch()
    assert watch.cycle(*two(fetched(), FOREIGN)) == [("page_refused", "secret-foreign")]
    assert ("store_failed", "store-failed") in watch.cycle(*two(fetched(), current(STORE_DOWN)))
    assert ("problem_ended", "secret-foreign") not in watch.cycle(*two(fetched(), FOREIGN))
    assert ("problem_ended", "secret-foreign") in watch.cycle(*two(fetched()))


def test_two_errors_of_a_store_are_two_causes_that_do_not_alternate() -> None:
    """A store that fails now in one way, now in another, begins each once and ends both when it works."""
    watch = Watch()
    ways = [current(STORE_DOWN), current(replace(STORE_DOWN, error_code="timeout"))] * 3
    logged = [name for way in ways for name, _ in watch.cycle(*two(fetched(), way))]
    assert logged == ["store_failed", "store_failed"]
    ended = [name for name, _ in watch.cycle(*two(fetched())) if name != "served_changed"]
    assert ended == ["problem_ended", "problem_ended"]


def test_a_clock_that_was_set_back_costs_one_reminder() -> None:
    """A line that seems to lie in the future is logged again at once, and no duration is negative."""
    watch = Watch()
    watch.cycle(*two(LOST))
    assert watch.cycle(*two(LOST), after=-timedelta(hours=5)) == [("problem_reminder", "no-access")]
    assert watch.cycle(*two(LOST)) == []
    (ended,) = watch.events(*two(fetched()))
    assert ended.fields["duration_ms"] == 0


def test_a_notice_begins_and_ends_too() -> None:
    """What changes no result is a warning when it begins, and has its end."""
    watch = Watch()
    refused = replace(GOOD, verdict=replace(GOOD.verdict, notices=(Problem("probe-failed", "Refused."),)))
    (began,) = watch.events(*two(fetched(), refused))
    assert (began.name, began.level, began.fields["problem"]) == ("problem_started", "warning", "probe-failed")
    assert watch.cycle(*two(fetched(), refused)) == []
    assert watch.cycle(*two(fetched())) == [("problem_ended", "probe-failed")]


def test_an_expiring_system_user_is_not_reminded_of_each_day() -> None:
    """Its lines are those of the days before its expiry; a new token ends it."""
    watch = Watch()
    expiring = replace(MAIN, verdict=replace(MAIN.verdict, notices=(Problem("system-user-expiring", "Soon."),)))
    lines = [one for _ in range(60) for one in watch.cycle(*two(fetched()), user_token=expiring)]
    assert lines == []
    assert watch.cycle(*two(fetched()), user_token=expiring, ending=("main",)) == [
        ("system_user_expiring", "system-user-expiring")
    ]
    assert watch.cycle(*two(fetched())) == [("problem_ended", "system-user-expiring")]


def test_a_stored_token_that_stops_working_is_an_error_with_an_owner_who_can_act() -> None:
    """Where no new token can be fetched, the line of the invalid token names what stands in the way."""
    watch = Watch()
    watch.cycle(*two(LOST))
    lines = watch.events(*two(LOST, DEAD))
    assert [(event.name, event.level, event.fields["problem"]) for event in lines] == [
        ("problem_started", "error", "token-invalid"),
        ("served_changed", "error", "token-invalid"),
    ]
    for event in lines:
        assert (named(event), event.fields["owner"]) == (["berlin", "rome"], "business-admin")
        assert "as soon as no-access is solved" in event.fields["remedy"]


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


def test_held_writes_begin_last_and_end() -> None:
    """A hold is one line when it begins, one a day, one for a Page that joins, and one when it ends."""
    watch = Watch()
    logged = [(hour, name) for hour in range(30) for name, problem in watch.cycle(*held("berlin")) if problem is None]
    assert logged == [(0, "page_held"), (24, "problem_reminder")]
    (joined,) = [event for event in watch.events(*held("berlin", "rome")) if event.name == "page_held"]
    assert (named(joined), joined.fields["would_reason"]) == (["rome"], "rotate")
    ended = [event for event in watch.events(*two(fetched())) if "problem" not in event.fields]
    assert [(event.name, event.fields["reason"], named(event)) for event in ended] == [
        ("problem_ended", "hold", ["berlin", "rome"])
    ]
    assert ended[0].fields["message"].startswith("These writes are held no more")


def test_the_brake_is_one_line_until_its_plan_changes() -> None:
    """The line names the Pages and the command; another plan, which needs another command, is said at once."""
    watch = Watch()
    braked = held("berlin", "rome", reason="brake")
    first = [event for event in watch.events(*braked, checksum="sha256:one") if event.name == "brake_held"]
    assert [(event.level, named(event)) for event in first] == [("error", ["berlin", "rome"])]
    assert [event.name for event in watch.events(*braked, checksum="sha256:one")] == []
    (again,) = watch.events(*braked, checksum="sha256:two")
    assert again.name == "problem_reminder"
    assert "--if-plan sha256:two" in again.fields["remedy"]
    ended = [event for event in watch.events(*two(fetched())) if "problem" not in event.fields]
    assert [event.fields["message"] for event in ended] == [
        "The brake holds no write of this store any more; it lasted 3 h."
    ]


def test_a_warning_begins_lasts_and_ends_whatever_its_numbers() -> None:
    """A warning whose count alone differs is the same one; its end quotes it."""
    watch = Watch()
    lines = [
        (hour, event.name)
        for hour in range(26)
        for event in watch.events(*two(fetched()), warnings=(f"{hour + 7} entries are invalid.",))
    ]
    assert lines == [(0, "cycle_warning"), (24, "problem_reminder")]
    (ended,) = watch.events(*two(fetched()))
    assert (ended.name, ended.level) == ("problem_ended", "info")
    assert ended.fields["message"] == (
        "The condition of this warning is over: '32 entries are invalid.'; it lasted 1 d 2 h."
    )


def test_the_commands_of_a_remedy_name_what_is_known() -> None:
    """The remedy of one secret names its Page and store; that of several Pages leaves the Page open."""
    for pages, command in (
        (two(fetched(), FOREIGN)[:1], "adopt berlin --store vault"),
        (two(fetched(), FOREIGN), "adopt PAGE --store vault"),
    ):
        (begun,) = Watch().events(*pages)
        assert f"page-token-sync {command}." in begun.fields["remedy"]
    deleted = current(replace(stored(), blocked="scheduled-deletion"))
    (begun,) = Watch().events(of(fetched(), deleted))
    assert "restore-secret --secret-id meta/pages/berlin." in begun.fields["remedy"]


def test_a_foreign_write_is_logged_once_for_each_version() -> None:
    """Somebody else's write is one line, without a reminder and an end; the next such write is another line."""

    def changed(version: int) -> PagePlan:
        notice = Problem("foreign-write", f"Version {version} is not of this instance.")
        return of(fetched(), replace(GOOD, verdict=replace(GOOD.verdict, notices=(notice,))))

    watch = Watch()
    (first,) = watch.events(changed(4))
    assert (first.name, first.level) == ("secret_changed", "warning")
    assert [name for _ in range(30) for name, _ in watch.cycle(changed(4))] == []
    assert watch.cycle(of(fetched(), GOOD)) == []
    assert watch.cycle(changed(5)) == [("secret_changed", "foreign-write")]


@pytest.mark.parametrize(
    ("there", "served", "level"),
    [
        (DEAD, "broken", "error"),
        (current(Absent()), "absent", "error"),
        (FOREIGN, "foreign", "warning"),
        (current(stored(), Verdict(State.UNKNOWN)), "stale", "warning"),
    ],
)
def test_what_apps_get_is_logged_when_it_changes(there: Current, served: str, level: str) -> None:
    """A change is one line with the Pages, what they served and what they serve; so is the way back."""
    watch = Watch()
    assert [event.name for event in watch.events(*two(LOST)) if event.name == "served_changed"] == []
    (changed,) = [event for event in watch.events(*two(LOST, there)) if event.name == "served_changed"]
    wanted = {"pages": ["berlin", "rome"], "store": "vault", "served": served, "previous_served": "verified"}
    assert (changed.level, changed.fields | wanted) == (level, changed.fields)
    assert [event.name for event in watch.events(*two(LOST, there)) if event.name == "served_changed"] == []
    (back,) = [event for event in watch.events(*two(LOST)) if event.name == "served_changed"]
    assert (back.level, back.fields["served"], back.fields["previous_served"]) == ("info", "verified", served)
    assert "problem" not in back.fields


def test_every_page_whose_served_changed_is_named() -> None:
    """More than fifty Pages are several lines of at most fifty names, and no name is missing."""
    names = [f"p{number}" for number in range(120)]
    watch = Watch()
    watch.events(*(of(LOST, GOOD, name=name) for name in names))
    lines = watch.events(*(of(LOST, DEAD, name=name) for name in names))
    changed = [named(event) for event in lines if event.name == "served_changed"]
    assert [len(line) for line in changed] == [50, 50, 20]
    assert [name for line in changed for name in line] == names


def test_two_stores_that_change_alike_are_one_line() -> None:
    """A Page whose secrets change alike has one line with both stores; where they differ it has two."""
    watch = Watch()
    watch.events(of(LOST, GOOD, GOOD))
    (both,) = [event for event in watch.events(of(LOST, DEAD, DEAD)) if event.name == "served_changed"]
    assert (both.fields["stores"], named(both)) == (["vault", "aws"], ["berlin"])
    apart = [event for event in watch.events(of(LOST, GOOD, current(Absent()))) if event.name == "served_changed"]
    assert [(event.fields["store"], event.fields["served"]) for event in apart] == [
        ("vault", "verified"),
        ("aws", "absent"),
    ]


def test_a_new_page_changes_nothing_that_was_served() -> None:
    """The first reading of a Page is no change, and one that is created later is one."""
    watch = Watch()
    assert ("served_changed", None) not in watch.cycle(of(LOST, current(Absent())))
    page = of(fetched(), current(Absent()))
    created = watch.events(page, outcomes={page.targets[0].key: Written("1", True)})
    assert [event.name for event in created] == ["problem_ended", "served_changed", "page_written"]
    assert created[1].fields["previous_served"] == "absent"


def test_what_is_remembered_is_small() -> None:
    """What all Pages share is one entry with at most fifty names, and what is served is each name once a store."""
    watch = Watch()
    watch.events(*(of(THROTTLED, GOOD, name=f"p{number}") for number in range(2000)))
    ((_, known),) = watch.reported.problems.items()
    assert (len(known.pages), known.page_count) == (50, 2000)
    assert len(json.dumps(watch.reported.served)) < 2000 * 12


def test_a_warning_of_what_came_after_the_cycle_is_logged_with_it() -> None:
    """A failed save is warned of once in the cycle that it follows, and lasts while the next cycles name it."""
    watch = Watch()
    made = watch.report(*two(fetched()))
    changed = and_warned(made.changes, "The disk is full.", watch.now)
    assert [begun.cause.text_of("") for begun in changed.began] == ["The disk is full."]
    assert and_warned(changed, "The disk is full.", watch.now) == changed
    watch.reported = changed.reported
    assert watch.cycle(*two(fetched()), warnings=("The disk is full.",)) == []
    assert [name for name, _ in watch.cycle(*two(fetched()))] == ["problem_ended"]


def test_a_token_that_could_not_be_judged_is_not_called_one_to_replace() -> None:
    """Of a stored token about which nothing is known, the remedy is that of the cause, once."""
    down = Problem("graph-unavailable", "The connection failed.")
    still = replace(down, message="The connection failed. Graph is not called any more.")
    unknown = current(stored(OTHER), Verdict(State.UNKNOWN, (still,)))
    (began,) = Watch().events(*two(candidate(down, "app", State.UNKNOWN), unknown))
    assert began.fields["remedy"] == down.remedy
    assert began.fields["message"] == still.message


def test_a_throttle_whose_first_error_has_another_owner_is_one_cause() -> None:
    """Graph's error names who must act, and the quota that stays closed does not: it is one throttle from first to last."""
    watch = Watch()
    first = candidate(Problem("throttled", "Too many calls.", "operator"), "app", State.UNKNOWN)
    (begun,) = watch.events(of(THROTTLED, GOOD), of(first, GOOD, name="rome"))
    assert (begun.name, begun.fields["owner"]) == ("graph_throttled", "operator")
    assert watch.cycle(*two(THROTTLED)) == []
    assert watch.cycle(*two(fetched())) == [("problem_ended", "throttled")]
