"""The table of `status`: what is not well, and each cause once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sync.cli.output.status import causes, rejected, rows, summary

PROBLEM = {"code": "no-access", "owner": "business-admin", "message": "No token.", "remedy": "Assign the Page."}
UNREADABLE = {"code": "store-failed", "owner": "operator", "message": "No connection.", "remedy": "Check the address."}


def page(name: str, served: str = "verified", *problems: dict[str, str], of_store: tuple[Any, ...] = ()) -> Any:
    """Return a Page of a report with one secret."""
    secret = {"store": "vault", "served": served, "problems": list(of_store)}
    return {"name": name, "problems": list(problems), "stores": [secret]}


def report(*pages: Any, result: str = "ok", config_error: Any = None) -> dict[str, Any]:
    """Return the parts of a report that the command reads."""
    return {
        "format": 1,
        "result": result,
        "finished_at": "2026-12-01T12:00:00Z",
        "next_cycle_at": "2026-12-01T12:15:00Z",
        "config_error": config_error,
        "summary": {"pages": len(pages), "verified": 1, "broken": 2, "absent": 0, "unchanged": 3},
        "system_users": [],
        "pages": list(pages),
    }


def test_the_table() -> None:
    """The result and the counts, the Pages that are not well with the worst first, and each cause once."""
    found = report(
        page("berlin"),
        page("rome", "stale", of_store=(UNREADABLE,)),
        page("bern", "broken", PROBLEM),
        page("paris", "stale", of_store=(UNREADABLE,)),
        result="degraded",
    )
    assert summary(found, now=datetime(2026, 12, 1, 12, 5, tzinfo=UTC)) == [
        "Result: degraded, checked 2026-12-01T12:00:00Z (5 min ago), next cycle 2026-12-01T12:15:00Z (in 10 min).",
        "Pages: 1 verified, 2 broken. Secrets: 3 unchanged.",
    ]
    assert rows(found["pages"]) == [
        ("bern", "vault", "broken", "no-access"),
        ("rome", "vault", "stale", "store-failed"),
        ("paris", "vault", "stale", "store-failed"),
    ]
    assert causes(found) == [
        (
            "problem store-failed: store vault, 2 Pages (rome, paris)",
            "No connection.",
            "Action required (operator): Check the address.",
        ),
        ("problem no-access: 1 Page (bern)", "No token.", "Action required (business-admin): Assign the Page."),
    ]


def test_a_rejected_configuration() -> None:
    """An error of the newest edit has its location and its remedy."""
    error = {
        "file": "c.yaml",
        "line": 3,
        "column": 1,
        "path": "pages[1].id",
        "message": "not a string",
        "remedy": "quote it",
    }
    head, *texts = rejected(error)
    assert head.startswith("problem configuration: the newest edit is rejected")
    assert texts == ["c.yaml:3:1: pages[1].id: not a string", "Action required (operator): quote it"]


def test_a_problem_of_a_system_user_is_one_cause() -> None:
    """A problem of a system user's token stands once, with the system user and the Pages that have it."""
    user = {"name": "main", "problems": [{**PROBLEM, "code": "system-user-invalid"}]}
    found = {**report(page("rome", "stale", user["problems"][0])), "system_users": [user]}
    assert [head for head, *_ in causes(found)] == ["problem system-user-invalid: system user main, 1 Page (rome)"]


def test_many_pages_of_one_cause_are_counted() -> None:
    """A cause names three Pages and counts the others; times are in the largest unit that says enough."""
    found = report(*(page(f"p{number}", "broken", PROBLEM) for number in range(10_000)))
    assert [head for head, *_ in causes(found)] == ["problem no-access: 10,000 Pages (p0, p1, p2 and 9,997 more)"]
    assert len(rows(found["pages"])) == 10_000
    late = summary(found, now=datetime(2026, 12, 4, 12, 0, 30, tzinfo=UTC))[0]
    assert "(3 d ago)" in late
