"""The receivers of notifications and heartbeats that a configuration describes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from sync.app.credentials import Credentials
from sync.config.load import Config
from sync.config.schema.network import Connection
from sync.config.schema.references import Reference
from sync.config.schema.types import is_plain_http
from sync.core.report.event import EventLog
from sync.core.report.notices import Message
from sync.core.secret import CredentialError, Secret
from sync.http import Http
from sync.http.sockets import Stop
from sync.ops.notify import PAUSES, Delivery, Notifier, Receiver, Route, ping, post
from sync.runtime.threads import Clock
from sync.state.outbox import Outbox, Waiting


def receivers(config: Config, credentials: Credentials, stop: Stop | None = None) -> Sequence[Receiver]:
    """Return the receivers of ``notify``. ``stop`` ends a request that is under way."""
    return [
        Receiver(
            f"notify[{index}]",
            str(one.webhook),
            _Routes(one, one.webhook, credentials, stop).read,
            one.format,
            one.events,
            one.link,
        )
        for index, one in enumerate(config.settings.notify)
    ]


def heartbeat(config: Config, credentials: Credentials, stop: Stop | None = None) -> Receiver | None:
    """Return what is called after each cycle; None where nothing is."""
    one = config.settings.heartbeat
    if one is None:
        return None
    return Receiver("heartbeat", str(one.url), _Routes(one, one.url, credentials, stop).read)


def notifier(
    config: Config, credentials: Credentials, clock: Clock, log: EventLog, waiting: Waiting | None = None
) -> Notifier | None:
    """Return what notifies the receivers of a configuration; None where it has none.

    ``waiting`` are messages that an earlier notifier of this process could not send.
    """
    settings = config.settings
    if not settings.notify and settings.heartbeat is None:
        return None
    to, pings = receivers(config, credentials), heartbeat(config, credentials)
    state: Path | None = settings.state.file if settings.state is not None else None
    if state is None:
        # After a restart every cause begins again, so that nothing need be kept.
        return Notifier(to, pings, log, kept=waiting)
    outbox = Outbox(state, settings.instance, clock=clock)
    kept = outbox.load()
    return Notifier(to, pings, log, kept=kept if waiting is None else waiting, save=outbox.save)


def send_tests(
    config: Config, credentials: Credentials, message: Message, stop: Stop
) -> Iterator[tuple[Receiver, Delivery]]:
    """Send a message to each receiver, once, one after the other, and yield what came of it."""
    for receiver in receivers(config, credentials, stop):
        try:
            route = receiver.route()
        except CredentialError as error:
            yield receiver, Delivery(None, 0.0, str(error))
            continue
        try:
            yield receiver, post(route, receiver.body(message))
        finally:
            route.http.close()


def beat(config: Config, credentials: Credentials, stop: Event, *, failed: bool) -> str:
    """Call the heartbeat once for a process that ends, and again where it failed at once; return why it failed, or nothing."""
    receiver = heartbeat(config, credentials, stop)
    if receiver is None:
        return ""
    try:
        route = receiver.route()
    except CredentialError as error:
        return str(error)
    try:
        delivery = ping(route, failed=failed)
        if delivery.failure and not delivery.final and delivery.seconds < PAUSES[0] and not stop.wait(PAUSES[0]):
            delivery = ping(route, failed=failed)
        return delivery.failure
    finally:
        route.http.close()


class _Routes:
    """Reads how a receiver is reached, again each time."""

    def __init__(self, connection: Connection, url: Reference, credentials: Credentials, stop: Stop | None) -> None:
        self._connection, self._url = connection, url
        self._credentials, self._stop = credentials, stop

    def read(self) -> Route:
        """Read the URL and the proxy; raises CredentialError."""
        url = self._read(self._url)
        try:
            plain = is_plain_http(url.reveal())
        except ValueError:
            plain = False  # it is no URL, which sending it finds
        if plain and not self._connection.allow_http:
            raise CredentialError(
                f"{self._url}: plain http to another machine; use https, or add allow_http: true beside it"
            )
        connection = self._connection
        return Route(
            url,
            Http(
                ca_file=str(connection.ca_file) if connection.ca_file is not None else None,
                proxy=self._read(connection.proxy) if connection.proxy is not None else None,
                trust_env=connection.trust_env,
                connections=1,
                stop=self._stop,
            ),
        )

    def _read(self, reference: Reference) -> Secret:
        found = self._credentials.read(reference)
        if isinstance(found, CredentialError):
            raise found
        return found
