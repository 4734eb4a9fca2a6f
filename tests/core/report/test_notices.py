"""What receivers are sent: one message for each cause, with its Pages, what apps get now, and who does what."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.model import Absent, Written
from sync.core.plan.model import PagePlan
from sync.core.problems import Problem
from sync.core.report.notices import MOST_SECRETS, Message, messages, slack
from sync.core.report.report import Report
from tests.core.report.test_changes import DEAD, INVALID, LOST, OF_INVALID_USER, Watch, candidate, held, two
from tests.support.reports import FRAME, GOOD, MAIN, of
from tests.support.values import OTHER, current, fetched, judged, stored

GRAPH_REFUSES = Problem("page-not-found", "Gone.")
HEALTHY = two(fetched())
NOTHING = current(Absent())
DAY = timedelta(hours=24)


def sent(report: Report) -> list[Message]:
    """Return the messages about problems."""
    return list(messages(report, ("problem",)))


def also(message: Message) -> list[str]:
    """Return the codes of the causes that a message stands for beside its own."""
    return [one["problem"] for one in message.get("also", ())]


def many(count: int, problem: Problem = INVALID) -> list[PagePlan]:
    """Return Pages without a valid token, for one cause."""
    lost = candidate(problem, "system_user" if problem is INVALID else "page")
    return [of(lost, NOTHING, name=f"p{number}") for number in range(count)]


def test_a_cause_is_a_message_when_it_begins_once_a_day_and_when_it_ends() -> None:
    """Cycles between them send nothing; the end has how long the cause lasted."""
    watch = Watch()
    sent_now = [
        sent(watch.report(*two(LOST))),
        sent(watch.report(*two(LOST))),
        sent(watch.report(*two(LOST), after=DAY)),
        sent(watch.report(*HEALTHY)),
        sent(watch.report(*HEALTHY)),
    ]
    assert [[message["status"] for message in cycle] for cycle in sent_now] == [
        ["started"],
        [],
        ["lasts"],
        ["ended"],
        [],
    ]
    assert sent_now[0][0]["pages"] == sent_now[3][0]["pages"] == ["berlin", "rome"]
    assert sent_now[3][0]["duration_seconds"] == 26 * 3600


def test_a_message_has_what_a_person_needs() -> None:
    """A message says what is wrong, for how many Pages apps are down now, who acts and what that person does."""
    (message,) = sent(Watch().report(of(OF_INVALID_USER, NOTHING), of(OF_INVALID_USER, GOOD, name="rome")))
    assert message | {"message": "", "remedy": ""} == {
        "format": 1,
        "id": f"{FRAME.cycle}-0",
        "kind": "problem",
        "instance": FRAME.instance,
        "cycle": FRAME.cycle,
        "at": message["at"],
        "status": "started",
        "severity": "error",
        "title": "system-user-invalid: 2 Pages, system user main",
        "effect": "Apps have no valid token for 1 of 2 Pages now.",
        "apps_down": 1,
        "problem": "system-user-invalid",
        "message": "",
        "owner": "app-admin",
        "remedy": "",
        "system_user": "main",
        "app": "messenger",
        "pages": ["berlin", "rome"],
        "page_count": 2,
        "served": {"verified": 1, "absent": 1},
    }
    assert message["message"]
    assert message["remedy"]


@pytest.mark.parametrize("problem", [INVALID, Problem("no-access", "No token.")])
def test_ten_thousand_pages_that_fail_at_once_are_one_small_message(problem: Problem) -> None:
    """A storm is one message with the first 50 names and the number of all, and so is its end."""
    watch, pages = Watch(), many(10_000, problem)
    (began,) = sent(watch.report(*pages))
    assert (len(began["pages"]), began["page_count"], began["apps_down"]) == (50, 10_000, 10_000)
    assert len(json.dumps(began)) < 4000
    assert "and 9,950 more" in json.dumps(slack(began))
    (ended,) = sent(watch.report(*(of(fetched(), GOOD, name=one.page.name) for one in pages)))
    assert (ended["status"], ended["page_count"], ended["apps_down"]) == ("ended", 10_000, 0)
    assert ended["effect"] == "Apps have a valid token for all 10,000 Pages now."


def test_stored_tokens_that_stop_with_their_page_are_one_message() -> None:
    """What began and ended together is one message; tokens that stop working later are a message of their own."""
    watch = Watch()
    (began,) = sent(watch.report(*two(LOST, DEAD)))
    assert (began["problem"], also(began), began["apps_down"]) == ("no-access", ["token-invalid"], 2)
    assert began["also"][0]["remedy"].startswith("It is replaced as soon as no-access is solved")
    assert "Also: token-invalid: 2 Pages, system user main." in json.dumps(slack(began))
    (ended,) = sent(watch.report(*HEALTHY))
    assert (ended["problem"], also(ended), ended["apps_down"]) == ("no-access", ["token-invalid"], 0)
    later = Watch()
    (first,) = sent(later.report(*two(LOST)))
    assert also(first) == []
    (second,) = sent(later.report(*two(LOST, DEAD)))
    assert (second["problem"], second["apps_down"]) == ("token-invalid", 2)
    apart = sent(Watch().report(of(LOST, GOOD), of(candidate(GRAPH_REFUSES), DEAD, name="rome")))
    assert [(one["problem"], also(one)) for one in apart] == [
        ("no-access", []),
        ("page-not-found", ["token-invalid"]),
    ]


def test_the_end_says_what_apps_get_now() -> None:
    """The end of a cause does not claim that apps are served where another cause keeps them down."""
    watch = Watch()
    watch.report(of(LOST, NOTHING))
    over = sent(watch.report(of(candidate(Problem("page-not-found", "Gone.")), NOTHING)))
    assert {message["status"] for message in over} == {"started", "ended"}
    assert {message["apps_down"] for message in over} == {1}


def test_the_end_of_a_removed_page_s_problem_says_that_it_was_removed() -> None:
    """A Page that left the configuration is not announced as solved, and nothing is said of what apps get."""
    watch = Watch()
    watch.report(*many(60, LOST.verdict.problems[0]))
    (ended,) = sent(watch.report(of(fetched(), GOOD)))
    title = "no-access is no longer checked (removed from the configuration): 60 Pages, system user main"
    assert (ended["title"], ended["resolution"], ended["apps_down"]) == (title, "removed", 0)
    assert "effect" not in ended


def test_what_the_configuration_holds_is_no_news() -> None:
    """Writes that ``hold`` holds send nothing, and neither does their end; the brake asks a person."""
    watch = Watch()
    sent_now = [*sent(watch.report(*held("berlin"))), *sent(watch.report(of(fetched(), GOOD), after=DAY))]
    assert [(message["problem"], message["status"]) for message in sent_now] == [
        ("missing-scope", "started"),
        ("missing-scope", "ended"),
    ]
    *_, brake = sent(Watch().report(*held("berlin", reason="brake"), checksum="sha256:00"))
    assert (brake["title"], brake["owner"]) == ("brake held: berlin, store vault", "operator")
    assert "--if-plan sha256:00" in brake["remedy"]


def test_an_expiring_system_user_is_a_message() -> None:
    """The days before a system user's token expires are announced as in the log."""
    notice = Problem("system-user-expiring", "In 7 days.")
    expiring = replace(MAIN, verdict=replace(MAIN.verdict, notices=(notice,)))
    (message,) = sent(Watch().report(*HEALTHY, user_token=expiring, ending=("main",)))
    assert (message["problem"], message["apps_down"], message["owner"]) == ("system-user-expiring", 0, "app-admin")


def test_written_secrets_are_listed_without_their_tokens() -> None:
    """A consumer is sent where a value changed, its version and its fingerprint; who asked for problems alone gets nothing."""
    broken = of(fetched(), current(stored(OTHER), judged(is_valid=False)))
    report = Watch().report(broken, outcomes={broken.targets[0].key: Written("3", True)})
    (message,) = messages(report, ("written",))
    assert [(secret["page"], secret["store"], secret["version"]) for secret in message["secrets"]] == [
        ("berlin", "vault", "3")
    ]
    assert len(message["secrets"][0]["fingerprint"]) == 12
    assert message["title"] == "secrets written: 1 replaced"
    assert not [one for one in sent(report) if one["kind"] == "written"]


def test_many_written_secrets_are_all_listed() -> None:
    """No written secret is left out: a consumer that waits for it would never learn of it."""
    pages = [of(fetched(), current(stored(OTHER), judged(is_valid=False)), name=f"p{n}") for n in range(1200)]
    report = Watch().report(*pages, outcomes={one.targets[0].key: Written("3", True) for one in pages})
    sent_now = list(messages(report, ("written",)))
    assert [len(message["secrets"]) for message in sent_now] == [MOST_SECRETS, MOST_SECRETS, 200]
    assert len({message["id"] for message in sent_now}) == 3
    assert all(len(json.dumps(slack(message))) < 8000 for message in sent_now)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for inner in value.values() for text in _texts(inner)]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("text", ["<!channel> & <https://evil.example|click>", "&" * 9000, "<" * 9000, "é" * 9000])
def test_slack_s_form_is_escaped_and_within_its_limits(text: str) -> None:
    """What Graph wrote makes no mention or link, and no text is too long for Slack or ends within an entity."""
    (message,) = sent(Watch().report(of(candidate(Problem("no-access", text, remedy=text)), NOTHING)))
    form = slack(message, link="https://sync.example/?a=1&b=2")
    blocks = form["blocks"]
    assert len(blocks) <= 50
    assert all(0 < len(found) <= 3000 for found in _texts(form))
    shown = json.dumps([block for block in blocks if block["type"] == "section"], ensure_ascii=False)
    assert "<" not in shown
    assert "&" not in shown.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert "<https://sync.example/?a=1&amp;b=2|Open the status page>" in json.dumps(blocks[-1])
