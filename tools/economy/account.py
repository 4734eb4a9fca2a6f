"""The Pages and tokens of a simulated account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sync.core.ask.inputs import Inputs
from sync.core.memory.memory import Memory, Rhythm
from sync.core.model import NEVER, Fetched, Key, Marks, Page, State, Stored, SystemUserToken, TokenFacts, Verdict
from sync.core.payload import Payload, PayloadTemplate
from sync.core.secret import Secret

START = datetime(2026, 11, 25, tzinfo=UTC)
INSTANCE, APP, APP_ID, USER, USER_ID = "economy", "messenger", "123456789012345", "main", "777"


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
    """All Pages of one system user; each has a valid token stored, and nothing is remembered yet."""

    def __init__(self, count: int) -> None:
        self.user_token = Secret("EAAuser0")
        self.user_tokens = 0
        self.pages = [self._page(number) for number in range(count)]

    def _page(self, number: int) -> OnePage:
        page_id = str(10**14 + number)
        template = PayloadTemplate.parse({"access_token": "{token}", "page_id": "{id}"}, {"id": page_id})
        page = Page(page_id, page_id, USER, APP, APP_ID, (Key("vault", page_id),), template)
        token = Secret(f"EAA{page_id}-0-0")
        return OnePage(page, token, token, self.user_token.fingerprint)

    def revoke(self, one: OnePage, now: datetime) -> None:
        """Revoke the stored token; Graph returns another from now on."""
        one.generation += 1
        one.fetched = Secret(f"EAA{one.page.id}-{self.user_tokens}-{one.generation}")
        one.invalid_since = one.invalid_since or now

    def rotate(self) -> None:
        """Replace the system user token; Graph returns other Page tokens from now on, and the stored ones stay valid."""
        self.user_tokens += 1
        self.user_token = Secret(f"EAAuser{self.user_tokens}")
        for one in self.pages:
            one.fetched = Secret(f"EAA{one.page.id}-{self.user_tokens}-{one.generation}")

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
        verdict = Verdict(State.VALID)
        return Inputs(
            pages=[one.page for one in chosen],
            instance=INSTANCE,
            user_tokens={USER: SystemUserToken(USER, APP, self.user_token, verdict)},
            fetched={one.page.name: Fetched(one.fetched) for one in chosen},
            current={one.page.targets[0]: one.current() for one in chosen},
            memory=memory,
            rhythm=rhythm,
            now=now,
        )
