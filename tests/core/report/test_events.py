"""A report as log events: few entries, each cause once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.decide import Candidate, Current
from sync.core.judge.verify import verify
from sync.core.memory.renewal import Renewal
from sync.core.model import Absent, Key, SourceError, State, Stored, SystemUserToken, Verdict, Written
from sync.core.plan.guards import hold
from sync.core.plan.model import PagePlan
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.events import EVENTS, Event, events
from sync.core.report.report import Report
from tests.support.reports import FRAME, GOOD, account, of
from tests.support.values import (
    FETCHED,
    KEY,
    NOW,
    OTHER,
    STORE_DOWN,
    USER_TOKEN,
    USER_TOKEN_FINGERPRINT,
    current,
    fetched,
    judged,
    marks,
    page,
    payload,
    stored,
)

FIELDS = {
    *("page", "page_id", "system_user", "app", "store", "path", "action", "reason", "fetched", "served", "problem"),
    *("fingerprint", "previous_fingerprint", "version", "owner", "code", "subcode", "fbtrace_id", "duration_ms"),
    *("message", "error_code", "remedy", "result", "pages", "secrets", "orphans", "confirmed"),
}
INVALID_USER_TOKEN = Problem("system-user-invalid", "It died.", graph_code=190, graph_subcode=492)


def told(report: Report, level: str = "info") -> Sequence[Event]:
    """Return the events of a report at a level and above, but for the cycle's own."""
    levels = ["debug", "info", "warning", "error"]
    wanted = levels[levels.index(level) :]
    return [event for event in events(report) if event.level in wanted and event.name != "cycle_finished"]


def unfetched(problem: Problem, scope: Any = "app") -> Candidate:
    """Make the candidate of a Page for which Graph gave an error."""
    return Candidate(None, verify(SourceError(problem, scope=scope), page=page(), now=NOW))


def many(candidate: Candidate, there: Current = GOOD, count: int = 3) -> Any:
    """Return as many Pages as counted, all alike."""
    return [of(candidate, there, name=f"p{number}") for number in range(count)]


def test_list_is_closed() -> None:
    """These are the events, each with what it says."""
    assert sorted(EVENTS) == sorted(
        [
            *("cycle_started", "cycle_finished", "cycle_warning", "page_written", "page_kept", "page_refused"),
            *("system_user_invalid", "system_user_expiring", "graph_throttled", "app_refused", "store_failed"),
            *("page_held", "page_lost", "page_regained", "brake_held", "system_user_degraded"),
            *("system_user_renewed", "daemon_started", "daemon_stopped"),
        ]
    )
    assert all(meaning.endswith(".") for meaning in EVENTS.values())


def test_idle_cycle_says_one_line() -> None:
    """When nothing changed and all is well, only the end of the cycle is told above debug."""
    report = account(*many(fetched()), outcomes={})
    assert [event.name for event in events(report) if event.level != "debug"] == ["cycle_finished"]
    assert [event.name for event in events(report) if event.level == "debug"] == ["page_kept"] * 3


@pytest.mark.parametrize(
    ("candidate", "there", "level"),
    [
        pytest.param(fetched(), GOOD, "info", id="ok"),
        pytest.param(fetched(), current(Stored(payload(), "2", None)), "warning", id="degraded"),
        pytest.param(fetched(), current(STORE_DOWN), "error", id="failed"),
    ],
)
def test_level_of_the_end_is_that_of_the_result(candidate: Candidate, there: Current, level: str) -> None:
    """The end of a cycle is told at a level that says how it went."""
    last = list(events(account(of(candidate, there), outcomes={})))[-1]
    assert (last.name, last.level) == ("cycle_finished", level)


def test_end_of_a_cycle_counts_what_happened() -> None:
    """The last line holds the result, the duration in milliseconds, and the counts that are not nothing."""
    last = list(events(account(*many(fetched()), orphans=(Key("vault", "x"),), outcomes={})))[-1]
    assert last.fields == {
        "result": "ok",
        "duration_ms": 1900,
        "orphans": 1,
        "pages": 3,
        "verified": 3,
        "unchanged": 3,
        "graph_requests": 3,
        "graph_calls": 5,
        "store_requests": 4,
    }


@pytest.mark.parametrize(
    ("there", "outcome", "level", "words"),
    [
        pytest.param(
            current(Absent()), Written("1", True), "info", {"action": "created", "version": "1"}, id="created"
        ),
        pytest.param(
            current(Absent()),
            Written("1", False),
            "warning",
            {"action": "created", "confirmed": False},
            id="unconfirmed",
        ),
        pytest.param(
            current(Stored(None, "3", marks(), "deleted")),
            Written("4", True),
            "warning",
            {"action": "created", "reason": "recreated"},
            id="recreated",
        ),
        pytest.param(
            current(stored(OTHER), judged(is_valid=False)),
            Written("4", True),
            "info",
            {"action": "replaced", "reason": "heal", "previous_fingerprint": OTHER.fingerprint},
            id="healed",
        ),
    ],
)
def test_write_is_told(there: Current, outcome: Written, level: str, words: dict[str, Any]) -> None:
    """Every write is told, with its reason; one that nobody asked for, or that could not be read back, is a warning."""
    (event,) = told(account(of(fetched(), there), outcomes={KEY: outcome}))
    assert (event.name, event.level) == ("page_written", level)
    assert words.items() <= event.fields.items()
    assert event.fields["fingerprint"] == FETCHED.fingerprint


def test_refusal_is_told_with_who_acts() -> None:
    """A place that is not ours is told with the problem, who acts and the remedy."""
    (event,) = told(account(of(fetched(), current(Stored(payload(), "2", None))), outcomes={}))
    assert (event.name, event.level, event.fields["problem"]) == ("page_refused", "warning", "secret-foreign")
    assert event.fields["owner"] == "operator"
    assert event.fields["remedy"]


def test_page_with_a_problem_of_its_own_is_told() -> None:
    """A Page that Graph refuses is a warning, with what Graph said."""
    problem = Problem("no-access", "No token.", graph_code=100, graph_subcode=33, fbtrace_id="A1")
    (event,) = told(account(of(unfetched(problem, "page"), GOOD), outcomes={}))
    assert (event.name, event.level) == ("page_kept", "warning")
    said = {key: event.fields[key] for key in ("problem", "message", "code", "subcode", "fbtrace_id")}
    assert said == {"problem": "no-access", "message": "No token.", "code": 100, "subcode": 33, "fbtrace_id": "A1"}


def test_stored_token_with_a_problem_of_its_own_is_told() -> None:
    """A stored token that works and lacks a permission is a warning, though nothing can be done here."""
    there = current(stored(), judged(scopes=frozenset()))
    (event,) = told(account(of(unfetched(INVALID_USER_TOKEN, "system_user"), there), outcomes={}, user_tokens=()))
    assert (event.name, event.fields["problem"]) == ("page_kept", "missing-scope")


def test_dead_system_user_is_told_once_with_its_pages() -> None:
    """One dead system user is one line, with its Pages counted under it; the Pages are told at debug."""
    user_token = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (INVALID_USER_TOKEN,)))
    report = account(*many(unfetched(INVALID_USER_TOKEN, "system_user")), user_tokens=(user_token,), outcomes={})
    (event,) = told(report)
    assert (event.name, event.level) == ("system_user_invalid", "error")
    assert event.fields.items() >= {"system_user": "main", "app": "messenger", "pages": 3, "code": 190}.items()
    assert event.fields["fingerprint"] == USER_TOKEN_FINGERPRINT
    assert len(told(report, "debug")) == 4


def test_system_user_of_another_app_is_told_once_and_a_page_of_its_own() -> None:
    """Pages that bear their system user's problem are quiet; the same code as a Page's own problem is told."""
    wrong = Problem("wrong-app", "The system user's token belongs to app 2, not to 1.")
    user_token = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (wrong,)))
    own = of(unfetched(Problem("wrong-app", "Its app is 2."), "page"), GOOD, name="own")
    report = account(*many(unfetched(wrong, "system_user")), own, user_tokens=(user_token,), outcomes={})
    assert [(event.name, event.fields.get("page")) for event in told(report)] == [
        ("system_user_invalid", None),
        ("page_kept", "own"),
    ]


def test_ending_system_user_is_told_once() -> None:
    """A system user's token that ends soon is one warning when it is due, none between, and its Pages say nothing."""
    (event,) = told(of_ending(ending=("main",)))
    assert (event.name, event.level, event.fields["pages"]) == ("system_user_expiring", "warning", 3)
    assert told(of_ending()) == []


def of_ending(last: Renewal | None = None, ending: tuple[str, ...] = ()) -> Report:
    """Account for a system user whose token ends, and for the last try to renew it."""
    verdict = Verdict(State.VALID, notices=(Problem("system-user-expiring", "Soon."),))
    frame = replace(FRAME, ending=ending, renewals={"main": last} if last is not None else {})
    user_tokens = (SystemUserToken("main", "messenger", USER_TOKEN, verdict),)
    return account(*many(fetched()), user_tokens=user_tokens, outcomes={}, frame=frame)


def test_a_renewal_that_failed_is_an_error_once_a_try() -> None:
    """The try of this cycle is told as an error, and not its end beside it; one of an earlier cycle is in the report alone."""
    failed = Renewal(NOW, USER_TOKEN_FINGERPRINT, KEY, problem=Problem("renewal-failed", "Refused."))
    (event,) = told(of_ending(failed, ending=("main",)))
    assert (event.name, event.level, event.fields["problem"]) == ("system_user_expiring", "error", "renewal-failed")
    earlier = of_ending(replace(failed, at=NOW - timedelta(minutes=15)))
    assert told(earlier) == []
    assert [problem.code for problem in earlier.user_tokens[0].verdict.notices] == [
        "system-user-expiring",
        "renewal-failed",
    ]
    assert (earlier.result, earlier.exit_code) == ("ok", 0)


def test_a_renewal_is_told_with_both_fingerprints() -> None:
    """A renewed token is told once, in the cycle that renewed it, with what it was and where it now is."""
    done = Renewal(NOW, USER_TOKEN_FINGERPRINT, KEY, became="0" * 12, version="8", confirmed=True)
    (event,) = told(of_ending(done))
    assert (event.name, event.level) == ("system_user_renewed", "info")
    wanted = {
        "fingerprint": "0" * 12,
        "previous_fingerprint": USER_TOKEN_FINGERPRINT,
        "path": KEY.path,
        "version": "8",
        "pages": 3,
    }
    assert {name: event.fields[name] for name in wanted} == wanted
    assert [event.level for event in told(of_ending(replace(done, confirmed=False)))] == ["warning"]
    assert told(of_ending(replace(done, at=NOW - timedelta(minutes=15)))) == []
    assert told(of_ending(replace(done, became=None))) == []


def test_many_refusals_of_one_cause_are_one_line() -> None:
    """Three places that are not ours are named; of four, as after a change of the instance, the number is told."""
    there = current(Stored(payload(), "2", marks(instance="acme-old")))
    assert [event.fields["page"] for event in told(account(*many(fetched(), there), outcomes={}))] == ["p0", "p1", "p2"]
    (event,) = told(account(*many(fetched(), there, 4), outcomes={}))
    assert (event.name, event.level) == ("page_refused", "warning")
    assert event.fields.items() >= {"store": "vault", "secrets": 4, "problem": "secret-foreign"}.items()
    assert "acme-old" in event.fields["message"]
    assert event.fields["remedy"]


def test_many_refusals_of_one_code_and_many_reasons_are_told_by_what_they_share() -> None:
    """Where the reasons differ in their particulars, the line says what is true of all, and each is told at debug."""
    owners = ("acme-old", "acme-older", "other", None)
    pages = [
        of(fetched(), current(Stored(payload(), "2", marks(instance=owner) if owner else None)), name=f"p{number}")
        for number, owner in enumerate(owners)
    ]
    (event,) = told(account(*pages, outcomes={}))
    assert event.fields["message"] == CATALOGUE["secret-foreign"].meaning
    each = [one for one in told(account(*pages, outcomes={}), "debug") if one.level == "debug"]
    assert [one.fields["page"] for one in each] == ["p0", "p1", "p2", "p3"]


def braking(count: int, reason: str = "brake") -> list[PagePlan]:
    """Return Pages whose stored token would be replaced, and is held."""
    pages = many(fetched(), current(stored(OTHER), judged(is_valid=False)), count)
    return [
        replace(one, targets=tuple(replace(target, action=hold(target.action, reason)) for target in one.targets))
        for one in pages
    ]


@pytest.mark.parametrize("reason", ["brake", "hold", "observe"])
def test_many_held_places_of_one_reason_are_one_line(reason: str) -> None:
    """Three held places are named at info; of four the number is told, and each is told at debug."""
    few = [event for event in told(account(*braking(3, reason))) if event.name == "page_held"]
    assert [event.fields["page"] for event in few] == ["p0", "p1", "p2"]
    report = account(*braking(4, reason), outcomes={})
    (event,) = [event for event in told(report) if event.name == "page_held"]
    assert event == Event("info", "page_held", {"store": "vault", "secrets": 4, "action": "held", "reason": reason})
    each = [event for event in told(report, "debug") if event.name == "page_held" and event.level == "debug"]
    assert [(event.fields["page"], event.fields["would"]) for event in each] == [
        (f"p{n}", "replaced") for n in range(4)
    ]


def test_reasons_are_counted_each_for_itself() -> None:
    """Two places that are held by one thing and two by another are four lines."""
    two, more = braking(2), [replace(one, page=replace(one.page, name="q")) for one in braking(2, "hold")]
    assert sum(event.name == "page_held" for event in told(account(*two, *more))) == 4


def test_the_brake_says_who_acts_and_how() -> None:
    """What lets a held plan through names its checksum, who may do it, and that it wants the daemon's configuration."""
    report = account(*braking(2), outcomes={})
    (event,) = [event for event in told(report) if event.name == "brake_held"]
    assert event.fields.items() >= {"store": "vault", "secrets": 2, "owner": "operator"}.items()
    assert f"once --if-plan {report.checksum} " in event.fields["remedy"]
    assert "--config" in event.fields["remedy"]


@pytest.mark.parametrize(
    ("code", "name", "level"),
    [
        ("throttled", "graph_throttled", "warning"),
        ("app-secret-invalid", "app_refused", "error"),
        ("app-blocked", "app_refused", "error"),
        ("app-capability", "app_refused", "error"),
    ],
)
def test_one_cause_of_many_pages_is_told_once(code: str, name: str, level: str) -> None:
    """A throttle and a refused app are one line with the Pages counted, though each Page has another trace id."""
    pages = [
        of(unfetched(Problem(code, f"Call {number}.", fbtrace_id=f"A{number}")), GOOD, name=f"p{number}")
        for number in range(3)
    ]
    (event,) = told(account(*pages, outcomes={}))
    assert (event.name, event.level, event.fields["pages"]) == (name, level, 3)
    assert (event.fields["problem"], event.fields["app"]) == (code, "messenger")


@pytest.mark.parametrize("code", ["graph-unavailable", "debug-unavailable"])
def test_outage_is_told_once_with_its_pages_and_by_name_where_it_is_one_page_s(code: str) -> None:
    """What keeps many Pages from being judged is one line for all; what keeps one is that Page's own line."""
    candidate = unfetched(Problem(code, "No answer."))
    (event,) = told(account(*many(candidate, current(stored(), Verdict(State.UNKNOWN)))))
    assert (event.level, event.name, event.fields["pages"], "page" in event.fields) == (
        "warning",
        "page_kept",
        3,
        False,
    )
    (own,) = told(account(*many(candidate, current(stored(), Verdict(State.UNKNOWN)), 1)))
    assert (own.level, own.name, own.fields["page"], own.fields["problem"]) == ("warning", "page_kept", "p0", code)


def test_throttle_that_only_stored_tokens_met_is_told() -> None:
    """Where Meta would not judge stored tokens, the cause is told once and a Page counts once for all its places."""
    throttled = verify(SourceError(Problem("throttled", "Too many.")), page=page(), now=NOW, stored=True)
    there = current(stored(OTHER), throttled)
    pages = [of(fetched(), there, there, name="p1"), of(fetched(), there, name="p2")]
    (event,) = told(account(*pages, outcomes={}))
    assert (event.name, event.fields["pages"]) == ("graph_throttled", 2)


def test_two_apps_are_two_causes() -> None:
    """What two apps are refused is told for each."""
    one, two = many(unfetched(Problem("throttled", "Too many.")), count=2)
    two = replace(two, page=replace(two.page, app="other"))
    assert [event.fields["app"] for event in told(account(one, two, outcomes={}))] == ["messenger", "other"]


def test_store_failure_is_told_once_with_its_places() -> None:
    """A store that is down is one line with its places counted; a single place is named."""
    (event,) = told(account(*many(fetched(), current(STORE_DOWN)), outcomes={}))
    assert (event.name, event.level) == ("store_failed", "error")
    assert event.fields.items() >= {"store": "vault", "secrets": 3, "error_code": "unreachable"}.items()
    (single,) = told(account(*many(fetched(), current(STORE_DOWN), count=1), outcomes={}))
    assert single.fields["path"] == "meta/pages/p0"
    assert "secrets" not in single.fields


def test_warnings_are_told() -> None:
    """Each warning of the cycle is one line."""
    report = account(of(fetched(), GOOD), frame=replace(FRAME, warnings=("one", "two")), outcomes={})
    assert [(event.name, event.level, event.fields["message"]) for event in told(report)] == [
        ("cycle_warning", "warning", "one"),
        ("cycle_warning", "warning", "two"),
    ]


def test_every_event_is_listed_has_known_fields_and_no_secret() -> None:
    """Whatever a report holds, its events are of the closed list, their fields plain values without a token."""
    dead = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (INVALID_USER_TOKEN,)))
    pages = [
        of(fetched(), GOOD, current(STORE_DOWN)),
        of(fetched(), current(stored(OTHER), judged(is_valid=False)), current(Absent()), name="b"),
        of(unfetched(Problem("throttled", "x")), current(stored(payload=None)), name="c"),
        of(unfetched(INVALID_USER_TOKEN, "system_user"), current(Stored(payload(), "2", None)), name="d"),
    ]
    for outcomes in (None, {}, {Key("vault", "meta/pages/b"): Written("4", True)}):
        for event in events(account(*pages, user_tokens=(dead,), outcomes=outcomes)):
            assert event.name in EVENTS
            counts = set(account().summary) if event.name == "cycle_finished" else set()
            assert set(event.fields) <= FIELDS | counts
            text = json.dumps(dict(event.fields))
            assert not any(secret.reveal() in text for secret in (FETCHED, OTHER, USER_TOKEN))
            assert None not in event.fields.values()
