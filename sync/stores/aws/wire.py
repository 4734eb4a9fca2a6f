"""Connections for boto3's clients that bound the length of an answer, and stop reading once its call is cancelled.

boto3 reads whole answers of any length and has no timeout for the whole of one. The hook is in the connections, since an
endpoint can send endless headers as well as an endless body. This module imports botocore, which costs half a second and
60 MB, so only the first call may import it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

import botocore.session
from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import AssumeRoleProvider, ContainerProvider, InstanceMetadataProvider
from botocore.exceptions import RefreshWithMFAUnsupportedError
from botocore.httpsession import URLLib3Session
from botocore.utils import ContainerMetadataFetcher, get_environ_proxies

from sync.core.json_text import fits
from sync.stores.aws.errors import AbortedError

T = TypeVar("T")
_MOST = 8 << 20
"""Most bytes of an answer: twenty secrets of 64 KiB with every byte escaped as six are 7.5 MiB."""
_CHUNK = 1 << 16
_here = threading.local()


class BoundedCall:
    """One call of one thread, in one or more requests; another thread may cancel it.

    ``unanswered``: a request of it ended without AWS's answer, so that AWS may have carried it out.
    """

    def __init__(self) -> None:
        self.unanswered = False
        self._lock = threading.Lock()
        self._cancelled = False
        self._connection: Any = None

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work``; raises AbortedError where an answer was too long or the call was cancelled."""
        _here.call = self
        return work()

    def cancel(self) -> None:
        """Let nothing more be read or sent for this call, not even by boto3's retries."""
        with self._lock:
            self._cancelled = True
            sock = getattr(self._connection, "sock", None)
        if sock is not None:
            # The TLS socket's own shutdown would remove the TLS object that the reading thread uses.
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def attach(self, connection: Any) -> None:
        """Record the connection in use; raises AbortedError where the call was cancelled."""
        with self._lock:
            self._connection = connection
            if not self._cancelled:
                return
        connection.close()
        raise AbortedError


def record_request(*, response: Any = None, caught_exception: Exception | None = None, **_: Any) -> None:
    """Record in the running call how one of its requests ended; boto3 calls this after each, and reports only the last."""
    status = response[0].status_code if response is not None else 0
    call = getattr(_here, "call", None)
    if call is not None and (caught_exception is not None or status >= HTTPStatus.INTERNAL_SERVER_ERROR):
        call.unanswered = True


@dataclass(frozen=True, slots=True)
class Network:
    """How every client reaches its service. With ``trust_env`` the environment's proxies, CA and endpoints count too."""

    region: str | None
    proxy: str | None
    ca_file: str | None
    trust_env: bool
    timeout: float
    connections: int

    @property
    def verify(self) -> str | bool | None:
        """The CA file, True for the public authorities, or None where the environment may name one."""
        return self.ca_file or (None if self.trust_env else True)

    @property
    def config(self) -> Config:
        """The settings that a client is made with."""
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else None if self.trust_env else {}
        return Config(
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=self.timeout / 10,
            read_timeout=self.timeout / 5,
            max_pool_connections=self.connections,
            # Only the configured proxy may be used: with None instead of {} botocore would read the environment.
            proxies=proxies,
            ignore_configured_endpoint_urls=not self.trust_env,
        )

    def metadata_session(self, timeout: float, url: str) -> Any:
        """Return what asks a machine or a container for credentials; a proxy is used for https alone.

        Plain http goes to link-local addresses, behind which a proxy would find its own machine's credentials.
        """
        environment = get_environ_proxies(url) if self.trust_env else {}
        proxy = self.proxy or environment.get("https")
        return URLLib3Session(verify=self.verify or True, timeout=timeout, proxies={"https": proxy} if proxy else {})


class Session(botocore.session.Session):  # type: ignore[misc]  # the library has no types
    """A session whose clients, including those that botocore makes to find credentials, use one network and bounded connections."""

    def __init__(self, profile: str | None, network: Network) -> None:
        super().__init__(profile=profile)
        self._network = network
        if network.region is not None:
            self.set_config_variable("region", network.region)

    def create_client(self, service_name: str, *given: Any, **named: Any) -> Any:
        """Make a client; what the caller sets goes before the network's settings."""
        config, own = named.pop("config", None), self._network.config
        named["config"] = own.merge(config) if config is not None else own
        if named.get("verify") is None:
            named["verify"] = self._network.verify
        if not self._network.trust_env and not named.get("endpoint_url") and service_name != "secretsmanager":
            named["endpoint_url"] = self._endpoint_of_profile(service_name)
        client = super().create_client(service_name, *given, **named)
        _bound(client._endpoint.http_session)  # noqa: SLF001 - see _bound
        return client

    def _endpoint_of_profile(self, service_name: str) -> str | None:
        """Return the endpoint that the AWS configuration file names, and not one of the environment."""
        found: str | None = ConfiguredEndpointProvider(
            full_config=self.full_config, scoped_config=self.get_scoped_config(), client_name=service_name, environ={}
        ).provide()
        return found

    def _create_credential_resolver(self) -> Any:
        resolver = super()._create_credential_resolver()
        for provider in resolver.providers:
            match provider:
                case ContainerProvider():
                    url = os.environ.get(ContainerProvider.ENV_VAR_FULL, "")
                    timeout = ContainerMetadataFetcher.TIMEOUT_SECONDS
                    provider._fetcher._session = _bound(self._network.metadata_session(timeout, url))  # noqa: SLF001 - as above
                case AssumeRoleProvider():
                    provider._prompter = _no_code  # noqa: SLF001 - as above
                case InstanceMetadataProvider():
                    fetcher = provider._role_fetcher  # noqa: SLF001 - as above
                    fetcher._session = _bound(self._network.metadata_session(fetcher._timeout, ""))  # noqa: SLF001 - as above
        return resolver


def _no_code(_: str) -> NoReturn:
    """Refuse to ask for an MFA code: botocore would wait for it at the terminal."""
    raise RefreshWithMFAUnsupportedError


def _bound(session: Any) -> Any:
    """Return an HTTP session of botocore with the bounded connections, which it has no public way for (seen with 1.44)."""
    session._pool_classes_by_scheme.update(http=_Pool, https=_SecurePool)  # noqa: SLF001 - as above
    return session


class _Bounded:
    """What a bounded connection does in addition."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # mixed into botocore's connections
        _attach(self)

    def request(self, *given: Any, **named: Any) -> None:
        _attach(self)
        super().request(*given, **named)  # type: ignore[misc]  # as above

    def getresponse(self) -> Any:
        answer = super().getresponse()  # type: ignore[misc]  # as above
        answer.stream = partial(_stream, answer, self)
        return answer


class _Connection(_Bounded, AWSHTTPConnection):  # type: ignore[misc]  # the library has no types
    pass


class _SecureConnection(_Bounded, AWSHTTPSConnection):  # type: ignore[misc]  # as above
    pass


class _Pool(AWSHTTPConnectionPool):  # type: ignore[misc]  # as above
    ConnectionCls = _Connection


class _SecurePool(AWSHTTPSConnectionPool):  # type: ignore[misc]  # as above
    ConnectionCls = _SecureConnection


def _attach(connection: Any) -> None:
    call: BoundedCall | None = getattr(_here, "call", None)
    if call is not None:
        call.attach(connection)


def _stream(answer: Any, connection: Any) -> Iterator[bytes]:
    """Yield the whole body once it is known to fit; botocore's own reader waits for full pieces, and for an endless line."""
    body = bytearray()
    while piece := answer.read1(_CHUNK):
        body += piece
        if len(body) > _MOST:
            break
    if len(body) > _MOST or not fits(bytes(body)):
        connection.close()
        raise AbortedError
    yield bytes(body)
