"""Every example says what an app does on Graph's errors, and all say the same as the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.markdown import name
from tests.support.paths import ROOT

CODES = ("190", "10", "100", "200", "368")
FILES = sorted(
    path for path in (ROOT / "examples").rglob("*") if path.suffix in (".py", ".mjs", ".go", ".php", ".hcl", ".yaml")
)
APPS = ("python/page_app.py", "node/page-app.mjs", "go/main.go", "php/page_app.php")


def advice(app: str) -> dict[str, str]:
    """Return what an app reports for each code."""
    text = (ROOT / "examples" / app).read_text()
    return {found[1]: found[3] for found in re.finditer(r"^\s+(\d+)(?::| =>)\s+([\"'])(.*)\2,$", text, re.MULTILINE)}


@pytest.mark.parametrize("path", [*FILES, ROOT / "examples" / "README.md"], ids=name)
def test_every_example_says_what_to_do_on_errors(path: Path) -> None:
    """Each example names each code, by itself or with the page that has them."""
    text = path.read_text()
    assert [code for code in CODES if not re.search(rf"\b{code}\b", text)] == []
    assert "docs/how-to/read-a-token.md" in text or set(advice_of(path)) == set(CODES)


def advice_of(path: Path) -> dict[str, str]:
    """Return what the app in a file reports for each code; empty where it is none."""
    app = str(path.relative_to(ROOT / "examples"))
    return advice(app) if app in APPS else {}


def test_all_apps_say_the_same() -> None:
    """The four apps report the same sentence for each code."""
    first, *others = (advice(app) for app in APPS)
    assert set(first) == set(CODES)
    assert others == [first] * 3


def test_the_documentation_has_a_row_for_each_code() -> None:
    """The how-to says what an app does on each code."""
    page = (ROOT / "docs" / "how-to" / "read-a-token.md").read_text()
    assert [code for code in CODES if f"\n| {code} | " not in page] == []
