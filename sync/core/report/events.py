"""A report as log events: few entries, many keys; the closed list of events is here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sync.core.judge.decide import Kind
from sync.core.memory.renewal import Renewal
from sync.core.model import State, SystemUserToken
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.report import PageEntry, Report, StoreEntry

EVENTS: Mapping[str, str] = {
    "daemon_started": "The daemon begins: version, instance, number of Pages, configuration file, and when cycles run.",
    "daemon_stopped": "The daemon has ended, as a signal told it to.",
    "cycle_started": "A cycle begins.",
    "cycle_finished": "A cycle has ended; its result and its summary.",
    "cycle_warning": "Something that an operator should know changes no result yet.",
    "page_written": "A secret was created, updated or replaced.",
    "page_kept": "Nothing was written, since the Page's token could not be vouched for, or the stored one is as good.",
    "page_refused": "A place is not ours to write; more than three of a store for one cause are counted in one line.",
    "page_held": "A write was decided, and is held: by the configuration, or by the brake; more than three of a store for one reason are counted in one line.",
    "page_lost": "A Page has lastingly been out of its system user's reach; whether its stored token works is said.",
    "page_regained": "A Page that was lost is reached again.",
    "brake_held": "Too many working tokens of a store would change at once; what lets exactly these through is said.",
    "system_user_invalid": "A system user's token no longer works; its Pages are counted.",
    "system_user_expiring": "A system user's token ends soon, or it was tried in vain to renew it.",
    "system_user_renewed": "A system user's token was renewed; the new one is read by the next cycle.",
    "system_user_degraded": "A system user lost many Pages at once; none of them counts as lost before an hour of it.",
    "graph_throttled": "Meta's rate limit is used up; the Pages concerned are counted.",
    "app_refused": "Meta refuses an app's credentials or has blocked it; the Pages concerned are counted.",
    "store_failed": "A store could not do what was asked; the places concerned are counted.",
}
"""Every event that is logged, with what it says."""

_WRITTEN = (Kind.CREATED, Kind.UPDATED, Kind.REPLACED)
_APP_CODES = frozenset({"app-secret-invalid", "app-blocked", "app-capability"})
_USER_TOKEN_CODES = frozenset({"system-user-invalid", "wrong-app", "wrong-type"})
"""Problems of a system user's token with which nothing is fetched; all but the first may also be a Page's own."""
_COUNTED = frozenset({"system-user-invalid", "throttled", *_APP_CODES})
"""Problems with one cause for many Pages: told once, with the Pages counted, and not once a Page."""
_OUTAGES = frozenset({"graph-unavailable", "debug-unavailable"})
"""Problems that mostly concern all Pages: told once where they concern more than one."""
_Counted = Mapping[tuple[str, str], Sequence[Problem]]
"""By app and code: a problem for each Page that has it."""

_NAMED = 3
"""So many refused or held places of a store are told one by one; more of them, as after a change of ``instance``, in one line."""
_Many = Mapping[tuple[str, Kind, str], Sequence[StoreEntry]]
"""By store, action and cause: the places that are told in one line."""

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One log line to be: its level, its name from EVENTS, and its fields."""

    level: Level
    name: str
    fields: Mapping[str, Any]


def events(report: Report) -> Iterator[Event]:
    """Tell a report as events: causes first, each once, then Pages, then the cycle."""
    user_tokens = {user_token.system_user: user_token.verdict.problems for user_token in report.user_tokens}
    for user_token in report.user_tokens:
        yield from _user_token(user_token, report)
    counted = _counted(report)
    yield from _causes(counted)
    yield from _store_failures(report)
    many = _many(report)
    yield from _folded(many)
    yield from _access(report)
    yield from _brake(report)
    for page in report.pages:
        for entry in page.stores:
            event = _target(page, entry, user_tokens.get(page.system_user, ()), counted, many)
            if event is not None:
                yield event
    summary = {name: count for name, count in report.summary.items() if count}
    level: Level = "info" if report.result == "ok" else "error" if report.result == "failed" else "warning"
    duration = round(report.frame.duration_seconds * 1000)
    for warning in report.frame.warnings:
        yield Event("warning", "cycle_warning", {"message": warning})
    yield Event(
        level,
        "cycle_finished",
        {"result": report.result, "duration_ms": duration, "orphans": len(report.orphans), **summary},
    )


def _user_token(user_token: SystemUserToken, report: Report) -> Iterator[Event]:
    pages = sum(page.system_user == user_token.system_user for page in report.pages)
    subject = {"system_user": user_token.system_user, "app": user_token.app, "pages": pages}
    if user_token.token is not None:
        subject["fingerprint"] = user_token.token.fingerprint
    for problem in user_token.verdict.problems:
        if problem.code in _USER_TOKEN_CODES:
            yield Event("error", "system_user_invalid", {**subject, **_problem(problem)})
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
    """Tell of Pages that are lost since this cycle, or no more; the more pressing where no stored token works."""
    for user in report.frame.degraded:
        pages = sum(page.system_user == user and page.fetched is State.INVALID for page in report.pages)
        yield Event("error", "system_user_degraded", {"system_user": user, "pages": pages})
    for page in report.pages:
        subject = {"page": page.name, "page_id": page.id, "system_user": page.system_user, "app": page.app}
        if page.alarm is not None and page.alarm >= report.frame.started_at:
            level: Level = "warning" if page.served == "verified" else "error"
            yield Event(level, "page_lost", {**subject, "served": page.served, **_first(page.problems)})
        if page.name in report.frame.recovered:
            yield Event("info", "page_regained", {**subject, "served": page.served})


def _brake(report: Report) -> Iterator[Event]:
    held: dict[str, int] = defaultdict(int)
    for page in report.pages:
        for entry in page.stores:
            held[entry.key.store] += entry.action is Kind.HELD and entry.reason == "brake"
    for store, count in held.items():
        if count:
            remedy = (
                f"Look at the plan; page-token-sync once --if-plan {report.checksum} lets exactly these through. Both want "
                "the same --config as this daemon."
            )
            yield Event(
                "error", "brake_held", {"store": store, "secrets": count, "owner": "operator", "remedy": remedy}
            )


def _counted(report: Report) -> _Counted:
    counted: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for page in report.pages:
        of_page = page.problems + tuple(problem for entry in page.stores for problem in entry.problems)
        # One cause has another trace id at each Page, and Meta may word it again.
        for problem in {problem.code: problem for problem in reversed(of_page)}.values():
            if problem.code in _COUNTED | _OUTAGES:
                counted[page.app, problem.code].append(problem)
    return {
        (app, code): problems for (app, code), problems in counted.items() if code not in _OUTAGES or len(problems) > 1
    }


def _causes(counted: _Counted) -> Iterator[Event]:
    for (app, code), problems in counted.items():
        fields = {"app": app, "pages": len(problems), **_problem(problems[0])}
        if code == "throttled":
            yield Event("warning", "graph_throttled", fields)
        elif code in _APP_CODES:
            yield Event("error", "app_refused", fields)
        elif code in _OUTAGES:
            yield Event("warning", "page_kept", fields)


def _store_failures(report: Report) -> Iterator[Event]:
    failed: dict[tuple[str, str, Problem], list[str]] = defaultdict(list)
    for page in report.pages:
        for entry in page.stores:
            for problem in entry.problems:
                if entry.action is Kind.FAILED and problem.code == "store-failed":
                    failed[entry.key.store, entry.error_code or "", problem].append(entry.key.path)
    for (store, error, problem), paths in failed.items():
        target = {"path": paths[0]} if len(paths) == 1 else {"secrets": len(paths)}
        yield Event("error", "store_failed", {"store": store, **target, "error_code": error, **_problem(problem)})


def _many(report: Report) -> _Many:
    found: dict[tuple[str, Kind, str], list[StoreEntry]] = defaultdict(list)
    for page in report.pages:
        for entry in page.stores:
            at = _shared(entry)
            if at is not None:
                found[at].append(entry)
    return {at: entries for at, entries in found.items() if len(entries) > _NAMED}


def _shared(entry: StoreEntry) -> tuple[str, Kind, str] | None:
    """Return what a refused or held place may share with many others: its store, the action, and what it is due to."""
    match entry.action:
        case Kind.REFUSED if entry.problems:
            return entry.key.store, entry.action, entry.problems[0].code
        case Kind.HELD if entry.reason:
            return entry.key.store, entry.action, entry.reason
        case _:
            return None


def _folded(many: _Many) -> Iterator[Event]:
    for (store, action, cause), entries in many.items():
        fields = {"store": store, "secrets": len(entries), "action": action.value}
        if action is Kind.HELD:
            yield Event("info", "page_held", {**fields, "reason": cause})
            continue
        first = entries[0].problems[0]
        if any(entry.problems[0].message != first.message for entry in entries):
            first = replace(first, message=CATALOGUE[cause].meaning)
        yield Event("warning", "page_refused", {**fields, **_problem(first)})


def _target(
    page: PageEntry, entry: StoreEntry, of_user_token: tuple[Problem, ...], counted: _Counted, many: _Many
) -> Event | None:
    fields = {
        "page": page.name,
        "page_id": page.id,
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
    }
    if entry.action in _WRITTEN:
        level: Level = "warning" if entry.reason == "recreated" or entry.confirmed is False else "info"
        return Event(level, "page_written", {**_present(fields), "confirmed": entry.confirmed})
    if entry.action is Kind.REFUSED:
        level = "debug" if _shared(entry) in many else "warning"
        return Event(level, "page_refused", {**_present(fields), **_first(entry.problems)})
    if entry.action is Kind.HELD and entry.would is not None:
        would = _present({"would": entry.would.kind.value, "would_reason": entry.would.reason})
        level = "debug" if _shared(entry) in many else "info"
        return Event(level, "page_held", {**_present(fields), **would})
    if entry.action is Kind.KEPT:
        problems = page.problems + entry.problems
        told = tuple(problem for problem in of_user_token if problem.code in _USER_TOKEN_CODES)
        own = tuple(problem for problem in problems if (page.app, problem.code) not in counted and problem not in told)
        return Event("warning" if own else "debug", "page_kept", {**_present(fields), **_first(own or problems)})
    if entry.action is Kind.UNCHANGED:
        return Event("debug", "page_kept", _present(fields))
    return None


def _first(problems: tuple[Problem, ...]) -> dict[str, Any]:
    return _problem(problems[0]) if problems else {}


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
