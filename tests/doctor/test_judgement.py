"""What doctor makes of facts about Graph, apps, system users and Pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from sync.core.model import Checks, Fetched, SourceError, State, SystemUserToken, Verdict
from sync.core.problems import Problem
from sync.core.report.finding import Finding
from sync.doctor.facts import AppFacts, GraphFacts, PageFacts, UserFacts
from sync.doctor.meta import Failures, meta_findings
from sync.doctor.pages import page_findings
from sync.graph.errors import TABLE, Row
from sync.graph.examining import ListedPage, Listing, Node, Unreached
from sync.graph.fault import Fault
from tests.doctor.setups import assert_sound
from tests.support.values import APP_ID, FETCHED, NOW, PAGE_ID, USER_TOKEN, facts, page

BUSINESS = "998877665544332"
READING = frozenset({"pages_messaging", "pages_show_list"})


def error(
    code: str, state: State = State.UNKNOWN, scope: str = "page", message: str = "Graph says: no."
) -> SourceError:
    """Return why Graph gave nothing."""
    return SourceError(Problem(code, message), state, scope)  # type: ignore[arg-type]


def listing(*tasks: str, pages: tuple[str, ...] = (PAGE_ID,), complete: bool = True) -> Listing:
    """Return a list in which each Page has these tasks."""
    return Listing({one: ListedPage(one, "Berlin", tasks) for one in pages}, complete)


def verdict(**changes: Any) -> Verdict:
    """Return the verdict of a system user's token that works."""
    known = facts(type="SYSTEM_USER", profile_id=None, scopes=READING, **changes)
    return Verdict(State.VALID, facts=known)


TOKEN = SystemUserToken("main", "messenger", USER_TOKEN, verdict())
USER = UserFacts(TOKEN, scopes=("pages_messaging",), assigned=listing("MODERATE", "MESSAGING"))
APP = AppFacts(APP_ID, "Acme Messenger")
PAGE = PageFacts(page(), Fetched(FETCHED), Verdict(State.VALID, facts=facts()))
GOOD = GraphFacts(
    "https://graph.facebook.com",
    "v25.0",
    NOW,
    skew=timedelta(seconds=1),
    apps={"messenger": APP},
    users={"main": USER},
    pages=(PAGE,),
)


def judged(known: GraphFacts) -> dict[str, Finding]:
    """Return the findings by id; each occurs once for one Page, app and system user."""
    failures = Failures()
    found = [*meta_findings(known, failures), *page_findings(known, failures)]
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


def with_app(**changes: Any) -> GraphFacts:
    """Return the good facts with another app."""
    return replace(GOOD, apps={"messenger": replace(APP, **changes)})


def with_user(known: GraphFacts = GOOD, **changes: Any) -> GraphFacts:
    """Return the facts with another system user."""
    return replace(known, users={"main": replace(known.users["main"], **changes)})


def with_verdict(found: Verdict, **changes: Any) -> GraphFacts:
    """Return the good facts with another verdict on the system user's token."""
    return with_user(token=replace(TOKEN, verdict=found), **changes)


def with_page(**changes: Any) -> GraphFacts:
    """Return the good facts with another Page."""
    return replace(GOOD, pages=(replace(PAGE, **changes),))


def refused(code: str = "no-access", **changes: Any) -> GraphFacts:
    """Return the facts of a Page whose token Graph refuses."""
    return with_page(fetched=error(code, State.INVALID), verdict=None, **changes)


def test_nothing_is_wrong() -> None:
    """Each check is ok, and has nothing to do."""
    found = judged(GOOD)
    assert {(one.status, one.owner, one.remedy, one.because) for one in found.values()} == {("ok", "", "", "")}
    assert list(found) == [
        "graph-dns",
        "graph-reached",
        "clock",
        "graph-version",
        "app-secret",
        "system-user-token",
        "system-user-scopes",
        "system-user-expiry",
        "page-visible",
        "page-tasks",
        "page-token",
        "page-proof",
    ]


DOWN = error("graph-unavailable", scope="graph")
BEHIND = ("app-secret", "system-user-token", "system-user-scopes", "system-user-expiry")
OF_PAGE = ("page-visible", "page-tasks", "page-token", "page-proof")


def unreached(transport: str) -> GraphFacts:
    """Return the facts where Graph does not answer."""
    closed = replace(TOKEN, verdict=Verdict(State.UNKNOWN, (DOWN.problem,)))
    user = UserFacts(closed, scopes=("pages_messaging",))
    return replace(
        with_app(name=DOWN),
        users={"main": user},
        unreached=Unreached(DOWN, transport),
        skew=None,
        pages=(PageFacts(page(), DOWN),),
    )


PERSON = Verdict(State.VALID, notices=(Problem("not-a-system-user", "x"),), facts=verdict().facts)
EXPIRES = NOW + timedelta(days=50)
UNREADABLE = replace(TOKEN, token=None, verdict=Verdict(State.UNKNOWN, (Problem("credential-unavailable", "x"),)))
UNASSIGNED = listing(pages=())
MISSING = Verdict(State.INVALID, (Problem("missing-scope", "It lacks pages_messaging."),))
NO_MESSAGING = replace(verdict(), facts=facts(type="SYSTEM_USER", scopes=frozenset({"pages_show_list"})))

THROTTLED = error("throttled", scope="app", message="Resumes at 12:00 UTC.")
SILENT = Verdict(State.UNKNOWN, (Problem("graph-unavailable", "x"),))
CLOSED = replace(
    with_app(name=THROTTLED),
    users={"main": UserFacts(replace(TOKEN, verdict=Verdict(State.UNKNOWN, (THROTTLED.problem,))))},
    pages=(PageFacts(page(), THROTTLED),),
)
"""An app that Meta throttles, so that nothing is known of what is behind it."""

# facts; the check that is not ok, its status and owner; the checks that are skipped because of it
CASES: list[tuple[str, GraphFacts, str, str, str, tuple[str, ...]]] = [
    (
        "no dns",
        unreached("dns"),
        "graph-dns",
        "fail",
        "operator",
        ("graph-reached", "clock", "graph-version", *BEHIND, *OF_PAGE),
    ),
    (
        "no answer",
        unreached("timeout"),
        "graph-reached",
        "fail",
        "operator",
        ("clock", "graph-version", *BEHIND, *OF_PAGE),
    ),
    (
        "outage",
        replace(unreached(""), unreached=None, skew=GOOD.skew),
        "graph-reached",
        "fail",
        "nobody",
        ("graph-version", *BEHIND, *OF_PAGE),
    ),
    ("some skew", replace(GOOD, skew=timedelta(minutes=-2)), "clock", "warn", "operator", ()),
    ("much skew", replace(GOOD, skew=timedelta(hours=1)), "clock", "fail", "operator", ()),
    ("no date", replace(GOOD, skew=None), "clock", "unknown", "nobody", ()),
    ("other version", replace(GOOD, other_version="Graph served v27.0."), "graph-version", "warn", "operator", ()),
    (
        "unknown version",
        with_app(name=error("version-sunset", scope="app")),
        "graph-version",
        "fail",
        "operator",
        (*BEHIND, *OF_PAGE),
    ),
    (
        "wrong secret",
        with_app(name=error("app-secret-invalid", scope="app")),
        "app-secret",
        "fail",
        "operator",
        ("graph-version", *BEHIND[1:], *OF_PAGE),
    ),
    (
        "blocked app",
        with_app(name=error("app-blocked", scope="app")),
        "app-secret",
        "fail",
        "app-admin",
        ("graph-version", *BEHIND[1:], *OF_PAGE),
    ),
    ("throttled app", CLOSED, "app-secret", "unknown", "nobody", ("graph-version", *BEHIND[1:], *OF_PAGE)),
    (
        "throttled debug_token",
        replace(CLOSED, apps=GOOD.apps),
        "system-user-token",
        "unknown",
        "nobody",
        (*BEHIND[2:], *OF_PAGE),
    ),
    ("no verdict", with_verdict(SILENT), "system-user-token", "unknown", "nobody", BEHIND[2:]),
    ("unreadable token", with_user(token=UNREADABLE), "system-user-token", "fail", "operator", (*BEHIND[2:], *OF_PAGE)),
    (
        "invalid token",
        with_verdict(Verdict(State.INVALID, (Problem("system-user-invalid", "x"),))),
        "system-user-token",
        "fail",
        "app-admin",
        (*BEHIND[2:], *OF_PAGE),
    ),
    ("person", with_verdict(PERSON), "system-user-token", "warn", "app-admin", ()),
    (
        "unknown scopes",
        with_verdict(replace(verdict(), facts=facts(scopes=None))),
        "system-user-scopes",
        "unknown",
        "nobody",
        (),
    ),
    ("unknown expiry", with_verdict(verdict(expires_at=None)), "system-user-expiry", "unknown", "nobody", ()),
    ("expires", with_verdict(verdict(expires_at=EXPIRES)), "system-user-expiry", "warn", "operator", ()),
    (
        "expires soon",
        with_verdict(verdict(expires_at=NOW + timedelta(days=3))),
        "system-user-expiry",
        "warn",
        "app-admin",
        (),
    ),
    (
        "missing scope",
        replace(with_verdict(NO_MESSAGING), pages=(replace(PAGE, verdict=MISSING),)),
        "system-user-scopes",
        "fail",
        "app-admin",
        ("page-proof",),
    ),
    (
        "missing permission",
        refused("missing-permission", node=Node("page", "Berlin")),
        "system-user-scopes",
        "fail",
        "app-admin",
        ("page-token", "page-proof"),
    ),
    ("wrong id", refused("page-not-found"), "page-visible", "fail", "operator", OF_PAGE[1:]),
    ("moved", refused("page-migrated"), "page-visible", "fail", "operator", OF_PAGE[1:]),
    ("a person's id", refused(node=Node("user", "Joe")), "page-visible", "fail", "operator", OF_PAGE[1:]),
    (
        "nothing under the id",
        with_user(refused(node=error("no-access", State.INVALID)), assigned=UNASSIGNED),
        "page-visible",
        "fail",
        "business-admin",
        OF_PAGE[1:],
    ),
    (
        "not assigned",
        with_user(refused(node=Node("page", "Berlin")), assigned=UNASSIGNED),
        "page-tasks",
        "fail",
        "business-admin",
        OF_PAGE[2:],
    ),
    (
        "too few tasks",
        with_user(refused(node=Node("page", "Berlin")), assigned=listing("ANALYZE")),
        "page-tasks",
        "fail",
        "business-admin",
        OF_PAGE[2:],
    ),
    ("too few tasks with a token", with_user(assigned=listing("ANALYZE")), "page-tasks", "warn", "business-admin", ()),
    ("no list", with_user(assigned=error("no-access")), "page-tasks", "unknown", "nobody", ()),
    ("not in the list", with_user(assigned=UNASSIGNED), "page-tasks", "unknown", "nobody", ()),
    ("refused", refused(node=Node("page", "Berlin")), "page-token", "fail", "business-admin", ("page-proof",)),
    (
        "two-factor",
        refused("two-factor-required", node=Node("page", "")),
        "page-token",
        "fail",
        "app-admin",
        ("page-proof",),
    ),
    ("proof not asked", with_page(verdict=None), "page-proof", "unknown", "nobody", ()),
    ("lacks a scope for this Page", with_page(verdict=MISSING), "page-proof", "fail", "app-admin", ()),
    (
        "another Page's token",
        with_page(verdict=Verdict(State.INVALID, (Problem("wrong-page", "x"), Problem("wrong-app", "y")))),
        "page-proof",
        "fail",
        "operator",
        (),
    ),
    (
        "throttled proof",
        with_page(verdict=Verdict(State.UNKNOWN, (Problem("throttled", "x"),))),
        "page-proof",
        "unknown",
        "nobody",
        (),
    ),
    (
        "data access expires",
        with_page(verdict=Verdict(State.VALID, notices=(Problem("data-access-expiring", "x"),), facts=facts())),
        "page-proof",
        "warn",
        "app-admin",
        (),
    ),
]


@pytest.mark.parametrize(
    ("known", "check", "status", "owner", "skips"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_one_cause_is_one_finding(
    known: GraphFacts, check: str, status: str, owner: str, skips: tuple[str, ...]
) -> None:
    """The cause is named once, with its owner and a remedy; what follows from it is skipped because of it, the rest is ok."""
    found = judged(known)
    cause = found[check]
    assert (cause.status, cause.owner) == (status, owner)
    assert cause.message
    assert cause.remedy
    assert {one.id for one in found.values() if one.status == "skipped"} == set(skips)
    assert {one.because for one in found.values() if one.status == "skipped"} <= {
        f"{cause.id} {cause.subject}".rstrip()
    }
    assert {one.id for one in found.values() if one.status not in ("ok", "skipped")} == {check}


NO_ANSWER = frozenset(
    {
        "request-not-sendable",
        "graph-not-found",
        "no-answer",
        "graph-down-not-found",
        "graph-down",
        "item-given-up",
        "too-many-requests",
        "app-throttled",
        "caller-throttled",
        "unusual-volume",
        "page-throttled",
        "too-much-data",
        "transient",
        "facts-left-out",
        "facts-partial",
    }
)
"""Errors that say nothing of what was asked for, whatever it was."""
NO_MEANING = frozenset({"batch-malformed", "batch-not-taken", "wrong-kind-of-token", "call-malformed", "anything-else"})
"""Errors with which a Page is not read, and which call no token invalid."""


def ends(known: GraphFacts) -> str:
    """Return how the check ended that an error is the result of."""
    (end,) = {one.status for one in judged(known).values()} - {"ok", "skipped"}
    return end


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_an_error_that_says_nothing_fails_no_check(row: Row) -> None:
    """Of every error of Graph's it is known whether it fails a check, by what was asked for when it came."""
    kind = row.kind or "error"
    got = row.error(Fault(kind, transport="timeout" if kind in ("transport", "down") else ""))
    open_ = row.name in NO_ANSWER | NO_MEANING
    if "debug" in row.where:
        answered = Verdict(got.state, (got.problem,))
        assert ends(with_verdict(answered)) == ("unknown" if open_ else "fail")
        assert ends(with_page(verdict=answered)) == ("unknown" if open_ else "fail")
        unproven = with_verdict(SILENT)
        assert ends(replace(unproven, apps={"messenger": replace(APP, name=got)})) == ("unknown" if open_ else "fail")
    if "page" in row.where:
        assigned = with_page(fetched=got, verdict=None, node=Node("page", "Berlin"))
        assert ends(assigned) == ("unknown" if row.name in NO_ANSWER else "fail")


def test_a_token_without_a_verdict_may_still_work() -> None:
    """Where debug_token gives no answer, that Graph returns tokens of Pages is said, and how long to wait."""
    found = judged(with_verdict(SILENT))["system-user-token"]
    assert "Graph returns tokens of Pages with it." in found.message
    assert "doctor again" in found.remedy


def test_a_proxy_that_does_not_answer_is_to_be_checked_itself() -> None:
    """Where a proxy stands in between, who has to look at it is not sent to set one."""
    found = judged(replace(unreached("connect"), via="the proxy proxy.internal:3128"))["graph-reached"]
    assert "Check that graph.proxy" in found.remedy


@pytest.mark.parametrize("code", ["throttled", "graph-unavailable"])
def test_a_proven_token_shows_that_the_app_is_accepted(code: str) -> None:
    """An app whose name cannot be read for the moment has the right secret where its own token was let to debug_token."""
    assert {one.status for one in judged(with_app(name=error(code))).values()} == {"ok"}


@pytest.mark.parametrize("tasks", [("MANAGE",), ("PROFILE_PLUS_FULL_CONTROL",), ("ANALYZE", "PROFILE_PLUS_MESSAGING")])
def test_tasks_that_suffice(tasks: tuple[str, ...]) -> None:
    """Full control, messages or moderation suffice, by the names of both kinds of Page."""
    assert judged(with_user(assigned=listing(*tasks)))["page-tasks"].status == "ok"


def test_a_page_that_sends_no_messages_needs_no_task_for_them() -> None:
    """Where the checks do not demand pages_messaging and Graph returns the token, any task suffices."""
    known = with_page(page=page(checks=Checks(scopes=("pages_read_engagement",))))
    assert judged(with_user(known, assigned=listing("ANALYZE")))["page-tasks"].status == "ok"


def test_a_token_that_is_renewed_may_expire() -> None:
    """A token in a store is renewed in time, so nobody has to act."""
    known = with_verdict(verdict(expires_at=EXPIRES), in_store=True, renew_before=timedelta(days=14))
    assert judged(known)["system-user-expiry"].message.endswith("is renewed 14 days before.")


@pytest.mark.parametrize(
    ("owned", "shared", "status", "owner"),
    [
        (listing(), listing(pages=()), "ok", ""),
        (listing(pages=()), listing(), "warn", "business-admin"),
        (listing(pages=()), listing(pages=()), "warn", "business-admin"),
        (listing(pages=()), listing(pages=(), complete=False), "unknown", "nobody"),
        (error("no-access"), error("no-access"), "unknown", "nobody"),
    ],
)
def test_the_business_owns_the_page(owned: Any, shared: Any, status: str, owner: str) -> None:
    """A Page that is only shared is a warning; where Graph does not say it, that is unknown, and never a failure."""
    known = with_user(with_app(business=BUSINESS), business=BUSINESS, owned=owned, shared=shared)
    found = judged(known)
    assert (found["page-business"].status, found["page-business"].owner) == (status, owner)
    assert found["app-business"].status == "ok"


@pytest.mark.parametrize(
    ("business", "status"), [(BUSINESS, "ok"), ("1", "warn"), ("", "unknown"), (error("no-access"), "unknown")]
)
def test_the_business_owns_the_app(business: Any, status: str) -> None:
    """An app of another business is a warning."""
    known = with_user(with_app(business=business), business=BUSINESS, owned=listing(), shared=listing())
    assert judged(known)["app-business"].status == status


def test_a_refused_app_says_nothing_of_its_business() -> None:
    """The owner of an app whose secret is refused is skipped because of the secret."""
    known = with_user(with_app(name=error("app-secret-invalid", scope="app")), business=BUSINESS)
    found = judged(known)["app-business"]
    assert (found.status, found.because) == ("skipped", "app-secret messenger")


def test_one_system_users_failure_skips_only_its_pages() -> None:
    """Pages of another system user are examined, and so are another app's."""
    invalid = Verdict(State.INVALID, (Problem("system-user-invalid", "x"),))
    other = replace(TOKEN, system_user="other", verdict=invalid)
    paris = replace(PAGE, page=page(name="paris", system_user="other"))
    known = replace(GOOD, users={"main": USER, "other": replace(USER, token=other)}, pages=(PAGE, paris))
    failures = Failures()
    found = [*meta_findings(known, failures), *page_findings(known, failures)]
    assert {one.subject for one in found if one.status == "fail"} == {"other"}
    assert {one.subject for one in found if one.status == "skipped"} == {"other", "paris"}


def test_one_apps_failure_skips_only_its_system_users() -> None:
    """The version is known by the other app."""
    refused_app = AppFacts("1", error("app-secret-invalid", scope="app"))
    other = replace(TOKEN, system_user="other", app="second")
    known = replace(
        GOOD, apps={"messenger": APP, "second": refused_app}, users={"main": USER, "other": replace(USER, token=other)}
    )
    found = list(meta_findings(known, Failures()))
    assert {(one.id, one.subject) for one in found if one.status == "fail"} == {("app-secret", "second")}
    assert {one.subject for one in found if one.status == "skipped"} == {"other"}


NO_ACCESS = error("no-access", State.INVALID)
FETCHES = [Fetched(FETCHED), NO_ACCESS, error("missing-permission", State.INVALID), error("throttled"), DOWN]
VERDICTS = [None, Verdict(State.VALID), MISSING, Verdict(State.UNKNOWN, (Problem("debug-unavailable", "x"),))]
NODES = [None, Node("page", "Berlin"), Node("", ""), Node("user", "Joe"), NO_ACCESS]
LISTINGS = [
    None,
    NO_ACCESS,
    listing("MANAGE"),
    listing("ANALYZE"),
    listing(),
    UNASSIGNED,
    listing(pages=(), complete=False),
]
APPS = [APP, AppFacts(APP_ID, error("app-blocked", scope="app")), AppFacts(APP_ID, DOWN, NO_ACCESS)]
TOKENS = [TOKEN, UNREADABLE, replace(TOKEN, verdict=Verdict(State.UNKNOWN, (Problem("throttled", "x"),)))]


def test_any_facts_are_judged() -> None:
    """Whatever is found, each result but ok has an owner and a remedy, or names a result that is not ok as its reason."""
    for fetched, proof, node, assigned, app, token in product(FETCHES, VERDICTS, NODES, LISTINGS, APPS, TOKENS):
        user = UserFacts(token, ("pages_messaging",), BUSINESS, assigned=assigned, owned=assigned, shared=assigned)
        shown = PageFacts(page(), fetched, proof, node)
        found = judged(replace(GOOD, apps={"messenger": app}, users={"main": user}, pages=(shown,)))
        assert_sound(list(found.values()))
