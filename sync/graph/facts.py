"""Read what ``debug_token`` says of a token, whatever the types of its fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sync.core.model import NEVER, Expiry, GraphErrorFacts, TokenFacts
from sync.core.secret import Secret
from sync.graph.answers import message_text, user_text, whole

_ID = re.compile(r"[0-9A-Za-z_.:-]{1,40}")
_NAME = re.compile(r"[0-9A-Za-z_.:-]{1,100}")
"""The form of Meta's names of types and permissions; far longer than any of them."""
_LARGEST_ID = 10**40
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, beyond which Python has no datetime."""


def read_facts(data: Mapping[str, Any], asked_at: datetime, *, secrets: Iterable[Secret]) -> TokenFacts:
    """Read the object ``data``. A field that is absent or of a wrong type is None, so it never counts as valid.

    A name that is not of the form of Meta's names counts as absent: it would be shown, and kept in the state file.
    Ids were numbers until 2017 and are strings today; times may be either. ``expires_at`` 0 means that it never expires.
    """
    scopes = data.get("scopes")
    valid = data.get("is_valid")
    return TokenFacts(
        asked_at=asked_at,
        is_valid=valid if isinstance(valid, bool) else None,
        type=_name(data.get("type")),
        app_id=_id(data.get("app_id")),
        profile_id=_id(data.get("profile_id")),
        user_id=_id(data.get("user_id")),
        scopes=frozenset(name for scope in scopes if (name := _name(scope)) is not None)
        if isinstance(scopes, list)
        else None,
        granular_scopes=_granular(data.get("granular_scopes")),
        expires_at=_expiry(data.get("expires_at")),
        data_access_expires_at=_expiry(data.get("data_access_expires_at")),
        issued_at=_time(data.get("issued_at")),
        error=_error(data.get("error"), secrets),
    )


def absent_field(facts: TokenFacts) -> str | None:
    """Return the field without which the facts are not a whole answer; None where nothing is absent.

    An invalid token needs no other field, and an app's own token is of the wrong type whatever the others are.
    """
    if facts.is_valid is None:
        return "is_valid"
    if not facts.is_valid or facts.type == "APP":
        return None
    of_page = ("profile_id",) if facts.type == "PAGE" else ()
    return next(
        (name for name in ("type", "app_id", *of_page, "scopes", "expires_at") if getattr(facts, name) is None), None
    )


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _id(value: Any) -> str | None:
    if isinstance(value, str):
        return value if _ID.fullmatch(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_ID:
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
        scope = _name(row.get("scope")) if isinstance(row, dict) else None
        if scope is None:
            continue
        targets = row.get("target_ids")
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
    text = user_text(value, secrets) or message_text(value.get("message"), secrets)
    return GraphErrorFacts(whole(value.get("code")), whole(subcode), text)
