"""Apps, system users and Pages, and the count of calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SCOPES = ("pages_show_list", "pages_messaging", "pages_read_engagement", "pages_manage_metadata", "business_management")
TASKS = ("MANAGE", "CREATE_CONTENT", "MODERATE", "MESSAGING", "ADVERTISE", "ANALYZE")

Gives = Literal["own", "user-token", "other-page", "foreign", "malformed"]
Unassigned = Literal["invalid", "refused", "working"]
"""What becomes of the tokens of a Page that is unassigned. "refused": debug_token calls them valid, and no call accepts them."""


@dataclass(slots=True)
class FakeApp:
    """An app; ``blocked`` refuses every call with its tokens, and ``business_id`` is the business that owns it."""

    id: str
    secret: str = field(repr=False)
    name: str
    business_id: str
    blocked: bool = False


@dataclass(slots=True)
class FakeSystemUser:
    """A system user: ``token`` is its latest token, ``assigned`` the Pages that it may act for, with its tasks.

    ``lacking`` permissions are missing from its tokens.
    """

    id: str
    name: str
    app_id: str
    token: str = field(default="", repr=False)
    generation: int = 0
    assigned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lacking: frozenset[str] = frozenset()


@dataclass(slots=True)
class FakePage:
    """A Page, or a person under an id that was taken for a Page's.

    ``shared``: another business owns it, and shares it with the one of this world. ``refusal`` is the shape of the answer for a caller without access, and ``unassigned_tokens`` what becomes of tokens that
    were issued before. ``gives`` is whose token a read returns.
    ``changing`` makes every read return another, valid, token; ``lifetime`` is the lifetime of its tokens in seconds.
    ``lacking`` scopes are missing from its tokens; ``untargeted`` ones are granted for another Page only.
    """

    id: str
    name: str
    username: str = ""
    kind: Literal["page", "user"] = "page"
    published: bool = True
    deleted: bool = False
    migrated_to: str | None = None
    in_business: bool = True
    shared: bool = False
    refusal: str = "field-missing"
    unassigned_tokens: Unassigned = "invalid"
    gives: Gives = "own"
    changing: bool = False
    lifetime: int | None = None
    lacking: frozenset[str] = frozenset()
    untargeted: frozenset[str] = frozenset()
    generation: int = 0
    usage: int = 1


@dataclass(slots=True)
class Calls:
    """The calls so far: HTTP requests, calls as Meta counts them (each item of a batch is one), calls by endpoint."""

    requests: int = 0
    calls: int = 0
    endpoints: dict[str, int] = field(default_factory=dict)
