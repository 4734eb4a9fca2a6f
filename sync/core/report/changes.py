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
_NO_WRITE_TRIED = ("shutdown", "proof-lost")
"""Reasons of an action after which nothing is known of whether the store takes writes."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a cycle changed in the problems that are open.

    ``began`` and ``reminders`` are to be logged now; a cause that lasts and was logged within a day is in neither, unless it
    has become worse: a stored token stopped working, or it concerns twice as many Pages.
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
    due = [cause for key, cause in present.items() if key in before and _is_due(before[key], cause, now)]
    absent = {key: problem for key, problem in before.items() if key not in present}
    ended = {key: problem.since for key, problem in absent.items() if (key.scope, key.whose) not in unseen}
    return Changes(
        began=tuple(began),
        reminders=tuple(due),
        ended=ended,
        open={
            **{key: problem for key, problem in before.items() if key not in ended},
            **{cause.key: _open(cause, now, now) for cause in began},
            **{cause.key: _open(cause, before[cause.key].since, now) for cause in due},
        },
    )


def unseen(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> frozenset[tuple[Scope, str]]:
    """Return the apps, system users and stores that this cycle could not look at in full."""
    return frozenset(_unseen(pages, user_tokens))


def _unseen(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> Iterator[tuple[Scope, str]]:
    read = {user_token.system_user for user_token in user_tokens if user_token.verdict.state is not State.UNKNOWN}
    for user_token in user_tokens:
        if user_token.system_user not in read:
            yield "system_user", user_token.system_user
    for page in pages:
        if page.system_user not in read:
            yield "system_user", page.system_user
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
            elif page.fetched is State.UNKNOWN or entry.reason in _NO_WRITE_TRIED:
                yield "store", entry.key.store


def _is_due(problem: OpenProblem, cause: Cause, now: datetime) -> bool:
    """Check whether a lasting cause is logged again: after a day, or because it has become worse."""
    worse = _is_broken(cause) and not problem.broken
    return worse or len(cause.pages) >= 2 * max(problem.pages, 1) or _is_old(problem, now)


def _is_old(problem: OpenProblem, now: datetime) -> bool:
    """Check whether a day has passed; a moment in the future, after a clock was set back, counts as long past."""
    return not timedelta(0) <= now - problem.reported_at < REMIND_EVERY


def _open(cause: Cause, since: datetime, now: datetime) -> OpenProblem:
    return OpenProblem(since, now, len(cause.pages), _is_broken(cause))


def _is_broken(cause: Cause) -> bool:
    return any(page.served == "broken" for page in cause.pages.values())
