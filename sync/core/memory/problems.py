"""The problems that one cycle reported and that lasted, so that the next one logs only what began, lasts or ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sync.core.problems import Scope


@dataclass(frozen=True, slots=True)
class ProblemKey:
    """The cause of a problem, as one cycle recognises it in the next.

    ``whose`` is the name of the app, system user or store that ``scope`` speaks of; for Pages it is their system user.
    ``error_code`` is a store's, and empty for every other problem.
    """

    code: str
    scope: Scope
    whose: str
    owner: str
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class OpenProblem:
    """Since when a cause lasts, and when it was last logged; ``pages`` and ``broken`` are what was logged then.

    ``broken``: a stored token of a Page concerned did not work.
    """

    since: datetime
    reported_at: datetime
    pages: int = 0
    broken: bool = False
