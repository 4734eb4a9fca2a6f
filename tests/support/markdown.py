"""The Markdown pages of the repository, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
"""Every page of the documentation."""

_FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page: the line that it begins in, its language, and its text without the indentation."""

    line: int
    language: str
    text: str


def name(page: Path) -> str:
    """Return a page's path from the root, as it names a test."""
    return str(page.relative_to(ROOT))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page."""
    text = page.read_text()
    return tuple(
        Block(
            text.count("\n", 0, found.start()) + 1,
            found[2],
            re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )
        for found in _FENCE.finditer(text)
    )


@cache
def prose(page: Path) -> str:
    """Return a page without its fenced blocks, with the same number of lines."""
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())


def spans(page: Path) -> Iterator[str]:
    """Return what stands between backticks in the prose of a page."""
    return (found[1] for found in _SPAN.finditer(prose(page)))


def links(page: Path) -> Iterator[str]:
    """Return where the links and pictures of a page lead."""
    return (found[1] for found in _LINK.finditer(prose(page)))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    seen: dict[str, int] = {}
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return frozenset(found)
