"""The soak test finds edits that are not in force in time, and answers to checks that are not what was found."""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.soak.checks import Asked, wrong
from tools.soak.edits import Edits

CONTENT = {"verify_every": "20s", "pages": [{"id": str(number), "name": f"page-{number}"} for number in range(3)]}


@pytest.fixture
def edits(tmp_path: Path) -> Edits:
    """Return edits after the daemon has read the configuration."""
    made = Edits(tmp_path / "config", copy.deepcopy(CONTENT), random.Random(1))
    made.starting()
    made.started()
    return made


def line(edits: Edits, event: str = "config_reloaded", *, after: float = 1, **fields: Any) -> dict[str, Any]:
    """Return the line of an edit, so many seconds after it."""
    at = datetime.fromtimestamp(edits.at + after, UTC).isoformat()
    return {"event": event, "timestamp": at, "page_count": len(edits.names), "message": "", **fields}


def idle(start: float, end: float) -> float:
    """Return that no cycle ran."""
    return 0.0


def test_an_edit_is_a_swap_of_the_folder(edits: Edits) -> None:
    """The configuration's path stays a link, and what is behind it is another file after each edit."""
    before, names = edits.file.resolve(), set[str]()
    for _ in range(12):
        names.add(edits.edit())
        list(edits.wrong(line(edits), idle))
    assert edits.file.is_symlink()
    assert edits.file.resolve() != before
    assert {"label changed", "repaired"} <= names
    edits.restore()
    assert len(yaml.safe_load(edits.file.read_text())["pages"]) == len(CONTENT["pages"])


def _removed(edits: Edits) -> str:
    edits.edit()
    while edits.names == {page["name"] for page in CONTENT["pages"]} or edits.is_broken:
        list(edits.wrong(line(edits), idle))
        edits.edit()
    return next(iter({"page-0", "page-1", "page-2"} - edits.names))


def test_what_is_logged_of_an_edit_is_compared(edits: Edits) -> None:
    """A true line in time is no difference; a late one, another event, other names and another count are."""
    gone = _removed(edits)
    true = line(edits, pages_removed=[gone])
    mistakes: list[dict[str, Any]] = [
        line(edits),
        {**true, "page_count": 3},
        {**true, "event": "config_rejected"},
        line(edits, after=60, pages_removed=[gone]),
    ]
    for mistake in mistakes:
        assert list(edits_again(edits).wrong(mistake, idle))
    assert list(edits_again(edits).wrong(line(edits, after=60, pages_removed=[gone]), lambda *_: 58.0)) == []
    assert list(edits.late(edits.at + 60, idle))
    seen = edits_again(edits)
    seen.seen = None
    assert list(seen.wrong(true, idle)) == []
    assert list(seen.wrong(true, idle)), "nothing was edited since"
    assert seen.rejected_at(edits.at + 1) is None
    assert seen.rejected_at(edits.at + 20) is False


def test_the_line_of_an_edit_that_a_kill_replaced(edits: Edits) -> None:
    """A line that was logged before the newest edit is compared with the edit before it."""
    rejected = {**line(edits), "event": "config_rejected"}
    while not edits.is_broken:
        edits.seen = 0.0
        edits.edit()
    rejected["timestamp"] = line(edits)["timestamp"]
    edits.history[-1] = (edits.at, True)
    edits.restore()
    edits.at += 60
    assert list(edits.wrong(rejected, idle)) == []
    assert list(edits.wrong({**rejected, "event": "config_reloaded"}, idle))


def edits_again(edits: Edits) -> Edits:
    """Return the same edits as if the last one had not been seen yet."""
    again = copy.deepcopy(edits)
    again.seen = None
    return again


ENTRY = {"store": "vault", "served": "verified", "fingerprint": "b" * 12}
BEFORE = {
    "is_check": False,
    "recorded_at": 90.0,
    "pages": [{"name": "berlin", "stores": [{**ENTRY, "fingerprint": "a" * 12}]}],
}
CHECK = {"is_check": True, "recorded_at": 101.0, "pages": [{"name": "berlin", "stores": [ENTRY]}]}
BODY = {**ENTRY, "page": "berlin", "changed": True, "stores": [{**ENTRY, "changed": True}]}


@pytest.mark.parametrize(
    ("status", "body", "is_true"),
    [
        (200, BODY, True),
        (200, {**BODY, "served": "broken"}, False),
        (200, {**BODY, "fingerprint": "a" * 12}, False),
        (200, {**BODY, "changed": False, "stores": [{**ENTRY, "changed": False}]}, False),
        (200, {**BODY, "stores": []}, False),
        (200, {**BODY, "page": "rome"}, False),
        (202, {"page": "berlin"}, False),
        (404, {"page": "berlin"}, False),
        (429, {"page": "berlin", "retry_after": 30}, True),
        (429, {"page": "berlin"}, False),
        (500, {"page": "berlin"}, False),
        (503, {"reason": "The daemon is shutting down."}, True),
    ],
)
def test_an_answer_to_a_check_is_compared(status: int, body: dict[str, Any], is_true: bool) -> None:
    """An answer that the check's report does not confirm is a difference."""
    asked = Asked(0, "berlin", 100.0, 102.0, status, body)
    assert (list(wrong(asked, [BEFORE, CHECK], frozenset({"berlin"}))) == []) == is_true


def test_a_refusal_without_a_reason_is_found() -> None:
    """429 needs a check of the last minute, 50 of them, or a quota that is used up."""
    asked = Asked(0, "berlin", 200.0, 200.1, 429, {"retry_after": 30})
    assert list(wrong(asked, [BEFORE, CHECK], None))
    used_up = {"retry_after": 3, "reason": "Meta's quota of this app is used up."}
    assert list(wrong(Asked(0, "berlin", 200.0, 200.1, 429, used_up), [BEFORE, CHECK], None)) == []


class Repeating(random.Random):
    """Draws the same number each time."""

    def randrange(self, *_: Any) -> int:
        """Return 0."""
        return 0


def test_each_edit_changes_the_configuration(tmp_path: Path) -> None:
    """No edit is one that the daemon rightly says nothing of, whatever is drawn."""
    edits = Edits(tmp_path / "config", copy.deepcopy(CONTENT), Repeating(1))
    for _ in range(100):
        before = edits.file.read_text()
        edits.edit()
        assert edits.file.read_text() != before
        list(edits.wrong(line(edits), idle))
