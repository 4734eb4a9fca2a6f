"""The report as JSON: exactly the documented shape."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from sync.core.judge.decide import Candidate
from sync.core.judge.verify import verify
from sync.core.model import Key, SourceError, State, SystemUserToken, Verdict
from sync.core.problems import Problem
from sync.core.report.json import as_json
from sync.core.report.report import Report
from tests.support.reports import FRAME, GOOD, account, of
from tests.support.values import (
    FETCHED,
    NOW,
    OTHER,
    STORE_DOWN,
    USER_TOKEN,
    current,
    facts,
    fetched,
    judged,
    page,
    stored,
)


def whole_report() -> Report:
    """Make a report in which every part has something."""
    gone = Verdict(State.INVALID, (Problem("no-access", "No token.", graph_code=100, fbtrace_id="A1"),))
    return account(
        of(fetched(), GOOD, current(STORE_DOWN)),
        of(Candidate(None, gone), current(stored(OTHER), judged(scopes=frozenset())), name="rome"),
        orphans=(Key("vault", "meta/pages/oslo"),),
        frame=replace(FRAME, warnings=("be warned",), next_cycle_at=NOW + timedelta(minutes=15)),
        outcomes={},
    )


def test_json_is_exactly_what_is_documented() -> None:
    """The JSON of a report has these keys, in this order, with these values."""
    problem = Problem("missing-scope", "The token lacks the permission pages_messaging.")
    target = {"would": None, "previous_fingerprint": None, "notices": [], "error_code": None}
    assert as_json(whole_report()) == {
        "format": 1,
        "instance": "acme-prod",
        "cycle": "01JD0000000000000000000000",
        "started_at": "2026-11-25T12:00:00Z",
        "finished_at": "2026-11-25T12:00:02Z",
        "duration_seconds": 1.9,
        "next_cycle_at": "2026-11-25T12:15:00Z",
        "result": "degraded",
        "config_error": None,
        "verify_interval_seconds": 86400,
        "summary": {
            "pages": 2,
            "verified": 1,
            "stale": 1,
            "broken": 0,
            "absent": 0,
            "foreign": 0,
            "created": 0,
            "updated": 0,
            "replaced": 0,
            "unchanged": 1,
            "kept": 1,
            "refused": 0,
            "held": 0,
            "failed": 1,
            "graph_requests": 3,
            "graph_calls": 5,
            "store_requests": 4,
        },
        "system_users": [
            {
                "name": "main",
                "app": "messenger",
                "verdict": "valid",
                "expires_at": None,
                "renewed_at": None,
                "problems": [],
                "pages": 2,
            }
        ],
        "pages": [
            {
                "name": "berlin",
                "id": "101010101010101",
                "system_user": "main",
                "fetched": "valid",
                "verified_at": "2026-11-25T11:59:55Z",
                "problems": [],
                "notices": [],
                "alarm_since": None,
                "fingerprint": FETCHED.fingerprint,
                "expires_at": None,
                "stores": [
                    {
                        **target,
                        "store": "vault",
                        "path": "meta/pages/berlin",
                        "action": "unchanged",
                        "reason": None,
                        "served": "verified",
                        "verified_at": "2026-11-25T11:59:55Z",
                        "fingerprint": FETCHED.fingerprint,
                        "version": "3",
                        "confirmed": True,
                        "problems": [],
                    },
                    {
                        **target,
                        "store": "aws",
                        "path": "meta/pages/berlin",
                        "action": "failed",
                        "reason": None,
                        "served": "stale",
                        "verified_at": None,
                        "fingerprint": None,
                        "version": None,
                        "confirmed": None,
                        "error_code": "unreachable",
                        "problems": [
                            {
                                "code": "store-failed",
                                "message": "Nobody listens.",
                                "owner": "operator",
                                "remedy": "Start it.",
                            }
                        ],
                    },
                ],
            },
            {
                "name": "rome",
                "id": "101010101010101",
                "system_user": "main",
                "fetched": "invalid",
                "verified_at": None,
                "problems": [
                    {
                        "code": "no-access",
                        "message": "No token.",
                        "owner": "business-admin",
                        "remedy": Problem("no-access", "").remedy,
                        "graph_code": 100,
                        "fbtrace_id": "A1",
                    }
                ],
                "notices": [],
                "alarm_since": None,
                "fingerprint": None,
                "expires_at": None,
                "stores": [
                    {
                        **target,
                        "store": "vault",
                        "path": "meta/pages/rome",
                        "action": "kept",
                        "reason": None,
                        "served": "verified",
                        "verified_at": "2026-11-25T11:59:55Z",
                        "fingerprint": OTHER.fingerprint,
                        "version": "3",
                        "confirmed": True,
                        "problems": [
                            {
                                "code": problem.code,
                                "message": problem.message,
                                "owner": problem.owner,
                                "remedy": problem.remedy,
                            }
                        ],
                    }
                ],
            },
        ],
        "orphans": [{"store": "vault", "path": "meta/pages/oslo"}],
        "warnings": ["be warned"],
        "plan_checksum": whole_report().checksum,
    }


def test_json_keeps_the_documented_order() -> None:
    """People read the JSON too: its keys come in the order in which they are documented."""
    assert list(as_json(whole_report()))[:8] == [
        *("format", "instance", "cycle", "started_at", "finished_at", "duration_seconds", "next_cycle_at", "result")
    ]
    summary = list(account().summary)
    assert summary[:6] == ["pages", "verified", "stale", "broken", "absent", "foreign"]
    assert summary[6:14] == ["created", "updated", "replaced", "unchanged", "kept", "refused", "held", "failed"]


def test_json_holds_no_token() -> None:
    """A report can be serialised as it is, and no token is in it."""
    text = json.dumps(as_json(whole_report()))
    for secret in (FETCHED, OTHER, USER_TOKEN):
        assert secret.reveal() not in text


def test_json_has_expiries() -> None:
    """The expiry of a Page's and a system user's token is in UTC."""
    soon = NOW + timedelta(days=9)
    user_token = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.VALID, facts=facts(expires_at=soon)))
    document = as_json(account(of(fetched(expires_at=soon), GOOD), user_tokens=(user_token,)))
    assert document["pages"][0]["expires_at"] == document["system_users"][0]["expires_at"] == "2026-12-04T12:00:00Z"


def test_invalid_system_user_is_reported_with_its_pages() -> None:
    """A system user is reported with its verdict, its problems, and its number of Pages."""
    invalid = Problem("system-user-invalid", "It was revoked.")
    user_tokens = (
        SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.INVALID, (invalid,))),
        SystemUserToken("idle", "messenger", None, Verdict(State.UNKNOWN)),
    )
    candidate = Candidate(None, verify(SourceError(invalid, scope="system_user"), page=page(), now=NOW))
    users = as_json(account(of(candidate, GOOD), of(candidate, GOOD, name="rome"), user_tokens=user_tokens))[
        "system_users"
    ]
    assert [(one["name"], one["verdict"], one["pages"]) for one in users] == [
        ("main", "invalid", 2),
        ("idle", "unknown", 0),
    ]
    assert [problem["code"] for problem in users[0]["problems"]] == ["system-user-invalid"]
