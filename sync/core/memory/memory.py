"""What one cycle remembers for the next: one small value without a secret in it. Losing it only costs calls to Graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sync.core.judge.skew import MAX_SKEW
from sync.core.memory.access import Lost
from sync.core.memory.problems import Reported
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Answers, GraphErrorFacts, Key, Probe, TokenFacts
from sync.core.secret import Secret

TokenId = tuple[str, str]
"""The id of the app that asks, and the token's fingerprint."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of one token: the last answer of debug_token, and the last probe.

    Only two things change it: a whole answer of debug_token replaces the one before (``answered``), and a probe that Graph
    refuses voids it (``with_probe``). An error, a partial answer and silence change nothing. Which of two came later is
    kept as such, and not read from their times: a clock may have been set in between.

    ``system_user_fingerprint`` is the fingerprint of the system user's token in use at the answer. ``probed_at`` is when
    Graph was last called with the token itself, and ``probe`` how that ended. ``answered_since``: debug_token answered after
    that. ``probe_error`` is what Graph said when it refused the token. ``invalid_twice``: the last two answers called the
    token invalid. ``counts_for`` is how long the answer counts at least, by the longest interval since: one that becomes
    shorter makes no earlier answer older. ``last_seen`` is when the token was last fetched or stored.
    """

    facts: TokenFacts
    system_user_fingerprint: str | None = None
    probed_at: datetime | None = None
    probe: Probe = "answered"
    probe_error: GraphErrorFacts | None = None
    answered_since: bool = False
    invalid_twice: bool = False
    counts_for: timedelta | None = None
    last_seen: datetime | None = None

    @property
    def refused(self) -> bool:
        """Whether Graph refused the token itself after debug_token last answered, so that the answer counts no more."""
        return self.probe == "refused" and not self.answered_since

    @property
    def confirmed_at(self) -> datetime:
        """When debug_token or Graph last answered for the token."""
        return max(self.facts.asked_at, self.probed_at) if self.probed_at else self.facts.asked_at

    def with_probe(self, probe: Probe, now: datetime, error: GraphErrorFacts | None = None) -> Judged:
        """Return the same with a probe of now, and Graph's error if it was refused; an unknown result changes nothing."""
        if probe == "unknown":
            return self
        return replace(self, probed_at=now, probe=probe, probe_error=error, answered_since=False)

    def lasts(self, stale_after: timedelta) -> timedelta:
        """Return the age at which the answer stops to count, by its own time or that of the present interval."""
        return stale_after if self.counts_for is None else max(self.counts_for, stale_after)

    def counting(self, *, now: datetime, stale_after: timedelta) -> TokenFacts | None:
        """Return the facts where they still count: young enough, not refused since, and before the token's expiry.

        An answer that lies in the future, after a clock was set back, counts as none.
        """
        age = now - self.facts.asked_at
        if self.refused or not -MAX_SKEW <= age < self.lasts(stale_after):
            return None
        expired = isinstance(self.facts.expires_at, datetime) and self.facts.expires_at <= now
        return None if expired and self.facts.is_valid else self.facts


def answered(
    known: Judged | None, facts: TokenFacts, *, system_user_fingerprint: str | None, stale_after: timedelta
) -> Judged:
    """Return what is known of a token after a whole answer of debug_token, which replaces the one before.

    That Graph refuses a token which debug_token calls valid is kept: only a probe that Graph answers ends it.
    """
    judged = Judged(facts, system_user_fingerprint, counts_for=stale_after)
    if known is None:
        return judged
    if known.probe == "refused" and facts.is_valid:
        return replace(
            judged, probed_at=known.probed_at, probe="refused", probe_error=known.probe_error, answered_since=True
        )
    return replace(judged, invalid_twice=facts.is_valid is False and known.facts.is_valid is False)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known when a cycle begins.

    ``lost`` holds the Pages that could not be reached, by name. ``tried`` is when a token other than the stored one was last
    judged for a Page, by name. ``overwritten`` is when a token that still worked was last overwritten, and ``waiting`` since
    when the brake holds a write, by target. ``let_through`` has the lines of a plan that a person let through and that are
    still to be written, by target. ``pools`` are Meta's quotas. ``renewals`` are the last attempts to renew system users'
    tokens, by system user. ``warned_days`` is, by fingerprint, how many days before its expiry a system user's token was
    last reported. ``short_lists`` is when a system user's list of Pages last showed too few, and ``read_at`` when all Pages
    were last read. ``reported`` is what the log has reported.
    """

    judged: Mapping[TokenId, Judged] = field(default_factory=dict)
    lost: Mapping[str, Lost] = field(default_factory=dict)
    tried: Mapping[str, datetime] = field(default_factory=dict)
    overwritten: Mapping[Key, datetime] = field(default_factory=dict)
    waiting: Mapping[Key, datetime] = field(default_factory=dict)
    let_through: Mapping[Key, str] = field(default_factory=dict)
    pools: Mapping[QuotaKey, Pool] = field(default_factory=dict)
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    warned_days: Mapping[str, int] = field(default_factory=dict)
    short_lists: Mapping[str, datetime] = field(default_factory=dict)
    read_at: datetime | None = None
    reported: Reported = field(default_factory=Reported)

    def valid_within(self, age: timedelta, now: datetime) -> Mapping[TokenId, TokenFacts]:
        """Return the facts of the tokens that debug_token called valid less than ``age`` ago, and that Graph accepted since."""
        counting = ((name, judged.counting(now=now, stale_after=age)) for name, judged in self.judged.items())
        return {name: facts for name, facts in counting if facts and facts.is_valid and now - facts.asked_at < age}


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


def join_answers(earlier: Answers, later: Answers) -> Answers:
    """Return the later answer for each token; an error replaces no facts."""
    return {
        **earlier,
        **{key: said for key, said in later.items() if isinstance(said, TokenFacts) or key not in earlier},
    }
