"""Calls to Graph, with their proofs, counted, bounded and patiently repeated."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

from sync.core.secret import Secret
from sync.graph.answers import Answer, read_answer
from sync.graph.batch import form, read_batch
from sync.graph.errors import Fault, Where, classify
from sync.graph.meter import Meter
from sync.graph.patience import Patience
from sync.graph.quota import APP, BUSINESS, regain_minutes
from sync.graph.skew import SkewMeter
from sync.http import Http, HttpError, Response
from sync.runtime.threads import Clock

T = TypeVar("T")

_TRIES = 3
_DOWN_AFTER = 3
_BATCH_LIMIT = 8 << 20
_SINGLE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """How Graph is reached. ``timeout``: seconds for one whole answer.

    ``token_in_url`` allows the documented form of ``debug_token``, which has the token in its query.
    """

    base_url: str = "https://graph.facebook.com"
    version: str = "v25.0"
    timeout: float = 60.0
    token_in_url: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token a call goes out with, and the proof that we know the secret of the token's app.

    ``app_pool`` names the app's quota, ``user_pool`` the system user's; the latter is empty for the app's own token.
    """

    app: str
    token: Secret
    proof: Secret
    app_pool: str
    user_pool: str = ""


def prove(token: Secret, app_secret: Secret) -> Secret:
    """Make the ``appsecret_proof`` of a token: HMAC-SHA256 keyed with the app's secret, in hex (Meta, secure requests)."""
    key, message = (secret.reveal().encode("utf-8", "surrogatepass") for secret in (app_secret, token))
    return Secret(hmac.new(key, message, hashlib.sha256).hexdigest())


class RequestStats(Protocol):
    """Where it is counted what was asked: HTTP requests, calls as Meta counts them, its clock, and what an operator should see."""

    requests: int
    calls: int
    skew_meter: SkewMeter

    def warn(self, warning: str) -> None:
        """Take down a sentence for an operator; the same one twice counts once."""
        ...


class Client:
    """Graph for one cycle. Every method may be called from any thread.

    ``secrets`` are kept out of what is shown of Graph's words. Three requests in a row that bring no answer mean that
    Graph is down for the rest of the cycle. Repeats take at most twice the timeout, all of the cycle's together.
    """

    def __init__(
        self,
        http: Http,
        settings: GraphSettings,
        clock: Clock,
        *,
        secrets: Iterable[Secret],
        tally: RequestStats,
        meter: Meter,
    ) -> None:
        self.settings = settings
        self._meter = meter
        self._told_outside: set[str] = set()
        self._tally = tally
        self._http = http
        self._clock = clock
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._failures, self._last = 0, ""
        self.patience = Patience(2 * settings.timeout, clock)
        self._base = f"{settings.base_url.rstrip('/')}/{quote(settings.version, safe='.')}/"

    def get(
        self, caller: Caller, path: str, params: Mapping[str, str], where: Where, *, pages: Collection[str] = ()
    ) -> Answer | Fault:
        """Ask one thing. The token travels in a header; the proof is in the query, where Meta documents it for reads.

        A proof is worth nothing without the token, but it belongs in no log either: URLs are never shown. ``pages`` are the
        ids of the Pages that are asked about.
        """
        query = urlencode({**params, "appsecret_proof": caller.proof.reveal()}, errors="replace")
        headers = {"Authorization": f"Bearer {caller.token.reveal()}"}
        secrets = (*self._secrets, caller.token, caller.proof, *_secret_params(params))

        def once(timeout: float) -> Answer | Fault:
            got = self._send("GET", f"{self._base}{path}?{query}", headers, None, timeout, calls=1, limit=_SINGLE_LIMIT)
            if isinstance(got, Fault):
                return got
            self._hear(caller, got.headers, calls=int(where == "debug"), pages=pages)
            answer = read_answer(got.status, got.body, secrets=secrets, retry_after=got.headers.get("retry-after"))
            return _regained(answer, got)

        return self._patiently(once, where)

    def post(self, caller: Caller, path: str, form: Mapping[str, Secret | str], where: Where) -> Answer | Fault:
        """Ask one thing with all of it in the body, secrets and all; neither the caller's token nor its proof goes beside it.

        It is repeated as a read is: what comes of it twice must do no harm.
        """
        fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        body = urlencode(fields, errors="replace").encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secrets = (*self._secrets, *(value for value in form.values() if isinstance(value, Secret)))

        def once(timeout: float) -> Answer | Fault:
            got = self._send("POST", f"{self._base}{path}", headers, body, timeout, calls=1, limit=_SINGLE_LIMIT)
            if isinstance(got, Fault):
                return got
            self._hear(caller, got.headers, calls=0, pages=())
            answer = read_answer(got.status, got.body, secrets=secrets, retry_after=got.headers.get("retry-after"))
            return _regained(answer, got)

        return self._patiently(once, where)

    def batch(
        self,
        caller: Caller,
        relative_urls: Sequence[str],
        where: Where,
        secrets: Iterable[Secret] = (),
        *,
        pages: Collection[str] = (),
    ) -> list[Answer | Fault] | Fault:
        """Ask up to fifty things at once, in a body; ``secrets`` are what Graph might quote from the items.

        ``pages`` are the ids of the Pages that are asked about. A Fault is that of the whole. Items that failed stand in the
        list; no item is repeated here. Each item's headers are asked for unless the answer's own have told of the app's use.
        """
        inside = where != "debug" or caller.app_pool not in self._told_outside
        auth = {"access_token": caller.token.reveal(), "appsecret_proof": caller.proof.reveal()}
        body = form(relative_urls, auth, headers=inside)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        known = (*self._secrets, caller.token, caller.proof, *secrets)
        count, each = len(relative_urls), int(where == "debug")

        def once(timeout: float) -> list[Answer | Fault] | Fault:
            got = self._send("POST", self._base, headers, body, timeout, calls=count, limit=_BATCH_LIMIT)
            if isinstance(got, Fault):
                return got
            heard: list[Mapping[str, str]] = []
            wait = got.headers.get("retry-after")
            answers = read_batch(got.status, got.body, count, secrets=known, retry_after=wait, hear=heard.append)
            told = any(heard)
            for item in heard if told else ():
                self._hear(caller, item, calls=each, pages=pages)
            if where == "debug" and APP in got.headers:
                self._told_outside.add(caller.app_pool)
            self._hear(caller, got.headers, calls=0 if told else each * count, pages=pages)
            return _regained(answers, got)

        return self._patiently(once, where)

    def _hear(self, caller: Caller, headers: Mapping[str, str], *, calls: int, pages: Collection[str]) -> None:
        """Record what headers tell of the quotas; ``calls`` are those that the app's own was asked on."""
        if calls or APP in headers:
            self._meter.record_app_usage(caller.app_pool, headers.get(APP), calls)
        if BUSINESS in headers:
            self._meter.hear_business(headers[BUSINESS], pages, caller.user_pool)

    def _patiently(self, once: Callable[[float], T | Fault], where: Where) -> T | Fault:
        got = once(self.settings.timeout)
        for turn in range(1, _TRIES):
            if not isinstance(got, Fault) or self._is_down() or classify(got, where).then != "retry":
                return got
            repeated = self.patience.repeat(lambda left: once(min(self.settings.timeout, left)), turn=turn)
            if repeated is None:
                return got
            got = repeated
        return got

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
        limit: int,
    ) -> Response | Fault:
        self._clock.check()
        with self._lock:
            if self._failures >= _DOWN_AFTER:
                return Fault("down", transport=self._last)
            self._tally.requests += 1
            self._tally.calls += calls
        try:
            response = self._http.request(method, url, headers=headers, body=body, timeout=timeout, limit=limit)
        except HttpError as error:
            fault = Fault("transport", transport=error.kind)
        else:
            with self._lock:
                self._failures = 0
                self._tally.skew_meter.record(response.headers.get("date"), self._clock.now())
            self._look_at_version(response)
            return response
        self._clock.check()
        if fault.transport != "bad-request":  # which says nothing of Graph
            with self._lock:
                self._failures += 1
                self._last = fault.transport
        return fault

    def _look_at_version(self, response: Response) -> None:
        served = response.headers.get("facebook-api-version", "")
        if not served or served == self.settings.version:
            return
        shown = served if served.replace(".", "").isalnum() and len(served) <= 10 else "another version"  # noqa: PLR2004 - longer than any version
        self._tally.warn(f"Graph served {shown} where graph.version asks for {self.settings.version}.")


def _regained(answer: T | Fault, response: Response) -> T | Fault:
    """Return in a Fault when what is used up opens again, where the headers do."""
    if not isinstance(answer, Fault) or BUSINESS not in response.headers:
        return answer
    return replace(answer, regain=regain_minutes(response.headers[BUSINESS]))


def _secret_params(params: Mapping[str, str]) -> tuple[Secret, ...]:
    return tuple(Secret(value) for name, value in params.items() if name == "input_token")
