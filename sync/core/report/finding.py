"""What an examination of one dependency found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sync.core.problems import Owner

Status = Literal["ok", "warn", "fail", "unknown", "skipped"]
"""How an examination ended. "unknown": it could not be found out; "skipped": nothing is said, because of another result."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found.

    ``id`` is stable and names what is examined, such as ``store-login``; ``subject`` is of what: the name of a Page, store, app or
    system user, and "" for this process and for Graph. ``message`` is a sentence. ``owner`` and ``remedy`` are "" where the status
    is "ok". ``because`` is the id and subject of the result for which this was skipped, as ``store-login vault``.
    """

    id: str
    subject: str
    status: Status
    message: str
    owner: Owner | Literal[""] = ""
    remedy: str = ""
    because: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the finding as ``doctor --output json`` prints it."""
        return {
            "id": self.id,
            "subject": self.subject,
            "status": self.status,
            "message": self.message,
            "owner": self.owner or None,
            "remedy": self.remedy or None,
            "because": self.because or None,
        }


def skipped_check(check: str, subject: str, because: Finding) -> Finding:
    """Return that a check says nothing because of another one's result, or of what that one was skipped for itself."""
    root = because.because or f"{because.id} {because.subject}".rstrip()
    return Finding(check, subject, "skipped", f"Not examined, because {root} is not ok.", because=root)
