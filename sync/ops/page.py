"""The page for people: whether apps are served, what is wrong since when, and who must act. It needs no script."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sync.core.memory.problems import ProblemKey
from sync.core.problems import action_text
from sync.core.report.causes import Cause, HeldWrites, held_writes
from sync.core.report.entries import WORST_FIRST, PageEntry, StoreEntry
from sync.core.report.report import Report
from sync.core.report.text import count, distance, expiry, stored_expiry
from sync.ops.health import Health
from sync.ops.status import Snapshot

ROWS = 200
"""So many secrets are shown at once."""
COLUMNS = ("Page", "store", "served", "verified", "expires", "token", "problem")
OVERDUE = timedelta(minutes=1)
"""A cycle that has not begun so long after its time is overdue: the report is old."""
_NAMED = 10
_ERRORS = 20
_MOST_TEXT = 200

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
STYLE_HASH = f"sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}"
"""The hash of the style sheet, for the Content-Security-Policy."""
_PAGE = Environment(
    loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
).get_template("page.html")
_SHAPES = {"ok": "✔", "warn": "▲", "bad": "✖"}


@dataclass(frozen=True)
class _View:
    """What follows from a report alone, for each request for the page until there is another report."""

    report: Report
    summary: Mapping[str, int]
    result: str
    causes: Mapping[str, Sequence[Mapping[str, Any]]]
    secrets: Sequence[tuple[PageEntry, StoreEntry]]
    stores: Sequence[tuple[str, str]]


def _view(report: Report) -> _View:
    secrets = [(page, entry) for page in report.pages for entry in page.stores]
    by_store: dict[str, list[str]] = {}
    for _, entry in secrets:
        by_store.setdefault(entry.key.store, []).append(entry.served)
    stores = [(name, _served(served)) for name, served in by_store.items()]
    secrets.sort(key=_rank)
    return _View(report, report.summary, report.result, _causes(report), secrets, stores)


class StatusPage:
    """Renders the page, and keeps what it derived from the last report. Not for several threads at once."""

    def __init__(self) -> None:
        self._view: _View | None = None

    def render(self, snapshot: Snapshot, query: Mapping[str, str], *, now: datetime, health: Health) -> str:
        """Return the page as HTML, for the query of a request.

        It does not reload itself: that would interrupt a screen reader and lose the reader's position. It has a link instead.
        """
        report = snapshot.report
        if report is None:
            self._view = None
        elif self._view is None or self._view.report is not report:
            self._view = _view(report)
        return _rendered(snapshot, self._view, query, now=now, health=health)


def _rendered(
    snapshot: Snapshot, view: _View | None, query: Mapping[str, str], *, now: datetime, health: Health
) -> str:
    report, errors = snapshot.report, snapshot.config_errors or ()
    chosen = {name: query.get(name, "")[:_MOST_TEXT] for name in ("q", "state", "store")}
    banners = _banners(snapshot, now, health)
    level, text = _verdict(view, stale=bool(banners), rejected=bool(errors))
    return _PAGE.render(
        style=Markup(_STYLE),  # noqa: S704 - a file of the program
        count=count,
        verdict={"level": level, "text": text, "title": text.partition(".")[0], "shape": _SHAPES[level]},
        banners=banners,
        report=report,
        instance=report.frame.instance if report else "",
        finished=distance(report.frame.finished_at, now) if report else "",
        next_at=snapshot.next_cycle_at,
        next_in=distance(snapshot.next_cycle_at, now) if snapshot.next_cycle_at else "",
        here=_address(chosen, 0),
        errors=errors[:_ERRORS],
        error_count=len(errors),
        chosen=chosen,
        columns=COLUMNS,
        states=WORST_FIRST,
        **(_aged(view.causes, now) if view else {"problems": (), "notices": (), "held": ()}),
        **(_tables(view, chosen, query.get("page", "")) if view else {}),
    )


def _banners(snapshot: Snapshot, now: datetime, health: Health) -> list[str]:
    """Return why the page may not show the present state."""
    if not health.ok:
        return [f"{health.reason} What follows may be out of date."]
    due = snapshot.next_cycle_at
    if snapshot.report and snapshot.cycle_began_at is None and due is not None and now - due > OVERDUE:
        return [f"The next check is overdue since {due:%Y-%m-%d %H:%M:%S} UTC. What follows may be out of date."]
    return []


def _verdict(view: _View | None, *, stale: bool, rejected: bool) -> tuple[str, str]:
    """Return how bad it is, and the sentence that says so."""
    if stale:
        return "bad", "The daemon does not work as it should. The state of the Pages is not known."
    if view is None:
        return "warn", "No check has ended yet. The state of the Pages is not known."
    counts = view.summary
    unserved = counts["broken"] + counts["absent"] + counts["foreign"]
    if unserved:
        return "bad", f"{unserved:,} of {count(counts['pages'], 'Page')} without a verified token for apps."
    if view.result == "failed":
        return "bad", "The last check failed. No token could be verified."
    if counts["stale"]:
        return "warn", f"{counts['stale']:,} of {count(counts['pages'], 'Page')} could not be verified recently."
    if view.result == "held":
        return "warn", "Apps are served. Writes are held until a person decides."
    if view.result != "ok":
        return "warn", "Apps are served. There are problems."
    if rejected:
        return "warn", "Apps are served. The newest edit of the configuration is rejected."
    return "ok", f"All is well. Apps are served by verified tokens ({count(counts['pages'], 'Page')})."


def _causes(report: Report) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    began = _beginnings(report)
    found = [(cause, _cause(cause, began)) for cause in report.causes]
    held = [_held(one, began) for one in held_writes(report.pages, report.checksum)]
    problems = [shown for cause, shown in found if not cause.notice]
    notices = [shown for cause, shown in found if cause.notice]
    notices += [{"title": "warning", "message": text, "action": ""} for text in report.frame.warnings]
    return {"problems": sorted(problems, key=lambda one: one["level"]), "notices": notices, "held": held}


def _aged(causes: Mapping[str, Sequence[Mapping[str, Any]]], now: datetime) -> Mapping[str, Any]:
    """Return the causes with how long ago each began."""
    return {
        kind: [{**one, "age": distance(one["since"], now)} if one.get("since") else one for one in found]
        for kind, found in causes.items()
    }


_Beginnings = Mapping[tuple[str, ...], Mapping[str, datetime]]
"""Since when each cause lasts, by the Pages that have it; by an empty name where they share it."""


def _beginnings(report: Report) -> _Beginnings:
    found: dict[tuple[str, ...], dict[str, datetime]] = {}
    for key, known in report.changes.reported.problems.items():
        if known.ended_at is None:
            found.setdefault(_of_all(key), {})[key.page] = known.since
    return found


def _of_all(key: ProblemKey) -> tuple[str, ...]:
    """Return the key of a cause whichever Page has it, and whether their system user's token has it too.

    A tuple is hashed in a tenth of a dataclass's time.
    """
    return key.code, "page" if key.scope == "system_user" else key.scope, key.whose, key.owner, key.detail


def _cause(cause: Cause, began: _Beginnings) -> dict[str, Any]:
    scope = cause.key.scope
    whose = "" if scope == "page" else f": {scope.replace('_', ' ')} {cause.key.whose}"
    number = f", {count(len(cause.pages), 'Page')}" if cause.pages else ""
    concerned = _concerned(cause, began)
    return {
        "title": f"{cause.key.code}{whose}{number}",
        "level": "bad" if any(word in concerned["served"] for word in ("broken", "absent", "foreign")) else "warn",
        "message": cause.message,
        "action": action_text(cause.owner, cause.remedy),
        **concerned,
    }


def _held(held: HeldWrites, began: _Beginnings) -> dict[str, Any]:
    title = f"{count(len(held.found), 'write')} to store {held.key.whose} held: {held.reason}"
    concerned = _concerned(held, began)
    return {
        "title": title,
        "reason": held.reason,
        "losses": held.losses,
        "checksum": held.checksum,
        **concerned,
    }


def _concerned(cause: Cause | HeldWrites, began: _Beginnings) -> dict[str, Any]:
    """Return since when a cause lasts, the Pages that have it, and what apps are served of them."""
    names = list(cause.pages)
    known = began.get(_of_all(cause.key), {})
    since = min((known[name] for name in ("", *names) if name in known), default=None)
    states: list[str] = [page.served for page in cause.pages.values()]
    if isinstance(cause, HeldWrites):
        states = [entry.served for _, entry in cause.found]
    elif cause.key.scope == "store":
        # The problem of a store concerns its own secrets: another store may serve the same Page.
        states = [found.entry.served for found in cause.findings if found.entry is not None]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return {
        "since": since,
        "pages": ", ".join(names[:_NAMED]) + more,
        "served": _served(states),
    }


def _tables(view: _View, chosen: Mapping[str, str], page: str) -> Mapping[str, Any]:
    text = chosen["q"].casefold()
    found = [
        (page, entry)
        for page, entry in view.secrets
        if (not text or text in page.name or text in page.id)
        and chosen["state"] in ("", entry.served)
        and chosen["store"] in ("", entry.key.store)
    ]
    last = max(0, (len(found) - 1) // ROWS)
    at = min(int(page), last) if page.isascii() and page.isdigit() and len(page) < len(str(ROWS)) * 3 else 0
    shown = found[at * ROWS : (at + 1) * ROWS]
    return {
        "users": [
            {
                "name": user.system_user,
                "state": user.verdict.state.value,
                "expires": expiry(user.verdict.facts.expires_at if user.verdict.facts else None),
            }
            for user in view.report.user_tokens
        ],
        "stores": view.stores,
        "found": len(found),
        "total": len(view.secrets),
        "first": at * ROWS + 1,
        "rows": [_row(*one) for one in shown],
        "earlier": _address(chosen, at - 1) if at else "",
        "later": _address(chosen, at + 1) if at < last else "",
    }


def _rank(one: tuple[PageEntry, StoreEntry]) -> tuple[int, bool]:
    page, entry = one
    return WORST_FIRST.index(entry.served), not (page.problems or entry.problems)


def _row(page: PageEntry, entry: StoreEntry) -> Sequence[str]:
    codes = dict.fromkeys(problem.code for problem in (*page.problems, *entry.problems))
    return (
        page.name,
        entry.key.store,
        entry.served,
        f"{entry.verified_at:%Y-%m-%d %H:%M:%S} UTC" if entry.verified_at else "-",
        stored_expiry(page, entry),
        entry.fingerprint or "-",
        ", ".join(codes) or "-",
    )


def _address(chosen: Mapping[str, str], page: int) -> str:
    query = {name: value for name, value in chosen.items() if value} | ({"page": str(page)} if page else {})
    return f"/?{urlencode(query)}" if query else "/"


def _served(states: Iterable[str]) -> str:
    counts = Counter(states)
    return ", ".join(f"{counts[word]:,} {word}" for word in WORST_FIRST if counts[word])
