"""The gate before the checks that apps ask for: how many there are in a minute, and one check for all who ask at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol

from sync.core.report.check import CheckedPage, Fingerprints
from sync.core.secret import CredentialError, Secret
from sync.ops.turns import Turns
from sync.runtime.threads import Clock, NoThreadError, Stopping, started

MINUTE = 60.0
"""Seconds in which a Page is checked once at most."""
MOST_A_MINUTE = 50
"""How many Pages are checked in a minute at most: as many as one batch of Graph calls holds."""
PATIENCE = 10.0
"""Seconds after which whoever asked gets an answer, even where the check goes on."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Page is not checked now, as an HTTP status and a sentence."""

    status: int
    reason: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request for a check: an HTTP status, the JSON of its body, and seconds for ``Retry-After``."""

    status: int
    body: Mapping[str, Any]
    retry_after: int | None = None


class Checker(Protocol):
    """What checks Pages: a configuration that runs cycles."""

    def token(self) -> Secret | CredentialError | None:
        """Return the token that whoever asks must have; None where none is configured, so that nobody may ask."""
        ...

    def refusal(self, page: str) -> Refusal | None:
        """Return why a Page cannot be checked: it is not configured, or Meta's quota is used up; None where it can."""
        ...

    def fingerprints(self, page: str) -> Fingerprints:
        """Return what the Page's secrets hold, as far as is known."""
        ...

    def check(self, pages: Mapping[str, Fingerprints]) -> Mapping[str, CheckedPage | Refusal]:
        """Check Pages and heal their secrets; each of them is in the answer. ``pages`` has what their secrets held before.

        Raises nothing but Stopping.
        """
        ...


@dataclass
class Gate:
    """Counts the checks of the last minute. Times are of the monotonic clock."""

    admitted: dict[str, float] = field(default_factory=dict)

    def admit(self, page: str, now: float) -> float:
        """Count a check of a Page and return 0, or return the seconds after which one is possible again."""
        self.admitted = {name: at for name, at in self.admitted.items() if now - at < MINUTE}
        left = self.left(page, now)
        if not left and len(self.admitted) >= MOST_A_MINUTE:
            left = min(self.admitted.values()) + MINUTE - now
        if not left:
            self.admitted[page] = now
        return left

    def left(self, page: str, now: float) -> float:
        """Return the seconds until this Page may be checked again."""
        return max(self.admitted.get(page, now - MINUTE) + MINUTE - now, 0)


Asked = Future[CheckedPage | Refusal]


class Checks:
    """Has Pages checked one batch after the other, in a thread that exists only while there is something to check.

    Whoever asks about a Page that is being checked already shares that check. A check goes on when nobody waits for it.
    """

    def __init__(self, checker: Checker, *, turns: Turns, clock: Clock) -> None:
        self._checker = checker
        self._turns = turns
        self._clock = clock
        self._lock = threading.Lock()
        self._gate = Gate()
        self._asked: dict[str, Asked] = {}
        self._pending: dict[str, Fingerprints] = {}
        self._works = False

    def token(self) -> Secret | CredentialError | None:
        """Return the token that whoever asks must have; None where nobody may ask."""
        return self._checker.token()

    def ask(self, page: str) -> Asked | Refusal:
        """Ask for a check of a Page; return at once, with what will have its result or with why there is no check."""
        try:
            self._clock.check()
        except Stopping:
            return _STOPPING
        refusal = self._checker.refusal(page)
        before = self._checker.fingerprints(page) if refusal is None else {}
        with self._lock:
            if page in self._asked:
                return self._asked[page]
            if refusal is not None:
                return refusal
            left = self._gate.admit(page, self._clock.monotonic())
            if left:
                return Refusal(429, "This Page, or too many Pages, were checked within the last minute.", ceil(left))
            asked: Asked = Future()
            # From here on a client that gives up cannot cancel it.
            asked.set_running_or_notify_cancel()
            self._asked[page], self._pending[page] = asked, before
            if not self._works:
                try:
                    started(self._work, name="check")
                except NoThreadError:
                    del self._asked[page], self._pending[page]
                    return Refusal(503, "The machine allows no further thread.", ceil(PATIENCE))
                self._works = True
            return asked

    def answer(self, page: str, asked: Asked | Refusal) -> Answer:
        """Return what to answer now."""
        if isinstance(asked, Refusal):
            return _refused(page, asked)
        if not asked.done():
            retry_after = ceil(PATIENCE)
            return Answer(202, {"page": page, "retry_after": retry_after}, retry_after)
        found = asked.result()
        if isinstance(found, Refusal):
            return _refused(page, found)
        with self._lock:
            retry_after = ceil(self._gate.left(page, self._clock.monotonic()))
        return Answer(200, {**found.as_json(), "retry_after": retry_after})

    def _work(self) -> None:
        while True:
            try:
                with self._turns.check(self._clock):
                    pages = self._next_batch()
                    found = self._checker.check(pages) if pages else {}
            except Stopping:
                # No further one is admitted, since whoever asks now finds that the daemon stops.
                with self._lock:
                    found = dict.fromkeys(self._asked, _STOPPING)
            if not self._resolved(found):
                return

    def _next_batch(self) -> Mapping[str, Fingerprints]:
        with self._lock:
            pages, self._pending = self._pending, {}
            return pages

    def _resolved(self, found: Mapping[str, CheckedPage | Refusal]) -> bool:
        """Pass the results on to all who wait for them; return whether more was asked for meanwhile."""
        with self._lock:
            asked = {page: self._asked.pop(page) for page in found}
            self._pending = {page: before for page, before in self._pending.items() if page in self._asked}
            self._works = bool(self._pending)
            more = self._works
        for page, one in asked.items():
            one.set_result(found[page])
        return more


_STOPPING = Refusal(503, "The daemon is shutting down.")


def _refused(page: str, refusal: Refusal) -> Answer:
    body: dict[str, Any] = {"page": page, "reason": refusal.reason}
    if refusal.retry_after is not None:
        body["retry_after"] = refusal.retry_after
    return Answer(refusal.status, body, refusal.retry_after)
