"""The renewal of a system user's token that ends: when it is due, what may take its place, and what is told of its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.core.judge.verify import ends_within
from sync.core.model import Expiry, Key, Never, SourceError, State, SystemUserToken, TokenFacts
from sync.core.problems import Problem

MARKS = (14, 7, 3, 1)
"""So many days before its end a token is spoken of, each time once."""

_PAUSE = timedelta(hours=1)
_TRIES = 4
"""So often a token can be tried at the least, however late its renewal begins."""


@dataclass(frozen=True, slots=True)
class RenewalRule:
    """That a system user's token is to be renewed: where the new one goes, and how long before the end of the old one.

    ``name`` is the key of the secret's JSON object that holds the token.
    """

    target: Key
    name: str
    before: timedelta


@dataclass(frozen=True, slots=True)
class Renewal:
    """The last try to renew a system user's token; ``token`` is the fingerprint of the one that was to be renewed.

    ``became`` is the fingerprint of the one that took its place, at ``version``. Where that is None, ``problem`` says why;
    None there too is another's doing: somebody else has put another token in the place meanwhile.
    """

    at: datetime
    token: str
    target: Key
    became: str | None = None
    version: str | None = None
    confirmed: bool = False
    problem: Problem | None = None


def is_due(user_token: SystemUserToken, wanted: RenewalRule, last: Renewal | None, now: datetime) -> bool:
    """Check whether a token is to be renewed now: it works, its end is near, and it was not tried a moment ago.

    A try that lies in the future, after a clock was set back, counts as none.
    """
    if user_token.token is None or not _ends_soon(user_token, wanted, now):
        return False
    if last is None or last.token != user_token.token.fingerprint:
        return True
    return not timedelta(0) <= now - last.at < min(_PAUSE, wanted.before / _TRIES)


def objection(old: TokenFacts | None, new: TokenFacts | SourceError | None) -> str | None:
    """Return why a new token may not take the old one's place; None where it may.

    It must work, be of the same app, user and type, allow all that the old one does, and end later or never. What Meta
    leaves out speaks against it.
    """
    if new is None:
        return "Meta was not asked about the new token, to keep within the quota of the app"
    if isinstance(new, SourceError):
        return f"Meta would not say what the new token is: {new.problem.message}"
    if old is None:
        return "it is not known what the old token is"
    if new.is_valid is not True:
        return "Meta does not call the new token valid"
    for field in ("app_id", "user_id", "type"):
        was, is_ = getattr(old, field), getattr(new, field)
        if was is None or is_ is None:
            return f"Meta does not say the {field} of both tokens"
        if was != is_:
            return f"the new token's {field} is {is_}, and the old one's {was}"
    return _lacking(old, new) or _ending(old.expires_at, new.expires_at)


def told(user_token: SystemUserToken, last: Renewal | None) -> SystemUserToken:
    """Put the failure of the last try beside what is said of the token that it was tried with; it changes no result.

    The end of a token that another has already taken the place of concerns nobody.
    """
    if last is None or user_token.token is None or user_token.token.fingerprint != last.token:
        return user_token
    notices = user_token.verdict.notices
    if last.became is not None:
        notices = tuple(notice for notice in notices if notice.code != "system-user-expiring")
    if last.problem is not None:
        notices = (*notices, last.problem)
    return replace(user_token, verdict=replace(user_token.verdict, notices=notices))


def tell_of_ends(
    user_tokens: Mapping[str, SystemUserToken], told_before: Mapping[str, int], exclude: Collection[str], now: datetime
) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Return the mark of days that each ending token was spoken of at, by fingerprint, and the system users to speak of now.

    ``spared`` are those whose token is renewed in time, so that nobody need act.
    """
    after: dict[str, int] = {}
    names: list[str] = []
    for name, user_token in user_tokens.items():
        if user_token.token is None:
            continue
        fingerprint, facts = user_token.token.fingerprint, user_token.verdict.facts
        before = told_before.get(fingerprint)
        mark = _mark(facts.expires_at if facts is not None else None, now)
        if mark is None or name in exclude or user_token.verdict.state is not State.VALID:
            after.update({} if before is None else {fingerprint: before})
            continue
        if before is None or mark < before:
            names.append(name)
        after[fingerprint] = mark if before is None else min(mark, before)
    return after, tuple(names)


def is_cared_for(user_token: SystemUserToken, wanted: RenewalRule, last: Renewal | None, now: datetime) -> bool:
    """Check whether an ending token needs nobody: its time to be renewed is to come, or it has just been."""
    if not _ends_soon(user_token, wanted, now):
        return True
    if last is None or user_token.token is None or last.token != user_token.token.fingerprint:
        return False
    return last.problem is None


def _ends_soon(user_token: SystemUserToken, wanted: RenewalRule, now: datetime) -> bool:
    facts = user_token.verdict.facts
    if user_token.verdict.state is not State.VALID or facts is None:
        return False
    return ends_within(facts.expires_at, wanted.before, now)


def _lacking(old: TokenFacts, new: TokenFacts) -> str | None:
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


def _ending(old: Expiry | None, new: Expiry | None) -> str | None:
    if isinstance(new, Never):
        return None
    if new is None or not isinstance(old, datetime):
        return "Meta does not say when both tokens end"
    return None if new > old else f"the new token ends at {new:%Y-%m-%d %H:%M} UTC, no later than the old one"


def _mark(ends: Expiry | None, now: datetime) -> int | None:
    if not isinstance(ends, datetime):
        return None
    return min((days for days in MARKS if ends < now + timedelta(days=days)), default=None)
