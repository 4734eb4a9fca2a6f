"""What was found out about Graph, the apps, the system users and the Pages, before it is judged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.core.model import Fetched, Never, Page, SourceError, SystemUserToken, Verdict
from sync.graph.examining import Listing, Node, Unreached


@dataclass(frozen=True, slots=True)
class AppFacts:
    """An app. ``name`` is the one at Meta, or why it could not be read; ``business`` is None where that was not asked."""

    id: str
    name: str | SourceError
    business: str | SourceError | None = None


@dataclass(frozen=True, slots=True)
class UserFacts:
    """A system user and its token.

    ``scopes`` are the permissions that the checks of its Pages demand. ``in_store``: the token is in a store, so that it can be
    renewed. ``assigned``, ``owned`` and ``shared`` are the Pages of its edges, None where they were not asked.
    """

    token: SystemUserToken
    scopes: Collection[str] = ()
    business: str | None = None
    renew_before: timedelta | Never = Never.NEVER
    in_store: bool = False
    assigned: Listing | SourceError | None = None
    owned: Listing | SourceError | None = None
    shared: Listing | SourceError | None = None


@dataclass(frozen=True, slots=True)
class PageFacts:
    """A Page: the token that Graph returned, and what debug_token says of it; ``verdict`` is None where it was not asked.

    ``node`` is what the id stands for, which is asked only where there is no token; None where it was not asked.
    """

    page: Page
    fetched: Fetched | SourceError
    verdict: Verdict | None = None
    node: Node | SourceError | None = None


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Graph and everything behind it. ``unreached`` is why it does not answer; then nothing else was asked.

    ``via`` names the proxy in between, and ``issuer`` who issued the certificate that came, trusted or not. ``skew`` is how far Meta's clock is ahead, None where no answer had a date.
    ``other_version`` is a sentence about another version that Graph served, "" where it served the one that was asked for.
    """

    address: str
    version: str
    now: datetime
    via: str = ""
    issuer: str = ""
    unreached: Unreached | None = None
    skew: timedelta | None = None
    other_version: str = ""
    apps: Mapping[str, AppFacts] = field(default_factory=dict)
    users: Mapping[str, UserFacts] = field(default_factory=dict)
    pages: Sequence[PageFacts] = ()
