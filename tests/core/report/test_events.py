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
from sync.core.memory.problems import Reported
from sync.core.memory.renewal import Renewal
from sync.core.model import Absent, Key, SourceError, State, Stored, SystemUserToken, Verdict, Written
from sync.core.plan.guards import hold
from sync.core.plan.model import PagePlan
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.event import EVENTS, Event
from sync.core.report.events import events
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
    *("message", "error_code", "remedy", "result", "pages", "page_count", "secrets", "orphans", "confirmed", "since"),
}
INVALID_USER_TOKEN = Problem("system-user-invalid", "It was revoked.", graph_code=190, graph_subcode=492)


def logged(report: Report, level: str = "info") -> Sequence[Event]:
    """Return the events of a report at a level and above, without the end of the cycle."""
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
            *("cycle_started", "cycle_finished", "cycle_warning", "page_written", "page_refused"),
            *("page_checked", "notify_failed"),
            *("system_user_invalid", "system_user_expiring", "graph_throttled", "app_refused", "store_failed"),
            *("page_held", "page_lost", "page_regained", "brake_held"),
            *("problem_started", "problem_reminder", "problem_ended", "served_changed", "secret_changed"),
            *("system_user_renewed", "daemon_started", "daemon_stopped", "config_rejected", "config_reloaded"),
        ]
    )
    assert all(meaning.endswith(".") for meaning in EVENTS.values())


def test_idle_cycle_is_one_line() -> None:
    """When nothing changed and every Page is verified, only the end of the cycle is logged, at any level."""
    report = account(*many(fetched()), outcomes={})
    assert [event.name for event in events(report)] == ["cycle_finished"]


@pytest.mark.parametrize(
    ("candidate", "there", "level"),
    [
        pytest.param(fetched(), GOOD, "info", id="ok"),
        pytest.param(fetched(), current(Stored(payload(), "2", None)), "warning", id="degraded"),
        pytest.param(fetched(), current(STORE_DOWN), "error", id="failed"),
    ],
)
def test_level_of_the_end_is_that_of_the_result(candidate: Candidate, there: Current, level: str) -> None:
    """The end of a cycle is logged at a level that follows from its result."""
    last = list(events(account(of(candidate, there), outcomes={})))[-1]
    assert (last.name, last.level) == ("cycle_finished", level)


def test_end_of_a_cycle_counts_what_happened() -> None:
    """The last line holds the result, the duration in milliseconds, and the counts that are not zero."""
    last = list(events(account(*many(fetched()), orphans=(Key("vault", "x"),), outcomes={})))[-1]
    assert last.fields == {
        "result": "ok",
        "duration_ms": 1900,
        "orphans": 1,
        "page_count": 3,
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
def test_write_is_logged(there: Current, outcome: Written, level: str, words: dict[str, Any]) -> None:
    """Every write is logged with its reason; one after a deletion, or one that could not be read back, is a warning."""
    (event,) = logged(account(of(fetched(), there), outcomes={KEY: outcome}))
    assert (event.name, event.level) == ("page_written", level)
    assert words.items() <= event.fields.items()
    assert event.fields["fingerprint"] == FETCHED.fingerprint


def test_refusal_is_logged_with_its_owner_and_remedy() -> None:
    """A secret that does not belong to the instance is logged with the problem, who must act and the remedy."""
    (event,) = logged(account(of(fetched(), current(Stored(payload(), "2", None))), outcomes={}))
    assert (event.name, event.level, event.fields["problem"]) == ("page_refused", "warning", "secret-foreign")
    assert event.fields["owner"] == "operator"
    assert event.fields["remedy"]
    where = (event.fields["page"], event.fields["store"], event.fields["path"])
    assert where == ("berlin", "vault", "meta/pages/berlin")


def test_page_with_a_problem_of_its_own_is_logged() -> None:
    """A Page that Graph refuses is a warning, with Graph's codes."""
    problem = Problem("no-access", "No token.", graph_code=100, graph_subcode=33, fbtrace_id="A1")
    (event,) = logged(account(of(unfetched(problem, "page"), GOOD), outcomes={}))
    assert (event.name, event.level) == ("problem_started", "warning")
    said = {key: event.fields[key] for key in ("problem", "message", "code", "subcode", "fbtrace_id")}
    assert said == {"problem": "no-access", "message": "No token.", "code": 100, "subcode": 33, "fbtrace_id": "A1"}
    assert (event.fields["page"], event.fields["system_user"]) == ("berlin", "main")


def test_stored_token_with_a_problem_of_its_own_is_logged() -> None:
    """A stored token that works and lacks a permission is a warning, though no write can change that."""
    there = current(stored(), judged(scopes=frozenset()))
    report = account(of(unfetched(INVALID_USER_TOKEN, "system_user"), there), outcomes={}, user_tokens=())
    assert [(event.name, event.fields["problem"]) for event in logged(report)] == [
        ("system_user_invalid", "system-user-invalid"),
        ("problem_started", "missing-scope"),
    ]


def test_broken_secret_is_an_error() -> None:
    """A stored token that does not work, and that no other can replace, is an error whoever must act."""
    there = current(stored(OTHER), judged(is_valid=False))
    found = logged(account(of(unfetched(Problem("no-access", "No token."), "page"), there), outcomes={}))
    assert {(event.level, event.fields["problem"]) for event in found} == {
        ("error", "no-access"),
        ("error", "token-invalid"),
    }


def test_invalid_system_user_is_logged_once_with_its_pages() -> None:
    """One invalid system user is one line that names its Pages, and there is no line for each Page at any level."""
    user_token = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (INVALID_USER_TOKEN,)))
    report = account(*many(unfetched(INVALID_USER_TOKEN, "system_user")), user_tokens=(user_token,), outcomes={})
    (event,) = logged(report, "debug")
    assert (event.name, event.level) == ("system_user_invalid", "error")
    assert event.fields.items() >= {"system_user": "main", "app": "messenger", "code": 190}.items()
    assert (event.fields["pages"], event.fields["page_count"]) == (["p0", "p1", "p2"], 3)
    assert event.fields["fingerprint"] == USER_TOKEN_FINGERPRINT


def test_a_line_names_at_most_fifty_pages() -> None:
    """Of more Pages the first fifty are named, and the number of all is given."""
    (event,) = logged(account(*many(unfetched(Problem("no-access", "No."), "page"), count=51), outcomes={}))
    assert (event.fields["pages"][-1], len(event.fields["pages"]), event.fields["page_count"]) == ("p49", 50, 51)


def test_system_user_of_another_app_is_logged_once_and_a_page_of_its_own() -> None:
    """Pages that have their system user's problem add no line; the same code as a Page's own problem is a cause."""
    wrong = Problem("wrong-app", "The system user's token belongs to app 2, not to 1.")
    user_token = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (wrong,)))
    own = of(unfetched(Problem("wrong-app", "Its app is 2."), "page"), GOOD, name="own")
    report = account(*many(unfetched(wrong, "system_user")), own, user_tokens=(user_token,), outcomes={})
    assert [(event.name, event.fields.get("page")) for event in logged(report)] == [
        ("system_user_invalid", None),
        ("problem_started", "own"),
    ]


def test_expiring_system_user_is_logged_once() -> None:
    """A system user's token that expires soon is one warning when it is due, none in between, and none for its Pages."""
    (event,) = logged(of_expiring(ending=("main",)))
    assert (event.name, event.level, event.fields["page_count"]) == ("system_user_expiring", "warning", 3)
    assert logged(of_expiring()) == []


def of_expiring(last: Renewal | None = None, ending: tuple[str, ...] = (), before: Reported | None = None) -> Report:
    """Return the report of a system user whose token expires, and of the last try to renew it."""
    verdict = Verdict(State.VALID, notices=(Problem("system-user-expiring", "Soon."),))
    frame = replace(FRAME, ending=ending, renewals={"main": last} if last is not None else {})
    user_tokens = (SystemUserToken("main", "messenger", USER_TOKEN, verdict),)
    return account(*many(fetched()), user_tokens=user_tokens, outcomes={}, frame=frame, before=before)


def test_a_renewal_that_fails_is_one_error_however_often_it_is_tried() -> None:
    """The first failure is one error, without a second line on the expiry; later ones are the same cause."""
    failed = Renewal(NOW, USER_TOKEN_FINGERPRINT, KEY, problem=Problem("renewal-failed", "Refused."))
    first = of_expiring(failed, ending=("main",))
    (event,) = logged(first)
    assert (event.name, event.level, event.fields["problem"]) == ("system_user_expiring", "error", "renewal-failed")
    earlier = of_expiring(replace(failed, at=NOW + timedelta(hours=1)), before=first.changes.reported)
    assert logged(earlier) == []
    assert [problem.code for problem in earlier.user_tokens[0].verdict.notices] == [
        "system-user-expiring",
        "renewal-failed",
    ]
    assert (earlier.result, earlier.exit_code) == ("ok", 0)


def test_a_renewal_is_logged_with_both_fingerprints() -> None:
    """A renewed token is logged once, in the cycle that renewed it, with both fingerprints and where it is stored."""
    done = Renewal(NOW, USER_TOKEN_FINGERPRINT, KEY, became="0" * 12, version="8", confirmed=True)
    (event,) = logged(of_expiring(done))
    assert (event.name, event.level) == ("system_user_renewed", "info")
    wanted = {
        "fingerprint": "0" * 12,
        "previous_fingerprint": USER_TOKEN_FINGERPRINT,
        "path": KEY.path,
        "version": "8",
        "page_count": 3,
    }
    assert {name: event.fields[name] for name in wanted} == wanted
    assert [event.level for event in logged(of_expiring(replace(done, confirmed=False)))] == ["warning"]
    assert logged(of_expiring(replace(done, at=NOW - timedelta(minutes=15)))) == []
    assert logged(of_expiring(replace(done, became=None))) == []


def test_refusals_of_one_cause_are_one_line() -> None:
    """However many secrets are refused for one cause, as after a change of the instance, one line names their Pages."""
    there = current(Stored(payload(), "2", marks(instance="acme-old")))
    for count in (3, 4):
        (event,) = logged(account(*many(fetched(), there, count), outcomes={}))
        assert (event.name, event.level) == ("page_refused", "warning")
        assert event.fields.items() >= {"store": "vault", "secrets": count, "problem": "secret-foreign"}.items()
        assert event.fields["pages"] == [f"p{number}" for number in range(count)]
        assert "acme-old" in event.fields["message"]
        assert event.fields["remedy"]


def test_refusals_of_one_code_with_several_messages_are_logged_by_their_meaning() -> None:
    """Where the messages differ, the line begins with what is true of all of them and quotes the first three."""
    owners = ("acme-old", "acme-older", "other", None)
    pages = [
        of(fetched(), current(Stored(payload(), "2", marks(instance=owner) if owner else None)), name=f"p{number}")
        for number, owner in enumerate(owners)
    ]
    (event,) = logged(account(*pages, outcomes={}), "debug")
    message = event.fields["message"]
    assert message.startswith(CATALOGUE["secret-foreign"].meaning)
    assert all(owner in message for owner in owners[:3] if owner)
    assert message.endswith("/ and 1 more")
    assert event.fields["pages"] == ["p0", "p1", "p2", "p3"]


def braking(count: int, reason: str = "brake") -> list[PagePlan]:
    """Return Pages whose stored token would be replaced, and is held."""
    pages = many(fetched(), current(stored(OTHER), judged(is_valid=False)), count)
    return [
        replace(one, targets=tuple(replace(target, action=hold(target.action, reason)) for target in one.targets))
        for one in pages
    ]


@pytest.mark.parametrize("reason", ["hold", "observe", "weaker"])
def test_held_secrets_of_one_reason_are_one_line(reason: str) -> None:
    """However many writes are held for one reason, one line names their Pages and what the writes would be."""
    for count in (3, 4):
        report = account(*braking(count, reason), outcomes={})
        (event,) = [event for event in logged(report, "debug") if event.name == "page_held"]
        wanted = {
            "pages": [f"p{number}" for number in range(count)],
            "page_count": count,
            "store": "vault",
            "secrets": count,
            "broken": count,
            "action": "held",
            "reason": reason,
            "would": "replaced",
            "would_reason": "heal",
        }
        said = {name: value for name, value in event.fields.items() if name not in ("owner", "remedy")}
        assert (event.level, said) == ("error", wanted)
        assert ("remedy" in event.fields) == (reason == "weaker")


def test_each_reason_has_its_own_line() -> None:
    """Secrets that are held for two reasons are two lines; the brake's is an event of its own, and no second line."""
    two, more = braking(2), [replace(one, page=replace(one.page, name="q")) for one in braking(2, "hold")]
    held = [event.name for event in logged(account(*two, *more)) if event.name.endswith("_held")]
    assert held == ["brake_held", "page_held"]


def test_the_brake_names_the_owner_and_the_command() -> None:
    """The remedy of a held plan has its checksum, and asks for the daemon's configuration; the line has the Pages."""
    report = account(*braking(2), outcomes={})
    (event,) = [event for event in logged(report) if event.name == "brake_held"]
    assert event.fields.items() >= {"store": "vault", "secrets": 2, "owner": "operator"}.items()
    assert (event.level, event.fields["pages"]) == ("error", ["p0", "p1"])
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
def test_one_cause_of_many_pages_is_one_line(code: str, name: str, level: str) -> None:
    """A throttle and a refused app are one line with all Pages, though each Page has another trace id."""
    pages = [
        of(unfetched(Problem(code, f"Call {number}.", fbtrace_id=f"A{number}")), GOOD, name=f"p{number}")
        for number in range(3)
    ]
    (event,) = logged(account(*pages, outcomes={}))
    assert (event.name, event.level, event.fields["page_count"]) == (name, level, 3)
    assert (event.fields["problem"], event.fields["app"]) == (code, "messenger")


@pytest.mark.parametrize("code", ["graph-unavailable", "debug-unavailable"])
def test_outage_is_one_line_with_its_pages(code: str) -> None:
    """An outage is one line, whether it concerns many Pages or one."""
    candidate, there = unfetched(Problem(code, "No answer.")), current(stored(), Verdict(State.UNKNOWN))
    (event,) = logged(account(*many(candidate, there)))
    assert (event.level, event.name, event.fields["page_count"]) == ("warning", "problem_started", 3)
    assert "page" not in event.fields
    (own,) = logged(account(*many(candidate, there, 1)))
    assert (own.level, own.name) == ("warning", "problem_started")
    assert (own.fields["page"], own.fields["problem"]) == ("p0", code)


def test_throttle_that_only_stored_tokens_met_is_logged() -> None:
    """Where Meta would not judge stored tokens, the cause is one line and a Page counts once for all its secrets."""
    throttled = verify(SourceError(Problem("throttled", "Too many.")), page=page(), now=NOW, stored=True)
    there = current(stored(OTHER), throttled)
    pages = [of(fetched(), there, there, name="p1"), of(fetched(), there, name="p2")]
    (event,) = logged(account(*pages, outcomes={}))
    assert (event.name, event.fields["page_count"]) == ("graph_throttled", 2)


def test_two_apps_are_two_causes() -> None:
    """The same problem of two apps is one line for each."""
    one, two = many(unfetched(Problem("throttled", "Too many.")), count=2)
    two = replace(two, page=replace(two.page, app="other"))
    assert [event.fields["app"] for event in logged(account(one, two, outcomes={}))] == ["messenger", "other"]


def test_store_failure_is_one_line_with_its_secrets() -> None:
    """A store that is down is one line with its secrets counted; a single secret is named by its path."""
    (event,) = logged(account(*many(fetched(), current(STORE_DOWN)), outcomes={}))
    assert (event.name, event.level) == ("store_failed", "error")
    assert event.fields.items() >= {"store": "vault", "secrets": 3, "error_code": "unreachable"}.items()
    (single,) = logged(account(*many(fetched(), current(STORE_DOWN), count=1), outcomes={}))
    assert single.fields["path"] == "meta/pages/p0"
    assert "secrets" not in single.fields


def test_warnings_are_logged() -> None:
    """Each warning of the cycle is one line."""
    report = account(of(fetched(), GOOD), frame=replace(FRAME, warnings=("one", "two")), outcomes={})
    assert [(event.name, event.level, event.fields["message"]) for event in logged(report)] == [
        ("cycle_warning", "warning", "one"),
        ("cycle_warning", "warning", "two"),
    ]


def test_every_event_is_listed_has_known_fields_and_no_secret() -> None:
    """Whatever a report holds, its events are of the closed list, and their fields are plain values without a token."""
    invalid = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (INVALID_USER_TOKEN,)))
    pages = [
        of(fetched(), GOOD, current(STORE_DOWN)),
        of(fetched(), current(stored(OTHER), judged(is_valid=False)), current(Absent()), name="b"),
        of(unfetched(Problem("throttled", "x")), current(stored(payload=None)), name="c"),
        of(unfetched(INVALID_USER_TOKEN, "system_user"), current(Stored(payload(), "2", None)), name="d"),
    ]
    for outcomes in (None, {}, {Key("vault", "meta/pages/b"): Written("4", True)}):
        for event in events(account(*pages, user_tokens=(invalid,), outcomes=outcomes)):
            assert event.name in EVENTS
            counts = set(account().summary) if event.name == "cycle_finished" else set()
            assert set(event.fields) <= FIELDS | counts
            text = json.dumps(dict(event.fields))
            assert not any(secret.reveal() in text for secret in (FETCHED, OTHER, USER_TOKEN))
            assert None not in event.fields.values()
