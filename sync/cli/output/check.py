"""What ``check`` prints for a person: the answer in one sentence, then each secret, then each cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from sync.cli.output.table import STORED, planned_word, reason_text
from sync.cli.output.words import REASONS
from sync.core.judge.decide import Kind
from sync.core.report.inspection import InspectedSecret, Inspection, Match, Works
from sync.core.report.json import timestamp
from sync.core.report.text import count, distance, expiry

_WORKS: Mapping[Works, str] = {
    "yes": "applications can work with what is stored",
    "no": "applications cannot work with what is stored",
    "unknown": "it could not be found out whether applications can work with what is stored",
}
_MATCHES: Mapping[Match, str] = {
    "current": "is the current one",
    "earlier": "is an earlier one: read the secret again",
    "not-current": "is not the current one: read the secret again",
    "unknown": "is in no version that the store keeps: read the secret again, or find out where the token comes from",
}


def headline(found: Inspection) -> str:
    """Return the answer: whether the Page's secrets work."""
    page = found.page
    return f"Page {page.name} ({page.id}), {count(len(found.secrets), 'secret')}: {_WORKS[found.works]}."


def matched(found: Inspection) -> str | None:
    """Return what the token that a person asked about is; None where none was asked about, or no secret could be read."""
    match, asked = found.match, found.fingerprint
    if match is None:
        return None if asked is None else f"Token {asked}: no secret could be read to compare it with."
    stores = [_where(secret) for secret in found.secrets if secret.match == match]
    if match != "current" and asked == found.page.fingerprint:
        return f"Token {asked} is the one that Graph returns for the Page now, and no secret holds it."
    return f"Token {asked} {_MATCHES[match]} ({'store' if len(stores) == 1 else 'stores'} {', '.join(stores)})."


def _where(secret: InspectedSecret) -> str:
    version = f", version {secret.matched_version}" if secret.matched_version else ""
    return f"{secret.entry.key.store}{version}"


def secret_lines(found: Inspection, secret: InspectedSecret) -> Iterator[str]:
    """Yield what is known of one secret, a line for each question."""
    entry, now = secret.entry, found.checked_at
    yield f"works: {secret.works}, {_judged(secret)}"
    if entry.fingerprint is not None:
        version = f", version {entry.version}" if entry.version else ""
        yield f"token: {entry.fingerprint}{version}, expires: {expiry(secret.expires_at)}"
    yield from _written(secret, now)
    if secret.match is not None and len(found.secrets) > 1:
        yield f"token {found.fingerprint} {_MATCHES[secret.match]}"
    # What could not be judged now says nothing of what the next cycle does.
    if entry.action is not Kind.UNCHANGED and entry.served != "stale":
        yield f"next cycle: {planned_word(entry.action)}, {reason_text(found.page, entry)}"


def _judged(secret: InspectedSecret) -> str:
    entry = secret.entry
    if secret.refused:
        return "debug_token calls the stored token valid, but Graph refuses it"
    at = (
        f"; debug_token answered {timestamp(entry.verified_at)}"
        if entry.verified_at and entry.served != "foreign"
        else ""
    )
    return f"{STORED[entry.served]}{at}"


def _written(secret: InspectedSecret, now: datetime) -> Iterator[str]:
    marks = secret.marks
    if marks is None:
        return
    at = ""
    if marks.written_at:
        try:
            at = f" {marks.written_at} ({distance(datetime.fromisoformat(marks.written_at), now)})"
        except (ValueError, TypeError):
            at = f" {marks.written_at}"
    fate = "deleted" if secret.entry.served == "absent" else "replaced"
    which = "" if secret.is_marked else f" token {marks.fingerprint}, which somebody else has {fate} since,"
    reason = REASONS[marks.reason].meaning if marks.reason in REASONS else ""
    yield f"written:{which}{at} by instance {marks.instance}{f', {marks.reason}' if marks.reason else ''}"
    if reason:
        # A sentence about the time of that write, not about now.
        yield f"{marks.reason}: {reason}"
