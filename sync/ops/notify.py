"""Send messages to receivers, each by a thread of its own, so that a slow or broken one delays nothing else."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from sync.core.report.event import Event, EventLog
from sync.core.report.notices import Message, Topic, messages, slack
from sync.core.report.report import Report
from sync.core.secret import CredentialError, Secret
from sync.http import Http, HttpError
from sync.runtime.threads import NoThreadError, started

TIMEOUT = 10.0
"""Seconds for one whole request, however slowly the receiver reads or answers."""
PAUSES = (1.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds between tries after each failure in a row; the last one from then on."""
FAILS_AFTER = 3
"""A receiver that fails so many times in a row is logged as failing."""
MOST_WAITING = 1000
"""Messages that wait for one receiver; beyond that the oldest is dropped and counted."""
CLOSE_SECONDS = 1.5
"""How long shutdown waits for messages that are being sent."""

_ANSWER = 64 * 1024
_SAVE_EVERY = 5.0
_TRY_AGAIN = frozenset({401, 403, 404, 407, 408, 410, 425, 429})
"""Answers of the 400s that concern the address or the moment; any other refuses the message itself."""
_CAUSES = {
    "timeout": f"no complete answer within {TIMEOUT:.0f} s",
    "stopped": "interrupted by shutdown",
    "dns": "the host's name cannot be resolved",
    "connect": "no connection to the host",
    "tls": "TLS failed",
    "ca-file": "ca_file cannot be used",
    "proxy": "the proxy failed",
    "reset": "the connection was closed before an answer",
    "protocol": "the answer is not HTTP",
    "too-large": "the answer is too large",
    "unwanted-encoding": "the answer has an unknown encoding",
    "bad-request": "the URL is invalid",
}


@dataclass(frozen=True, slots=True)
class Route:
    """How a receiver is reached now: its URL, which is a secret, and the connection."""

    url: Secret
    http: Http


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver of messages. ``name`` is its key in the configuration, ``reference`` where its URL is read from.

    ``route`` reads the URL again each time it is called; it raises CredentialError.
    """

    name: str
    reference: str
    route: Callable[[], Route]
    form: Literal["json", "slack"] = "json"
    topics: tuple[Topic, ...] = ("problem",)
    link: str | None = None

    @property
    def key(self) -> str:
        """What recognises the receiver after a restart, also at another index of the list."""
        return f"{self.reference} {self.form} {' '.join(self.topics)}"

    def body(self, message: Message) -> bytes:
        """Return a message in the receiver's form."""
        content = (
            slack(message, self.link)
            if self.form == "slack"
            else {**message, **({"link": self.link} if self.link else {})}
        )
        return json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one try. ``failure`` is empty where it succeeded; ``final``: another try would fail as well."""

    status: int | None
    seconds: float
    failure: str = ""
    final: bool = False
    retry_after: float = 0.0


def post(route: Route, body: bytes) -> Delivery:
    """Send a message once."""
    return _sent(route, "POST", route.url.reveal(), body)


def ping(route: Route, *, failed: bool) -> Delivery:
    """Call a heartbeat's URL once; ``failed``: with ``/fail`` at the end of its path."""
    url = route.url.reveal()
    if failed:
        with suppress(ValueError):  # what is no URL fails below
            parts = urlsplit(url)
            url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
    return _sent(route, "GET", url, None)


def _sent(route: Route, method: str, url: str, body: bytes | None) -> Delivery:
    began = time.monotonic()
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        answer = route.http.request(method, url, headers=headers, body=body, timeout=TIMEOUT, limit=_ANSWER)
    except HttpError as error:
        text = _CAUSES[error.kind] + (f" ({error.detail})" if error.detail else "")
        # The receiver has the message where its answer is too large: sent again, it would arrive again and again.
        return Delivery(None, time.monotonic() - began, text, final=error.kind == "too-large")
    status, seconds = answer.status, time.monotonic() - began
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Delivery(status, seconds)
    text = f"HTTP {status}" + (", a redirect, which is not followed" if status < HTTPStatus.BAD_REQUEST else "")
    final = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TRY_AGAIN
    return Delivery(status, seconds, text, final, _retry_after(answer.headers))


def _retry_after(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "")
    return min(float(text), PAUSES[-1]) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0  # noqa: PLR2004 - digits


class Mailbox:
    """The messages that wait for one receiver, oldest first, and the thread that sends them while there are any.

    ``send`` tries once. A message stays until the receiver has it or refuses it. ``newest_only``: a new message replaces
    those that wait. ``changed`` is called after messages have left.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Route, Message], Delivery],
        log: EventLog,
        *,
        newest_only: bool = False,
        pauses: Sequence[float] = PAUSES,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._send, self._log = name, send, log
        self._newest_only, self._pauses, self._left = newest_only, pauses, changed
        self._waiting: deque[Message] = deque()
        self._route: Route | None = None
        self._state = threading.Condition()
        self._runs = self._closed = self._abandoned = self._failing = self._pausing = False
        self._dropped = self._failures = 0

    @property
    def waiting(self) -> list[Message]:
        """The messages that the receiver does not have yet."""
        with self._state:
            return list(self._waiting)

    def add(self, new: Sequence[Message]) -> None:
        """Let messages wait; they are sent once there is a route."""
        with self._state:
            if self._newest_only and new:
                self._waiting.clear()
            self._waiting += new
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1

    def deliver(self, read_route: Callable[[], Route]) -> None:
        """Start sending what waits, by a thread; return at once. A URL that cannot be read is logged like any failure."""
        with self._state:
            if not self._waiting or self._closed:
                return
        try:
            route = read_route()
        except CredentialError as error:
            with self._state:
                self._failures = FAILS_AFTER
            self._failed(str(error))
            return
        with self._state:
            self._route = route
            if not self._runs:
                with suppress(NoThreadError):  # the next cycle tries again
                    started(self._run, name="notify")
                    self._runs = True

    def close(self, seconds: float) -> None:
        """Send nothing new, and wait so long for what is being sent."""
        with self._state:
            self._closed = True
            self._state.notify_all()
            if not self._pausing:
                self._state.wait_for(lambda: not self._runs, timeout=seconds)
            self._abandoned = True

    def _run(self) -> None:
        while (found := self._next()) is not None:
            message, route = found
            delivery = self._send(route, message)
            if delivery.failure and not delivery.final:
                self._pause(delivery)
                continue
            with self._state:
                # A newer heartbeat may have replaced it meanwhile.
                if self._waiting and self._waiting[0] is message:
                    self._waiting.popleft()
            if delivery.failure:
                self._failures = FAILS_AFTER
                self._failed(delivery.failure, refused=True)
            else:
                self._works()
            self._left()

    def _next(self) -> tuple[Message, Route] | None:
        with self._state:
            # After a failure there is no time for another try once the daemon stops.
            if not self._waiting or self._route is None or self._abandoned or (self._closed and self._failures):
                self._runs = False
                self._state.notify_all()
                return None
            return self._waiting[0], self._route

    def _pause(self, delivery: Delivery) -> None:
        self._failures += 1
        self._failed(delivery.failure)
        pause = self._pauses[min(self._failures, len(self._pauses)) - 1]
        with self._state:
            self._pausing = True
            self._state.wait_for(lambda: self._closed, timeout=max(pause, delivery.retry_after))
            self._pausing = False

    def _failed(self, text: str, *, refused: bool = False) -> None:
        """Log that the receiver fails, once until it works again; ``refused``: it will not take this message at all."""
        if self._failing or self._failures < FAILS_AFTER:
            return
        self._failing = True
        fields = {
            "receiver": self._name,
            "message": f"{self._name} refuses a message: {text}. This message is not sent again; later ones are."
            if refused
            else f"{self._name} does not take what it is sent: {text}. It is tried again.",
            "owner": "operator",
            "remedy": "Check that `format` fits the receiver, then run `page-token-sync notify --test`."
            if refused
            else "Check the receiver and its URL. What waits is sent when it works again.",
        }
        self._log.write(Event("warning", "notify_failed", fields))

    def _works(self) -> None:
        self._failures = 0
        with self._state:
            dropped, self._dropped = self._dropped, 0
        if self._failing or dropped:
            lost = f" {dropped:,} messages were dropped, the oldest first." if dropped else ""
            message = f"{self._name} takes what it is sent again.{lost}"
            self._log.write(Event("info", "notify_failed", {"receiver": self._name, "message": message}))
        self._failing = False


def _posting(receiver: Receiver) -> Callable[[Route, Message], Delivery]:
    return lambda route, message: post(route, receiver.body(message))


def moved(
    waiting: Mapping[str, Sequence[Message]], before: Sequence[str], after: Sequence[str]
) -> Mapping[str, Sequence[Message]]:
    """Return what waits by the keys of edited receivers: a receiver that is gone hands over to a new one, in their order.

    So a receiver whose URL is corrected gets what it could not take. What is left of receivers without a successor stays
    under their own keys.
    """
    gone = [key for key in before if key not in after]
    successors = dict(zip(gone, (key for key in after if key not in before), strict=False))
    return {successors.get(key, key): messages for key, messages in waiting.items()}


class Notifier:
    """The receivers of a configuration and its heartbeat.

    ``save`` keeps the messages that wait, by receiver, so that a kill loses none: they are sent again after it, and may
    arrive twice with the same id. It returns why it could not, which is logged. ``kept`` are those of the last run.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        heartbeat: Receiver | None,
        log: EventLog,
        *,
        kept: Mapping[str, Sequence[Message]] | None = None,
        save: Callable[[Mapping[str, Sequence[Message]]], str] = lambda _: "",
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._log = log
        self._save = save
        self._unsaved = ""
        self._saving = threading.Lock()
        self._saved_at = 0.0
        self._closed = False
        self._mailboxes = [
            (receiver, Mailbox(receiver.name, _posting(receiver), log, pauses=pauses, changed=self._remember_soon))
            for receiver in receivers
        ]
        self._heartbeat = heartbeat
        self._pings = Mailbox(
            heartbeat.name if heartbeat is not None else "",
            lambda route, message: ping(route, failed=bool(message["failed"])),
            log,
            newest_only=True,
            pauses=pauses,
        )
        for receiver, mailbox in self._mailboxes:
            mailbox.add((kept or {}).get(receiver.key, ()))
        if kept:
            self._remember()

    @property
    def keys(self) -> Sequence[str]:
        """What recognises each receiver."""
        return [receiver.key for receiver, _ in self._mailboxes]

    @property
    def waiting(self) -> Mapping[str, Sequence[Message]]:
        """The messages that receivers do not have yet, by receiver."""
        return {receiver.key: mailbox.waiting for receiver, mailbox in self._mailboxes if mailbox.waiting}

    def announce(self, report: Report, *, is_check: bool = False) -> None:
        """Leave to the threads what a report has for each receiver, and after a cycle the heartbeat.

        Returns when the messages are kept, and waits for no receiver.
        """
        self.send(lambda topics: messages(report, topics))
        if not is_check:
            self.beat(failed=report.result in ("failed", "held"))

    def beat(self, *, failed: bool) -> None:
        """Leave to a thread the heartbeat of a cycle that has ended; nothing where there is none."""
        if self._heartbeat is not None:
            self._pings.add([{"failed": failed}])
            self._pings.deliver(self._heartbeat.route)

    def send(self, news_for: Callable[[Sequence[Topic]], Iterable[Message]]) -> None:
        """Leave to the threads what there is for a receiver of these topics; returns when it is kept."""
        news = False
        for receiver, mailbox in self._mailboxes:
            found = list(news_for(receiver.topics))
            news = news or bool(found)
            mailbox.add(found)
        if news:
            self._remember()
        for receiver, mailbox in self._mailboxes:
            mailbox.deliver(receiver.route)

    def close(self) -> None:
        """Wait for what is being sent, for two seconds at most in all, and keep the rest."""
        end = time.monotonic() + CLOSE_SECONDS
        for mailbox in (*(mailbox for _, mailbox in self._mailboxes), self._pings):
            mailbox.close(max(end - time.monotonic(), 0))
        if self._mailboxes:
            self._remember()
        # The file may be another notifier's from now on, after a reload.
        self._closed = True

    def _remember_soon(self) -> None:
        """Keep what still waits: seldom where it is much, since what is kept too long is only sent twice."""
        waiting = any(mailbox.waiting for _, mailbox in self._mailboxes)
        if not waiting or time.monotonic() - self._saved_at > _SAVE_EVERY:
            self._remember()

    def _remember(self) -> None:
        with self._saving:
            if self._closed:
                return
            self._saved_at = time.monotonic()
            unsaved = self._save(self.waiting)
            if unsaved and not self._unsaved:
                fields = {
                    "message": f"Messages that wait for receivers are not kept: {unsaved}. A kill would lose them.",
                    "owner": "operator",
                    "remedy": "Let this program write the file, and free space. It is tried again.",
                }
                self._log.write(Event("warning", "notify_failed", fields))
            self._unsaved = unsaved

    def forget(self) -> None:
        """Empty what is kept, after `close`: another notifier keeps it elsewhere."""
        self._save({})
