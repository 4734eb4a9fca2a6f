"""The causes of a cycle's problems, each once whatever the number of Pages: for the table, the log and the memory. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from sync.core.memory.problems import ProblemKey
from sync.core.model import Key, SystemUserToken, Verdict
from sync.core.problems import CATALOGUE, Problem, Scope
from sync.core.report.entries import PageEntry, StoreEntry

QUOTED = 3
"""A cause quotes at most this many different messages and remedies."""


@dataclass(slots=True)
class Cause:
    """One cause of problems, and all that it concerns. A ``notice`` changes no result.

    ``problem`` is the first one found. ``keys`` are the secrets whose own problem it is.
    """

    key: ProblemKey
    notice: bool
    problem: Problem
    user_tokens: list[SystemUserToken] = field(default_factory=list)
    pages: dict[str, PageEntry] = field(default_factory=dict)
    keys: dict[Key, None] = field(default_factory=dict)
    messages: dict[str, None] = field(default_factory=dict)
    remedies: dict[str, None] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """What is wrong: the one message, or the meaning of the code and the first messages."""
        if len(self.messages) == 1:
            return next(iter(self.messages))
        return f"{CATALOGUE[self.key.code].meaning} {_joined(self.messages)}"

    @property
    def remedy(self) -> str:
        """What the owner does."""
        return _joined(self.remedies)


def causes(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> tuple[Cause, ...]:
    """Return each cause once, problems before notices."""
    found: dict[tuple[bool, ProblemKey], Cause] = {}
    of_user = {user_token.system_user: user_token.verdict.problems for user_token in user_tokens}
    of_tokens = (finding for user_token in user_tokens for finding in _of_user_token(user_token))
    of_pages = (finding for page in pages for finding in _of_page(page, of_user.get(page.system_user, ())))
    for finding in chain(of_tokens, of_pages):
        key, notice, problem = finding.key, finding.notice, finding.problem
        cause = found.setdefault((notice, key), Cause(key, notice, problem))
        cause.messages[problem.message] = None
        cause.remedies[problem.remedy] = None
        if finding.user_token is not None:
            cause.user_tokens.append(finding.user_token)
        if finding.page is not None:
            cause.pages[finding.page.name] = finding.page
        if finding.entry is not None:
            cause.keys[finding.entry.key] = None
    return tuple(sorted(found.values(), key=lambda cause: cause.notice))


class _Finding(NamedTuple):
    """One problem, and where it was found."""

    key: ProblemKey
    notice: bool
    problem: Problem
    user_token: SystemUserToken | None = None
    page: PageEntry | None = None
    entry: StoreEntry | None = None


def _of_user_token(user_token: SystemUserToken) -> Iterator[_Finding]:
    verdict = user_token.verdict
    for notice, problem in _problems(verdict):
        of_app = CATALOGUE[problem.code].scope == "app"
        scope: Scope = "app" if of_app else "system_user"
        whose = user_token.app if of_app else user_token.system_user
        yield _Finding(ProblemKey(problem.code, scope, whose, problem.owner), notice, problem, user_token)


def _of_page(page: PageEntry, of_user: Sequence[Problem]) -> Iterator[_Finding]:
    for notice, problem in _problems(page):
        yield _Finding(_page_key(page, problem, of_user), notice, problem, page=page)
    for entry in page.stores:
        for notice, problem in _problems(entry):
            if CATALOGUE[problem.code].scope == "store":
                key = ProblemKey(problem.code, "store", entry.key.store, problem.owner, entry.error_code or "")
            else:
                key = _page_key(page, problem, of_user)
            yield _Finding(key, notice, problem, page=page, entry=entry)


def _page_key(page: PageEntry, problem: Problem, of_user: Sequence[Problem]) -> ProblemKey:
    """Return whose problem it is: a Page that has the problem of its system user's token is one of many."""
    if CATALOGUE[problem.code].scope == "app":
        return ProblemKey(problem.code, "app", page.app, problem.owner)
    shared = CATALOGUE[problem.code].scope == "system_user" or problem in of_user
    return ProblemKey(problem.code, "system_user" if shared else "page", page.system_user, problem.owner)


def _problems(of: Verdict | PageEntry | StoreEntry) -> Iterator[tuple[bool, Problem]]:
    yield from ((False, problem) for problem in of.problems)
    yield from ((True, problem) for problem in of.notices)


def _joined(texts: Iterable[str]) -> str:
    known = list(texts)
    more = f" / and {len(known) - QUOTED:,} more" if len(known) > QUOTED else ""
    return " / ".join(known[:QUOTED]) + more
