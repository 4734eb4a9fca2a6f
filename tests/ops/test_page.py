"""The page for people: what it shows first, in text and in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from sync.core.judge.decide import Candidate
from sync.core.model import Absent, State, Verdict
from sync.core.problems import Problem
from sync.core.report.causes import causes
from sync.core.report.entries import PageEntry
from sync.core.report.report import Report
from sync.ops.health import Health
from sync.ops.page import ROWS, STYLE_HASH, StatusPage
from sync.ops.status import Snapshot
from tests.support.reports import GOOD, MAIN, account, of
from tests.support.services.browser import browser
from tests.support.timing import calls
from tests.support.values import FETCHED, NOW, OTHER, STORE_DOWN, USER_TOKEN, current, fetched, judged, stored

__all__ = ["browser"]

WELL = Health(True, "The scheduler waits for the next cycle.")
STUCK = Health(False, "The running cycle has not advanced for 900 seconds: it is stuck. Restart the daemon.")
NO_ACCESS = Candidate(None, Verdict(State.INVALID, (Problem("no-access", "Graph gave no token."),)))
BROKEN = current(stored(OTHER), judged(is_valid=False))
REJECTED = (
    {"file": "c.yaml", "line": 3, "column": 1, "path": "mode", "code": "x", "message": "Bad.", "remedy": "Fix."},
)
LATER = NOW + timedelta(minutes=2)


def failing(pages: int) -> Report:
    """Return a report in which all Pages fail for one cause; one is built, since the others differ in the name alone."""
    one = account(of(NO_ACCESS, BROKEN))
    entries = tuple(replace(one.pages[0], name=f"page-{number}") for number in range(pages))
    return replace(one, pages=entries, known_causes=causes(entries, one.user_tokens))


def held() -> Report:
    """Return a report in which a write is held by the brake."""
    one = account(of(fetched(), GOOD))
    entry = replace(one.pages[0].stores[0], action=type(one.pages[0].stores[0].action).HELD, reason="brake")
    return replace(one, pages=(replace(one.pages[0], stores=(entry,)),), checksum="sha256:abc", known_causes=None)


def shown(
    report: Report | None, query: Mapping[str, str] | None = None, *, health: Health = WELL, **changes: object
) -> str:
    """Return the page two minutes after the report."""
    changes = {"next_cycle_at": LATER + timedelta(minutes=12), **changes}
    return StatusPage().render(Snapshot(0.0, report=report, **changes), query or {}, now=LATER, health=health)  # type: ignore[arg-type]


def checked() -> Report:
    """Return a report of a Page with an error that its system user's token had too, until a check found it well."""
    odd = Problem("unexpected-graph-error", "Code 1.", graph_code=1)
    page = of(Candidate(None, Verdict(State.UNKNOWN, (odd,))), GOOD)
    both = account(page, user_tokens=(replace(MAIN, verdict=Verdict(State.UNKNOWN, (odd,))),))
    return replace(both, user_tokens=(MAIN,), known_causes=None)


def test_a_check_leaves_since_when_a_problem_lasts() -> None:
    """Where a check finds the token well, the page still says since when its Pages have what both had."""
    page = shown(checked())
    assert ("unexpected-graph-error, 1 Page" in page, page.count("<p>Since ")) == (True, 1)


STATES: Mapping[str, Callable[[], str]] = {
    "well": lambda: shown(account(of(fetched(), GOOD))),
    "broken": lambda: shown(
        account(of(NO_ACCESS, BROKEN, current(STORE_DOWN)), of(fetched(), current(Absent()), name="paris"))
    ),
    "held": lambda: shown(held()),
    "stuck": lambda: shown(account(of(fetched(), GOOD)), health=STUCK),
    "rejected": lambda: shown(account(of(fetched(), GOOD)), config_errors=REJECTED),
    "none yet": lambda: shown(None),
    "all failing": lambda: shown(failing(10_000)),
}


@pytest.mark.parametrize(
    ("state", "texts"),
    [
        ("well", ["All is well.", "2 min ago", "in 12 min"]),
        (
            "broken",
            [
                "no-access",
                "Since ",
                "Action required (business-admin)",
                "Served to apps now: 1 broken",
                "Served to apps now: 1 stale",
            ],
        ),
        ("held", ["Held writes", "page-token-sync once --if-plan sha256:abc"]),
        ("stuck", ["The daemon does not work as it should.", "it is stuck"]),
        ("rejected", ["The newest edit of the configuration is rejected.", "c.yaml:3:1", "Fix."]),
        ("none yet", ["No check has ended yet."]),
        ("all failing", ["10,000 of 10,000 Pages", "and 9,990 more", "shown 1 to 200"]),
    ],
)
def test_states(state: str, texts: list[str]) -> None:
    """Each state is named in words, with what a person needs."""
    page = STATES[state]()
    for text in texts:
        assert text in page
    assert ("All is well" in page) == (state == "well")


def test_overdue() -> None:
    """An old report never looks well: its next check is overdue."""
    page = shown(account(of(fetched(), GOOD)), next_cycle_at=NOW)
    assert "overdue" in page
    assert "All is well" not in page


def test_one_cause() -> None:
    """However many Pages fail for one cause, it is shown once, and the rows are limited."""
    page = shown(failing(10_000))
    assert page.count("<article") == len({"no-access", "token-invalid"})
    assert page.count('<tr><th scope="row">page-') == ROWS
    assert 'href="/?page=1"' in page


def test_each_failing_page_is_little_work() -> None:
    """The first request after a cycle derives no cause again: each failing Page adds at most 25 calls to it, and none to a later one."""
    first, later = [], []
    for number in (300, 400):
        page, snapshot = StatusPage(), Snapshot(0.0, report=failing(number))
        for found in (first, later):
            found.append(calls(lambda: page.render(snapshot, {}, now=LATER, health=WELL)))  # noqa: B023 - called here
    assert first[1] - first[0] <= 25 * 100
    assert later[1] == later[0]


def test_owner_of_a_throttle() -> None:
    """Whom one of the errors of a throttle names must act, as the log says, though the others name nobody."""
    texts = [Problem("throttled", "Too many calls.", owner) for owner in ("nobody", "operator")]
    pages = [of(Candidate(None, Verdict(State.UNKNOWN, (one,))), GOOD, name=f"p-{one.owner}") for one in texts]
    assert "Action required (operator)" in shown(account(*pages))


def test_served_of_a_cause() -> None:
    """What Pages of an app's problem serve is counted for each Page, whether or not its secrets have the problem too."""
    closed = Problem("graph-unavailable", "Silence.")
    lost = Candidate(None, Verdict(State.UNKNOWN, (closed,)))
    unknown = replace(GOOD, verdict=Verdict(State.UNKNOWN, (closed,)))
    page = shown(account(of(lost, unknown, GOOD), of(lost, BROKEN, GOOD, name="rome")))
    assert "Pages: berlin, rome.</p><p>Served to apps now: 1 broken, 1 stale." in page


def test_filters() -> None:
    """The URL filters by text, state and store, and its links keep the filter."""
    report = failing(1000)
    assert page_count(shown(report, {"q": "PAGE-99"})) == len({99, *range(990, 1000)})
    assert page_count(shown(report, {"state": "verified"})) == 0
    assert page_count(shown(report, {"store": "aws"})) == 0
    assert "state=broken&amp;page=1" in shown(report, {"state": "broken"})


@pytest.mark.parametrize("number", ["-1", "x", "9" * 5000, "²", "99999", ""])
def test_page_number(number: str) -> None:
    """Any number of a page of rows gives a page."""
    assert page_count(shown(failing(300), {"page": number})) in (100, 200)


def page_count(page: str) -> int:
    """Return the number of rows with a secret."""
    return page.count('<tr><th scope="row">page-')


@given(st.text(max_size=40).map(lambda text: f"<script>'\"{text}</style><img onerror=x>"))
def test_escaped(nasty: str) -> None:
    """No name, message, error or query brings markup into the page."""
    report = account(of(Candidate(None, Verdict(State.INVALID, (Problem("no-access", nasty, remedy=nasty),))), BROKEN))
    page_entry: PageEntry = replace(report.pages[0], name=nasty)
    page = shown(
        replace(
            report,
            pages=(page_entry,),
            frame=replace(report.frame, instance=nasty, warnings=(nasty,)),
            known_causes=None,
        ),
        {"q": nasty, "store": nasty, "state": nasty},
        config_errors=({**REJECTED[0], "message": nasty, "path": nasty},),
    )
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</style>") == 1


def test_no_token() -> None:
    """The page shows fingerprints, and never a token."""
    page = shown(account(of(fetched(), GOOD, BROKEN)))
    assert FETCHED.fingerprint in page
    assert not [token for token in (FETCHED, OTHER, USER_TOKEN) if token.reveal() in page]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_accessible(browser: Browser, state: str, scheme: str) -> None:
    """Axe finds nothing, in light and in dark, and a phone's width is enough."""
    with browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": 360, "height": 740}
    ) as context:
        page = context.new_page()
        page.set_content(STATES[state]())
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.locator("caption").evaluate_all("all => all.every(one => one.offsetHeight < 100)")
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def test_keyboard_without_script(browser: Browser) -> None:
    """Without script, under the server's policy, the keyboard reaches the filter, and the style applies."""
    policy = f"default-src 'none'; form-action 'self'; style-src '{STYLE_HASH}'"
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.route(
            "**/*",
            lambda route: route.fulfill(
                body=STATES["broken"](), content_type="text/html", headers={"Content-Security-Policy": policy}
            ),
        )
        page.goto("http://page.test/")
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        for _ in range(2):
            page.keyboard.press("Tab")
        page.locator("#q:focus").wait_for(timeout=2000)
        page.keyboard.type("berlin")
        page.keyboard.press("Enter")
        page.wait_for_url("**/?q=berlin*")
        assert page.locator(".verdict").evaluate("one => getComputedStyle(one).borderLeftWidth") == "8px"
