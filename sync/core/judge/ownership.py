"""Whose a stored secret is, and whether anybody may write it, by its marks and by what its store says of it; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from sync.core.marks import ROLLBACK_BEGUN
from sync.core.model import Content, Key, Marks, Page, Stored, SystemUserToken, TokenFacts
from sync.core.problems import Problem
from sync.core.secret import Secret

DELETE_UNUSED = "If no application needs it, delete it with all its versions; the next cycle then creates the secret."
_NOT_ADOPTABLE = (
    "It holds no access token of Meta where payload has it, so adopt refuses it. Move it away, or choose another path for this "
    "Page; if its token is under another key, correct payload and adopt it. It is never overwritten."
)


def is_interrupted_create(content: Stored, page: Page) -> bool:
    """Check whether this is what a create leaves that was interrupted between the first write and its mark.

    A raw text has no keys to be recognised by, and may be another program's password: only what looks like an access token
    of Meta is sent to debug_token.
    """
    payload = content.payload
    if content.marks is not None or not content.first or content.state != "live" or payload is None:
        return False
    if page.payload.raw:
        return is_access_token(page.payload.token_in(payload))
    return payload.keys == page.payload.names


def is_access_token(text: Secret | None) -> bool:
    """Check whether a text looks like an access token of Meta, which begins with EAA (Meta's page on them, read 2026-11-24)."""
    return text is not None and text.reveal().startswith("EAA")


def written_since(marks: Marks) -> str:
    """Return when the secret was written by its marks, to follow a name in a sentence; empty where they have no time."""
    return f", written {marks.written_at}" if marks.written_at else ""


def system_user_of(facts: TokenFacts | None, user_tokens: Iterable[SystemUserToken]) -> str | None:
    """Return the name of the configured system user that a token belongs to; None where it is somebody else or not known."""
    users = {one.verdict.facts.user_id: one.system_user for one in user_tokens if one.verdict.facts is not None}
    return users.get(facts.user_id) if facts is not None and facts.user_id else None


def adoptable_token(content: Content, page: Page) -> Secret | None:
    """Return the token where the configuration has it; a text that cannot be one is not sent to Meta."""
    found = page.payload.token_in(content.payload) if isinstance(content, Stored) else None
    return found if is_access_token(found) else None


def foreign_problem(content: Stored, page: Page, instance: str) -> Problem | None:
    """Return why a secret is not this Page's of this instance; None where it is. The remedy advises no adoption that is refused."""
    message = _whose(content.marks, page, instance)
    if message is None:
        return None
    remedy = "" if adoptable_token(content, page) is not None else _NOT_ADOPTABLE
    return Problem("secret-foreign", message, remedy=remedy)


def _whose(marks: Marks | None, page: Page, instance: str) -> str | None:
    if marks is None:
        return "The secret carries no mark of page-token-sync, so it belongs to somebody else."
    if marks.instance != instance:
        since = written_since(marks)
        if not marks.instance.strip():
            return f"The mark of the secret names no instance{since}, so not {instance!r}."
        return f"The secret belongs to the instance {marks.instance!r}{since}, not to {instance!r}."
    if not marks.page_id.strip():
        return f"The mark of the secret names no Page, so not {page.id}."
    if marks.page_id != page.id:
        return f"The secret is marked as that of Page {marks.page_id}, not of {page.id}."
    return None


def foreign_write(
    content: Content, token: Secret | None, fetched: Secret | None, *, page: Page, instance: str
) -> Problem | None:
    """Return a notice where somebody else wrote the token that this Page's secret of this instance holds.

    The marks name the token that this instance wrote, unless a rollback was killed between the marks and the payload. The fetched
    one may be its own, after a write that was interrupted before the marks.
    """
    if not isinstance(content, Stored) or token is None or token == fetched or content.blocked is not None:
        return None
    marks = content.marks
    if marks is None or foreign_problem(content, page, instance) is not None:
        return None
    if marks.fingerprint in ("", token.fingerprint) or marks.reason == ROLLBACK_BEGUN:
        return None
    return Problem(
        "foreign-write",
        f"Version {content.version} of the secret holds the token {token.fingerprint}, and this instance wrote "
        f"{marks.fingerprint}.",
    )


def rollback_hold(content: Content, *, page: Page, instance: str) -> Problem | None:
    """Return a notice where this Page's secret of this instance is held since a rollback."""
    if not isinstance(content, Stored) or content.marks is None or content.marks.hold is None:
        return None
    if content.blocked is not None or foreign_problem(content, page, instance) is not None:
        return None
    return Problem(
        "rollback-hold", f"The secret is held since the rollback at {content.marks.hold}; nothing is written to it."
    )


def blocked_problem(content: Stored, key: Key) -> Problem | None:
    """Return why this secret of AWS must not be written, whoever owns it; None where it may be."""
    match content.blocked:
        case None:
            return None
        case "scheduled-deletion":
            return Problem("secret-deleted", f"The secret {key.path} is scheduled for deletion.")
        case "rotation-enabled":
            return Problem("rotation-enabled", f"A rotation of another program is enabled on the secret {key.path}.")
        case "replica":
            return Problem(
                "secret-foreign",
                f"The secret {key.path} is a replica; it can only be written in its primary region.",
                remedy="Point the store at the primary's region.",
            )
        case _:
            assert_never(content.blocked)
