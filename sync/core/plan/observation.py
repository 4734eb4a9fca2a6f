"""What a plan is made from: what a cycle has read, and what is known of each token in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.core.judge.ownership import foreign_problem, is_interrupted_create
from sync.core.model import (
    Answers,
    AppToken,
    Content,
    Fetched,
    Key,
    Marks,
    Page,
    SourceError,
    Stored,
    StoreError,
    SystemUserToken,
)
from sync.core.problems import Problem
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one cycle has read, and what is known of each token in it. It holds no conclusion.

    ``user_tokens`` is by system user, ``fetched`` by the Page's name, ``current`` by target. ``owned`` is by store: the
    targets that carry the instance's mark. ``skew`` is how far Meta's clock is ahead of this machine's.

    The other four are known once debug_token has answered. ``facts`` are those that count, remembered ones included.
    ``doubts`` are notices that leave the facts standing, such as that debug_token could not be asked again. ``judged_at``
    is when debug_token last answered for a token, whether or not the answer still counts. ``invalid_twice`` are the tokens
    that two answers in succession called invalid.
    """

    pages: Sequence[Page]
    instance: str
    user_tokens: Mapping[str, SystemUserToken]
    fetched: Mapping[str, Fetched | SourceError]
    current: Mapping[Key, Content]
    owned: Mapping[str, Sequence[tuple[Key, Marks]] | StoreError] = field(default_factory=dict)
    skew: timedelta = timedelta(0)
    facts: Answers = field(default_factory=dict)
    doubts: Mapping[AppToken, Problem] = field(default_factory=dict)
    judged_at: Mapping[AppToken, datetime] = field(default_factory=dict)
    invalid_twice: Collection[AppToken] = ()

    def system_user_fingerprint(self, page: Page) -> str | None:
        """Return the fingerprint of the token that a Page's token is fetched with; None where it could not be read."""
        user_token = self.user_tokens.get(page.system_user)
        return user_token.token.fingerprint if user_token and user_token.token else None


def stored_token(page: Page, content: Content | None) -> Secret | None:
    """Find the token in what a store holds for a Page; None where there is none to judge."""
    if not isinstance(content, Stored):
        return None
    return page.payload.token_in(content.payload, marked=content.marks.fingerprint if content.marks else None)


def needs_verdict(page: Page, content: Content, instance: str) -> bool:
    """Check whether the token in a target is to be judged: the target is the instance's, or may be a create that was interrupted."""
    if not isinstance(content, Stored):
        return False
    return is_interrupted_create(content, page) or foreign_problem(content, page, instance) is None
