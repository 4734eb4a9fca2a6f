"""Marks as the flat map of strings that every store keeps them as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sync.core.model import Marks

MANAGED_BY = "page-token-sync"
ROLLBACK, ROLLBACK_BEGUN = "rollback", "rollback-begun"
"""The reasons of marks that hold a secret: the token that they name is current, or is to become current."""
_LABEL = "label."
_EARLIER = frozenset({"parent"})
"""Names that early versions wrote; what they say is not read, and each is removed with the next marks."""
_NONE: Mapping[str, str] = {}
"""Shared by the marks of all secrets without labels."""


def to_map(marks: Marks) -> dict[str, str | None]:
    """Return every mark by its key; None where a stored mark of that key is to be removed."""
    return {
        "managed-by": MANAGED_BY,
        "instance": marks.instance,
        "page-id": marks.page_id,
        "app-id": marks.app_id,
        "system-user-id": marks.system_user_id,
        "fingerprint": marks.fingerprint,
        "system-user-fingerprint": marks.system_user_fingerprint,
        "written-at": marks.written_at or None,
        "reason": marks.reason or None,
        "hold": marks.hold,
        **{_LABEL + key: value for key, value in marks.labels.items()},
    }


def present(marks: Marks) -> dict[str, str]:
    """Return the marks that have a value, as a store that writes the whole map wants them."""
    return {key: value for key, value in to_map(marks).items() if value is not None}


def patch(marks: Marks, stored: Mapping[str, str]) -> dict[str, str | None]:
    """Return the merge patch from the stored map to the wanted marks: None removes a mark, and other tools' keys are left out."""
    wanted = to_map(marks)
    removed = {key: None for key in stored if key in _EARLIER or (key.startswith(_LABEL) and key not in wanted)}
    return {**{key: value for key, value in wanted.items() if stored.get(key) != value}, **removed}


def moment(now: datetime) -> str:
    """Return a moment as marks hold it: RFC 3339 in UTC, to the second."""
    return f"{now:%Y-%m-%dT%H:%M:%SZ}"


def owner(marks: Marks | None) -> tuple[str, str] | None:
    """Return whose a secret is by its marks: the instance and the Page's id; None where it has no marks."""
    return (marks.instance, marks.page_id) if marks is not None else None


def same_marks(one: Marks | None, other: Marks | None) -> bool:
    """Check whether marks are equal, apart from when and why they were written."""
    if one is None or other is None:
        return one is other
    return replace(one, written_at="", reason="") == replace(other, written_at="", reason="")


def same_owner_and_hold(one: Marks | None, other: Marks | None) -> bool:
    """Check whether a secret is still the same owner's, and held or not as before: what a decision to mark it is based on."""
    return owner(one) == owner(other) and (one.hold if one else None) == (other.hold if other else None)


def would_release(stored: Marks | None, wanted: Marks) -> bool:
    """Check whether wanted marks would end the hold of a rollback, which a write that was decided on before it must not."""
    return stored is not None and stored.hold is not None and wanted.hold is None


def from_map(stored: Mapping[str, str] | None) -> Marks | None:
    """Read marks; None where ``managed-by`` names another program or none. Missing keys are empty, and so match nothing that is wanted."""
    if not stored or stored.get("managed-by") != MANAGED_BY:
        return None
    return Marks(
        instance=stored.get("instance", ""),
        page_id=stored.get("page-id", ""),
        app_id=stored.get("app-id", ""),
        fingerprint=stored.get("fingerprint", ""),
        system_user_id=stored.get("system-user-id"),
        system_user_fingerprint=stored.get("system-user-fingerprint"),
        written_at=stored.get("written-at", ""),
        reason=stored.get("reason", ""),
        hold=stored.get("hold"),
        labels={key.removeprefix(_LABEL): value for key, value in stored.items() if key.startswith(_LABEL)} or _NONE,
    )
