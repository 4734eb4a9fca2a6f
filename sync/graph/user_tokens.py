"""Judge a system user's token by what ``debug_token`` says, and decide how long that is relied on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sync.core.judge.skew import MAX_SKEW
from sync.core.judge.verify import is_policy_block, of_another_app
from sync.core.memory.renewal import WARN_DAYS
from sync.core.model import GraphErrorFacts, SourceError, State, TokenFacts, Verdict
from sync.core.problems import READ_AGAIN, Problem
from sync.core.secret import CredentialError, Secret

EXPIRING = timedelta(days=max(WARN_DAYS))
"""How long before it expires a system user's token is reported."""
_STALE = timedelta(hours=48)
"""How long a valid verdict on a system user's token counts where debug_token gives no other."""
_YOUNG = timedelta(hours=1)
"""How long a valid verdict on a system user's token is reused, unless a read suggests that the token is invalid."""

_NOT_USER_TYPES = ("PAGE", "APP")
"""Types of tokens that are pasted by mistake instead of a system user's; with them every Page would look unreachable."""


_PERSON = "USER"
"""The type of a person's token: Pages can be read with it, and it stops working with the person's password or role."""


def judge_user_token(facts: TokenFacts | SourceError, app_id: str, now: datetime) -> Verdict:
    """Judge a system user's token by the facts that ``debug_token`` returned."""
    if isinstance(facts, SourceError):
        return Verdict(facts.state, (facts.problem,))
    if facts.of_another_app:
        return Verdict(State.INVALID, (of_another_app(facts, "system user"),), facts=facts)
    if facts.is_valid is False:
        return _invalid(facts)
    if facts.app_id is None or facts.is_valid is None:
        return Verdict(
            State.UNKNOWN,
            (Problem("debug-unavailable", "Meta did not name the app of the system user token."),),
            facts=facts,
        )
    if facts.app_id != app_id:
        message = f"The system user's token belongs to app {facts.app_id}, not to {app_id}."
        return Verdict(State.INVALID, (Problem("wrong-app", message),), facts=facts)
    if facts.type in _NOT_USER_TYPES:
        message = f"The system user's token is of type {facts.type}, and not a system user's."
        remedy = (
            "Put the token that Business Settings > Users > System users generates where system_users.*.token points."
        )
        return Verdict(State.INVALID, (Problem("wrong-type", message, "operator", remedy),), facts=facts)
    expires = facts.expires_at
    notices: tuple[Problem, ...] = ()
    if isinstance(expires, datetime) and expires < now + EXPIRING:
        message = f"The system user's token expires at {expires:%Y-%m-%d %H:%M} UTC."
        notices = (Problem("system-user-expiring", message),)
    if facts.type == _PERSON:
        message = "The token is of type USER: it hangs on a person's account."
        notices = (*notices, Problem("not-a-system-user", message))
    return Verdict(State.VALID, notices=notices, facts=facts)


def refused_user_token(verdict: Verdict) -> SourceError | None:
    """Return why nothing is read with a system user's token: it is invalid, or Meta has blocked its user; None where it may be used."""
    blocked = any(problem.code == "policy-blocked" for problem in verdict.problems)
    return invalid_user_token(verdict) if blocked or verdict.state is State.INVALID else None


def invalid_user_token(verdict: Verdict) -> SourceError:
    """Return the error of every Page of a system user whose token is invalid; it says nothing of the Pages themselves."""
    return SourceError(verdict.problems[0], State.UNKNOWN, "system_user")


def remembered(
    known: Mapping[tuple[str, str], TokenFacts], app_id: str, tokens: Sequence[Secret], now: datetime
) -> dict[Secret, TokenFacts]:
    """Return the remembered facts of the tokens that were valid in them, not long ago, and have not expired since.

    Facts from the future, after a clock was set back, count as none.
    Every other token is sent to ``debug_token`` in each cycle.
    """
    found: dict[Secret, TokenFacts] = {}
    for token in tokens:
        facts = known.get((app_id, token.fingerprint))
        if facts is None or judge_user_token(facts, app_id, now).state is not State.VALID:
            continue
        if not -MAX_SKEW <= now - facts.asked_at < _STALE:
            continue
        if not isinstance(facts.expires_at, datetime) or facts.expires_at > now:
            found[token] = facts
    return found


def is_young(facts: TokenFacts, now: datetime) -> bool:
    """Check whether facts are recent enough to be reused; facts from the future, after a clock was set back, are not."""
    return timedelta(0) <= now - facts.asked_at < _YOUNG


def unreadable(what: str, put: str, error: CredentialError, scope: Literal["app", ""] = "") -> Problem:
    """Return the problem that a credential could not be read; ``put`` is what the operator puts where."""
    remedy = error.remedy or f"Put {put}. {READ_AGAIN}"
    return Problem("credential-unavailable", f"{what} cannot be read: {error}.", "operator", remedy, scope=scope)


def _invalid(facts: TokenFacts) -> Verdict:
    """Return the verdict of a token that Meta calls invalid; of a user whom Meta has blocked, it says nothing of the token."""
    error = facts.error or GraphErrorFacts()
    text = f" Meta says: {error.message}" if error.message else ""
    if is_policy_block(error):
        message = f"Meta has blocked the system user, and does not accept its token.{text}"
        return Verdict(
            State.UNKNOWN, (Problem("policy-blocked", message, "", "", error.code, error.subcode),), facts=facts
        )
    message = f"Meta calls the system user token invalid.{text}"
    return Verdict(
        State.INVALID, (Problem("system-user-invalid", message, "", "", error.code, error.subcode),), facts=facts
    )
