"""A plan as Markdown is one document, whatever the texts in it say."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from sync.cli.output import table
from sync.cli.output.markdown import document, inert
from sync.core.judge.decide import Candidate
from sync.core.model import Absent, State, Verdict
from sync.core.plan.guards import hold
from sync.core.problems import Problem
from tests.support import reports
from tests.support.values import OTHER, current, fetched, judged, stored

GOOD = reports.of(fetched(), reports.GOOD)
ONCE = "page-token-sync once"
HOSTILE = (
    "a | b\n| c | `x` </table><script>alert(1)</script> [link](javascript:alert(1)) ![i](http://evil/x.png) **bold** "
    "@octocat #12 http://evil.example www.evil.example \\| &lt; ~~gone~~ <!-- $x$ ```\n# Heading\n- item \u202e"
)


def lost(message: str) -> Candidate:
    """Return a Page that Graph refuses with this message."""
    return Candidate(None, Verdict(State.INVALID, (Problem("no-access", message),)))


def rendered(text: str) -> str:
    """Return the document as HTML, with tables and strikethrough as GitHub has them."""
    return MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"]).render(text)


def test_what_stays_is_counted() -> None:
    """Unchanged secrets are counted, and only what changes or has a problem has a line."""
    new = reports.of(fetched(), current(Absent()), name="paris")
    text = document(reports.account(GOOD, new), once=ONCE)

    assert "| berlin |" not in text
    assert "| paris | vault | created |" in text
    assert "1 secret of 2 Pages stays unchanged." in text
    assert text.startswith("## Plan for `acme-prod`: 1 to create\n")
    assert text.endswith("Nothing was written.")


def test_nothing_to_do() -> None:
    """A plan without anything to do has no table."""
    text = document(reports.account(GOOD), once=ONCE)

    assert "nothing to do" in text
    assert "|" not in text


def test_commands_of_remedies_name_the_configuration() -> None:
    """A command in a remedy reads the configuration of the plan, as the one that carries the plan out does."""
    foreign = reports.of(fetched(), current(stored(OTHER, marks=None)))
    report = reports.account(foreign)
    assert [problem.code for problem in report.pages[0].stores[0].problems] == ["secret-foreign"]
    given = Path("pages.yaml")

    assert "page-token-sync --config pages.yaml adopt" in unescape(rendered(document(report, given=given, once=ONCE)))


def test_hostile_texts_stay_in_their_cells() -> None:
    """Pipes, newlines, HTML, links, mentions and fences in a message are text: no element, no row and no cell more."""
    report = reports.account(reports.of(lost(HOSTILE), reports.GOOD))
    clean = reports.account(reports.of(lost("plain"), reports.GOOD))
    page = rendered(document(report, once=ONCE))
    tame = rendered(document(clean, once=ONCE))

    for element in ("<tr", "<td", "<th", "<table", "<li", "<h1", "<h2", "<p", "<br", "<code", "<pre"):
        assert page.count(element) == tame.count(element), element
    for element in ("<script", "<img", "<a ", "<del", "<!--"):
        assert element not in page
    for mention in ("@octocat", "#12 ", "://", "www."):
        assert mention not in document(report, once=ONCE)


def test_inert_text_reads_as_it_was() -> None:
    """Escaped text reads as before."""
    text = "a|b `c` <d> *e* _f_ & [g](h) \\ ~ $ ^ = \" '"
    assert unescape(inert(text)) == text
    assert (
        rendered(inert(text)).strip()
        == f"<p>{text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;').replace(chr(34), '&quot;')}</p>"
    )


@pytest.mark.parametrize("once", ["page-token-sync --config 'a`b```c' once", ONCE])
def test_the_command_is_a_block_of_its_own(once: str) -> None:
    """The command past the brake stands in a fence that nothing in it closes."""
    page_plan = reports.of(fetched(), current(stored(OTHER), judged(is_valid=False)))
    (target,) = page_plan.targets
    waiting = replace(page_plan, targets=(replace(target, action=hold(target.action, "another-plan")),))
    report = reports.account(waiting, frame=replace(reports.FRAME, another_plan=True))
    page = rendered(document(report, once=once))

    assert page.count("<pre>") == 1
    assert f"{once} --if-plan {report.checksum}" in unescape(page)


def test_a_document_fits_into_a_comment() -> None:
    """Of very many lines as many are shown as a comment holds, and the others are counted."""
    pages = [reports.of(fetched(), current(Absent()), name=f"a-page-of-a-long-name-{n:04}") for n in range(2000)]
    text = document(reports.account(*pages), once=ONCE)

    assert len(text) < 60_000
    rows = text.count("| vault |")
    assert f"{2000 - rows:,} more lines do not fit into a comment" in text


def test_a_long_message_is_cut() -> None:
    """A message of any length, and any number of causes, leave the document within a comment's size."""
    pages = [reports.of(lost(f"{n} " + "<" * 5000), reports.GOOD, name=f"p{n}") for n in range(50)]
    assert len(document(reports.account(*pages), once=ONCE)) < 60_000


def test_notable_lines() -> None:
    """A stored token as good as the new one is kept, and its line is not notable."""
    kept = reports.account(reports.of(fetched(), current(stored(OTHER), judged())))
    assert [(line.cells[2], line.notable) for line in table.lines(kept)] == [("kept", False)]
