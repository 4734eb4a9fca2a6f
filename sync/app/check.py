"""Check Pages between two cycles: judge their stored tokens now, heal them, log it, and remember it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ulid import ULID

from sync.app.app import App
from sync.core.report.check import CheckedPage, Fingerprints, checked_page, fingerprints
from sync.core.report.event import Event, EventLog
from sync.core.report.events import check_events
from sync.core.secret import CredentialError, Secret
from sync.cycle.task import attempt
from sync.ops.check import Refusal
from sync.ops.status import DaemonStatus
from sync.runtime.threads import Clock


@dataclass(frozen=True)
class AppChecker:
    """Checks Pages of the configuration in force, which ``app`` returns. A check runs while no cycle does."""

    app: Callable[[], App]
    status: DaemonStatus
    log: EventLog
    clock: Clock

    def token(self) -> Secret | CredentialError | None:
        """Return the token that whoever asks must have; None where the configuration has none."""
        return self.app().web_token

    def refusal(self, page: str) -> Refusal | None:
        """Return why a Page cannot be checked now."""
        app = self.app()
        if not app.has_page(page):
            return _UNKNOWN
        until = app.quota_closed_until(page)
        if until is None:
            return None
        seconds = max(round((until - self.clock.now()).total_seconds()), 1)
        return Refusal(429, "Meta's quota of this app is used up.", seconds)

    def fingerprints(self, page: str) -> Fingerprints:
        """Return what the last report knows of the Page's secrets."""
        return fingerprints(self.status.snapshot.report, page)

    def check(self, pages: Mapping[str, Fingerprints]) -> Mapping[str, CheckedPage | Refusal]:
        """Check Pages; a bug of this program is logged, and ends no thread."""
        self.status.cycle_started()
        try:
            found = attempt(lambda: self._check(pages), self._bug)
        finally:
            self.status.cycle_finished()
        return {page: found.get(page, _UNKNOWN) for page in pages} if found is not None else dict.fromkeys(pages, _BUG)

    def _check(self, pages: Mapping[str, Fingerprints]) -> Mapping[str, CheckedPage]:
        app, cycle = self.app(), str(ULID())
        report = app.check(pages, cycle=cycle)
        if report is None:
            return {}
        for event in check_events(report):
            self.log.write(event, cycle=cycle)
        self.status.checked(report)
        app.announce(report, is_check=True)
        app.logged()
        return {page.name: checked_page(page, pages[page.name]) for page in report.pages}

    def _bug(self, where: str) -> None:
        message = f"Internal error (a bug in page-token-sync): {where}. Please report it with this line."
        self.log.write(Event("error", "cycle_warning", {"message": message}))


_UNKNOWN = Refusal(404, "The configuration has no Page of this name.")
_BUG = Refusal(500, "Internal error: see the daemon's log.")
