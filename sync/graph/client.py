"""Calls to Graph, with their proofs: counted, limited in time, and repeated where that may help."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

from sync.core.memory.quota import QuotaKind
from sync.core.secret import Secret
from sync.graph.answers import Answer, read_answer
from sync.graph.batch import form, read_batch
from sync.graph.caller import Caller
from sync.graph.errors import Where, classify
from sync.graph.fault import Fault
from sync.graph.quotas import Quotas
from sync.graph.retries import RetryTime
from sync.graph.skew import SkewMeter
from sync.graph.usage import APP, BUSINESS, regain_minutes
from sync.http import Http, HttpError, Response
from sync.runtime.threads import Clock

T = TypeVar("T")

_TRIES = 3
_DOWN_AFTER = 3
_REACHED_WITHIN = 15.0
"""Seconds within which Graph answers that nothing was asked for; a person waits for it."""
_ENDPOINTS: Mapping[Where, str] = {
    "page": "pages",
    "batch": "pages",
    "debug": "debug_token",
    "probe": "me",
    "renew": "access_token",
}
"""What a request asked for, as it is counted."""
_BATCH_LIMIT = 8 << 20
_SINGLE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """How Graph is reached. ``timeout``: seconds for one complete answer.

    ``token_in_url`` allows the documented form of ``debug_token``, which has the token in its query.
    """

    base_url: str = "https://graph.facebook.com"
    version: str = "v25.0"
    timeout: float = 60.0
    token_in_url: bool = False


class RequestStats(Protocol):
    """The counts of one cycle: HTTP requests, calls as Meta counts them, the clock skew, and warnings for an operator."""

    requests: int
    calls: int
    outcomes: Counter[tuple[str, ...]]
    calls_by_kind: Counter[tuple[str, ...]]
    skew_meter: SkewMeter

    def warn(self, warning: str) -> None:
        """Record a sentence for an operator; the same sentence twice counts once."""
        ...


class Client:
    """Graph for one cycle. Every method may be called from any thread.

    ``secrets`` are removed from what is shown of Graph's messages. After three requests in a row without an answer Graph
    counts as down for the rest of the cycle. All retries of a cycle together take at most twice the timeout.
    """

    def __init__(
        self,
        http: Http,
        settings: GraphSettings,
        clock: Clock,
        *,
        secrets: Iterable[Secret],
        stats: RequestStats,
        quotas: Quotas,
    ) -> None:
        self.settings = settings
        self._quotas = quotas
        self._reports_outside: set[str] = set()
        self._stats = stats
        self._http = http
        self._clock = clock
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._failures, self._last = 0, ""
        self.retry_time = RetryTime(2 * settings.timeout, clock)
        self._base = f"{settings.base_url.rstrip('/')}/{quote(settings.version, safe='.')}/"

    def reach(self) -> Fault | None:
        """Return why Graph does not answer at all; None where it does. No token is sent, and no quota is used."""
        fault = self._reach()
        return self._reach() if fault is not None else None

    def _reach(self) -> Fault | None:
        got = self._send("GET", self._base, {}, None, self._short, calls=0, kind="app", limit=_SINGLE_LIMIT)
        if isinstance(got, Fault):
            return got
        answer = read_answer(got.status, got.body, secrets=self._secrets)
        # Without a token Graph refuses: that is its answer.
        return None if isinstance(answer, Answer) or answer.kind == "error" else self._completed(answer, got)

    def get(
        self, caller: Caller, path: str, params: Mapping[str, str], where: Where, *, pages: Collection[str] = ()
    ) -> Answer | Fault:
        """Send one GET. The token is in a header; the proof is in the query, where Meta documents it for reads.

        A proof is useless without the token, but it belongs in no log either: URLs are never shown. ``pages`` are the ids of
        the Pages that are asked about.
        """
        query = urlencode({**params, "appsecret_proof": caller.proof.reveal()}, errors="replace")
        headers = {"Authorization": f"Bearer {caller.token.reveal()}"}
        asked_about = [Secret(params["input_token"])] if "input_token" in params else []
        secrets = (*self._secrets, caller.token, caller.proof, *asked_about)
        kind: QuotaKind = "app" if where == "debug" else "system_user" if "/" in path else "page"

        def once(timeout: float) -> Answer | Fault:
            url = f"{self._base}{path}?{query}"
            got = self._send("GET", url, headers, None, timeout, calls=1, kind=kind, limit=_SINGLE_LIMIT)
            if isinstance(got, Fault):
                return got
            self._record_usage(caller, got.headers, calls=int(where == "debug"), pages=pages)
            answer = read_answer(got.status, got.body, secrets=secrets, retry_after=got.headers.get("retry-after"))
            return self._completed(answer, got)

        return self._with_retries(once, where)

    def post(self, caller: Caller, path: str, form: Mapping[str, Secret | str], where: Where) -> Answer | Fault:
        """Send one POST with everything in its body, secrets included; the caller's token and proof are not added.

        It is retried as a read is, so its effect must be harmless if it happens twice.
        """
        fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        body = urlencode(fields, errors="replace").encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secrets = (*self._secrets, *(value for value in form.values() if isinstance(value, Secret)))

        def once(timeout: float) -> Answer | Fault:
            got = self._send(
                "POST", f"{self._base}{path}", headers, body, timeout, calls=1, kind="app", limit=_SINGLE_LIMIT
            )
            if isinstance(got, Fault):
                return got
            self._record_usage(caller, got.headers, calls=0, pages=())
            answer = read_answer(got.status, got.body, secrets=secrets, retry_after=got.headers.get("retry-after"))
            return self._completed(answer, got)

        return self._with_retries(once, where)

    def batch(
        self,
        caller: Caller,
        relative_urls: Sequence[str],
        where: Where,
        secrets: Iterable[Secret] = (),
        *,
        pages: Collection[str] = (),
    ) -> list[Answer | Fault] | Fault:
        """Send up to fifty GETs in the body of one POST; ``secrets`` are what Graph might quote from the items.

        ``pages`` are the ids of the Pages that are asked about. Return a Fault where the whole batch failed; items that failed
        are in the list, and no item is retried here. The headers of each item are requested until the headers of a whole
        answer have reported the app's use.
        """
        inside = where != "debug" or caller.app_id not in self._reports_outside
        auth = {"access_token": caller.token.reveal(), "appsecret_proof": caller.proof.reveal()}
        body = form(relative_urls, auth, headers=inside)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        known = (*self._secrets, caller.token, caller.proof, *secrets)
        count, each = len(relative_urls), int(where == "debug")
        kind: QuotaKind = "app" if where == "debug" else "page"

        def once(timeout: float) -> list[Answer | Fault] | Fault:
            got = self._send("POST", self._base, headers, body, timeout, calls=count, kind=kind, limit=_BATCH_LIMIT)
            if isinstance(got, Fault):
                return got
            items: list[Mapping[str, str]] = []
            wait = got.headers.get("retry-after")
            answers = read_batch(got.status, got.body, count, secrets=known, retry_after=wait, record=items.append)
            reported = any(items)
            for item in items if reported else ():
                self._record_usage(caller, item, calls=each, pages=pages)
            if where == "debug" and APP in got.headers:
                self._reports_outside.add(caller.app_id)
            self._record_usage(caller, got.headers, calls=0 if reported else each * count, pages=pages)
            return self._completed(answers, got)

        return self._with_retries(once, where)

    def _record_usage(self, caller: Caller, headers: Mapping[str, str], *, calls: int, pages: Collection[str]) -> None:
        """Record what headers report of the quotas; ``calls`` are those that count on the app's own."""
        if calls or APP in headers:
            self._quotas.record_app_usage(caller.app_quota, headers.get(APP), calls)
        if BUSINESS in headers:
            self._quotas.record_business_usage(caller, headers[BUSINESS], pages)

    def _with_retries(self, once: Callable[[float], T | Fault], where: Where) -> T | Fault:
        def counted(timeout: float) -> T | Fault:
            found = once(timeout)
            self._count(found, where)
            return found

        got = counted(self.settings.timeout)
        for turn in range(1, _TRIES):
            if not isinstance(got, Fault) or self._is_down() or classify(got, where).then != "retry":
                return got
            again = self.retry_time.retry(lambda left: counted(min(self.settings.timeout, left)), turn=turn)
            if again is None:
                return got
            got = again
        return got

    def _count(self, found: object, where: Where) -> None:
        """Count how a request ended; one that was not sent is none."""
        if not isinstance(found, Fault):
            outcome = "ok"
        elif found.kind == "down":
            return
        elif found.kind == "transport":
            outcome = found.transport
        else:
            outcome = "throttled" if classify(found, where).problem == "throttled" else "error"
        with self._lock:
            self._stats.outcomes[_ENDPOINTS[where], outcome] += 1

    def _is_down(self) -> bool:
        with self._lock:
            return self._failures >= _DOWN_AFTER

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        *,
        calls: int,
        kind: QuotaKind,
        limit: int,
    ) -> Response | Fault:
        self._clock.check()
        with self._lock:
            if self._failures >= _DOWN_AFTER:
                return Fault("down", transport=self._last, address=self._address, via=self.via)
            self._stats.requests += 1
            self._stats.calls += calls
            self._stats.calls_by_kind[(kind,)] += calls
        try:
            response = self._http.request(method, url, headers=headers, body=body, timeout=timeout, limit=limit)
        except HttpError as error:
            fault = Fault("transport", transport=error.kind, detail=error.detail, address=self._address, via=self.via)
        else:
            with self._lock:
                self._failures = 0
                self._stats.skew_meter.record(response.headers.get("date"), self._clock.now())
            self._check_version(response)
            return response
        self._clock.check()
        if fault.transport != "bad-request":  # it never left this machine, so Graph may be up
            with self._lock:
                self._failures += 1
                self._last = fault.transport
        return fault

    def _completed(self, answer: T | Fault, response: Response) -> T | Fault:
        """Return a Fault with the address, and with the minutes until the quota opens again where the headers state them."""
        if not isinstance(answer, Fault):
            return answer
        regain = regain_minutes(response.headers[BUSINESS]) if BUSINESS in response.headers else None
        return replace(answer, regain=regain, address=self._address, via=self.via)

    @property
    def _address(self) -> str:
        return self._base.rstrip("/")

    def issuer(self) -> str:
        """Return who issued Graph's certificate, trusted or not; "" where that is not known."""
        return self._http.issuer(self._base, timeout=self._short)

    @property
    def _short(self) -> float:
        return min(self.settings.timeout, _REACHED_WITHIN)

    @property
    def via(self) -> str:
        """The proxy that requests go through, without its password; "" where there is none."""
        return self._http.via(self._base)

    def _check_version(self, response: Response) -> None:
        served = response.headers.get("facebook-api-version", "")
        if not served or served == self.settings.version:
            return
        shown = served if served.replace(".", "").isalnum() and len(served) <= 10 else "another version"  # noqa: PLR2004 - longer than any version
        self._stats.warn(f"Graph served {shown} where graph.version asks for {self.settings.version}.")
