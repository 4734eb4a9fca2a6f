"""What is decided for Pages and their targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sync.core.judge.decide import Action, Candidate, Current
from sync.core.model import Key, Page
from sync.core.problems import Problem


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """One target of one Page: what it holds, and what is to be done. ``notices`` are about the target and change no result."""

    key: Key
    current: Current
    action: Action
    notices: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class PagePlan:
    """One Page: the fetched token with its verdict, and its targets."""

    page: Page
    candidate: Candidate
    targets: tuple[TargetPlan, ...]


def targets(pages: Sequence[PagePlan]) -> Iterator[tuple[PagePlan, TargetPlan]]:
    """Return every target with its Page, in the order of the configuration."""
    return ((page, target) for page in pages for target in page.targets)
