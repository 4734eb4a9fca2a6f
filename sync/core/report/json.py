"""The report as JSON, in its documented shape (format 1). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sync.core.model import SystemUserToken, TokenFacts
from sync.core.plan.plan import user_token_problems
from sync.core.problems import Problem
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.report import Report


def as_json(report: Report) -> dict[str, Any]:
    """Return the report in its documented JSON shape, format 1."""
    frame = report.frame
    return {
        "format": 1,
        "instance": frame.instance,
        "cycle": frame.cycle,
        "started_at": timestamp(frame.started_at),
        "finished_at": timestamp(frame.finished_at),
        "duration_seconds": round(frame.duration_seconds, 3),
        "next_cycle_at": timestamp(frame.next_cycle_at),
        "result": report.result,
        "config_error": None,
        "verify_interval_seconds": frame.verify_interval_seconds,
        "summary": report.summary,
        "system_users": [_system_user_json(user_token, report) for user_token in report.user_tokens],
        "pages": [page_json(page) for page in report.pages],
        "orphans": [{"store": key.store, "path": key.path} for key in report.orphans],
        "warnings": list(frame.warnings),
        "plan_checksum": report.checksum,
    }


def timestamp(moment: datetime | None) -> str | None:
    """Write a moment as RFC 3339 in UTC, to the second; None stays None."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment is not None else None


def expiry_json(facts: TokenFacts | None) -> str | None:
    """Write when a token expires; None for one that never does or whose expiry is unknown."""
    return timestamp(facts.expires_at) if facts and isinstance(facts.expires_at, datetime) else None


def _system_user_json(user_token: SystemUserToken, report: Report) -> dict[str, Any]:
    last = report.frame.renewals.get(user_token.system_user)
    return {
        "name": user_token.system_user,
        "app": user_token.app,
        "verdict": user_token.verdict.state.value,
        "expires_at": expiry_json(user_token.verdict.facts),
        "renewed_at": timestamp(last.at if last is not None and last.became is not None else None),
        "problems": [problem_json(problem) for problem in user_token_problems(user_token)],
        "pages": sum(page.system_user == user_token.system_user for page in report.pages),
    }


def page_json(page: PageEntry) -> dict[str, Any]:
    """Write what is known of a Page and of its secrets."""
    return {
        "name": page.name,
        "id": page.id,
        "system_user": page.system_user,
        "fetched": page.fetched.value,
        "verified_at": timestamp(page.verified_at),
        "problems": [problem_json(problem) for problem in page.problems],
        "notices": [problem_json(problem) for problem in page.notices],
        "alarm_since": timestamp(page.alarm),
        "fingerprint": page.fingerprint,
        "expires_at": timestamp(page.expires_at) if isinstance(page.expires_at, datetime) else None,
        "stores": [store_json(entry) for entry in page.stores],
    }


def store_json(entry: StoreEntry) -> dict[str, Any]:
    """Write what is known of one secret, and what is decided for it."""
    return {
        "store": entry.key.store,
        "path": entry.key.path,
        "action": entry.action.value,
        "reason": entry.reason,
        "would": {"action": entry.would.kind.value, "reason": entry.would.reason} if entry.would else None,
        "served": entry.served,
        "verified_at": timestamp(entry.verified_at),
        "fingerprint": entry.fingerprint,
        "previous_fingerprint": entry.previous_fingerprint,
        "version": entry.version,
        "confirmed": entry.confirmed,
        "problems": [problem_json(problem) for problem in entry.problems],
        "notices": [problem_json(problem) for problem in entry.notices],
        "error_code": entry.error_code,
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """Write a problem, with the codes of Graph's answer where there is one."""
    said = {"graph_code": problem.graph_code, "graph_subcode": problem.graph_subcode, "fbtrace_id": problem.fbtrace_id}
    return {
        "code": problem.code,
        "message": problem.message,
        "owner": problem.owner,
        "remedy": problem.remedy,
        **{name: value for name, value in said.items() if value is not None},
    }
