"""A report as log events: few entries, many keys; the closed list of events is here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sync.core.judge.decide import Kind
from sync.core.memory.problems import ProblemKey
from sync.core.memory.renewal import Renewal
from sync.core.model import State, SystemUserToken
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.causes import Cause
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.json import timestamp
from sync.core.report.report import Report

EVENTS: Mapping[str, str] = {
    "daemon_started": "The daemon starts: version, instance, number of Pages, configuration file, and when cycles run.",
    "daemon_stopped": "The daemon has stopped after a signal.",
    "cycle_started": "A cycle starts.",
    "cycle_finished": "A cycle has ended, with its result and its counts.",
    "cycle_warning": "Something needs an operator's attention and does not change the result yet.",
    "page_written": "A secret was created, updated or replaced.",
    "page_refused": "Secrets are not written because another program or instance owns them, or the store blocks writes; the first line of this cause.",
    "page_held": "Writes were decided and are held by hold, observe, the brake, a weaker token or another plan, with the Pages concerned.",
    "page_lost": "A Page has been out of its system user's reach for long enough to count as lost; served says whether the stored token works.",
    "page_regained": "A Page that was lost can be read again.",
    "brake_held": "Too many working tokens of a store would change at once; remedy has the command that lets these writes through.",
    "problem_started": "A cause of problems began, with the Pages concerned; causes that have an event of their own begin with that one instead.",
    "problem_reminder": "A cause of problems still lasts; logged once a day, and when it has become worse: a token stopped working, or twice as many Pages.",
    "problem_ended": "A cause of problems has ended; since and duration_ms say how long it lasted.",
    "system_user_invalid": "A system user's token stopped working; the first line of this cause.",
    "system_user_expiring": "A system user's token expires soon (logged 14, 7, 3 and 1 days before), or renewing it failed.",
    "system_user_renewed": "A system user's token was renewed; the next cycle reads the new one.",
    "graph_throttled": "Meta's rate limit is used up; the first line of this cause.",
    "app_refused": "Meta refuses an app's credentials or has blocked the app; the first line of this cause.",
    "store_failed": "A store could not do what was asked; the first line of this cause.",
}
"""Every event that is logged, with what it means."""

Level = Literal["debug", "info", "warning", "error"]

_NAMED = 50
"""A line names at most this many Pages; ``page_count`` has the number."""
_WRITTEN = (Kind.CREATED, Kind.UPDATED, Kind.REPLACED)
_FIRST_LINES: Mapping[str, tuple[Level, str]] = {
    "throttled": ("warning", "graph_throttled"),
    "app-secret-invalid": ("error", "app_refused"),
    "app-blocked": ("error", "app_refused"),
    "app-capability": ("error", "app_refused"),
    "store-failed": ("error", "store_failed"),
    "secret-foreign": ("warning", "page_refused"),
    "secret-deleted": ("warning", "page_refused"),
    "rotation-enabled": ("warning", "page_refused"),
}
"""Causes whose first line is an event of their own, by code."""


@dataclass(frozen=True, slots=True)
class Event:
    """One log line to be: its level, its name from EVENTS, and its fields."""

    level: Level
    name: str
    fields: Mapping[str, Any]


def events(report: Report) -> Iterator[Event]:
    """Return a report as events: causes first, each once, then Pages, then the cycle."""
    for user_token in report.user_tokens:
        yield from _expiring(user_token, report)
    yield from _problems(report)
    yield from _access(report)
    yield from _held(report)
    yield from _brake(report)
    for page in report.pages:
        yield from (_written(page, entry) for entry in page.stores if entry.action in _WRITTEN)
    for warning in report.frame.warnings:
        yield Event("warning", "cycle_warning", {"message": warning})
    yield _finished(report)


def _problems(report: Report) -> Iterator[Event]:
    changes = report.changes
    for cause in changes.began:
        level, name = _first_line(cause)
        yield Event(level, name, _cause_fields(cause))
    for cause in changes.reminders:
        level, _ = _first_line(cause)
        yield Event(
            level, "problem_reminder", {**_cause_fields(cause), "since": timestamp(changes.open[cause.key].since)}
        )
    for key, since in changes.ended.items():
        yield Event("info", "problem_ended", _ended_fields(key, since, report.frame.started_at))


def _first_line(cause: Cause) -> tuple[Level, str]:
    """Return the level and the name of a cause's first line; an error wherever a stored token does not work."""
    # What is unknown of a system user's token, such as after an error of Graph's, does not say that it is invalid.
    invalid = any(user_token.verdict.state is State.INVALID for user_token in cause.user_tokens)
    if invalid or cause.key.code == "system-user-invalid":
        return "error", "system_user_invalid"
    level, name = _FIRST_LINES.get(cause.key.code, ("warning", "problem_started"))
    return "error" if any(page.served == "broken" for page in cause.pages.values()) else level, name


def _cause_fields(cause: Cause) -> dict[str, Any]:
    pages, keys = list(cause.pages.values()), list(cause.keys)
    apps = {page.app for page in pages} | {user_token.app for user_token in cause.user_tokens}
    tokens = [user_token.token for user_token in cause.user_tokens if user_token.token is not None]
    return _present(
        {
            **_pages(pages),
            "app": next(iter(apps)) if len(apps) == 1 else None,
            **_whose(cause.key),
            "path": keys[0].path if len(keys) == 1 and cause.key.scope == "store" else None,
            "secrets": len(keys) if len(keys) > 1 and cause.key.scope == "store" else None,
            "served": pages[0].served if len(pages) == 1 else None,
            "fingerprint": tokens[0].fingerprint if cause.key.scope == "system_user" and tokens else None,
            **_problem(cause.problem),
            "message": cause.message,
            "remedy": cause.remedy,
        }
    )


def _ended_fields(key: ProblemKey, since: datetime, now: datetime) -> dict[str, Any]:
    lasted = max(now - since, timedelta(0))
    return {
        **_whose(key),
        "problem": key.code,
        "message": f"Ended after {str(lasted).split('.', maxsplit=1)[0]}: {CATALOGUE[key.code].meaning}",
        "since": timestamp(since),
        "duration_ms": round(lasted.total_seconds() * 1000),
    }


def _whose(key: ProblemKey) -> dict[str, Any]:
    name = "system_user" if key.scope == "page" else key.scope
    return {name: key.whose, **({"error_code": key.error_code} if key.error_code else {})}


def _expiring(user_token: SystemUserToken, report: Report) -> Iterator[Event]:
    pages = [page for page in report.pages if page.system_user == user_token.system_user]
    subject = {"system_user": user_token.system_user, "app": user_token.app, **_pages(pages)}
    if user_token.token is not None:
        subject["fingerprint"] = user_token.token.fingerprint
    tried = report.tried.get(user_token.system_user)
    if tried is not None and tried.problem is not None:
        yield Event("error", "system_user_expiring", {**subject, **_problem(tried.problem)})
        return
    if tried is not None and tried.became is not None:
        yield _renewed(tried, subject)
    for problem in user_token.verdict.notices:
        if problem.code == "system-user-expiring" and user_token.system_user in report.frame.ending:
            yield Event("warning", "system_user_expiring", {**subject, **_problem(problem)})


def _renewed(renewal: Renewal, subject: Mapping[str, Any]) -> Event:
    fields = {
        **subject,
        "store": renewal.target.store,
        "path": renewal.target.path,
        "fingerprint": renewal.became,
        "previous_fingerprint": renewal.token,
        "version": renewal.version,
        "confirmed": renewal.confirmed,
    }
    return Event("info" if renewal.confirmed else "warning", "system_user_renewed", _present(fields))


def _access(report: Report) -> Iterator[Event]:
    """Return the Pages that count as lost since this cycle, and those that no longer do."""
    for page in report.pages:
        subject = {**_pages([page]), "system_user": page.system_user, "app": page.app, "served": page.served}
        if page.alarm is not None and page.alarm >= report.frame.started_at:
            level: Level = "warning" if page.served == "verified" else "error"
            yield Event(level, "page_lost", {**subject, **(_problem(page.problems[0]) if page.problems else {})})
        if page.name in report.frame.recovered:
            yield Event("info", "page_regained", subject)


def _held(report: Report) -> Iterator[Event]:
    """Return one line for all writes of a store that are held for one reason and would be the same."""
    held: dict[tuple[Any, ...], list[tuple[PageEntry, StoreEntry]]] = defaultdict(list)
    for page in report.pages:
        for entry in page.stores:
            if entry.would is not None:
                held[entry.key.store, entry.reason, entry.would.kind.value, entry.would.reason].append((page, entry))
    for (store, reason, would, would_reason), found in held.items():
        fields = {
            **_pages([page for page, _ in found]),
            "store": store,
            "path": found[0][1].key.path if len(found) == 1 else None,
            "secrets": len(found) if len(found) > 1 else None,
            "action": Kind.HELD.value,
            "reason": reason,
            "would": would,
            "would_reason": would_reason,
        }
        yield Event("info", "page_held", _present(fields))


def _brake(report: Report) -> Iterator[Event]:
    held: dict[str, int] = defaultdict(int)
    for page in report.pages:
        for entry in page.stores:
            held[entry.key.store] += entry.action is Kind.HELD and entry.reason == "brake"
    for store, count in held.items():
        if count:
            remedy = (
                "Look at the plan. If these changes are wanted, run page-token-sync once --if-plan "
                f"{report.checksum} with the same --config as this daemon."
            )
            yield Event(
                "error", "brake_held", {"store": store, "secrets": count, "owner": "operator", "remedy": remedy}
            )


def _written(page: PageEntry, entry: StoreEntry) -> Event:
    fields = {
        **_pages([page]),
        "system_user": page.system_user,
        "app": page.app,
        "store": entry.key.store,
        "path": entry.key.path,
        "action": entry.action.value,
        "reason": entry.reason,
        "fetched": page.fetched.value,
        "served": entry.served,
        "fingerprint": entry.fingerprint,
        "previous_fingerprint": entry.previous_fingerprint,
        "version": entry.version,
        "confirmed": entry.confirmed,
    }
    level: Level = "warning" if entry.reason == "recreated" or entry.confirmed is False else "info"
    return Event(level, "page_written", _present(fields))


def _finished(report: Report) -> Event:
    counts = {"page_count" if name == "pages" else name: count for name, count in report.summary.items() if count}
    duration = round(report.frame.duration_seconds * 1000)
    level: Level = "info" if report.result == "ok" else "error" if report.result == "failed" else "warning"
    fields = {"result": report.result, "duration_ms": duration, "orphans": len(report.orphans), **counts}
    return Event(level, "cycle_finished", fields)


def _pages(pages: Sequence[PageEntry]) -> dict[str, Any]:
    """Return one Page by its name and id, and several by their names."""
    if len(pages) == 1:
        return {"page": pages[0].name, "page_id": pages[0].id}
    names = list(dict.fromkeys(page.name for page in pages))
    return {"pages": names[:_NAMED], "page_count": len(names)} if names else {}


def _problem(problem: Problem) -> dict[str, Any]:
    return _present(
        {
            "problem": problem.code,
            "message": problem.message,
            "owner": problem.owner,
            "remedy": problem.remedy,
            "code": problem.graph_code,
            "subcode": problem.graph_subcode,
            "fbtrace_id": problem.fbtrace_id,
        }
    )


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
