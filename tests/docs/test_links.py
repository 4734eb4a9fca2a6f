"""Every link of the documentation leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.markdown import PAGES, anchors, links, name
from tests.support.paths import ROOT


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link leads to a file or folder that exists, and its anchor to a heading there."""
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"links to {link}"
        assert not anchor or anchor in anchors(target), f"links to {link}, where there is no such heading"


def test_every_page_can_be_reached() -> None:
    """Following links from the README leads to every page of the documentation but the records of decisions."""
    left, reached = [ROOT / "README.md"], set()
    while left:
        page = left.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
        left += [target for target in targets if target.suffix == ".md" and target.exists()]
    docs = {page for page in PAGES if name(page).startswith("docs/") and page.parent.name != "adr"}
    assert docs - reached == set()
