"""What Meta's word on a system user's token means, and how long it is relied on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sync.core.memory.renewal import MARKS
from sync.core.model import SourceError, State, TokenFacts, Verdict
from sync.core.problems import Problem
from sync.core.secret import CredentialError, Secret

ENDING = timedelta(days=max(MARKS))
"""How long before its end a system user's token is spoken of."""
_YOUNG = timedelta(hours=1)
"""For so long Meta is not asked again about a system user's token that it called valid, unless a read says otherwise."""

_NO_USERS = ("PAGE", "APP")
"""Types of tokens that are pasted for a system user's by mistake, and with which every Page would look lost."""


def judge_user_token(told: TokenFacts | SourceError, app_id: str, now: datetime) -> Verdict:
    """Judge a system user's token by what Meta says of it."""
    if isinstance(told, SourceError):
        return Verdict(told.state, (told.problem,))
    if told.is_valid is False:
        error = told.error
        message = error.message if error is not None and error.message else "Meta calls the token invalid."
        codes = (error.code, error.subcode) if error is not None else (None, None)
        return Verdict(State.INVALID, (Problem("system-user-invalid", message, "", "", *codes),), facts=told)
    if told.app_id is None or told.is_valid is None:
        return Verdict(State.UNKNOWN, (Problem("debug-unavailable", "Meta did not name the token's app."),), facts=told)
    if told.app_id != app_id:
        message = f"The system user's token belongs to app {told.app_id}, not to {app_id}."
        return Verdict(State.INVALID, (Problem("wrong-app", message),), facts=told)
    if told.type in _NO_USERS:
        message = f"The system user's token is of type {told.type}, and not a system user's."
        remedy = (
            "Put the token that Business Settings > Users > System users generates where system_users.*.token points."
        )
        return Verdict(State.INVALID, (Problem("wrong-type", message, "operator", remedy),), facts=told)
    ends = told.expires_at
    notices: tuple[Problem, ...] = ()
    if isinstance(ends, datetime) and ends < now + ENDING:
        notices = (Problem("system-user-expiring", f"The system user's token ends at {ends:%Y-%m-%d %H:%M} UTC."),)
    return Verdict(State.VALID, notices=notices, facts=told)


def remembered(
    known: Mapping[tuple[str, str], TokenFacts], app_id: str, tokens: Sequence[Secret], now: datetime
) -> dict[Secret, TokenFacts]:
    """Return what is known of those tokens that were valid when Meta was last asked, and have not ended since.

    Of any other Meta is asked in each cycle.
    """
    found: dict[Secret, TokenFacts] = {}
    for token in tokens:
        facts = known.get((app_id, token.fingerprint))
        if facts is None or judge_user_token(facts, app_id, now).state is not State.VALID:
            continue
        if not isinstance(facts.expires_at, datetime) or facts.expires_at > now:
            found[token] = facts
    return found


def is_young(facts: TokenFacts, now: datetime) -> bool:
    """Check whether Meta need not be asked again; a word from the future, after a clock was set back, is not young."""
    return timedelta(0) <= now - facts.asked_at < _YOUNG


def unreadable_token(error: CredentialError) -> Verdict:
    """Judge a system user's token that could not be read: nothing can be done with it."""
    remedy = "Put the token where system_users.*.token points; a file is read again in each cycle."
    return Verdict(State.INVALID, (Problem("system-user-invalid", str(error), "operator", remedy),))
