"""A checker without a configuration, for tests of what stands before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from queue import Queue

from sync.core.report.check import CheckedPage, CheckedSecret, Fingerprints
from sync.core.secret import CredentialError, Secret
from sync.ops.check import PATIENCE, Answer, Checks, Refusal


class FakeChecker:
    """Checks Pages by a function of the test; ``batches`` has the names of each batch when it begins."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.work = work
        self.batches: Queue[list[str]] = Queue()
        self.expected: Secret | CredentialError | None = None
        self.refused: dict[str, Refusal] = {}

    def token(self) -> Secret | CredentialError | None:
        """Return the token that whoever asks must have."""
        return self.expected

    def refusal(self, page: str) -> Refusal | None:
        """Return why a Page cannot be checked."""
        return self.refused.get(page)

    def fingerprints(self, page: str) -> Fingerprints:
        """Return nothing: all is new."""
        return {}

    def check(self, pages: Mapping[str, Fingerprints]) -> Mapping[str, CheckedPage | Refusal]:
        """Check Pages."""
        self.batches.put(list(pages))
        self.work()
        return {name: CheckedPage(name, (CheckedSecret("vault", "verified", "abc", True),)) for name in pages}


def waited(checks: Checks, page: str, patience: float = PATIENCE) -> Answer:
    """Ask for a check of a Page, wait for it so many seconds at most, and return what is answered."""
    asked = checks.ask(page)
    if isinstance(asked, Future):
        wait([asked], timeout=patience)
    return checks.answer(page, asked)
