"""The made-up business: its app, system users and Pages, and what may happen to them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sync.sandbox.world.business import SCOPES, TASKS, App, Calls, Page, SystemUser
from sync.sandbox.world.faults import Fault
from sync.sandbox.world.quota import Quotas
from sync.sandbox.world.tokens import (
    PAGE_DELETED,
    REVOKED,
    UNASSIGNED,
    Ailment,
    Token,
    death,
    digits,
    expired,
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
    """Everything the sandbox knows; ``lock`` is held while a call is answered or the world is changed."""

    app: App
    other_app: App
    business_id: str
    now: Callable[[], float] = time.time
    seed: int = 0
    users: dict[str, SystemUser] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    faults: list[Fault] = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    app_usage: int = 1
    quotas: Quotas = field(default_factory=Quotas)
    require_proof: bool = False
    system_user_may_debug_itself: bool = True
    parent_death_kills_page_tokens: bool = True
    unassignment_kills_page_tokens: bool = True
    page_tokens_inherit_expiry: bool = False
    ahead: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    random: random.Random = field(default_factory=random.Random)
    _issued: dict[tuple[object, ...], Token] = field(default_factory=dict, repr=False)

    def time(self) -> float:
        """Return this world's time in unix seconds: the clock's, moved by what the control endpoint was told."""
        return self.now() + self.ahead

    @property
    def user(self) -> SystemUser:
        """The first system user."""
        return next(iter(self.users.values()))

    def app_of(self, app_id: str) -> App | None:
        """Return one of the two apps; None where there is no such app."""
        return next((app for app in (self.app, self.other_app) if app.id == app_id), None)

    def rotate(
        self, user: SystemUser, *, expires_in: int | None = None, scopes: tuple[str, ...] | None = None
    ) -> Token:
        """Return the system user a new token; the earlier one works on until its own end."""
        before = self.tokens.get(user.token)
        user.generation += 1
        now = int(self.time())
        token = Token(
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

    def kill(self, user: SystemUser, subcode: int = 460) -> None:
        """Make every token of this system user invalid; its Page tokens follow if the world says so."""
        for token in self.tokens.values():
            if token.user_id == user.id and token.type == "SYSTEM_USER":
                token.ailment = death(subcode)

    def revive(self, user: SystemUser) -> None:
        """Take back what ``kill`` and an expiry did to the present token."""
        token = self.tokens[user.token]
        token.ailment, token.expires_at = None, 0

    def revoke_page(self, page: Page) -> None:
        """Make every token that was ever given out for this Page invalid; the next read gives a new one."""
        for token in self.tokens.values():
            if token.page_id == page.id:
                token.ailment = REVOKED
        page.generation += 1

    def ailment(self, token: Token) -> Ailment | None:
        """Return why this token is invalid now; None where it is valid."""
        now = self.time()
        if token.ailment is not None:
            return token.ailment
        if token.expires_at and token.expires_at <= now:
            return expired(token.expires_at, now)
        if token.page_id is None:
            return None
        return self._page_ailment(token, token.page_id)

    def _page_ailment(self, token: Token, page_id: str) -> Ailment | None:
        page, user, parent = self.pages.get(page_id), self.users.get(token.user_id), self.tokens.get(token.parent or "")
        if page is None or page.deleted:
            return PAGE_DELETED
        if self.unassignment_kills_page_tokens and user is not None and page_id not in user.assigned:
            return UNASSIGNED
        if self.parent_death_kills_page_tokens and parent is not None:
            return self.ailment(parent)
        return None

    def scopes_of(self, token: Token) -> tuple[str, ...]:
        """Return the scopes that the token has: fixed when its parent was made, less what its Page is made to lack."""
        page = self.pages.get(token.page_id or "")
        return token.scopes if page is None else tuple(scope for scope in token.scopes if scope not in page.lacking)

    def page_token(self, page: Page, parent: Token, *, peek: bool = False) -> Token:
        """Return the token that a read of this Page with ``parent`` hands out; ``peek`` looks without being a read."""
        if page.gives == "parent":
            return parent
        if not peek and (page.changing or self.outlived(page, parent)):
            page.generation += 1
        key = (page.id, parent.value, page.generation, page.gives)
        token = self._issued.get(key)
        if token is None:
            token = self._issued[key] = self._mint(page, parent, key)
            self.tokens[token.value] = token
        return token

    def _mint(self, page: Page, parent: Token, key: tuple[object, ...]) -> Token:
        now = int(self.time())
        inherited = parent.expires_at if self.page_tokens_inherit_expiry else 0
        foreign = page.gives == "foreign"
        return Token(
            value=token_text(self.seed, *key),
            type="PAGE",
            app_id=self.other_app.id if foreign else parent.app_id,
            user_id=digits("foreign user", self.seed) if foreign else parent.user_id,
            scopes=parent.scopes,
            issued_at=now,
            expires_at=now + page.lifetime if page.lifetime is not None else inherited,
            page_id=self.neighbour(page.id) if page.gives == "other-page" else page.id,
            parent=None if foreign else parent.value,
        )

    def neighbour(self, page_id: str) -> str:
        """Return the id of some other Page."""
        return next((other for other in self.pages if other != page_id), "1")

    def outlived(self, page: Page, parent: Token) -> bool:
        """Check whether the token that this Page gave out last has ended, so that the next read gives another."""
        token = self._issued.get((page.id, parent.value, page.generation, page.gives))
        return token is not None and 0 < token.expires_at <= self.time()

    def add_user(self, name: str, pages: list[str] | None = None) -> SystemUser:
        """Add a system user with a never-ending token, assigned to ``pages`` (None: to all)."""
        user = SystemUser(id=digits("system user", self.seed, len(self.users)), name=name, app_id=self.app.id)
        user.assigned = dict.fromkeys(self.pages if pages is None else pages, TASKS)
        self.users[user.id] = user
        self.rotate(user)
        return user


def make_world(*, pages: int = 5, seed: int = 0, now: Callable[[], float] = time.time) -> World:
    """Build a healthy world in which the one system user is assigned to every Page; all values follow from ``seed``."""
    world = World(
        app=App(digits("app", seed), letters(32, "secret", seed).lower(), "Acme Messenger"),
        other_app=App(digits("other app", seed), letters(32, "other secret", seed).lower(), "Somebody Else"),
        business_id=digits("business", seed),
        now=now,
        seed=seed,
        random=random.Random(seed),
    )
    for number in range(pages):
        round_, position = divmod(number, len(_NAMES))
        name = _NAMES[position] + (f"-{round_ + 1}" if round_ else "")
        page = Page(id=digits("page", seed, number), name=name, username=f"acme.{name}")
        world.pages[page.id] = page
    world.add_user("Token daemon")
    return world
