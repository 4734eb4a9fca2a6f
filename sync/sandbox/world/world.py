"""The made-up business: its apps, system users and Pages, and changes to them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sync.sandbox.world.business import SCOPES, TASKS, Calls, FakeApp, FakePage, FakeSystemUser
from sync.sandbox.world.faults import InjectedFault
from sync.sandbox.world.quota import FakeQuotas
from sync.sandbox.world.tokens import (
    PAGE_DELETED,
    REVOKED,
    UNASSIGNED,
    FakeToken,
    InvalidReason,
    digits,
    expired,
    invalidated,
    letters,
    token_text,
)

_NAMES = (
    "berlin",
    "paris",
    "rome",
    "madrid",
    "lisbon",
    "vienna",
    "prague",
    "warsaw",
    "oslo",
    "dublin",
    "athens",
    "riga",
)


@dataclass
class World:
    """The whole state of the sandbox; ``lock`` is held while a call is answered or the world is changed."""

    app: FakeApp
    other_app: FakeApp
    business_id: str
    now: Callable[[], float] = time.time
    seed: int = 0
    users: dict[str, FakeSystemUser] = field(default_factory=dict)
    pages: dict[str, FakePage] = field(default_factory=dict)
    tokens: dict[str, FakeToken] = field(default_factory=dict, repr=False)
    faults: list[InjectedFault] = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    app_usage: int = 1
    quotas: FakeQuotas = field(default_factory=FakeQuotas)
    require_proof: bool = False
    system_user_may_debug_itself: bool = True
    page_tokens_follow_user_token: bool = True
    unassignment_invalidates_page_tokens: bool = True
    page_tokens_inherit_expiry: bool = False
    clock_offset: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    random: random.Random = field(default_factory=random.Random)
    _issued: dict[tuple[object, ...], FakeToken] = field(default_factory=dict, repr=False)

    def time(self) -> float:
        """Return this world's time in unix seconds: the clock's, moved by the control endpoint."""
        return self.now() + self.clock_offset

    @property
    def user(self) -> FakeSystemUser:
        """The first system user."""
        return next(iter(self.users.values()))

    def app_of(self, app_id: str) -> FakeApp | None:
        """Return one of the two apps; None where there is no such app."""
        return next((app for app in (self.app, self.other_app) if app.id == app_id), None)

    def rotate(
        self, user: FakeSystemUser, *, expires_in: int | None = None, scopes: tuple[str, ...] | None = None
    ) -> FakeToken:
        """Issue a new token for the system user; the earlier one stays valid until it expires."""
        before = self.tokens.get(user.token)
        user.generation += 1
        now = int(self.time())
        token = FakeToken(
            value=token_text(self.seed, user.id, user.generation),
            type="SYSTEM_USER",
            app_id=user.app_id,
            user_id=user.id,
            scopes=scopes if scopes is not None else before.scopes if before else SCOPES,
            issued_at=now,
            expires_at=now + expires_in if expires_in is not None else 0,
        )
        self.tokens[token.value] = token
        user.token = token.value
        return token

    def invalidate(self, user: FakeSystemUser, subcode: int = 460) -> None:
        """Invalidate every token of this system user; its Page tokens follow where ``page_tokens_follow_user_token`` is set."""
        for token in self.tokens.values():
            if token.user_id == user.id and token.type == "SYSTEM_USER":
                token.invalid_reason = invalidated(subcode)

    def restore(self, user: FakeSystemUser) -> None:
        """Make the current token of this system user valid again."""
        token = self.tokens[user.token]
        token.invalid_reason, token.expires_at = None, 0

    def revoke_page(self, page: FakePage) -> None:
        """Invalidate every token that was issued for this Page; the next read issues a new one."""
        for token in self.tokens.values():
            if token.page_id == page.id:
                token.invalid_reason = REVOKED
        page.generation += 1

    def invalid_reason(self, token: FakeToken) -> InvalidReason | None:
        """Return why this token is invalid now; None where it is valid."""
        now = self.time()
        if token.invalid_reason is not None:
            return token.invalid_reason
        if token.expires_at and token.expires_at <= now:
            return expired(token.expires_at, now)
        if token.page_id is None:
            return None
        return self._page_invalid_reason(token, token.page_id)

    def _page_invalid_reason(self, token: FakeToken, page_id: str) -> InvalidReason | None:
        page, user, user_token = (
            self.pages.get(page_id),
            self.users.get(token.user_id),
            self.tokens.get(token.derived_from or ""),
        )
        if page is None or page.deleted:
            return PAGE_DELETED
        unassigned = user is not None and page_id not in user.assigned
        if self.unassignment_invalidates_page_tokens and unassigned and page.unassigned_tokens == "invalid":
            return UNASSIGNED
        if self.page_tokens_follow_user_token and user_token is not None:
            return self.invalid_reason(user_token)
        return None

    def scopes_of(self, token: FakeToken) -> tuple[str, ...]:
        """Return the scopes of the token: those of the token that it was derived from, without those that its Page lacks."""
        page, user = self.pages.get(token.page_id or ""), self.users.get(token.user_id)
        lacking = page.lacking if page is not None else user.lacking if user is not None else frozenset()
        return tuple(scope for scope in token.scopes if scope not in lacking)

    def refuses(self, token: FakeToken) -> InvalidReason | None:
        """Return why no call accepts this token, though debug_token may call it valid; None where it works."""
        page, user = self.pages.get(token.page_id or ""), self.users.get(token.user_id)
        if (
            page is not None
            and user is not None
            and page.id not in user.assigned
            and page.unassigned_tokens == "refused"
        ):
            return UNASSIGNED
        return self.invalid_reason(token)

    def page_token(self, page: FakePage, user_token: FakeToken, *, peek: bool = False) -> FakeToken:
        """Return the token that a read of this Page with ``user_token`` returns; ``peek`` does not count as a read."""
        if page.gives == "user-token":
            return user_token
        if not peek and (page.changing or self.outlived(page, user_token)):
            page.generation += 1
        key = (page.id, user_token.value, page.generation, page.gives)
        token = self._issued.get(key)
        if token is None:
            token = self._issued[key] = self._mint(page, user_token, key)
            self.tokens[token.value] = token
        return token

    def _mint(self, page: FakePage, user_token: FakeToken, key: tuple[object, ...]) -> FakeToken:
        now = int(self.time())
        inherited = user_token.expires_at if self.page_tokens_inherit_expiry else 0
        foreign = page.gives == "foreign"
        return FakeToken(
            value=token_text(self.seed, *key) + ("\nEAA" if page.gives == "malformed" else ""),
            type="PAGE",
            app_id=self.other_app.id if foreign else user_token.app_id,
            user_id=digits("foreign user", self.seed) if foreign else user_token.user_id,
            scopes=user_token.scopes,
            issued_at=now,
            expires_at=now + page.lifetime if page.lifetime is not None else inherited,
            page_id=self.neighbour(page.id) if page.gives == "other-page" else page.id,
            derived_from=None if foreign else user_token.value,
        )

    def neighbour(self, page_id: str) -> str:
        """Return the id of some other Page."""
        return next((other for other in self.pages if other != page_id), "1")

    def outlived(self, page: FakePage, user_token: FakeToken) -> bool:
        """Check whether the token that this Page returned last has expired, so that the next read returns another."""
        token = self._issued.get((page.id, user_token.value, page.generation, page.gives))
        return token is not None and 0 < token.expires_at <= self.time()

    def add_user(self, name: str, pages: list[str] | None = None) -> FakeSystemUser:
        """Add a system user with a token that never expires, assigned to ``pages`` (None: to all)."""
        user = FakeSystemUser(id=digits("system user", self.seed, len(self.users)), name=name, app_id=self.app.id)
        user.assigned = dict.fromkeys(self.pages if pages is None else pages, TASKS)
        self.users[user.id] = user
        self.rotate(user)
        return user


def make_world(*, pages: int = 5, seed: int = 0, now: Callable[[], float] = time.time) -> World:
    """Build a healthy world in which the one system user is assigned to every Page; all values follow from ``seed``."""
    business, stranger = digits("business", seed), digits("other business", seed)
    world = World(
        app=FakeApp(digits("app", seed), letters(32, "secret", seed).lower(), "Acme Messenger", business),
        other_app=FakeApp(
            digits("other app", seed), letters(32, "other secret", seed).lower(), "Somebody Else", stranger
        ),
        business_id=business,
        now=now,
        seed=seed,
        random=random.Random(seed),
    )
    for number in range(pages):
        round_, position = divmod(number, len(_NAMES))
        name = _NAMES[position] + (f"-{round_ + 1}" if round_ else "")
        page = FakePage(id=digits("page", seed, number), name=name, username=f"acme.{name}")
        world.pages[page.id] = page
    world.add_user("Token daemon")
    return world
