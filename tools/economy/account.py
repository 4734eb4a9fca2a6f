"""The Pages and tokens of a simulated account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.core.ask.inputs import Inputs
from sync.core.memory.memory import Memory, Rhythm
from sync.core.model import (
    NEVER,
    Fetched,
    Key,
    Marks,
    Page,
    SourceError,
    State,
    Stored,
    SystemUserToken,
    TokenFacts,
    Verdict,
)
from sync.core.payload import Payload, PayloadTemplate
from sync.core.problems import Problem
from sync.core.secret import Secret

START = datetime(2026, 11, 25, tzinfo=UTC)
INSTANCE, APP, APP_ID, USER_ID = "economy", "messenger", "123456789012345", "777"
_INVALID = Problem("system-user-invalid", "The system user's token is invalid.")


@dataclass
class OnePage:
    """A Page, the token that Graph would return for it, and the stored one; ``invalid_since`` is when that one was revoked."""

    page: Page
    fetched: Secret
    stored: Secret
    stored_user_token: str
    generation: int = 0
    invalid_since: datetime | None = None
    content: Stored | None = None

    def current(self) -> Stored:
        """Return the content of the store, built once for each token."""
        if (
            self.content is None
            or self.content.marks is None
            or self.content.marks.fingerprint != self.stored.fingerprint
        ):
            fingerprint = self.stored.fingerprint
            marks = Marks(INSTANCE, self.page.id, APP_ID, fingerprint, USER_ID, self.stored_user_token, "", "")
            payload = Payload({"access_token": self.stored.reveal(), "page_id": self.page.id})
            self.content = Stored(payload, "1", marks)
        return self.content


class Account:
    """All Pages of some system users; each has a valid token stored, and nothing is remembered yet.

    ``counts`` are the numbers of Pages of each system user. ``invalid`` names those whose token is invalid.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.user_tokens = {f"user{number}": Secret(f"EAAuser{number}-0") for number in range(len(counts))}
        self.invalid: set[str] = set()
        self._rotations = 0
        numbered = [user for user, count in zip(self.user_tokens, counts, strict=True) for _ in range(count)]
        self.pages = [self._page(number, user) for number, user in enumerate(numbered)]

    def _page(self, number: int, user: str) -> OnePage:
        page_id = str(10**14 + number)
        template = PayloadTemplate.parse({"access_token": "{token}", "page_id": "{id}"}, {"id": page_id})
        page = Page(page_id, page_id, user, APP, APP_ID, (Key("vault", page_id),), template)
        token = Secret(f"EAA{page_id}-0-0")
        return OnePage(page, token, token, self.user_tokens[user].fingerprint)

    def of(self, user: str) -> list[OnePage]:
        """Return the Pages of a system user."""
        return [one for one in self.pages if one.page.system_user == user]

    def fingerprint(self, one: OnePage) -> str:
        """Return the fingerprint of the present token of a Page's system user."""
        return self.user_tokens[one.page.system_user].fingerprint

    def revoke(self, one: OnePage, now: datetime) -> None:
        """Revoke the stored token; Graph returns another from now on."""
        one.generation += 1
        one.fetched = Secret(f"EAA{one.page.id}-{self._rotations}-{one.generation}")
        one.invalid_since = one.invalid_since or now

    def rotate(self, user: str) -> None:
        """Replace a system user's token; Graph returns other Page tokens from now on, and the stored ones stay valid."""
        self._rotations += 1
        self.invalid.discard(user)
        self.user_tokens[user] = Secret(f"EAA{user}-{self._rotations}")
        for one in self.of(user):
            one.fetched = Secret(f"EAA{one.page.id}-{self._rotations}-{one.generation}")

    def fetched(self, one: OnePage) -> Fetched | SourceError:
        """Return what a read of a Page returns."""
        if one.page.system_user in self.invalid:
            return SourceError(_INVALID, scope="system_user")
        return Fetched(one.fetched)

    def facts(self, one: OnePage, token: Secret, now: datetime) -> TokenFacts:
        """Return what ``debug_token`` answers about one of a Page's tokens."""
        if token == one.stored and one.invalid_since is not None and token != one.fetched:
            return TokenFacts(now, is_valid=False)
        return TokenFacts(
            now,
            is_valid=True,
            type="PAGE",
            app_id=APP_ID,
            profile_id=one.page.id,
            user_id=USER_ID,
            scopes=frozenset({"pages_messaging"}),
            expires_at=NEVER,
        )

    def inputs(self, chosen: list[OnePage], memory: Memory, rhythm: Rhythm, now: datetime) -> Inputs:
        """Return the inputs of a cycle for some of the Pages."""
        return Inputs(
            pages=[one.page for one in chosen],
            instance=INSTANCE,
            user_tokens={name: self._user_token(name) for name in {one.page.system_user for one in chosen}},
            fetched={one.page.name: self.fetched(one) for one in chosen},
            current={one.page.targets[0]: one.current() for one in chosen},
            memory=memory,
            rhythm=rhythm,
            now=now,
        )

    def _user_token(self, name: str) -> SystemUserToken:
        verdict = Verdict(State.INVALID, (_INVALID,)) if name in self.invalid else Verdict(State.VALID)
        return SystemUserToken(name, APP, self.user_tokens[name], verdict)
