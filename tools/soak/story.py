"""Compare the log of a daemon with its reports: each line is true, and none of a write or of what is served is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.soak.records import page_served, with_check

Json = Mapping[str, Any]

_ONCE_A_CAUSE = frozenset(
    {
        "problem_started",
        "problem_reminder",
        "system_user_invalid",
        "graph_throttled",
        "app_refused",
        "store_failed",
        "page_refused",
        "secret_changed",
    }
)
"""Lines that name a problem which the report of the same cycle has."""

_OF_A_CHANGE = _ONCE_A_CAUSE | {"served_changed", "page_written"}
"""Lines that a cycle without a change does not log."""

_WRITTEN = ("created", "updated", "replaced")


class Story:
    """The log of one process so far. ``compare`` is called with each cycle's report and lines, in order."""

    def __init__(self) -> None:
        self._before: Json | None = None

    def compare(self, report: Json, lines: Sequence[Json]) -> Iterator[str]:
        """Yield each line that the report does not confirm, and each write and each change of what is served without a line."""
        before, self._before = self._before, report
        yield from (what for line in lines for what in _untrue(report, line))
        yield from _unwritten(report, lines)
        if report.get("is_check"):
            self._before = with_check(before, report) if before is not None else None
            yield from _unchecked(report, lines)
        else:
            yield from _uncounted(report, lines)
        if before is None:
            return
        yield from _unsaid(before, report, lines)
        if report.get("is_check"):
            return
        if _facts(before) == _facts(report) and not _written(report):
            for line in lines:
                if line["event"] in _OF_A_CHANGE:
                    yield f"nothing changed, and {_short(line)} was logged"


def _untrue(report: Json, line: Json) -> Iterator[str]:
    event, names = line["event"], _names(line)
    pages = [page for page in report["pages"] if page["name"] in names]
    if event in _ONCE_A_CAUSE and "problem" in line:
        found = [problem for problem in _problems(report, line, pages) if problem["code"] == line["problem"]]
        if not found:
            yield f"{_short(line)}, and the report has no such problem"
        elif line["owner"] not in {problem["owner"] for problem in found}:
            yield f"{_short(line)} is for {line['owner']} to act, and the report says {found[0]['owner']}"
        if any(page_served(page) == "broken" for page in pages) and line["level"] != "error":
            yield f"{_short(line)} is no error, though a token is broken"
    if event == "problem_ended" and "problem" in line and names:
        left = [page["name"] for page in pages if _has(report, line, page)]
        if left:
            yield f"{_short(line)}, though it is there for {left}"
    if event == "served_changed":
        for page in pages:
            served = {target["served"] for target in _of_stores(page, line)}
            if served != {line["served"]}:
                yield f"{_short(line)} says {line['served']} of {page['name']}, the report {sorted(served)}"
        if line["served"] == "broken" and line["level"] != "error":
            yield f"{_short(line)} is no error, though a token is broken"


def _unwritten(report: Json, lines: Sequence[Json]) -> Iterator[str]:
    """Yield what was written without a line, or logged without a write."""
    logged = [(line["page"], line["store"]) for line in lines if line["event"] == "page_written"]
    written = _written(report)
    if sorted(logged) != sorted(written):
        yield f"page_written names {sorted(set(logged) ^ set(written))} otherwise than the report"


def _uncounted(report: Json, lines: Sequence[Json]) -> Iterator[str]:
    last = lines[-1] if lines else {}
    if last.get("event") != "cycle_finished" or last.get("result") != report["result"]:
        yield f"the last line is {_short(last) if last else 'none'}, and the result is {report['result']}"
    for name in ("verified", "stale", "broken", "absent", "foreign"):
        if last.get(name, 0) != report["summary"][name]:
            yield f"cycle_finished counts {last.get(name, 0)} {name}, and the report {report['summary'][name]}"


def _unchecked(report: Json, lines: Sequence[Json]) -> Iterator[str]:
    last = lines[-1] if lines else {}
    names = [page["name"] for page in report["pages"]]
    if last.get("event") != "page_checked" or _names(last) != names:
        yield f"the last line is {_short(last) if last else 'none'}, and {names} were checked"


def _unsaid(before: Json, report: Json, lines: Sequence[Json]) -> Iterator[str]:
    """Yield each change of what is served that no line names."""
    was = _served(before)
    for (name, store), served in _served(report).items():
        if was.get((name, store), served) != served and not any(
            line["event"] == "served_changed" and name in _names(line) and line["served"] == served for line in lines
        ):
            yield f"{name} in {store} is {served} since this cycle, and no line says so"


def _problems(report: Json, line: Json, pages: Sequence[Json]) -> Iterator[Json]:
    for user in report["system_users"]:
        if line.get("system_user") in (None, user["name"]):
            yield from user["problems"]
    for page in pages or report["pages"]:
        yield from (*page["problems"], *page["notices"])
        for target in _of_stores(page, line):
            yield from (*target["problems"], *target.get("notices", ()))


def _has(report: Json, line: Json, page: Json) -> bool:
    """Check whether a Page still has the problem of a line, with the same error code where the line has one."""
    of_stores = "store" in line
    codes = {
        problem["code"]
        for target in _of_stores(page, line)
        if "error_code" not in line or target["error_code"] == line["error_code"]
        for problem in target["problems"]
    }
    return line["problem"] in (codes if of_stores else codes | {problem["code"] for problem in page["problems"]})


def _of_stores(page: Json, line: Json) -> list[Json]:
    stores = line.get("stores") or ([line["store"]] if "store" in line else None)
    return [target for target in page["stores"] if stores is None or target["store"] in stores]


def _names(line: Json) -> list[str]:
    return [line["page"]] if "page" in line else list(line.get("pages") or ())


def _served(report: Json) -> dict[tuple[str, str], str]:
    return {(page["name"], target["store"]): target["served"] for page in report["pages"] for target in page["stores"]}


def _written(report: Json) -> list[tuple[str, str]]:
    return [
        (page["name"], target["store"])
        for page in report["pages"]
        for target in page["stores"]
        if target["action"] in _WRITTEN
    ]


def _facts(report: Json) -> object:
    """Return what a person would call the same in two cycles: verdicts, problems, actions, and what is stored and served."""
    return (
        [(user["name"], user["verdict"], _codes(user["problems"])) for user in report["system_users"]],
        [
            (
                page["name"],
                page["fetched"],
                _codes((*page["problems"], *page["notices"])),
                [
                    tuple(target[name] for name in ("store", "version", "action", "reason", "served", "error_code"))
                    for target in page["stores"]
                ],
                [_codes((*target["problems"], *target.get("notices", ()))) for target in page["stores"]],
            )
            for page in report["pages"]
        ],
    )


def _codes(problems: Sequence[Json]) -> list[tuple[str, str]]:
    return sorted((problem["code"], problem["owner"]) for problem in problems)


def _short(line: Json) -> str:
    named = [line["event"], *(str(line[name]) for name in ("problem", "store", "system_user") if name in line)]
    names = _names(line)
    return " ".join([*named, *names[:3], *([f"and {len(names) - 3} more"] if len(names) > 3 else [])])
