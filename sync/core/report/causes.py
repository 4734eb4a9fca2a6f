"""The causes of a cycle's problems, each once whatever the number of Pages: for the table, the log and the memory. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Literal

from sync.core.judge.decide import Kind
from sync.core.memory.problems import BRAKED, HELD, REJECTED, WARNED, ProblemKey
from sync.core.model import Key, SystemUserToken, Verdict
from sync.core.plan.guards import FOR_A_PERSON
from sync.core.problems import CATALOGUE, Owner, Problem, Scope
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.text import filled

QUOTED = 3
"""A cause quotes at most this many different messages and remedies."""

OF_WHOLE_STORE = frozenset(
    {
        *("unreachable", "timeout", "tls", "sealed", "no-leader", "login-refused", "credentials", "no-mount", "kv-v1"),
        *("not-vault", "namespace", "throttled", "clock", "locked", "disk"),
    }
)
"""The error codes that all secrets of a store share; any other is about single secrets."""

_NUMBERS = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, and where it was found."""

    problem: Problem
    user_token: SystemUserToken | None = None
    page: PageEntry | None = None
    entry: StoreEntry | None = None


@dataclass(frozen=True)
class Cause:
    """One cause of problems, and all that it concerns. A ``notice`` changes no result."""

    key: ProblemKey
    notice: bool
    findings: Sequence[Finding]

    @property
    def problem(self) -> Problem:
        """The first problem found."""
        return self.findings[0].problem

    @cached_property
    def pages(self) -> Mapping[str, PageEntry]:
        """The Pages that have the problem, by name."""
        return {found.page.name: found.page for found in self.findings if found.page is not None}

    @property
    def user_tokens(self) -> Sequence[SystemUserToken]:
        """The system users' tokens that have the problem."""
        return [found.user_token for found in self.findings if found.user_token is not None]

    @property
    def keys(self) -> Sequence[Key]:
        """The secrets whose own problem it is."""
        return list(dict.fromkeys(found.entry.key for found in self.findings if found.entry is not None))

    @cached_property
    def messages(self) -> Sequence[str]:
        """The different messages, without those that another one begins with."""
        texts = list(dict.fromkeys(found.problem.message for found in self.findings))
        continued = {text for text, following in pairwise(sorted(texts)) if following.startswith(text)}
        return [text for text in texts if text not in continued]

    @property
    def message(self) -> str:
        """What is wrong: the one message, or the meaning of the code and the first messages."""
        if len(self.messages) == 1:
            return self.messages[0]
        return f"{CATALOGUE[self.key.code].meaning} {joined(self.messages)}"

    @property
    def owner(self) -> Owner | Literal[""]:
        """Who must act. Of a throttle one error may name somebody, where the others and the key name nobody."""
        owners = (found.problem.owner for found in self.findings)
        return next((owner for owner in owners if owner != "nobody"), "nobody")

    @property
    def remedy(self) -> str:
        """What the owner does, with the names of the one Page, the store and the one secret in the commands."""
        text = joined(list(dict.fromkeys(found.problem.remedy for found in self.findings)))
        if self.key.scope != "store":
            return text
        page = next(iter(self.pages)) if len(self.pages) == 1 else None
        return filled(text, self.key.whose, page=page, path=self.keys[0].path if len(self.keys) == 1 else None)

    def text_of(self, page: str) -> str:
        """Return what is logged again when it changes: each foreign write of a Page's secret is another one."""
        return self._texts.get(page, "") if self.key.code == "foreign-write" else ""

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return {found.page.name: found.problem.message for found in self.findings if found.page is not None}

    def only(self, names: Collection[str]) -> Cause:
        """Return the same cause, of these Pages alone."""
        return Cause(self.key, self.notice, [one for one in self.findings if one.page and one.page.name in names])


@dataclass(frozen=True)
class HeldWrites:
    """Writes of one store that are decided and held for one reason. ``checksum`` is the plan's, where a person can let them through."""

    key: ProblemKey
    found: Sequence[tuple[PageEntry, StoreEntry]]
    checksum: str = ""

    @property
    def reason(self) -> str | None:
        """Why they are held."""
        return self.found[0][1].reason

    @property
    def losses(self) -> Sequence[str]:
        """What applications would lose, where the new token is weaker."""
        loses = (" and ".join(entry.would.loses) for _, entry in self.found if entry.would and entry.would.loses)
        return list(dict.fromkeys(f"The new token {text}." for text in loses))

    @cached_property
    def pages(self) -> Mapping[str, PageEntry]:
        """The Pages whose secrets are held, by name."""
        return {page.name: page for page, _ in self.found}

    def text_of(self, _: str) -> str:
        """Return the checksum: the brake is logged again when the plan is another one."""
        return self.checksum

    def only(self, names: Collection[str]) -> HeldWrites:
        """Return the writes of these Pages alone."""
        return HeldWrites(self.key, [one for one in self.found if one[0].name in names], self.checksum)


@dataclass(frozen=True)
class Warned:
    """A warning of the cycle, or a rejected configuration, which concerns no single Page."""

    key: ProblemKey
    message: str
    remedy: str = ""

    @property
    def pages(self) -> Mapping[str, PageEntry]:
        """No Page."""
        return {}

    def text_of(self, _: str) -> str:
        """Return the message, which is quoted when it has ended."""
        return self.message

    def only(self, _: Collection[str]) -> Warned:
        """Return the same: no Page has it."""
        return self


AnyCause = Cause | HeldWrites | Warned


def is_shared(key: ProblemKey) -> bool:
    """Check whether all Pages share a cause, so that a Page that joins is no news; otherwise each Page has its own."""
    match key.scope:
        case "page":
            return False
        case "store":
            return key.code == BRAKED or (key.code == "store-failed" and key.detail in OF_WHOLE_STORE)
        case _:
            return True


def causes(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> tuple[Cause, ...]:
    """Return each cause of problems once, problems before notices; a notice of what is a problem already is left out."""
    found: dict[tuple[bool, ProblemKey], list[Finding]] = defaultdict(list)
    of_user = {user_token.system_user: user_token.verdict.problems for user_token in user_tokens}
    of_tokens = (finding for user_token in user_tokens for finding in _of_user_token(user_token))
    of_pages = (finding for page in pages for finding in _of_page(page, of_user.get(page.system_user, ())))
    for notice, key, finding in chain(of_tokens, of_pages):
        found[notice, key].append(finding)
    problems = [Cause(key, False, findings) for (notice, key), findings in found.items() if not notice]
    shared = {cause.key for cause in problems if is_shared(cause.key)}
    notices = (Cause(key, True, findings) for (notice, key), findings in found.items() if notice and key not in shared)
    return (*problems, *notices)


def held_writes(pages: Iterable[PageEntry], checksum: str | None) -> tuple[HeldWrites, ...]:
    """Return the held writes: those that the brake holds by store, others by store, reason and what they would be."""
    found: dict[ProblemKey, list[tuple[PageEntry, StoreEntry]]] = defaultdict(list)
    for page in pages:
        for entry in page.stores:
            if entry.action is Kind.HELD:
                found[_held_key(entry)].append((page, entry))
    return tuple(
        HeldWrites(key, of, (checksum or "") if of[0][1].reason in FOR_A_PERSON else "") for key, of in found.items()
    )


def warned(texts: Iterable[str]) -> tuple[Warned, ...]:
    """Return each warning; one whose numbers alone differ from cycle to cycle is the same one."""
    return tuple(
        Warned(ProblemKey(WARNED, "instance", "", "operator", _NUMBERS.sub("#", text)), text)
        for text in dict.fromkeys(texts)
    )


def rejected(message: str, remedy: str) -> Warned:
    """Return the cause that the newest edit of the configuration is invalid: one, however often it is edited meanwhile."""
    return Warned(ProblemKey(REJECTED, "instance", "", "operator"), message, remedy)


def _held_key(entry: StoreEntry) -> ProblemKey:
    if entry.reason == "brake":
        return ProblemKey(BRAKED, "store", entry.key.store, "operator")
    would = f" {entry.would.kind.value} {entry.would.reason or ''}".rstrip() if entry.would else ""
    return ProblemKey(HELD, "store", entry.key.store, "operator", f"{entry.reason}{would}")


_Found = tuple[bool, ProblemKey, Finding]


def _of_user_token(user_token: SystemUserToken) -> Iterator[_Found]:
    verdict = user_token.verdict
    for notice, problem in _problems(verdict):
        of_app = problem.shared_by == "app"
        scope: Scope = "app" if of_app else "system_user"
        whose = user_token.app if of_app else user_token.system_user
        yield notice, ProblemKey(problem.code, scope, whose, _owner(problem)), Finding(problem, user_token)


def _of_page(page: PageEntry, of_user: Sequence[Problem]) -> Iterator[_Found]:
    for notice, problem in _problems(page):
        yield notice, _page_key(page, problem, of_user), Finding(problem, page=page)
    for entry in page.stores:
        for notice, problem in _problems(entry):
            if problem.shared_by == "store":
                detail = entry.error_code or "" if problem.code == "store-failed" else ""
                key = ProblemKey(problem.code, "store", entry.key.store, problem.owner, detail)
            else:
                key = _page_key(page, problem, of_user)
            yield notice, key, Finding(problem, page=page, entry=entry)


def _page_key(page: PageEntry, problem: Problem, of_user: Sequence[Problem]) -> ProblemKey:
    """Return whose problem it is: a Page that has the problem of its system user's token is one of many."""
    if problem.shared_by == "app":
        return ProblemKey(problem.code, "app", page.app, _owner(problem))
    shared = problem.shared_by == "system_user" or any(_is_same(problem, other) for other in of_user)
    return ProblemKey(problem.code, "system_user" if shared else "page", page.system_user, problem.owner)


def _is_same(problem: Problem, other: Problem) -> bool:
    """Check whether two problems are one; two answers of Graph with the same error differ by their trace."""
    of_graph = problem.graph_code is not None and _error(problem) == _error(other)
    return of_graph or problem == other


def _error(problem: Problem) -> tuple[object, ...]:
    return problem.code, problem.owner, problem.graph_code, problem.graph_subcode


def _owner(problem: Problem) -> Owner | Literal[""]:
    """Return the owner by which causes differ: a closed quota does not repeat whom the error named that closed it."""
    return CATALOGUE[problem.code].owner if problem.code == "throttled" else problem.owner


def _problems(of: Verdict | PageEntry | StoreEntry) -> Iterator[tuple[bool, Problem]]:
    yield from ((False, problem) for problem in of.problems)
    yield from ((True, problem) for problem in of.notices)


def joined(texts: Sequence[str]) -> str:
    """Return the first of some texts as one, and the number of the others."""
    more = f" / and {len(texts) - QUOTED:,} more" if len(texts) > QUOTED else ""
    return " / ".join(texts[:QUOTED]) + more
