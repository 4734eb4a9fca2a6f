"""The log lines of causes: when one begins, once a day while it lasts, when it ends; and what apps get since. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, assert_never

from sync.core.judge.decide import Kind
from sync.core.memory.problems import BRAKED, HELD, REJECTED, WARNED, ProblemKey
from sync.core.model import State
from sync.core.problems import CATALOGUE
from sync.core.report.causes import AnyCause, Cause, HeldWrites, Warned, joined
from sync.core.report.changes import MOST_NAMED, Begun, Changes, Ended
from sync.core.report.event import Event, Level, of_pages, of_problem, of_problems, present, served_counts
from sync.core.report.json import timestamp
from sync.core.report.served_changes import ServedChange

_FIRST_LINES: Mapping[str, tuple[Level, str]] = {
    "throttled": ("warning", "graph_throttled"),
    "app-secret-invalid": ("error", "app_refused"),
    "app-blocked": ("error", "app_refused"),
    "app-capability": ("error", "app_refused"),
    "app-misconfigured": ("error", "app_refused"),
    "address-not-allowed": ("error", "app_refused"),
    "store-failed": ("error", "store_failed"),
    "secret-foreign": ("warning", "page_refused"),
    "secret-deleted": ("warning", "page_refused"),
    "rotation-enabled": ("warning", "page_refused"),
    "renewal-failed": ("error", "system_user_expiring"),
    "foreign-write": ("warning", "secret_changed"),
}
"""Causes whose first line is an event of their own, by code."""
_HELD_LEVELS: Mapping[str | None, Level] = {"brake": "error", "weaker": "warning"}
"""At which level held writes are logged; what the configuration holds is no news that needs a person."""
_SERVED_LEVELS: Mapping[str, Level] = {"verified": "info", "broken": "error", "absent": "error"}
"""At which level it is logged what apps get now; anything else is a warning."""
_RECURS = "It was over for less than an hour. Its end is logged when it has been over for an hour."


def cause_events(changes: Changes, now: datetime) -> Iterator[Event]:
    """Yield a line for each cause that began, is reminded of or ended, then lines for what apps get since."""
    yield from (_begun(one, now) for one in changes.began)
    yield from (_reminder(one) for one in changes.reminders)
    yield from (_ended(one, now) for one in changes.ended)
    for change in changes.served:
        yield from _served(change)


def _begun(begun: Begun, now: datetime) -> Event:
    level, name, fields = _line(begun)
    if begun.recurs:
        fields = {**fields, "message": " ".join(filter(None, (fields.get("message"), _RECURS)))}
    if begun.recurs or begun.since < now:
        fields = {**fields, "since": timestamp(begun.since)}
    return Event(level, name, fields, begun.cause.key)


def _reminder(begun: Begun) -> Event:
    level, _, fields = _line(begun)
    return Event(level, "problem_reminder", {**fields, "since": timestamp(begun.since)}, begun.cause.key)


def _line(begun: Begun) -> tuple[Level, str, dict[str, Any]]:
    """Return the level, the name and the fields of a cause's first line."""
    match begun.cause:
        case Cause() as cause:
            return *_first_line(cause), _cause_fields(cause)
        case HeldWrites() as held:
            level = _HELD_LEVELS.get(held.reason, "info")
            return "error" if _any_broken(held) else level, held.key.code, _held_fields(held)
        case Warned() as warning:
            owner = warning.key.owner if warning.remedy else None
            fields = present({"message": warning.message, "owner": owner, "remedy": warning.remedy or None})
            return "error" if warning.key.code == REJECTED else "warning", warning.key.code, fields
        case _:
            assert_never(begun.cause)


def _first_line(cause: Cause) -> tuple[Level, str]:
    """Return the level and the name of a cause's first line; an error wherever a stored token does not work."""
    # What is unknown of a system user's token, such as after an error of Graph's, does not say that it is invalid.
    invalid = any(user_token.verdict.state is State.INVALID for user_token in cause.user_tokens)
    if invalid or cause.key.code == "system-user-invalid":
        return "error", "system_user_invalid"
    level, name = _FIRST_LINES.get(cause.key.code, ("warning", "problem_started"))
    return "error" if _any_broken(cause) else level, name


def _any_broken(cause: AnyCause) -> bool:
    return any(page.served == "broken" for page in cause.pages.values())


def _cause_fields(cause: Cause) -> dict[str, Any]:
    pages, keys = list(cause.pages.values()), list(cause.keys)
    apps = {page.app for page in pages} | {user_token.app for user_token in cause.user_tokens}
    tokens = [user_token.token for user_token in cause.user_tokens if user_token.token is not None]
    return present(
        {
            **of_pages(pages),
            "app": next(iter(apps)) if len(apps) == 1 else None,
            **_whose(cause.key),
            "path": keys[0].path if len(keys) == 1 and cause.key.scope == "store" else None,
            "secrets": len(keys) if len(keys) > 1 and cause.key.scope == "store" else None,
            **served_counts(pages),
            "fingerprint": tokens[0].fingerprint if cause.key.scope == "system_user" and tokens else None,
            **of_problem(cause.problem),
            "message": cause.message,
            "owner": cause.owner,
            "remedy": cause.remedy,
        }
    )


def _held_fields(held: HeldWrites) -> dict[str, Any]:
    _, entry = held.found[0]
    fields = {
        **of_pages(list(held.pages.values())),
        "store": entry.key.store,
        "path": entry.key.path if len(held.found) == 1 else None,
        "secrets": len(held.found) if len(held.found) > 1 else None,
        **served_counts(list(held.pages.values())),
        "action": Kind.HELD.value,
        "reason": held.reason,
        "message": joined(held.losses) or None,
    }
    if held.checksum:
        remedy = (
            "Look at the plan. If these changes are wanted, run page-token-sync once --if-plan "
            f"{held.checksum} with the same --config as this daemon."
        )
        fields |= {"owner": "operator", "remedy": remedy}
    # The brake holds writes of every kind.
    would = entry.would if held.key.code == HELD else None
    return present({**fields, "would": would and would.kind.value, "would_reason": would and would.reason})


def _ended(ended: Ended, now: datetime) -> Event:
    lasted = max(now - ended.since, timedelta(0))
    key = ended.key
    named = dict(zip(("reason", "would", "would_reason"), key.detail.split(), strict=False)) if key.code == HELD else {}
    one = len(ended.pages) == ended.page_count == 1
    fields = {
        "page": ended.pages[0] if one else None,
        "pages": list(ended.pages) if ended.pages and not one else None,
        "page_count": ended.page_count if ended.pages and not one else None,
        **(_whose(key) if key.scope != "instance" else {}),
        **named,
        "problem": key.code if key.code in CATALOGUE else None,
        "message": _ended_text(ended, lasted),
        "resolution": _resolution(ended),
        "since": timestamp(ended.since),
        "duration_ms": round(lasted.total_seconds() * 1000),
    }
    return Event("info", "problem_ended", present(fields), key)


def _resolution(ended: Ended) -> Literal["resolved", "removed", "unknown"]:
    """Return what became of a cause: it is over, the configuration no longer has what had it, or it could not be checked."""
    match ended.how:
        case "over":
            return "resolved"
        case "unseen":
            return "unknown"
        case _:
            return "removed"


def _ended_text(ended: Ended, lasted: timedelta) -> str:
    resolution = _resolution(ended)
    match ended.key.code:
        case _ if ended.key.code == BRAKED:
            what = "The brake holds no write of this store any more"
        case _ if ended.key.code == HELD:
            what = "These writes are held no more"
        case _ if ended.key.code == WARNED:
            what = f"The condition of this warning is over: {ended.text!r}"
        case _ if ended.key.code == REJECTED:
            what = "The newest edit of the configuration is no longer rejected"
        case code:
            what = f"{code} is no longer checked" if resolution == "removed" else f"{code} is over"
    match resolution:
        case "resolved":
            return f"{what}; it lasted {duration(lasted)}."
        case "removed":
            return f"{what}, since the configuration no longer has the {ended.how}; it lasted {duration(lasted)}."
        case "unknown":
            return f"{what}, as far as is known: it could not be checked for a day. It is logged again if it is found again."


def duration(length: timedelta) -> str:
    """Write a length of time in its two largest units."""
    seconds = round(length.total_seconds())
    units = [("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60)]
    first = next((number for number, (_, value) in enumerate(units) if value), len(units) - 1)
    return " ".join(f"{value} {unit}" for unit, value in units[first : first + 2] if value or first == len(units) - 1)


def _served(change: ServedChange) -> Iterator[Event]:
    """Yield lines of at most fifty Pages: each name is in one of them."""
    level = _SERVED_LEVELS.get(change.served, "warning")
    problem = of_problems(change.problems)
    for start in range(0, len(change.pages), MOST_NAMED):
        part = change.pages[start : start + MOST_NAMED]
        fields = {
            **of_pages(part),
            "system_user": part[0].system_user if len({page.system_user for page in part}) == 1 else None,
            "store": change.stores[0] if len(change.stores) == 1 else None,
            "stores": list(change.stores) if len(change.stores) > 1 else None,
            "served": change.served,
            "previous_served": change.was,
            **problem,
        }
        yield Event(level, "served_changed", present(fields))


def _whose(key: ProblemKey) -> dict[str, Any]:
    name = "system_user" if key.scope == "page" else key.scope
    return {name: key.whose, **({"error_code": key.detail} if key.code == "store-failed" and key.detail else {})}
