"""Requests to one Vault: headers, JSON, the index that makes reads follow writes, and retries."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from sync.core.json_text import dump, fits, load
from sync.core.model import StoreError
from sync.core.secret import Secret
from sync.http import Http, HttpError, Response
from sync.runtime.threads import Clock
from sync.stores.vault.answers import Again, Answer, Call, Trouble, error, judge, judge_page, judge_redirect
from sync.stores.vault.failures import lost, through
from sync.stores.vault.listing import DetailedListing
from sync.stores.vault.settings import VaultSettings

_FORWARD = "forward-active-node"
_CATCH_UP = 5.0
"""Seconds; a standby's lag was measured at up to 0.44 s (OpenBao 2.7.2, three nodes, 2026-11)."""
_CONNECT_TRIES = 3
_INDEX = re.compile(r"[!-~]{1,4096}")


class Wire:
    """Sends requests to one server, from any number of threads.

    A standby may answer from an old copy. So each answer's X-Vault-Index is kept and sent with the next request, and
    X-Vault-Inconsistent asks a node that is behind it to forward the request to the active node.
    """

    def __init__(self, settings: VaultSettings, http: Callable[[], Http], clock: Clock) -> None:
        self._base = settings.address.rstrip("/") + "/v1/"
        self._namespace = settings.namespace
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._index: str | None = None
        self.forwards = True
        """Whether the server accepts the header that makes it forward a read to the active node."""
        self._down: StoreError | None = None
        self.requests = 0
        self.outcomes: Counter[tuple[str, ...]] = Counter()

    def begin(self, trouble: StoreError | None) -> None:
        """Start a cycle: clear the failure of the last one. With ``trouble`` no request is sent, and it is every answer."""
        self._down = trouble

    def ask(self, call: Call, token: Secret | None, end: float, *, between_cycles: bool = False) -> Answer | Trouble:
        """Send a request, and again until there is an answer, a retry cannot help, or ``end`` (monotonic) has come.

        A failure of the store as a whole is kept: later requests of the cycle get it at once, but for one ``between_cycles``.
        """
        waits = _Waits(self._clock, end)
        cause: StoreError | None = None
        while True:
            if self._down is not None and not between_cycles:
                return Trouble(self._down)
            found = self._once(call, token, end)
            if isinstance(found, Answer):
                return found
            if cause is not None and found.error.error_code in ("timeout", "unreachable"):
                # The cause of the retries says more than that the time ran out, or that one node of many is down.
                found = replace(found, error=replace(cause, maybe_written=found.error.maybe_written))
            elif found.again in ("throttled", "no-leader", "soon"):
                cause = found.error
            if not waits.again(found.again):
                if found.again == "soon":
                    self._index = None  # after a restore from a snapshot no node reaches the old index
                if found.error.whole and not between_cycles and not self._in_doubt(found.error):
                    self._down = self._remembered(found.error)
                return found

    @staticmethod
    def _in_doubt(trouble: StoreError) -> bool:
        """Check whether a write may have taken effect, so that the read that settles it must still be sent."""
        return trouble.maybe_written and trouble.error_code != "timeout"

    @staticmethod
    def _remembered(trouble: StoreError) -> StoreError:
        return StoreError(trouble.error_code, trouble.message, trouble.remedy, whole=True)

    def _once(self, call: Call, token: Secret | None, end: float) -> Answer | Trouble:
        left = end - self._clock.monotonic()
        if left <= 0:
            return Trouble(error("timeout"))
        with self._lock:
            self.requests += 1
        found = self._send(call, token, left)
        with self._lock:
            self.outcomes[_operation(call), _outcome(found)] += 1
        return found

    def _send(self, call: Call, token: Secret | None, left: float) -> Answer | Trouble:
        with self._lock:
            index, forwards = self._index, self.forwards
        listing = DetailedListing() if call.listing else None
        try:
            response = self._http().request(
                call.method,
                self._base + call.path,
                headers=self._headers(call, token, index, forwards=forwards),
                body=None if call.body is None else dump(call.body).encode(),
                timeout=left,
                limit=call.limit,
                sink=listing.feed if listing is not None else None,
            )
        except HttpError as failure:
            self._clock.check()
            return through(lost(call, failure), self._http().via(self._base))
        self._remember(response.headers.get("x-vault-index"))
        answer = _parsed(call, response, self._base, listing)
        if (
            isinstance(answer, Answer)
            and answer.status == HTTPStatus.BAD_REQUEST
            and self._headers_refused(answer.text, index)
        ):
            return Trouble(error("unexpected", whole=False), "soon")
        return judge(call, answer) if isinstance(answer, Answer) else through(answer, self._http().via(self._base))

    def _headers(self, call: Call, token: Secret | None, index: str | None, *, forwards: bool) -> dict[str, str]:
        headers = {"X-Vault-Request": "true"}
        namespace = self._namespace if call.namespace is None else call.namespace
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        if index is not None:
            headers["X-Vault-Index"] = index
            if forwards:
                headers["X-Vault-Inconsistent"] = _FORWARD
        return headers

    def _remember(self, index: str | None) -> None:
        """Keep the newest index: answers come in any order, and an older one must not replace it.

        One that no header can carry is dropped, since every later request would fail with it.
        """
        if index is None or not _INDEX.fullmatch(index):
            return
        with self._lock:
            if self._index is None or (index != self._index and _position(index) >= _position(self._index)):
                self._index = index

    def _headers_refused(self, text: str, index: str | None) -> bool:
        """Stop sending the header that the server rejects; a 400 about anything else is an answer."""
        if index is None:
            return False
        lower = text.lower()
        if self.forwards and ("x-vault-inconsistent" in lower or "forward" in lower):
            self.forwards = False
            return True
        if "x-vault-index" in lower:
            self._index = None
            return True
        return False


class _Waits:
    """The pauses between the tries of one call; each kind of failure has its own backoff and limit."""

    def __init__(self, clock: Clock, end: float) -> None:
        self._clock = clock
        self._end = end
        self._started = clock.monotonic()
        self._tries = 0
        self._in_a_row = 0

    def again(self, kind: Again) -> bool:
        """Pause before the next try; False if a retry cannot help or would be too late."""
        self._tries += 1
        # A failed connection between other answers is one node's that is down; the next try may reach another node.
        self._in_a_row = self._in_a_row + 1 if kind == "connect" else 0
        step = 2.0 ** (self._tries - 1)
        match kind:
            case "never":
                return False
            case "soon":
                pause, end = min(0.05 * step, 0.5), min(self._end, self._started + _CATCH_UP)
            case "no-leader":
                pause, end = min(0.25 * step, 2.0), self._end
            case "throttled":
                pause, end = random.uniform(0.1, min(0.5 * step, 8.0)), self._end
            case "connect":
                pause, end = min(0.25 * step, 2.0), self._end if self._in_a_row < _CONNECT_TRIES else 0.0
        if self._clock.monotonic() + pause >= end:
            return False
        self._clock.sleep(pause)
        return True


def _operation(call: Call) -> str:
    """Return what a request does, as it is counted: a login, or what it needs a right for."""
    if call.path.startswith("auth/") and not call.path.startswith("auth/token/"):
        return "login"
    return call.needs or "other"


def _outcome(found: Answer | Trouble) -> str:
    if isinstance(found, Trouble):
        return found.error.error_code
    if found.status == HTTPStatus.NOT_FOUND:
        return "not-found"
    return "ok" if found.status < HTTPStatus.BAD_REQUEST else "refused"


def _position(index: str) -> tuple[str, int]:
    """Parse OpenBao's index, base64 of ``{"cluster": ID, "value": "37"}``; an index of another form counts as the newest."""
    try:
        value: Any = json.loads(base64.b64decode(index, validate=True))
        return "", int(value["value"])
    except (ValueError, binascii.Error, TypeError, KeyError, OverflowError, RecursionError):
        return "unknown", 0


def _parsed(call: Call, response: Response, address: str, listing: DetailedListing | None = None) -> Answer | Trouble:
    """Return Vault's own answer; everything else is the trouble that it stands for, and never an absence."""
    status, kind = response.status, response.headers.get("content-type", "").lower()
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return judge_redirect(status, response.headers.get("location", ""), address)
    if listing is not None and status == HTTPStatus.OK:
        try:
            return Answer(status, {"data": {"key_info": listing.finish()}})
        except ValueError:
            return Trouble(error("unreadable", whole=False))
    body = response.body.strip()
    # To a PATCH of a secret that it does not have, Vault answers an empty 404 (OpenBao 2.7.2).
    if not body and (
        status == HTTPStatus.NO_CONTENT
        or (call.method == "PATCH" and status == HTTPStatus.NOT_FOUND and "application/json" in kind)
    ):
        return Answer(status)
    try:
        value = load(body) if fits(body) else None
    except (ValueError, RecursionError):
        value = None
    answer = Answer(status, value) if isinstance(value, dict) and isinstance(value.get("data"), dict | None) else None
    if answer is not None and answer.is_vaults:
        return answer
    return judge_page(call, status, body, json="json" in kind, parsed=answer is not None)
