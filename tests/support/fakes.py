"""A Graph, stores and a cycle in memory that keep to the docstrings of their protocols."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sync.core.marks import owner
from sync.core.memory.memory import Memory
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import (
    NEVER,
    Absent,
    AppToken,
    Ask,
    Content,
    Fetched,
    GraphErrorFacts,
    Key,
    Marks,
    Page,
    PastVersion,
    Probe,
    Removed,
    SourceError,
    Stored,
    StoreError,
    SystemUserToken,
    TokenFacts,
    Use,
    Verdict,
    Version,
    WriteKind,
    Written,
)
from sync.core.payload import Payload, PayloadTemplate
from sync.core.report.finding import Finding
from sync.core.report.report import Report
from sync.core.report.store_findings import by_reading
from sync.core.secret import Secret
from sync.cycle import Task, run
from sync.graph.user_tokens import judge_user_token
from sync.stores.interface import Store
from tests.support.clock import FakeClock
from tests.support.values import APP_ID, DEFAULT_TEMPLATE, INSTANCE, USER_ID, USER_TOKEN, facts

T = TypeVar("T")
CONFLICT = StoreError("conflict", "Another writer was faster.", "Nothing to do.", owner="nobody")


class Killed(BaseException):
    """The process is killed here."""


@dataclass
class World:
    """The state of Meta: each Page's present token, which tokens are invalid, and which calls fail."""

    clock: FakeClock
    generation: int = 0
    changing: bool = False
    invalid: set[Secret] = field(default_factory=set)
    forgets: set[Secret] = field(default_factory=set)
    """Tokens that are left out of an answer, as if the quota did not suffice."""
    leaves_out: frozenset[str] = frozenset()
    """Pages left out of an answer, which is against the protocol."""
    owners: dict[Secret, str] = field(default_factory=dict)
    ends: dict[Secret, datetime] = field(default_factory=dict)
    scopes: dict[Secret, frozenset[str]] = field(default_factory=dict)
    """What the permissions of tokens are that have others than pages_messaging."""
    errors: dict[str, SourceError] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _: None
    """Called with the name of each call before it is answered: where a test breaks in."""
    asked: list[frozenset[Secret]] = field(default_factory=list)
    urgent: int = 0
    """How many questions were urgent."""
    unlisted: bool = False
    """The list of Pages shows none."""
    probed: list[frozenset[Secret]] = field(default_factory=list)
    read: list[frozenset[str]] = field(default_factory=list)
    individually: list[frozenset[str]] = field(default_factory=list)
    by_id: list[frozenset[str]] = field(default_factory=list)
    refused: set[Secret] = field(default_factory=set)
    """Tokens that Graph refuses although debug_token calls them valid."""
    quota: int | None = None
    """So many tokens are asked about in a cycle, urgent ones apart."""
    pools: dict[QuotaKey, Pool] = field(default_factory=dict)
    """Meta's quotas as it reported them."""
    user_token: Secret = USER_TOKEN
    users: dict[Secret, TokenFacts] = field(default_factory=dict)
    """What Meta says of system users' tokens that are not the usual one, which never ends."""
    renewed: dict[str, Any] = field(default_factory=dict)
    """What differs in a token that is given in exchange, which has sixty days."""
    exchanged: list[Secret] = field(default_factory=list)

    def token(self, page: Page) -> Secret:
        """Return a Page's present token."""
        token = Secret(f"EAA-{page.name}-{self.generation}-{'z' * 12}")
        self.owners[token] = page.id
        return token

    def facts(self, token: Secret) -> TokenFacts:
        """Return the facts that debug_token returns for a token."""
        if token in self.users and token not in self.invalid:
            return replace(self.users[token], asked_at=self.clock.now())
        if token in self.invalid or token not in self.owners:
            return TokenFacts(self.clock.now(), is_valid=False)
        ends = self.ends.get(token, NEVER)
        scopes = self.scopes.get(token, frozenset({"pages_messaging"}))
        return facts(asked_at=self.clock.now(), profile_id=self.owners[token], expires_at=ends, scopes=scopes)

    def user_facts(self, **changes: Any) -> TokenFacts:
        """Return the facts of a valid system user token."""
        return facts(**{"type": "SYSTEM_USER", "app_id": APP_ID, "user_id": USER_ID, "profile_id": None, **changes})

    def exchange(self) -> Secret:
        """Exchange the system user token for a new one."""
        new = Secret(f"EAA-user-{len(self.exchanged)}-{'y' * 12}")
        self.exchanged.append(new)
        ends = self.clock.now() + timedelta(days=60)
        self.users[new] = self.user_facts(**{"expires_at": ends, **self.renewed})
        return new


class GraphInMemory:
    """A Source over a world, for one cycle."""

    def __init__(self, world: World, users: Iterable[str] = ("main",)) -> None:
        self.requests = 0
        self.calls = 0
        self.outcomes: Counter[tuple[str, ...]] = Counter()
        self.calls_by_kind: Counter[tuple[str, ...]] = Counter()
        self.warnings: Sequence[str] = ()
        self._world = world
        self._users = sorted(users)

    def _called(self, name: str) -> None:
        self.requests += 1
        self.outcomes[name, "ok"] += 1
        self._world.before(name)

    def user_tokens(self) -> Mapping[str, SystemUserToken]:
        """Judge the system user tokens; an error under a user's name is its verdict."""
        self._called("user_tokens")
        return {user: self._user_token(user) for user in self._users}

    def _user_token(self, user: str) -> SystemUserToken:
        error = self._world.errors.get(user)
        said = self._world.users.get(self._world.user_token, self._world.user_facts())
        verdict = judge_user_token(said, APP_ID, self._world.clock.now())
        if error is not None:
            verdict = Verdict(error.state, (error.problem,))
        return SystemUserToken(user, "messenger", self._world.user_token, verdict)

    @property
    def skew(self) -> timedelta:
        """Return no skew; it is read last, so that a test can let time pass between reading and writing."""
        self._world.before("skew")
        return timedelta(0)

    @property
    def short_lists(self) -> frozenset[str]:
        """Return no system user."""
        return frozenset()

    @property
    def pools(self) -> Mapping[QuotaKey, Pool]:
        """Return the quotas of the world."""
        return self._world.pools

    @property
    def probe_errors(self) -> Mapping[AppToken, GraphErrorFacts]:
        """Return no error."""
        return {}

    def probe(self, app: str, pages: Mapping[Secret, str]) -> Mapping[Secret, Probe]:
        """Return which tokens Graph accepts and answers for their Page: neither invalid ones nor those that the world refuses."""
        self._world.probed.append(frozenset(pages))
        self._called("probe")
        refused = self._world.invalid | self._world.refused
        return {
            token: "answered" if self._world.owners.get(token) == page_id and token not in refused else "refused"
            for token, page_id in pages.items()
        }

    def exchange(self, system_user: str) -> Secret | SourceError:
        """Return a new token, or the error under ``exchange``."""
        self._called("exchange")
        return self._world.errors.get("exchange") or self._world.exchange()

    def read(
        self,
        pages: Sequence[Page],
        *,
        individually: frozenset[str] = frozenset(),
        by_id: frozenset[str] = frozenset(),
        watched: Sequence[Page] = (),
    ) -> Mapping[str, Fetched | SourceError]:
        """Return each Page's token, or the error under its name or its system user's; the list shows those without error."""
        self._called("read")
        self._world.read.append(frozenset(page.name for page in pages))
        self._world.individually.append(individually)
        self._world.by_id.append(by_id)
        if self._world.changing:
            self._world.generation += 1
        errors = self._world.errors
        shown = [page for page in watched if not ({page.name, page.system_user} & set(errors) or self._world.unlisted)]
        return {
            page.name: errors.get(page.name) or errors.get(page.system_user) or Fetched(self._world.token(page))
            for page in (*pages, *shown)
            if page.name not in self._world.leaves_out
        }

    def debug(self, app: str, asks: Sequence[Ask]) -> Mapping[Secret, TokenFacts | SourceError]:
        """Return the facts of each token, or the error of the app; tokens beyond the quota are left out."""
        left = self._world.quota
        tokens = [ask.token for number, ask in enumerate(asks) if left is None or ask.urgent or number < left]
        self._world.asked.append(frozenset(tokens))
        self._world.urgent += sum(ask.urgent for ask in asks)
        self._called("debug")
        error = self._world.errors.get(app)
        return {token: error or self._world.facts(token) for token in tokens if token not in self._world.forgets}


class StoreInMemory:
    """A Store in memory with compare-and-set; payload and marks are two steps, as in Vault.

    ``before`` is called with the name of each step before it is done. ``down`` is what every call answers. Only what
    ``forgets`` names is against the protocol: it is left out of the answer.
    """

    def __init__(self, name: str = "vault") -> None:
        self.name = name
        self.requests = 0
        self.outcomes: Counter[tuple[str, ...]] = Counter()
        self.credential_expires_at: datetime | None = None
        self.warnings: Sequence[str] = ()
        self.secrets: dict[Key, Stored] = {}
        self.payloads: dict[Key, list[Payload]] = {}
        self.writes: list[tuple[str, Key]] = []
        self.down: StoreError | None = None
        self.down_at: dict[Key, StoreError] = {}
        self.refuses: dict[Key, StoreError] = {}
        self.tried: list[Mapping[Key, WriteKind]] = []
        self.confirms = True
        self.forgets: frozenset[Key] = frozenset()
        self.before: Callable[[str, Key | None], None] = lambda _, __: None
        self._lock = threading.RLock()

    def _step(self, name: str, key: Key | None = None) -> StoreError | None:
        self.requests += 1
        self.outcomes[name, self.down.error_code if self.down else "ok"] += 1
        self.before(name, key)
        return self.down_at.get(key, self.down) if key is not None else self.down

    def begin(self, *, writes: bool = True) -> None:
        """Start a cycle."""
        self.before("begin", None)

    def read(self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Content]:
        """Read each key."""
        whole = self._step("read")
        asked = [key for key in keys if key not in self.forgets]
        return {key: whole or self.down_at.get(key) or self.secrets.get(key, Absent()) for key in asked}

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write the payload if the version is still the one that was read, then the marks."""
        error = self._step("data", key)
        if error is not None:
            return error
        with self._lock:
            now = self.secrets.get(key)
            if (now.version if now else None) != replaces:
                return CONFLICT
            history = self.payloads.setdefault(key, [])
            history.append(payload)
            self.writes.append(("data", key))
            version, old = str(len(history)), now.marks if now else None
            self.secrets[key] = Stored(payload, version, old, first=len(history) == 1)
        return self._mark(key, marks)

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Write the marks alone."""
        with self._lock:
            now = self.secrets.get(key)
        if now is None or now.version != version or (read is not None and owner(now.marks) != owner(read.marks)):
            return CONFLICT
        return self._mark(key, marks)

    def _mark(self, key: Key, marks: Marks) -> Written | StoreError:
        error = self._step("marks", key)
        if error is not None:
            return error
        with self._lock:
            self.secrets[key] = replace(self.secrets[key], marks=marks)
            self.writes.append(("marks", key))
        self._step("read back", key)
        return Written(self.secrets[key].version, self.confirms)

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write the payload alone if the version is still the one that was read."""
        error = self._step("renew", key)
        if error is not None:
            return error
        with self._lock:
            now = self.secrets.get(key)
            if now is None or now.version != replaces:
                return CONFLICT
            self.payloads.setdefault(key, []).append(payload)
            self.secrets[key] = replace(now, payload=payload, version=f"{now.version}+", first=False)
        self._step("renewed", key)
        return Written(self.secrets[key].version, self.confirms)

    def remove(self, key: Key, *, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Remove the secret if version and marks are still those that were read."""
        error = self._step("remove", key)
        if error is not None:
            return error
        with self._lock:
            now = self.secrets.get(key)
            if now is None:
                return Absent()
            if (now.version, now.marks) != (version, marks):
                return CONFLICT
            del self.secrets[key]
            self.writes.append(("remove", key))
        self._step("removed", key)
        return Removed(f"restore {key.path}")

    def versions(self, key: Key, *, raw: bool = False) -> Sequence[PastVersion] | StoreError:
        """Return all versions, the newest first."""
        error = self._step("versions", key)
        past, now = self.payloads.get(key, []), self.secrets.get(key)
        current = now.version if now is not None else None
        numbered = reversed(list(enumerate(past, 1)))
        return error or [PastVersion(str(one), payload, current=current == str(one)) for one, payload in numbered]

    def would_refuse(self, writes: Mapping[Key, WriteKind]) -> Mapping[Key, StoreError]:
        """Return what ``refuses`` names of these writes."""
        self._step("would refuse")
        self.tried.append(writes)
        return {key: error for key, error in self.refuses.items() if key in writes}

    def examine(self, uses: Mapping[Key, Use], instance: str) -> Sequence[Finding]:
        """Return what reading the secrets shows."""
        return list(by_reading(self.name, ("store-reached", "store-login"), uses, instance, self.read(list(uses))))

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List what carries our mark and this instance."""
        error = self._step("owned")
        marked = [(key, one.marks) for key, one in self.secrets.items() if one.state == "live"]
        return error or [(key, marks) for key, marks in marked if marks is not None and marks.instance == instance]

    def close(self) -> None:
        """Hold nothing that must be given back."""


class Stage:
    """A configuration, the world around it, and cycles over both."""

    def __init__(
        self,
        *names: str,
        stores: Sequence[str] = ("vault",),
        users: Sequence[str] = ("main",),
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.world = World(self.clock)
        self.stores = {name: StoreInMemory(name) for name in stores}
        self.memory, self.remembers = Memory(), False
        self.changes: dict[str, Any] = {}
        self.pages = [
            make_page(name, number, stores, users[number % len(users)])
            for number, name in enumerate(names or ("berlin",))
        ]

    def task(self, **changes: Any) -> Task:
        """Make the task of one cycle, with a new source, as the program does."""
        source = GraphInMemory(self.world, {page.system_user for page in self.pages})
        stores: Mapping[str, Store] = self.stores
        return replace(
            Task(INSTANCE, self.pages, source, stores, self.clock, self.memory), **{**self.changes, **changes}
        )

    def cycle(self, *, write: bool = True, if_plan: str | None = None, **changes: Any) -> Report:
        """Run one cycle; what it leaves is remembered by a stage that ``remembers``."""
        report, memory = run(self.task(**changes), write=write, if_plan=if_plan)
        if self.remembers:
            self.memory = memory
        return report


def make_page(name: str, number: int, stores: Sequence[str], user: str) -> Page:
    """Make a Page with a secret in each of the stores."""
    return Page(
        id=str(100 + number),
        name=name,
        system_user=user,
        app="messenger",
        app_id=APP_ID,
        targets=tuple(Key(store, f"meta/pages/{name}") for store in stores),
        payload=PayloadTemplate.parse(DEFAULT_TEMPLATE, {"id": str(100 + number), "app_id": APP_ID}),
    )
