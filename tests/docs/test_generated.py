"""What the documentation takes from the code is what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.core.problems import CATALOGUE
from sync.core.report.event import EVENTS
from tests.support.markdown import anchors
from tests.support.paths import ROOT
from tools import docs


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    """Return every generated file, as it should be."""
    return docs.generated()


@pytest.mark.slow
def test_generated_parts_are_up_to_date(generated: dict[Path, str]) -> None:
    """Each generated part, the picture of the terminal included, is as ``python -m tools.docs`` writes it."""
    stale = [str(path.relative_to(ROOT)) for path, text in generated.items() if path.read_text() != text]
    assert stale == [], "run python -m tools.docs"


@pytest.mark.slow
def test_the_picture_holds_nothing_from_elsewhere(generated: dict[Path, str]) -> None:
    """The picture loads nothing over a network and runs no script."""
    picture = generated[ROOT / "docs" / "images" / "bad-day.svg"].replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "berlin" in picture
    assert not any(word in picture for word in ("http", "<script", "@import", "@font-face"))


def test_the_runbook_has_a_section_for_each_problem_code() -> None:
    """Each problem code has a section in the runbook, to which a link can lead, from the symptom to its end."""
    runbook = ROOT / "docs" / "runbook.md"
    sections = {part.split("\n")[0]: part for part in runbook.read_text().split("\n### ")}
    assert anchors(runbook) >= set(CATALOGUE)
    for code in CATALOGUE:
        for word in ("**Symptom:**", "**Cause:**", "**Action:**", "**Over:**"):
            assert word in sections[code], f"{code} has no {word}"


def test_the_runbook_leads_from_each_event_to_a_section() -> None:
    """Whoever sees an event that asks for something finds it in the table of what to look at."""
    table = (ROOT / "docs" / "runbook.md").read_text().split("## Where to begin")[1].split("## Situations")[0]
    quiet = ("daemon_started", "daemon_stopped", "cycle_started", "page_written", "page_regained", "problem_ended")
    for event in set(EVENTS) - {*quiet, "system_user_renewed", "page_checked"}:
        assert f"`{event}`" in table, event


def test_every_model_of_the_configuration_is_described() -> None:
    """The reference has a key of each part of the configuration, a login of Vault and a list's entries included."""
    found = {prefix for prefix, _ in docs.models()}
    assert found >= {"", "schedule.", "stores.*.", "stores.*.auth.", "stores.*.replicas[].", "pages[].checks."}
