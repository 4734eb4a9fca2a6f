"""The receivers of notifications and heartbeats that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Event

from sync.app.credentials import Credentials
from sync.app.remembered import GRACE
from sync.config.load import Config
from sync.config.schema.network import Connection
from sync.config.schema.references import Reference
from sync.config.schema.types import is_plain_http
from sync.core.report.event import EventLog
from sync.core.report.notices import Message, Topic
from sync.core.report.report import Report
from sync.core.secret import CredentialError, Secret
from sync.http import Http
from sync.http.sockets import Stop
from sync.ops.notify import PAUSES, Delivery, Notifier, Receiver, Route, moved, ping, post
from sync.runtime.threads import GraceClock, Stopping
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


class Notifications:
    """Notifies the receivers of the configuration in force, by threads of their own; only with ``log``, which a daemon has."""

    def __init__(self, config: Config, credentials: Credentials, late: GraceClock, log: EventLog | None) -> None:
        self._credentials, self._late, self._log = credentials, late, log
        self._notifier = self._built(config)

    def configure(self, old: Config, config: Config) -> None:
        """Replace the receivers where their settings changed, or where the file of what waits for them did."""
        before, after = (
            (settings.notify, settings.heartbeat, settings.state, settings.instance)
            for settings in (old.settings, config.settings)
        )
        if before == after:
            return
        waiting, closed = None, self._notifier
        same_instance = old.settings.instance == config.settings.instance
        if closed is not None:
            closed.close()
            if same_instance:
                keys = [receiver.key for receiver in receivers(config, self._credentials)]
                waiting = moved(closed.waiting, closed.keys, keys)
        self._notifier = self._built(config, waiting)
        if closed is not None and same_instance and old.settings.state != config.settings.state:
            # Otherwise what was sent since would be sent again once the file is used again.
            closed.forget()

    def announce(self, report: Report, *, is_check: bool) -> None:
        """Notify of what a cycle or a check changed."""
        self._do(lambda notifier: notifier.announce(report, is_check=is_check))

    def send(self, news_for: Callable[[Sequence[Topic]], Iterable[Message]]) -> None:
        """Send to each receiver what there is for its topics."""
        self._do(lambda notifier: notifier.send(news_for))

    def failed(self) -> None:
        """Report to the heartbeat that a cycle ended by a bug of this program."""
        self._do(lambda notifier: notifier.beat(failed=True))

    def close(self) -> None:
        """Wait two seconds at most for what is being sent, and keep the rest."""
        if self._notifier is not None:
            with self._late.grace(GRACE):
                self._notifier.close()

    def _do(self, work: Callable[[Notifier], None]) -> None:
        if self._notifier is not None:
            with suppress(Stopping), self._late.grace(GRACE):
                work(self._notifier)

    def _built(self, config: Config, waiting: Waiting | None = None) -> Notifier | None:
        """Return what notifies the receivers; None where there are none. ``waiting`` is what an earlier one could not send."""
        settings = config.settings
        if self._log is None or (not settings.notify and settings.heartbeat is None):
            return None
        to, pings = receivers(config, self._credentials), heartbeat(config, self._credentials)
        if settings.state is None:
            # After a restart every cause begins again, so that nothing need be kept.
            return Notifier(to, pings, self._log, kept=waiting)
        outbox = Outbox(settings.state.file, settings.instance, clock=self._late)
        kept = outbox.load()
        return Notifier(to, pings, self._log, kept=kept if waiting is None else waiting, save=outbox.save)


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
