"""What one cycle remembers for the next: one small value without a secret in it. Losing it only costs calls to Graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sync.core.memory.access import Lost
from sync.core.memory.problems import OpenProblem, ProblemKey
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Answers, Key, Probe, SourceError, State, TokenFacts
from sync.core.secret import Secret

TokenId = tuple[str, str]
"""The id of the app that asks, and the token's fingerprint."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of one token: the last answer of debug_token, and the last probe.

    ``system_user_fingerprint`` is the fingerprint of the system user's token in use at that answer. ``probed_at`` is when
    Graph was last called with the token itself, and ``probe`` how that ended.
    """

    facts: TokenFacts
    system_user_fingerprint: str | None = None
    probed_at: datetime | None = None
    probe: Probe = "answered"

    @property
    def refused(self) -> bool:
        """Whether Graph refused the token itself after debug_token last answered, so that the answer counts no more."""
        return self.probe == "refused" and self.probed_at is not None and self.probed_at > self.facts.asked_at

    @property
    def seen_at(self) -> datetime:
        """When debug_token or Graph last answered for the token."""
        return max(self.facts.asked_at, self.probed_at) if self.probed_at else self.facts.asked_at

    def with_probe(self, probe: Probe, now: datetime) -> Judged:
        """Return the same with a probe of now; an unknown result changes nothing."""
        return self if probe == "unknown" else replace(self, probed_at=now, probe=probe)

    def with_answer(self, facts: TokenFacts, system_user_fingerprint: str | None) -> Judged:
        """Return the same with a new answer of debug_token.

        That Graph refuses a token which debug_token calls valid is kept, so that it is not probed in every cycle.
        """
        if self.probe == "refused" and facts.is_valid:
            return Judged(facts, system_user_fingerprint, self.probed_at, "refused")
        return Judged(facts, system_user_fingerprint)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known when a cycle begins.

    ``lost`` holds the Pages that could not be reached, by name. ``tried`` is when a token other than the stored one was last
    judged for a Page, by name. ``overwritten`` is when a token that still worked was last overwritten, by target. ``pools``
    are Meta's quotas. ``renewals`` are the last attempts to renew system users' tokens, by system user. ``warned_days`` is,
    by fingerprint, how many days before its expiry a system user's token was last reported. ``short_lists`` is when a
    system user's list of Pages last showed too few, and ``read_at`` when all Pages were last read. ``problems`` are the
    causes of problems that last.
    """

    judged: Mapping[TokenId, Judged] = field(default_factory=dict)
    lost: Mapping[str, Lost] = field(default_factory=dict)
    tried: Mapping[str, datetime] = field(default_factory=dict)
    overwritten: Mapping[Key, datetime] = field(default_factory=dict)
    pools: Mapping[QuotaKey, Pool] = field(default_factory=dict)
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    warned_days: Mapping[str, int] = field(default_factory=dict)
    short_lists: Mapping[str, datetime] = field(default_factory=dict)
    read_at: datetime | None = None
    problems: Mapping[ProblemKey, OpenProblem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often tokens are judged: ``verify_every`` is the effective interval, stretched to what the app's quota allows."""

    verify_every: timedelta = timedelta(hours=24)

    @property
    def stale_after(self) -> timedelta:
        """The age up to which an answer of debug_token counts."""
        return 2 * self.verify_every


def token_id(app_id: str, token: Secret) -> TokenId:
    """Return the key under which a token is remembered."""
    return app_id, token.fingerprint


def fresh(judged: Judged | None, *, now: datetime, rhythm: Rhythm) -> TokenFacts | None:
    """Return the facts of a token where they still count: young enough, not refused since, and before the token's expiry.

    An answer that lies in the future, after a clock was set back, counts as given now.
    """
    if judged is None or judged.refused or now - judged.facts.asked_at >= rhythm.stale_after:
        return None
    expired = isinstance(judged.facts.expires_at, datetime) and judged.facts.expires_at <= now
    return None if expired and judged.facts.is_valid else judged.facts


def join(answer: TokenFacts | SourceError | None, remembered: TokenFacts | None) -> TokenFacts | SourceError | None:
    """Return what counts of a token: the answer of now, or what is remembered where now gave no verdict."""
    is_verdict = isinstance(answer, TokenFacts) or (isinstance(answer, SourceError) and answer.state is State.INVALID)
    return answer if is_verdict or remembered is None else remembered


def join_answers(earlier: Answers, later: Answers) -> Answers:
    """Return the later answer for each token; an error replaces no facts."""
    return {
        **earlier,
        **{key: said for key, said in later.items() if isinstance(said, TokenFacts) or key not in earlier},
    }
