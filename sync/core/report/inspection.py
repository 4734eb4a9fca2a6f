"""What ``check`` answers about one Page: what each of its secrets holds, since when, and whether it works. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sync.core.model import Expiry, Key, Marks, Stored, StoreError, Version
from sync.core.plan.model import PagePlan
from sync.core.report.build import page_entry
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.json import page_json, store_json, timestamp

Works = Literal["yes", "no", "unknown"]
"""Whether applications can work with what a secret holds."""
Match = Literal["current", "earlier", "not-current", "unknown"]
"""What a fingerprint is to a secret. "unknown": no version that the store keeps holds it; "not-current": earlier versions could not be compared."""

_BEST_FIRST: Sequence[Match] = ("current", "earlier", "not-current", "unknown")
_WRONG = ("broken", "absent", "foreign")


@dataclass(frozen=True, slots=True)
class InspectedSecret:
    """One secret of the Page; ``match`` is None where no fingerprint was given, or the secret could not be read.

    ``matched_version`` is the earlier version that holds the token asked about, where the store keeps one.
    """

    entry: StoreEntry
    marks: Marks | None
    match: Match | None = None
    expires_at: Expiry | None = None
    matched_version: Version | None = None

    @property
    def works(self) -> Works:
        """Whether applications can work with the stored token; one of another owner is not judged."""
        if self.refused or self.entry.served in ("broken", "absent"):
            return "no"
        return "yes" if self.entry.served == "verified" else "unknown"

    @property
    def refused(self) -> bool:
        """Whether Graph refuses the stored token itself, though debug_token calls it valid."""
        return any(notice.code == "probe-failed" for notice in self.entry.notices)

    @property
    def is_marked(self) -> bool:
        """Whether the marks are those of the token that is stored now."""
        return self.marks is not None and self.marks.fingerprint in ("", self.entry.fingerprint)


@dataclass(frozen=True, slots=True)
class Inspection:
    """One Page as it is now. ``fingerprint`` is that of a token which a person asked about."""

    page: PageEntry
    secrets: tuple[InspectedSecret, ...]
    checked_at: datetime
    fingerprint: str | None = None

    @property
    def works(self) -> Works:
        """Whether all secrets work: "no" where one does not, and "unknown" where that could not be found out."""
        found = {secret.works for secret in self.secrets}
        return "no" if "no" in found else "unknown" if "unknown" in found else "yes"

    @property
    def match(self) -> Match | None:
        """The best of what the fingerprint is to the secrets."""
        found = {secret.match for secret in self.secrets}
        return next((match for match in _BEST_FIRST if match in found), None)

    @property
    def exit_code(self) -> int:
        """Return 0 where all secrets work, nothing has a problem, and the fingerprint is a current one.

        Otherwise 1, and 3 where it could not be found out.
        """
        if any(secret.refused or secret.entry.served in _WRONG for secret in self.secrets):
            return 1
        if self.works == "unknown":
            return 3
        has_problem = bool(self.page.problems) or any(secret.entry.problems for secret in self.secrets)
        return int(has_problem or (self.fingerprint is not None and self.match != "current"))


def inspection(
    plan: PagePlan,
    *,
    instance: str,
    now: datetime,
    fingerprint: str | None = None,
    earlier: Mapping[Key, Mapping[str, Version]] | None = None,
) -> Inspection:
    """Return what is known of a Page. ``earlier`` are the versions that a store keeps by fingerprint, of the secrets where they are known."""
    page = page_entry(plan, None, instance)
    current = {target.key: target.current for target in plan.targets}
    secrets = []
    for entry in page.stores:
        content, facts = current[entry.key].content, current[entry.key].verdict.facts
        marks = content.marks if isinstance(content, Stored) else None
        read = not isinstance(content, StoreError)
        kept = (earlier or {}).get(entry.key)
        match = _match(fingerprint, entry, marks, kept) if fingerprint and read else None
        version = (kept or {}).get(fingerprint) if fingerprint and match == "earlier" else None
        secrets.append(InspectedSecret(entry, marks, match, facts.expires_at if facts else None, version))
    return Inspection(page, tuple(secrets), now, fingerprint)


def _match(fingerprint: str, entry: StoreEntry, marks: Marks | None, earlier: Mapping[str, Version] | None) -> Match:
    if fingerprint == entry.fingerprint:
        return "current"
    # The marks name the last token that this program wrote, which somebody else may have replaced since.
    if fingerprint in (*(earlier or ()), marks.fingerprint if marks else None):
        return "earlier"
    return "not-current" if earlier is None else "unknown"


def as_json(found: Inspection) -> dict[str, Any]:
    """Return the answer in its documented JSON shape: the report's entry of the Page, with what ``check`` adds."""
    return {
        "format": 1,
        "checked_at": timestamp(found.checked_at),
        "works": found.works,
        "asked_fingerprint": found.fingerprint,
        "match": found.match,
        **page_json(found.page),
        "stores": [_secret_json(secret) for secret in found.secrets],
    }


def _secret_json(secret: InspectedSecret) -> dict[str, Any]:
    marks = secret.marks
    return {
        **store_json(secret.entry),
        "works": secret.works,
        "match": secret.match,
        "matched_version": secret.matched_version,
        "expires_at": timestamp(secret.expires_at) if isinstance(secret.expires_at, datetime) else None,
        "instance": (marks.instance or None) if marks else None,
        "written_at": (marks.written_at or None) if marks else None,
        "written_reason": (marks.reason or None) if marks else None,
        "written_fingerprint": (marks.fingerprint or None) if marks else None,
    }
