"""The values that all packages share: Pages, facts about tokens, what is stored, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

from sync.core.payload import Payload, PayloadTemplate
from sync.core.problems import Owner, Problem
from sync.core.secret import Secret


class Never(Enum):
    """The expiry of a token that never expires; a value of its own, so that it is not confused with a missing one."""

    NEVER = "never"


NEVER = Never.NEVER
Expiry = datetime | Never
"""When a token expires: an aware datetime in UTC, or NEVER."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What a token must fulfil beyond being valid.

    ``scopes``: permissions that it must have for its Page. ``expires``: the minimum time that an expiring token must still
    be valid for; NEVER demands a token that never expires.
    """

    scopes: tuple[str, ...] = ("pages_messaging",)
    expires: timedelta | Never = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Key:
    """One secret in one store, a target: the store's name in the configuration, and the secret's path or name in it."""

    store: str
    path: str


@dataclass(frozen=True, slots=True)
class Page:
    """One Page of the configuration, with all defaults applied and all templates filled in except for the token.

    ``id`` is Graph's, in digits; ``name`` is unique in the configuration and identifies the Page inside the program.
    """

    id: str
    name: str
    system_user: str
    app: str
    app_id: str
    targets: tuple[Key, ...]
    payload: PayloadTemplate
    checks: Checks = Checks()
    labels: Mapping[str, str] = field(default_factory=dict)
    hold: bool = False


Access = Literal["write", "renew", "read"]
"""What is done with a secret: "write" is all that a Page's secret needs, "renew" reads and updates a credential."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a configuration does with one secret. ``page`` is the Page whose token it holds; None where it holds a credential."""

    access: Access
    page: Page | None = None


@dataclass(frozen=True, slots=True)
class GraphErrorFacts:
    """What Graph reported of an error, already free of tokens."""

    code: int | None = None
    subcode: int | None = None
    message: str = ""
    fbtrace_id: str | None = None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """The facts that ``debug_token`` answers about one token, in Graph's words; None where the answer had no such field.

    Source: Meta's reference of debug_token, read 2026-11-24. ``type`` is absent there, but in every real answer.
    ``granular_scopes`` maps a scope to the ids it is restricted to, None where it covers all. ``expires_at`` 0 is NEVER.
    ``asked_at`` is when the answer came. ``of_another_app``: it was that the token is another app's, with ``error`` and nothing else.
    """

    asked_at: datetime
    is_valid: bool | None = None
    type: str | None = None
    app_id: str | None = None
    profile_id: str | None = None
    user_id: str | None = None
    scopes: frozenset[str] | None = None
    granular_scopes: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    expires_at: Expiry | None = None
    data_access_expires_at: Expiry | None = None
    issued_at: datetime | None = None
    error: GraphErrorFacts | None = None
    of_another_app: bool = False


class State(Enum):
    """What is known of a token: it is confirmed as valid, refused by Meta or by the checks, or nothing is known."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one token for one Page, and the facts behind it.

    ``problems`` say why it is not valid, or what a valid stored token lacks; ``notices`` change no result.
    """

    state: State
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()
    facts: TokenFacts | None = None


Reach = Literal["page", "system_user", "app", "graph"]
"""How far the cause of an error reaches: one Page or token, its system user, its app, or all of Graph."""


@dataclass(frozen=True, slots=True)
class SourceError:
    """Graph gave no token or no facts: a value, so that one Page's error stops no other.

    ``state`` is INVALID where Graph refuses this Page, UNKNOWN where nothing is known of it.
    """

    problem: Problem
    state: Literal[State.INVALID, State.UNKNOWN] = State.UNKNOWN
    scope: Reach = "page"


AppToken = tuple[str, Secret]
"""A token under the name of the app that debug_token is asked with: for one token, two apps get two answers."""

Answers = Mapping[AppToken, TokenFacts | SourceError]
"""What debug_token answered for tokens, or why there is no answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A token that debug_token is to be asked about. ``urgent``: a repair waits for the answer, so that it may use the reserve."""

    token: Secret
    urgent: bool = False


Probe = Literal["answered", "refused", "unknown"]
"""How Graph answered a call with a Page token itself: as this Page, with a refusal or as another Page, or it is not known."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A Page token as Graph gave it, which is still to be verified."""

    token: Secret


@dataclass(frozen=True, slots=True)
class SystemUserToken:
    """A system user's token in this cycle.

    ``token`` is None where the credential could not be read. Nothing is fetched with a token whose verdict is INVALID.
    """

    system_user: str
    app: str
    token: Secret | None
    verdict: Verdict


Version = str
"""A store's own name for one state of a secret; it is only compared and passed back."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is written beside a payload: which instance and Page it belongs to, and where its token came from.

    ``system_user_id`` and ``system_user_fingerprint`` are None on a secret that was adopted or marked by a person.
    ``written_at`` is RFC 3339 in UTC, ``reason`` the reason of the last write; neither counts when marks are compared.
    """

    instance: str
    page_id: str
    app_id: str
    fingerprint: str
    system_user_id: str | None = None
    system_user_fingerprint: str | None = None
    written_at: str = ""
    reason: str = ""
    hold: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


Blocked = Literal["rotation-enabled", "replica", "scheduled-deletion"]
"""Why a secret of AWS must not be written, whoever owns it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds at one key.

    ``payload`` is None where there is no readable value: see ``state``. ``live`` has a value (which may be unreadable),
    ``deleted`` is KV v2's newest version deleted or destroyed, ``empty`` is a container that never had a value.
    ``version`` is what a write must name as ``replaces``; for an empty container it is what the store calls "nothing yet".
    ``marks`` is None where there is no mark of this program. ``first`` says that this is version 1 of the secret, so that an
    unmarked one may be a create that was interrupted before its mark. ``replicas`` are the regions that AWS copies the secret to, as far
    as a single read shows.
    """

    payload: Payload | None
    version: Version
    marks: Marks | None
    state: Literal["live", "deleted", "empty"] = "live"
    first: bool = False
    blocked: Blocked | None = None
    replicas: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing is stored at this key."""


StoreErrorCode = Literal[
    "conflict",
    "unreachable",
    "timeout",
    "tls",
    "sealed",
    "no-leader",
    "login-refused",
    "credentials",
    "denied",
    "no-mount",
    "kv-v1",
    "no-patch",
    "not-vault",
    "namespace",
    "throttled",
    "quota",
    "kms",
    "clock",
    "locked",
    "disk",
    "refused-path",
    "unreadable",
    "unexpected",
]
"""Why a store failed, a closed list; the text and the remedy are in the StoreError."""


@dataclass(frozen=True, slots=True)
class StoreError:
    """A store could not do what was asked; nothing is known to have changed, unless ``maybe_written``.

    ``whole``: the store failed for all keys, not for one. ``message`` and ``remedy`` are sentences for a person, without
    secrets and without a library's text. ``owner`` must act.
    """

    error_code: StoreErrorCode
    message: str
    remedy: str
    owner: Owner = "operator"
    whole: bool = False
    maybe_written: bool = False


Content = Stored | Absent | StoreError
"""What reading a secret gave."""

WriteKind = Literal["create", "update", "mark"]
"""What a write does to a secret: create it, write a new payload over the one that is stored, or write the marks alone."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that the store acknowledged. ``confirmed`` is False where it could not be read back in time."""

    version: Version
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """A secret that was deleted recoverably. ``restore`` is the command that brings it back, ``until`` when it is gone for good.

    ``until`` is None where the service keeps it until somebody destroys it.
    """

    restore: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PastVersion:
    """One version of a secret that its store keeps. ``payload`` is None where it was deleted, or is not readable.

    ``created_at`` is None where the store does not know it. ``current``: applications read this one now.
    """

    version: Version
    payload: Payload | None
    created_at: datetime | None = None
    current: bool = False
