"""Which problems began, last and ended with a cycle, so that the log reports each cause once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.core.judge.decide import Kind
from sync.core.memory.problems import OpenProblem, ProblemKey
from sync.core.model import State, SystemUserToken
from sync.core.problems import CATALOGUE, Scope
from sync.core.report.causes import Cause
from sync.core.report.entries import PageEntry

REMIND_EVERY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a cycle changed in the problems that are open.

    ``began`` and ``reminders`` are to be logged now; a cause that lasts and was logged within a day is in neither.
    ``ended`` is since when each cause that ended had lasted. ``open`` is what the next cycle needs to know.
    """

    began: tuple[Cause, ...] = ()
    reminders: tuple[Cause, ...] = ()
    ended: Mapping[ProblemKey, datetime] = field(default_factory=dict)
    open: Mapping[ProblemKey, OpenProblem] = field(default_factory=dict)


def changes(
    causes: Iterable[Cause],
    before: Mapping[ProblemKey, OpenProblem],
    *,
    unseen: frozenset[tuple[Scope, str]],
    now: datetime,
) -> Changes:
    """Compare the causes of this cycle with those that were open before it; notices are left out.

    ``unseen`` is what this cycle could not look at: a cause that is not found there has not ended.
    """
    present = {cause.key: cause for cause in causes if not cause.notice}
    began = [cause for key, cause in present.items() if key not in before]
    due = [cause for key, cause in present.items() if key in before and _is_due(before[key], now)]
    absent = {key: problem for key, problem in before.items() if key not in present}
    ended = {key: problem.since for key, problem in absent.items() if (key.scope, key.whose) not in unseen}
    return Changes(
        began=tuple(began),
        reminders=tuple(due),
        ended=ended,
        open={
            **{key: problem for key, problem in before.items() if key not in ended},
            **{cause.key: OpenProblem(now, now) for cause in began},
            **{cause.key: OpenProblem(before[cause.key].since, now) for cause in due},
        },
    )


def unseen(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> frozenset[tuple[Scope, str]]:
    """Return the apps, system users and stores that this cycle could not look at in full."""
    return frozenset(_unseen(pages, user_tokens))


def _unseen(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> Iterator[tuple[Scope, str]]:
    for user_token in user_tokens:
        if user_token.verdict.state is State.UNKNOWN:
            yield "system_user", user_token.system_user
    for page in pages:
        # A fetched token that differs with each reading is judged once an hour, and is unknown without a problem.
        if page.fetched is State.UNKNOWN and page.problems:
            yield "page", page.system_user
            if any(CATALOGUE[problem.code].scope == "app" for problem in page.problems):
                yield "app", page.app
                yield "system_user", page.system_user
        for entry in page.stores:
            if entry.action is Kind.FAILED:
                yield "store", entry.key.store
                yield "page", page.system_user


def _is_due(problem: OpenProblem, now: datetime) -> bool:
    """Check whether a day has passed; a moment in the future, after a clock was set back, counts as long past."""
    return not timedelta(0) <= now - problem.reported_at < REMIND_EVERY
