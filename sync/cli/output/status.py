"""The daemon's last report as a person reads it: what is not well, each cause once. It reads the JSON of ``/status.json``."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sync.cli.output import console
from sync.core.judge.decide import Kind
from sync.core.problems import action_text
from sync.core.report.entries import WORST_FIRST
from sync.core.report.text import count, distance, some

COLUMNS = ("Page", "store", "served", "problem")
_ON_A_TERMINAL = 40

Json = Mapping[str, Any]


def put_status(report: Json, *, now: datetime, selected: bool = False) -> None:
    """Print a report: a rejected configuration, the result and counts, then the Pages that are not well and the causes.

    ``selected``: its Pages were asked for by name, so that those that are well are shown too.
    """
    for error in report["config_error"] or ():
        console.put_cause(rejected(error))
    console.put(*summary(report, now=now))
    found = rows(report["pages"], all_secrets=selected)
    shown = found[:_ON_A_TERMINAL] if sys.stdout.isatty() else found
    if shown:
        console.put_rows(COLUMNS, shown)
    if len(shown) < len(found):
        are = "" if selected else " are not well"
        console.put(f"{len(found) - len(shown):,} more secrets{are}: see --page GLOB or --output json.")
    for cause in causes(report):
        console.put_cause(cause)


def rejected(error: Json) -> tuple[str, str, str]:
    """Return three sentences about an error of the newest edit of the configuration."""
    path = f"{error['path']}: " if error.get("path") else ""
    location = ":".join(str(error[name]) for name in ("file", "line", "column") if error.get(name))
    text = f"{location}: {path}{error.get('message', error.get('code'))}"
    head = "problem configuration: the newest edit is rejected; the configuration before it stays in force"
    return head, text, action_text("operator", error.get("remedy") or "Correct the configuration.")


def summary(report: Json, *, now: datetime) -> list[str]:
    """Return the result, when it was found, when the next cycle starts, and the counts."""
    finished = datetime.fromisoformat(report["finished_at"])
    checked = f"checked {report['finished_at']} ({distance(finished, now)})"
    following = report["next_cycle_at"]
    when = (
        f"next cycle {following} ({distance(datetime.fromisoformat(following), now)})" if following else "no next cycle"
    )
    counts = report["summary"]
    served = ", ".join(f"{counts[one]:,} {one}" for one in reversed(WORST_FIRST) if counts.get(one))
    actions = ", ".join(f"{counts[one]:,} {one}" for one in (kind.value for kind in Kind) if counts.get(one))
    return [
        f"Result: {report['result']}, {checked}, {when}.",
        f"Pages: {served or 'none'}. Secrets: {actions or 'none'}.",
    ]


def rows(pages: Sequence[Json], *, all_secrets: bool = False) -> list[tuple[str, str, str, str]]:
    """Return a row for each secret that is not well, or for all, the worst first, otherwise in the order of the configuration."""
    found = []
    for page in pages:
        for one in page["stores"]:
            problems = dict.fromkeys(problem["code"] for problem in (*page["problems"], *one["problems"]))
            if all_secrets or problems or one["served"] != "verified":
                found.append((page["name"], one["store"], one["served"], ", ".join(problems) or "-"))
    return sorted(found, key=lambda row: WORST_FIRST.index(row[2]) if row[2] in WORST_FIRST else 0)


def causes(report: Json) -> list[tuple[str, str, str]]:
    """Return three sentences about each cause: whom it concerns, what is wrong, and who does what."""
    pages: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    whose: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for key, subject, page in _problems(report):
        pages[key].update({page: None} if page else {})
        whose[key].update({subject: None} if subject else {})
    return [
        (
            f"problem {code}: {', '.join((*whose[key], *_named(list(names))))}",
            message,
            action_text(owner, remedy),
        )
        for key, names in pages.items()
        for code, owner, message, remedy in [key]
    ]


def _problems(report: Json) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield each problem, whose it is where several Pages share it, and the Page that has it."""
    for user in report["system_users"]:
        for problem in user["problems"]:
            yield _key(problem), f"system user {user['name']}", ""
    for page in report["pages"]:
        for problem in page["problems"]:
            yield _key(problem), "", page["name"]
        for one in page["stores"]:
            for problem in one["problems"]:
                yield _key(problem), f"store {one['store']}", page["name"]


def _key(problem: Json) -> tuple[str, ...]:
    return tuple(str(problem[name]) for name in ("code", "owner", "message", "remedy"))


def _named(pages: Sequence[str]) -> list[str]:
    return [f"{count(len(pages), 'Page')} ({some(pages)})"] if pages else []
