"""Whom the world is made of: apps, system users, Pages, and the count of what was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SCOPES = (
    "pages_show_list",
    "pages_messaging",
    "pages_read_engagement",
    "pages_manage_metadata",
    "business_management",
)
TASKS = ("MANAGE", "CREATE_CONTENT", "MODERATE", "MESSAGING", "ADVERTISE", "ANALYZE")

Gives = Literal["own", "parent", "other-page", "foreign"]


@dataclass(slots=True)
class App:
    """An app of Meta; ``blocked`` refuses every call of its tokens."""

    id: str
    secret: str = field(repr=False)
    name: str
    blocked: bool = False


@dataclass(slots=True)
class SystemUser:
    """A system user: ``token`` is the text it was last given, ``assigned`` the Pages it may act for, with its tasks."""

    id: str
    name: str
    app_id: str
    token: str = field(default="", repr=False)
    generation: int = 0
    assigned: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """A Page, or a person under an id that somebody took for a Page's.

    ``refusal`` is the shape of the answer where the caller is not entitled. ``gives`` is whose token a read hands out.
    ``changing`` makes every read give another, valid, string; ``lifetime`` gives its tokens that many seconds.
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
    refusal: str = "field-missing"
    gives: Gives = "own"
    changing: bool = False
    lifetime: int | None = None
    lacking: frozenset[str] = frozenset()
    untargeted: frozenset[str] = frozenset()
    generation: int = 0
    usage: int = 1


@dataclass(slots=True)
class Calls:
    """What was asked so far: HTTP requests, calls as Meta counts them (each item of a batch is one), calls by endpoint."""

    requests: int = 0
    calls: int = 0
    endpoints: dict[str, int] = field(default_factory=dict)
