"""From the facts about a token to a verdict; pure, and the only module that judges a token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sync.core.model import Checks, Expiry, GraphErrorFacts, Never, Page, SourceError, State, TokenFacts, Verdict
from sync.core.problems import Problem

FATAL = frozenset({"token-invalid", "token-expired", "policy-blocked", "wrong-type", "wrong-app", "wrong-page"})
"""Problems with which no application can use a stored token; the others only call for a better token."""

_EXPIRED_SUBCODE = 463
_POLICY_CODE = 368
BLOCKED_SUBCODES = frozenset({459, 464, 490})
"""Subcodes of 190 that block a user, and so every token of that user, old or new."""


def verify(facts: TokenFacts | SourceError | None, *, page: Page, now: datetime, stored: bool = False) -> Verdict:
    """Judge one token for one Page: valid, invalid with its problems, or unknown.

    A candidate (``stored`` False) must fulfil ``page.checks`` to be valid. A stored token that lacks a scope stays valid
    with that problem, and one that expires soon stays valid with a notice, since applications can use it. ``facts`` None
    means that debug_token was not asked. An absent field makes the token unknown, unless another one makes it invalid first.
    """
    if facts is None:
        return Verdict(State.UNKNOWN)
    if isinstance(facts, SourceError):
        return Verdict(facts.state, (facts.problem,))
    if facts.is_valid is None and not facts.of_another_app:
        return _unknown(facts, "is_valid")
    if not facts.is_valid:
        return Verdict(State.INVALID, (refused(facts, now, "stored" if stored else "fetched"),), facts=facts)
    identity = _identity(facts, page)
    if isinstance(identity, str):
        return _unknown(facts, identity)
    if identity:
        return Verdict(State.INVALID, identity, facts=facts)
    if page.checks.scopes and facts.scopes is None:
        return _unknown(facts, "scopes")
    if facts.expires_at is None and not stored:
        return _unknown(facts, "expires_at")
    lacking = tuple(_lacking_scopes(facts, page))
    expiring = tuple(_expiring(facts, page.checks, now))
    notices = tuple(_data_access(facts, page.checks, now))
    if stored:
        return Verdict(State.VALID, lacking, expiring + notices, facts)
    return Verdict(State.INVALID if lacking or expiring else State.VALID, lacking + expiring, notices, facts)


def expires_within(expires_at: Expiry | None, life: timedelta | Never, now: datetime) -> bool:
    """Check whether a token is known to expire sooner than ``life`` from now; under NEVER, whether it is known to expire at all."""
    if expires_at is None or isinstance(expires_at, Never):
        return False
    return isinstance(life, Never) or expires_at < now + life


def expires_soon(expires_at: Expiry | None, checks: Checks, now: datetime) -> bool:
    """Check whether a token expires within twice the minimum life that the checks demand, so that another one is wanted."""
    life = checks.expires
    return expires_within(expires_at, life if isinstance(life, Never) else 2 * life, now)


def losses(stored: TokenFacts, fetched: TokenFacts, *, page_id: str) -> tuple[str, ...]:
    """Return what a Page's applications would lose with the fetched token: permissions for this Page, and time until it expires.

    What is not known of the stored token cannot be lost; what is not known of the fetched one is not counted on.
    """
    scopes = [scope for scope in sorted(stored.scopes or ()) if _covers(stored, scope, page_id)]
    lacking = [scope for scope in scopes if not _covers(fetched, scope, page_id)]
    old, new = stored.expires_at, fetched.expires_at
    sooner = isinstance(new, datetime) and old is not None and (isinstance(old, Never) or new < old)
    return (
        *([f"lacks {', '.join(lacking)}"] if lacking else []),
        *([f"expires at {new:%Y-%m-%dT%H:%MZ}"] if sooner else []),
    )


def _covers(facts: TokenFacts, scope: str, page_id: str) -> bool:
    """Check whether a token has a permission for a Page; ids of a permission that is not about Pages are those of other things."""
    if scope not in (facts.scopes or ()):
        return False
    targets = facts.granular_scopes.get(scope)
    return targets is None or (page_id in targets if scope.startswith("pages_") else bool(targets))


def is_policy_block(error: GraphErrorFacts) -> bool:
    """Check whether Meta refuses the user behind a token, so that a new token would not help."""
    return error.code == _POLICY_CODE or error.subcode in BLOCKED_SUBCODES


def _unknown(facts: TokenFacts, field: str) -> Verdict:
    message = f"debug_token's answer has no {field}, so the token cannot be judged."
    return Verdict(State.UNKNOWN, (Problem("debug-unavailable", message, owner="meta"),), facts=facts)


def refused(facts: TokenFacts, now: datetime, which: str) -> Problem:
    """Return the problem of a token that debug_token calls invalid or another app's; ``which`` of a Page's tokens it is."""
    if facts.of_another_app:
        return of_another_app(facts, which)
    error = facts.error
    said = f" Meta says: {error.message}" if error and error.message else ""
    if error is not None and is_policy_block(error):
        message = f"Meta has blocked the user behind the {which} token, and does not accept it.{said}"
        return Problem("policy-blocked", message, graph_code=error.code, graph_subcode=error.subcode)
    ended = isinstance(facts.expires_at, datetime) and facts.expires_at <= now
    expired = ended or (error is not None and error.subcode == _EXPIRED_SUBCODE)
    return Problem(
        "token-expired" if expired else "token-invalid",
        (f"The {which} token has expired." if expired else f"Meta calls the {which} token invalid.") + said,
        graph_code=error.code if error else None,
        graph_subcode=error.subcode if error else None,
        fbtrace_id=error.fbtrace_id if error else None,
    )


def of_another_app(facts: TokenFacts, which: str) -> Problem:
    """Return the problem of a token that debug_token refuses as another app's; ``which`` of the tokens it is."""
    error = facts.error or GraphErrorFacts()
    said = f" Meta says: {error.message}" if error.message else ""
    message = f"The {which} token belongs to another app.{said}"
    return Problem("wrong-app", message, "", "", error.code, error.subcode, error.fbtrace_id)


def _identity(facts: TokenFacts, page: Page) -> tuple[Problem, ...] | str:
    """Return what is wrong about the token's type, app and Page, or the name of the field without which that is unknown."""
    if facts.type is None:
        return "type"
    if facts.type != "PAGE":
        return (Problem("wrong-type", f"Its type is {facts.type}, not PAGE."),)
    found: list[Problem] = []
    for field, is_, wanted, code in (
        ("app_id", facts.app_id, page.app_id, "wrong-app"),
        ("profile_id", facts.profile_id, page.id, "wrong-page"),
    ):
        if is_ is None:
            return tuple(found) or field
        if is_ != wanted:
            found.append(Problem(code, f"Its {field} is {is_}, not {wanted}."))
    return tuple(found)


def _lacking_scopes(facts: TokenFacts, page: Page) -> Iterator[Problem]:
    scopes = facts.scopes or frozenset()
    for scope in page.checks.scopes:
        targets = facts.granular_scopes.get(scope) if scope.startswith("pages_") else None
        if scope not in scopes:
            yield Problem("missing-scope", f"The token lacks the permission {scope}.")
        elif targets is not None and page.id not in targets:
            yield Problem("missing-scope", f"The token's permission {scope} covers other Pages, not {page.id}.")


def _expiring(facts: TokenFacts, checks: Checks, now: datetime) -> Iterator[Problem]:
    if expires_within(facts.expires_at, checks.expires, now):
        wanted = "one that never expires" if isinstance(checks.expires, Never) else _days(checks.expires)
        message = f"It expires at {facts.expires_at:%Y-%m-%dT%H:%MZ}; the checks demand {wanted}."
        yield Problem("expires-too-soon", message)


def _data_access(facts: TokenFacts, checks: Checks, now: datetime) -> Iterator[Problem]:
    # Under `expires: never` the window of this notice is empty: data access that ends in years needs no notice.
    window = timedelta(0) if isinstance(checks.expires, Never) else checks.expires
    if expires_within(facts.data_access_expires_at, window, now):
        yield Problem(
            "data-access-expiring", f"Its data access expires at {facts.data_access_expires_at:%Y-%m-%dT%H:%MZ}."
        )


def _days(life: timedelta) -> str:
    return f"{life.days} days" if not life.seconds else f"{life.total_seconds() / 3600:.0f} hours"
