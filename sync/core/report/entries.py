"""What a report says of each Page and of each of its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sync.core.judge.decide import Kind, Would
from sync.core.model import Expiry, Key, State
from sync.core.plan.served import Served
from sync.core.problems import Problem

WORST_FIRST: tuple[Served, ...] = ("broken", "absent", "foreign", "stale", "verified")
"""The order in which a Page's secrets are summed up: the worst one stands for the Page."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One secret of one Page in the report. It holds fingerprints where a plan holds tokens, so that it can be shown.

    ``fingerprint`` is that of the token stored now; None where there is none. ``would`` is what a held write would be; None
    for everything else. ``verified_at`` is when debug_token last answered for that token, and ``judged`` whether that
    answer still counts.
    """

    key: Key
    action: Kind
    reason: str | None
    would: Would | None
    served: Served
    verified_at: datetime | None
    fingerprint: str | None
    previous_fingerprint: str | None
    version: str | None
    confirmed: bool | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...]
    error_code: str | None
    judged: bool = False


@dataclass(frozen=True, slots=True)
class PageEntry:
    """One Page in the report: the verdict on the fetched token with its problems, then the Page's secrets.

    ``alarm`` is since when the Page counts as lost to its system user, and not as out of reach for a moment.
    """

    name: str
    id: str
    system_user: str
    app: str
    fetched: State
    verified_at: datetime | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...]
    fingerprint: str | None
    expires_at: Expiry | None
    stores: tuple[StoreEntry, ...]
    alarm: datetime | None = None

    @property
    def served(self) -> Served:
        """The worst of what the Page's secrets serve."""
        if len(self.stores) == 1:  # as of most Pages, of which there may be thousands
            return self.stores[0].served
        return min((entry.served for entry in self.stores), key=WORST_FIRST.index)
