"""What the log has reported, so that the next cycle logs only what begins, lasts or ends: causes, and what is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sync.core.problems import Owner, Scope

ServedBefore = Mapping[str, Mapping[str, tuple[str, ...]]]
"""What the last cycle found to be served: the names of the Pages, by store and by what is served."""

HELD, BRAKED, WARNED, REJECTED = "page_held", "brake_held", "cycle_warning", "config_rejected"
"""Codes of causes that are no problems: held writes, writes that the brake holds, warnings, and a rejected configuration."""


@dataclass(frozen=True, slots=True)
class ProblemKey:
    """What begins, lasts and ends, as one cycle recognises it in the next.

    ``code`` is a problem's, or HELD, BRAKED, WARNED or REJECTED. ``whose`` is the name of the app, system user or store that ``scope``
    speaks of; for Pages it is their system user. ``detail`` is the error code of a store, what a held write would be, or the
    text of a warning. ``page`` is the Page that has it, and empty for what all Pages share.
    """

    code: str
    scope: Scope
    whose: str
    owner: Owner | Literal[""]
    detail: str = ""
    page: str = ""

    def of_page(self, page: str) -> ProblemKey:
        """Return the key of the same cause at one Page; empty for all. ``replace`` takes ten times as long, for each Page."""
        return ProblemKey(self.code, self.scope, self.whose, self.owner, self.detail, page)


@dataclass(frozen=True, slots=True)
class OpenProblem:
    """Since when a cause lasts, when it was last logged, and when it was last found.

    ``ended_at``: it has ended, and is remembered for an hour to recognise it. ``recurs``: it came back within that hour.
    ``text`` is what was logged, where a change of it is logged too. ``pages`` are the first Pages that shared it when it was
    last found, and ``page_count`` is the number of all.
    """

    since: datetime
    reported_at: datetime
    found_at: datetime
    ended_at: datetime | None = None
    recurs: bool = False
    text: str = ""
    pages: tuple[str, ...] = ()
    page_count: int = 0


@dataclass(frozen=True, slots=True)
class Reported:
    """All that the log has reported and that may change: the open causes, and what each secret serves."""

    problems: Mapping[ProblemKey, OpenProblem] = field(default_factory=dict)
    served: ServedBefore = field(default_factory=dict)
