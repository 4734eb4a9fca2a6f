"""What the daemon must show after a number of its cycles and checks: the last report, and sums over all. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
SERVED = ("broken", "absent", "foreign", "stale", "verified")
WRITTEN = ("created", "updated", "replaced")
_OWN = ("is_check", "recorded_at")
_MOVES = ("next_cycle_at", "config_error")
"""What the daemon shows as it is now, and not as it was when the cycle ended."""


@dataclass(frozen=True)
class State:
    """What one process shows after some of its cycles and checks."""

    report: Json
    recorded_at: float
    cycles: Mapping[str, int]
    writes: Mapping[tuple[str, str, str], int]
    graph_requests: int
    graph_calls: int
    succeeded_at: str | None


@dataclass
class Process:
    """The records of one process, in order, and the states that follow from them; the newest states are kept."""

    states: list[State] = field(default_factory=list)

    def add(self, record: Json) -> State | None:
        """Add the record of a cycle or a check, and return the state after it; None for a check before the first cycle."""
        before = self.states[-1] if self.states else None
        report = {name: value for name, value in record.items() if name not in _OWN}
        if record["is_check"] and before is None:
            return None
        cycles = Counter(before.cycles if before else {})
        shown = with_check(before.report, report) if record["is_check"] and before is not None else report
        succeeded_at = before.succeeded_at if before else None
        if not record["is_check"]:
            cycles[report["result"]] += 1
            succeeded_at = report["finished_at"] if report["result"] in ("ok", "degraded") else succeeded_at
        state = State(
            shown,
            record["recorded_at"],
            cycles,
            Counter(before.writes if before else {}) + Counter(written(report)),
            (before.graph_requests if before else 0) + report["summary"]["graph_requests"],
            (before.graph_calls if before else 0) + report["summary"]["graph_calls"],
            succeeded_at,
        )
        self.states.append(state)
        del self.states[:-60]
        return state

    def shown(self, status: Json) -> list[State]:
        """Return the states that a status shows, the newest first: a check that changed nothing leaves the report as it was."""
        wanted = _lasting(status)
        return [state for state in reversed(self.states) if _agrees(state.report, wanted)]


def with_check(report: Json, check: Json) -> Json:
    """Return a report with what a check found since of some of its Pages and of the system users."""
    found = {page["name"]: page for page in check["pages"]}
    users = {user["name"]: user for user in check["system_users"]}
    pages = [found.get(page["name"], page) for page in report["pages"]]
    return {
        **report,
        "pages": pages,
        "system_users": [{**users.get(user["name"], user), "pages": user["pages"]} for user in report["system_users"]],
        "summary": {**report["summary"], **counts(pages)},
        # It follows from more than a report shows.
        "result": None,
        "plan_checksum": None,
    }


def page_served(page: Json) -> str:
    """Return the worst that a Page's secrets serve."""
    return min((target["served"] for target in page["stores"]), key=SERVED.index)


def counts(pages: Sequence[Json]) -> dict[str, int]:
    """Count Pages by the worst that they serve, and secrets by their actions."""
    served = Counter(page_served(page) for page in pages)
    actions = Counter(target["action"] for page in pages for target in page["stores"])
    kinds = ("created", "updated", "replaced", "unchanged", "kept", "refused", "held", "failed")
    return {"pages": len(pages), **{word: served[word] for word in SERVED}, **{kind: actions[kind] for kind in kinds}}


def written(report: Json) -> Iterator[tuple[str, str, str]]:
    """Yield store, action and reason of each write."""
    for page in report["pages"]:
        for target in page["stores"]:
            if target["action"] in WRITTEN:
                yield target["store"], target["action"], target["reason"] or ""


def contradictions(status: Json) -> Iterator[str]:
    """Yield what a report says of itself that its own Pages do not confirm."""
    for name, number in counts(status["pages"]).items():
        if status["summary"][name] != number:
            yield f"the summary counts {status['summary'][name]} {name}, and its Pages are {number}"
    well = all(
        not page["problems"]
        and all(
            target["served"] == "verified" and not target["problems"] and target["action"] not in ("failed", "refused")
            for target in page["stores"]
        )
        for page in status["pages"]
    )
    if status["result"] == "ok" and not well:
        yield "the result is ok, though there are problems"
    if status["result"] == "degraded" and well and "not_begun" not in status["summary"]:
        yield "the result is degraded, and there is no problem"


def _lasting(status: Json) -> Json:
    return {name: value for name, value in status.items() if name not in _MOVES}


def _agrees(report: Json, status: Json) -> bool:
    """Check whether a status shows a report; what is None after a check may be anything."""
    expected = _lasting(report)
    free = {"result", "plan_checksum"} if expected["result"] is None else set()
    return expected.keys() == status.keys() and all(
        expected[name] == status[name] for name in expected if name not in free
    )
