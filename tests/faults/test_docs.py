"""The tests that docs/explanation/failure-modes.md names exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "explanation" / "failure-modes.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    """A test that the page names is in the file that it names."""
    assert re.search(rf"^\s*def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def _rows() -> Iterator[list[str]]:
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("| what goes wrong"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_each_row_is_shown_by_a_test() -> None:
    """Each row of the tables has a fault, what happens, and at least one test, and no fault occurs twice."""
    rows = list(_rows())
    assert len(rows) > 60
    for row in rows:
        assert len(row) == 3, row
        assert re.fullmatch(r"(`tests/[\w/]+\.py::\w+`(, )?)+", row[2]), row
    assert len({row[0] for row in rows}) == len(rows)
