"""What a check of some Pages between two cycles found: for the app that asked, and as part of the last report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.core.judge.decide import Kind
from sync.core.model import Key
from sync.core.plan.served import Served
from sync.core.report.entries import WORST_FIRST, PageEntry
from sync.core.report.report import Report

Fingerprints = Mapping[Key, str | None]
"""The fingerprint of the token that each secret of a Page holds; None where none is known."""


@dataclass(frozen=True, slots=True)
class CheckedSecret:
    """What one secret of a checked Page holds; ``changed``: another token than before."""

    store: str
    served: Served
    fingerprint: str | None
    changed: bool


@dataclass(frozen=True, slots=True)
class CheckedPage:
    """What a check found of one Page, secret by secret."""

    page: str
    secrets: tuple[CheckedSecret, ...]

    @property
    def worst(self) -> CheckedSecret:
        """The secret that stands for the Page: the one that serves the worst."""
        return min(self.secrets, key=lambda secret: WORST_FIRST.index(secret.served))

    def as_json(self) -> dict[str, Any]:
        """Return the answer to the app that asked."""
        return {
            "page": self.page,
            "served": self.worst.served,
            "fingerprint": self.worst.fingerprint,
            "changed": any(secret.changed for secret in self.secrets),
            "stores": [
                {
                    "store": secret.store,
                    "served": secret.served,
                    "fingerprint": secret.fingerprint,
                    "changed": secret.changed,
                }
                for secret in self.secrets
            ],
        }


def fingerprints(report: Report | None, page: str) -> Fingerprints:
    """Return what the secrets of a Page held by a report; nothing where it has no such Page."""
    entries = (entry for one in (report.pages if report else ()) if one.name == page for entry in one.stores)
    return {entry.key: entry.fingerprint for entry in entries}


def checked_page(page: PageEntry, before: Fingerprints) -> CheckedPage:
    """Return what a check found of a Page whose secrets held ``before``. A secret that could not be read has not changed."""
    return CheckedPage(
        page.name,
        tuple(
            CheckedSecret(
                entry.key.store,
                entry.served,
                entry.fingerprint,
                entry.fingerprint is not None and entry.fingerprint != before.get(entry.key),
            )
            for entry in page.stores
        ),
    )


def with_check(report: Report, check: Report) -> Report:
    """Return the last cycle's report with what a check found since of some of its Pages and of the system users.

    The cycle's times, traffic and orphans stay. The checksum of its plan stays while the held writes of these Pages do.
    """
    found = {page.name: page for page in check.pages}
    user_tokens = {user_token.system_user: user_token for user_token in check.user_tokens}
    before = [page for page in report.pages if page.name in found]
    return replace(
        report,
        frame=replace(report.frame, alarms=check.frame.alarms),
        pages=tuple(found.get(page.name, page) for page in report.pages),
        user_tokens=tuple(user_tokens.get(one.system_user, one) for one in report.user_tokens),
        checksum=report.checksum if _held(before) == _held(check.pages) else None,
        reached=report.reached or check.reached,
        changes=replace(report.changes, reported=check.changes.reported),
        known_causes=None,
    )


def _held(pages: tuple[PageEntry, ...] | list[PageEntry]) -> Mapping[Key, object]:
    return {
        entry.key: (entry.reason, entry.would) for page in pages for entry in page.stores if entry.action is Kind.HELD
    }
