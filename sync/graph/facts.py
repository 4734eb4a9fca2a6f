"""Read what ``debug_token`` says of a token, whatever the types of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sync.core.model import NEVER, Expiry, GraphErrorFacts, TokenFacts
from sync.core.secret import Secret
from sync.graph.answers import message_text, whole

_LONGEST_ID = 40
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, beyond which Python has no datetime."""


def read_facts(data: Mapping[str, Any], asked_at: datetime, *, secrets: Iterable[Secret]) -> TokenFacts:
    """Read the object ``data``. A field that is absent or of a wrong type is None, so it never counts as valid.

    Ids were numbers until 2017 and are strings today; times may be either. ``expires_at`` 0 means that it never expires.
    """
    scopes = data.get("scopes")
    kind = data.get("type")
    valid = data.get("is_valid")
    return TokenFacts(
        asked_at=asked_at,
        is_valid=valid if isinstance(valid, bool) else None,
        type=kind if isinstance(kind, str) else None,
        app_id=_id(data.get("app_id")),
        profile_id=_id(data.get("profile_id")),
        user_id=_id(data.get("user_id")),
        scopes=frozenset(scope for scope in scopes if isinstance(scope, str)) if isinstance(scopes, list) else None,
        granular_scopes=_granular(data.get("granular_scopes")),
        expires_at=_expiry(data.get("expires_at")),
        data_access_expires_at=_expiry(data.get("data_access_expires_at")),
        issued_at=_time(data.get("issued_at")),
        error=_error(data.get("error"), secrets),
    )


def _id(value: Any) -> str | None:
    if isinstance(value, str):
        return value if 0 < len(value) <= _LONGEST_ID else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**_LONGEST_ID:
        return str(value)
    return None


def _time(value: Any) -> datetime | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    seconds = whole(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 < seconds <= _LAST_SECOND else None


def _expiry(value: Any) -> Expiry | None:
    return NEVER if whole(value) == 0 else _time(value)


def _granular(value: Any) -> dict[str, frozenset[str] | None]:
    """Read which ids each scope is restricted to; null or absent ``target_ids`` mean all (measured 2026-08-17)."""
    found: dict[str, frozenset[str] | None] = {}
    for row in value if isinstance(value, list) else ():
        if not isinstance(row, dict) or not isinstance(row.get("scope"), str):
            continue
        scope, targets = row["scope"], row.get("target_ids")
        if targets is None or (scope in found and found[scope] is None):
            found[scope] = None
        else:
            ids = [_id(target) for target in (targets if isinstance(targets, list) else [targets])]
            found[scope] = (found.get(scope) or frozenset()) | frozenset(one for one in ids if one is not None)
    return found


def _error(value: Any, secrets: Iterable[Secret]) -> GraphErrorFacts | None:
    if not isinstance(value, dict):
        return None
    subcode = value.get("subcode", value.get("error_subcode"))
    return GraphErrorFacts(whole(value.get("code")), whole(subcode), message_text(value.get("message"), secrets))
