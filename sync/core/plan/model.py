"""What is decided for Pages and their places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sync.core.judge.decide import Action, Candidate, Held
from sync.core.model import Key, Page


@dataclass(frozen=True, slots=True)
class PlacePlan:
    """One place of one Page: what is there, and what is to be done."""

    key: Key
    held: Held
    action: Action


@dataclass(frozen=True, slots=True)
class PagePlan:
    """One Page: the fetched token's judgement, and its places."""

    page: Page
    candidate: Candidate
    places: tuple[PlacePlan, ...]


def places(pages: Sequence[PagePlan]) -> Iterator[tuple[PagePlan, PlacePlan]]:
    """Give every place with its Page, in the order of the configuration."""
    return ((page, place) for page in pages for place in page.places)
