"""What one cycle leaves to the next: one small value without a secret in it. Forgotten, it only costs questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.core.memory.access import Lost
from sync.core.memory.problems import OpenProblem, ProblemKey
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Key, Probe, TokenFacts
from sync.core.secret import Secret

TokenId = tuple[str, str]
"""The id of the app that asks, and the token's fingerprint."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What Meta last said of one string.

    ``system_user_fingerprint`` is the fingerprint of the system user's token in use then. ``probed_at`` is when the token itself was last
    used to ask, and ``probe`` how that ended.
    """

    facts: TokenFacts
    system_user_fingerprint: str | None = None
    probed_at: datetime | None = None
    probe: Probe = "answered"

    @property
    def refused(self) -> bool:
        """Whether Graph refused the token itself after Meta last judged it, so that the judgement counts no more."""
        return self.probe == "refused" and self.probed_at is not None and self.probed_at > self.facts.asked_at

    @property
    def seen_at(self) -> datetime:
        """When the token was last known to be taken or judged."""
        return max(self.facts.asked_at, self.probed_at) if self.probed_at else self.facts.asked_at


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known when a cycle begins.

    ``lost`` holds the Pages that could not be reached, by name. ``tried`` is when a string that differs from the stored
    one was last judged for a Page, by name. ``overwritten`` is when a token that still worked was last written over, by
    place. ``pools`` are Meta's quotas. ``renewals`` are the last tries to renew system users' tokens, by system user, and
    ``ending`` the days before its end at which a system user's token was last spoken of, by fingerprint. ``short_lists`` is
    when a system user's list of Pages last showed too few, and ``read_at`` when all Pages were last read. ``problems`` are
    the causes of problems that last.
    """

    judged: Mapping[TokenId, Judged] = field(default_factory=dict)
    lost: Mapping[str, Lost] = field(default_factory=dict)
    tried: Mapping[str, datetime] = field(default_factory=dict)
    overwritten: Mapping[Key, datetime] = field(default_factory=dict)
    pools: Mapping[QuotaKey, Pool] = field(default_factory=dict)
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    ending: Mapping[str, int] = field(default_factory=dict)
    short_lists: Mapping[str, datetime] = field(default_factory=dict)
    read_at: datetime | None = None
    problems: Mapping[ProblemKey, OpenProblem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often tokens are judged: ``verify_every`` is the effective interval, stretched to what the app's quota allows."""

    verify_every: timedelta = timedelta(hours=24)

    @property
    def stale_after(self) -> timedelta:
        """The age up to which Meta's word on a token counts."""
        return 2 * self.verify_every


def token_id(app_id: str, token: Secret) -> TokenId:
    """Return a token by what may be kept of it."""
    return app_id, token.fingerprint


def counting(judged: Judged | None, *, now: datetime, rhythm: Rhythm) -> TokenFacts | None:
    """Return a remembered judgement where it still counts: young enough, the token not refused since, and not past its end.

    One that lies in the future, after a clock was set back, counts as made now.
    """
    if judged is None or judged.refused or now - judged.facts.asked_at >= rhythm.stale_after:
        return None
    ended = isinstance(judged.facts.expires_at, datetime) and judged.facts.expires_at <= now
    return None if ended and judged.facts.is_valid else judged.facts
