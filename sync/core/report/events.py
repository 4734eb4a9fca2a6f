"""A report as log events: few entries, many keys. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sync.core.judge.decide import WRITTEN
from sync.core.memory.renewal import Renewal
from sync.core.model import SystemUserToken
from sync.core.report.cause_events import cause_events
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.event import Event, Level, of_pages, of_problem, of_problems, present, served_counts
from sync.core.report.report import Report


def events(report: Report) -> Iterator[Event]:
    """Return a report as events: causes first, each once, then Pages, then the cycle."""
    yield from _changes(report)
    yield _finished(report)


def check_events(report: Report) -> Iterator[Event]:
    """Return the report of a check between two cycles as events: what changed, then that these Pages were checked."""
    yield from _changes(report)
    yield Event("info", "page_checked", {**_subject(report.pages), "duration_ms": _duration_ms(report)})


def cause_lines(report: Report) -> Iterator[Event]:
    """Yield the events of causes, and of system users' tokens that expire or were renewed."""
    for user_token in report.user_tokens:
        yield from _expiring(user_token, report)
    yield from cause_events(report.changes, report.frame.started_at)


def _changes(report: Report) -> Iterator[Event]:
    yield from cause_lines(report)
    yield from _access(report)
    for page in report.pages:
        yield from (_written(page, entry) for entry in page.stores if entry.action in WRITTEN)


def _expiring(user_token: SystemUserToken, report: Report) -> Iterator[Event]:
    pages = [page for page in report.pages if page.system_user == user_token.system_user]
    subject = {"system_user": user_token.system_user, "app": user_token.app, **of_pages(pages)}
    if user_token.token is not None:
        subject["fingerprint"] = user_token.token.fingerprint
    tried = report.tried.get(user_token.system_user)
    if tried is not None and tried.became is not None:
        yield _renewed(tried, subject)
    notices = {notice.code: notice for notice in user_token.verdict.notices}
    # A renewal that fails is a cause of its own, which says that the token expires.
    if user_token.system_user in report.frame.ending and "renewal-failed" not in notices:
        expiring = notices.get("system-user-expiring")
        if expiring is not None:
            yield Event("warning", "system_user_expiring", {**subject, **of_problem(expiring)})


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
    return Event("info" if renewal.confirmed else "warning", "system_user_renewed", present(fields))


def _access(report: Report) -> Iterator[Event]:
    """Yield the Pages that count as lost since this cycle, and those that no longer do, one line for each cause.

    A Page whose problem begins in this cycle has never worked: its first line says all. What all Pages of a system user or an
    app share is no loss of a single Page: its lines are those of the cause.
    """
    begun = {name for one in report.changes.began for name in one.cause.pages}
    over = {ended.key.whose for ended in report.changes.ended if ended.key.scope == "system_user"}
    lost: dict[tuple[str, str, str], list[PageEntry]] = defaultdict(list)
    regained: dict[str, list[PageEntry]] = defaultdict(list)
    for page in report.pages:
        new = page.alarm is not None and page.alarm >= report.frame.started_at
        if new and page.problems and page.problems[0].shared_by == "page" and page.name not in begun:
            lost[page.system_user, page.problems[0].code, page.problems[0].owner].append(page)
        if page.name in report.frame.recovered and page.system_user not in over:
            regained[page.system_user].append(page)
    for pages in lost.values():
        level: Level = "warning" if all(page.served == "verified" for page in pages) else "error"
        yield Event(level, "page_lost", {**_subject(pages), **of_problems([page.problems[0] for page in pages])})
    for pages in regained.values():
        yield Event("info", "page_regained", _subject(pages))


def _subject(pages: Sequence[PageEntry]) -> dict[str, Any]:
    subject = {"system_user": pages[0].system_user, "app": pages[0].app}
    return {**of_pages(pages), **subject, **served_counts(pages)}


def _written(page: PageEntry, entry: StoreEntry) -> Event:
    fields = {
        **of_pages([page]),
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
    return Event(level, "page_written", present(fields))


def _finished(report: Report) -> Event:
    always = ("graph_requests", "graph_calls", "store_requests")
    counts = {
        "page_count" if name == "pages" else name: count
        for name, count in report.summary.items()
        if count or name in always
    }
    level: Level = "info" if report.result == "ok" else "error" if report.result == "failed" else "warning"
    fields = {"result": report.result, "duration_ms": _duration_ms(report), "orphans": len(report.orphans), **counts}
    return Event(level, "cycle_finished", fields)


def _duration_ms(report: Report) -> int:
    return round(report.frame.duration_seconds * 1000)
