"""The renewal of a system user's token that expires: when it is due, which new token is accepted, and what is reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.core.judge.verify import expires_within
from sync.core.model import Expiry, Key, Never, SourceError, State, SystemUserToken, TokenFacts
from sync.core.problems import Problem

WARN_DAYS = (14, 7, 3, 1)
"""The days before a token's expiry at which it is reported, once each."""
_EARLY = timedelta(hours=6)
"""What is reported so shortly before one of these days is not reported again at it: a first report may come at any time."""

_PAUSE = timedelta(hours=1)
_ATTEMPTS = 4
"""The minimum number of attempts before a token expires, however late its renewal begins."""


@dataclass(frozen=True, slots=True)
class RenewalRule:
    """How a system user's token is renewed: the target of the new one, and how long ``before`` the old one expires.

    ``name`` is the key of the secret's JSON object that holds the token.
    """

    target: Key
    name: str
    before: timedelta


@dataclass(frozen=True, slots=True)
class Renewal:
    """The last attempt to renew a system user's token; ``token`` is the fingerprint of the old one.

    ``became`` is the fingerprint of the new one, stored as ``version``. Where that is None, ``problem`` says why; where
    both are None, somebody else stored another token meanwhile.
    """

    at: datetime
    token: str
    target: Key
    became: str | None = None
    version: str | None = None
    confirmed: bool = False
    problem: Problem | None = None


def is_due(user_token: SystemUserToken, wanted: RenewalRule, last: Renewal | None, now: datetime) -> bool:
    """Check whether a token is to be renewed now: it works, it expires soon, and the last attempt is not too recent.

    An attempt that lies in the future, after a clock was set back, does not count.
    """
    if user_token.token is None or not _expires_soon(user_token, wanted, now):
        return False
    if last is None or last.token != user_token.token.fingerprint:
        return True
    return not timedelta(0) <= now - last.at < min(_PAUSE, wanted.before / _ATTEMPTS)


def objection(old: TokenFacts | None, new: TokenFacts | SourceError | None) -> str | None:
    """Return why a new token may not replace the old one; None where it may.

    It must work, be of the same app, user and type, allow all that the old one does, and expire later or never. A field
    that debug_token leaves out is a reason against it.
    """
    if new is None:
        return "Meta was not asked about the new token, to keep within the quota of the app"
    if isinstance(new, SourceError):
        return f"debug_token gave no facts about the new token: {new.problem.message}"
    if old is None:
        return "nothing is known of the old token"
    if new.is_valid is not True:
        return "Meta does not call the new token valid"
    for field in ("app_id", "user_id", "type"):
        was, is_ = getattr(old, field), getattr(new, field)
        if was is None or is_ is None:
            return f"Meta does not say the {field} of both tokens"
        if was != is_:
            return f"the new token's {field} is {is_}, and the old one's {was}"
    return _scope_objection(old, new) or _expiry_objection(old.expires_at, new.expires_at)


def with_renewal(user_token: SystemUserToken, last: Renewal | None) -> SystemUserToken:
    """Return the token with the failure of its last renewal as a notice, which changes no result.

    The expiry of a token that is already replaced is not reported.
    """
    if last is None or user_token.token is None or user_token.token.fingerprint != last.token:
        return user_token
    notices = user_token.verdict.notices
    if last.became is not None:
        notices = tuple(notice for notice in notices if notice.code != "system-user-expiring")
    if last.problem is not None:
        notices = (*notices, last.problem)
    return replace(user_token, verdict=replace(user_token.verdict, notices=notices))


def expiry_warnings(
    user_tokens: Mapping[str, SystemUserToken], reported: Mapping[str, int], exclude: Collection[str], now: datetime
) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Return the days at which each expiring token was last reported, by fingerprint, and the system users to report now.

    ``exclude`` are those whose token is renewed in time, so that nobody need act. What was reported is kept where a token
    could not be read: it may be the one.
    """
    unread = not user_tokens or any(user_token.token is None for user_token in user_tokens.values())
    after: dict[str, int] = dict(reported) if unread else {}
    names: list[str] = []
    for name, user_token in user_tokens.items():
        if user_token.token is None:
            continue
        fingerprint, facts = user_token.token.fingerprint, user_token.verdict.facts
        before = reported.get(fingerprint)
        expires_at = facts.expires_at if facts is not None else None
        days_left = _warn_day(expires_at, now)
        # The verdict is older than now: without its notice there is nothing to log yet.
        noticed = any(notice.code == "system-user-expiring" for notice in user_token.verdict.notices)
        if days_left is None or not noticed or name in exclude or user_token.verdict.state is not State.VALID:
            after.update({} if before is None else {fingerprint: before})
            continue
        if before is None or days_left < before:
            names.append(name)
            days_left = _warn_day(expires_at, now + _EARLY) or days_left
        after[fingerprint] = days_left if before is None else min(days_left, before)
    return after, tuple(names)


def is_renewed_in_time(user_token: SystemUserToken, wanted: RenewalRule, last: Renewal | None, now: datetime) -> bool:
    """Check whether nobody need act for an expiring token: its renewal is not due yet, or has just succeeded."""
    if not _expires_soon(user_token, wanted, now):
        return True
    if last is None or user_token.token is None or last.token != user_token.token.fingerprint:
        return False
    return last.problem is None


def _expires_soon(user_token: SystemUserToken, wanted: RenewalRule, now: datetime) -> bool:
    facts = user_token.verdict.facts
    if user_token.verdict.state is not State.VALID or facts is None:
        return False
    return expires_within(facts.expires_at, wanted.before, now)


def _scope_objection(old: TokenFacts, new: TokenFacts) -> str | None:
    if old.scopes is None or new.scopes is None:
        return "Meta does not say the scopes of both tokens"
    lost = sorted(old.scopes - new.scopes)
    if lost:
        return f"the new token lacks {', '.join(lost)}"
    for scope in sorted(old.scopes):
        before, after = old.granular_scopes.get(scope), new.granular_scopes.get(scope)
        if after is not None and (before is None or not before <= after):
            return f"the new token's {scope} covers less than the old one's"
    return None


def _expiry_objection(old: Expiry | None, new: Expiry | None) -> str | None:
    if isinstance(new, Never):
        return None
    if new is None or not isinstance(old, datetime):
        return "Meta does not say when both tokens expire"
    return None if new > old else f"the new token expires at {new:%Y-%m-%d %H:%M} UTC, no later than the old one"


def _warn_day(expires_at: Expiry | None, now: datetime) -> int | None:
    if not isinstance(expires_at, datetime):
        return None
    return min((days for days in WARN_DAYS if expires_at < now + timedelta(days=days)), default=None)
