"""What a cycle had to look at, and what it could not: a cause that is not found there has not ended, or is not over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sync.core.judge.decide import Kind
from sync.core.memory.problems import OpenProblem, ProblemKey
from sync.core.model import State, SystemUserToken
from sync.core.report.entries import PageEntry

_NO_WRITE_TRIED = ("shutdown", "proof-lost")
"""Reasons of an action after which nothing is known of whether the store takes writes."""


Part = Literal["Page", "secret", "store", "system user", "app"]
"""What an edit of the configuration can remove."""


@dataclass(frozen=True, slots=True)
class _Names:
    """Pages, system users and apps by name; ``secrets`` are stores with the names of Pages."""

    pages: frozenset[str]
    secrets: frozenset[tuple[str, str]]
    system_users: frozenset[str]
    apps: frozenset[str]


class Configured(_Names):
    """What the configuration has."""

    __slots__ = ()

    def lacks(self, key: ProblemKey) -> Part | None:
        """Return what was removed from the configuration with the subject of a cause; None where it is still there."""
        if key.page and key.page not in self.pages:
            return "Page"
        match key.scope:
            case "store" if key.page:
                return None if (key.whose, key.page) in self.secrets else "secret"
            case "store":
                return None if any(store == key.whose for store, _ in self.secrets) else "store"
            case "system_user":
                return None if key.whose in self.system_users else "system user"
            case "app":
                return None if key.whose in self.apps else "app"
            case "page" | "instance":
                return None


class Unseen(_Names):
    """What a cycle could not look at in full."""

    __slots__ = ()

    def hides(self, key: ProblemKey, known: OpenProblem) -> bool:
        """Check whether a cause that was not found may still be there."""
        match key.scope:
            case "page":
                return key.page in self.pages
            case "store":
                names = (key.page,) if key.page else known.pages
                return any((key.whose, name) in self.secrets for name in names)
            case "system_user":
                return key.whose in self.system_users
            case "app":
                # Any answer of Graph's, a refusal too, shows that Graph can be reached.
                return key.code != "graph-unavailable" and key.whose in self.apps
            case "instance":
                return False


def configured(pages: Sequence[PageEntry], user_tokens: Sequence[SystemUserToken]) -> Configured:
    """Return what the configuration of a cycle has."""
    return Configured(
        frozenset(page.name for page in pages),
        frozenset((entry.key.store, page.name) for page in pages for entry in page.stores),
        frozenset((*(page.system_user for page in pages), *(token.system_user for token in user_tokens))),
        frozenset((*(page.app for page in pages), *(token.app for token in user_tokens))),
    )


def unseen(pages: Iterable[PageEntry], user_tokens: Sequence[SystemUserToken]) -> Unseen:
    """Return what a cycle could not look at."""
    of_pages, secrets, apps = set[str](), set[tuple[str, str]](), set[str]()
    read = {user_token.system_user for user_token in user_tokens if user_token.verdict.state is not State.UNKNOWN}
    system_users = {user_token.system_user for user_token in user_tokens} - read
    for page in pages:
        if page.system_user not in read:
            system_users.add(page.system_user)
        # A fetched token that differs with each reading is judged once an hour, and is unknown without a problem.
        if page.fetched is State.UNKNOWN and page.problems:
            of_pages.add(page.name)
            if any(problem.shared_by == "app" for problem in page.problems):
                apps.add(page.app)
                system_users.add(page.system_user)
        for entry in page.stores:
            if entry.action is Kind.FAILED:
                of_pages.add(page.name)
            # It was not read, or nothing is known of whether it can be written.
            if entry.action is Kind.FAILED or page.fetched is State.UNKNOWN or entry.reason in _NO_WRITE_TRIED:
                secrets.add((entry.key.store, page.name))
    return Unseen(frozenset(of_pages), frozenset(secrets), frozenset(system_users), frozenset(apps))
