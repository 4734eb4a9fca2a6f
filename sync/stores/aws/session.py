"""Create boto3's client and find the credentials that it signs with.

Both can take long or never end: a credential process, a role, instance metadata. They run in a thread of their own, for
which callers wait only until their timeout, and which is not started a second time while it runs.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from sync.runtime.threads import started
from sync.stores.aws.credential_errors import Source, from_credentials_call, no_credentials
from sync.stores.aws.errors import AbortedError, FailedCall
from sync.stores.aws.settings import AwsRole, AwsSettings

if TYPE_CHECKING:
    from sync.stores.aws.wire import Network

T = TypeVar("T")
SESSION_NAME = "page-token-sync"
"""The role session name, which CloudTrail shows."""
PARSER = (AttributeError, KeyError, TypeError, RecursionError, UnicodeError, ArithmeticError)
"""What botocore raises, unwrapped, for JSON of an unexpected form (seen with 1.44)."""
_CHAIN = (*PARSER, OSError, ValueError, RuntimeError, EOFError)
"""What botocore's credential providers raise, unwrapped: a missing program, output that is not JSON, credentials that have
already expired (seen with 1.44)."""


class CaFileError(Exception):
    """The configured CA file cannot be used."""


class UnsignedError(Exception):
    """No credentials were found, so no request can be signed; ``failed`` has the reason."""

    def __init__(self, failed: FailedCall) -> None:
        super().__init__(failed.code)
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Lease:
    """How long credentials are valid.

    ``expires_at`` None: it is not known, or they do not expire. ``renewed``: boto3 renews them. ``temporary``: they expire.
    """

    expires_at: datetime | None
    renewed: bool
    temporary: bool


class SigningClient:
    """A boto3 client and the credentials that it signs with."""

    def __init__(self, client: Any, credentials: Any, source: Source, *, sts: Callable[[], Any]) -> None:
        """``sts`` makes a client of STS that signs with the same credentials."""
        self.client = client
        self.sts = sts
        self._credentials = credentials
        self._source = source
        self._lock = threading.Lock()
        self._renewal: Future[Any] | None = None
        self._call: Any = None

    @property
    def lease(self) -> Lease:
        """How long the credentials are valid, and what renews them."""
        expires_at = getattr(self._credentials, "_expiry_time", None)
        return Lease(
            expires_at if isinstance(expires_at, datetime) else None,
            renewed=hasattr(self._credentials, "refresh_needed"),
            temporary=bool(getattr(self._credentials, "token", None)),
        )

    def refresh_credentials(self, timeout: float) -> None:
        """Refresh credentials that expire soon, so that signing a request need not wait for them.

        Raises UnsignedError, NoThreadError, or TimeoutError where they are not refreshed in time.
        """
        from sync.stores.aws.wire import BoundedCall  # noqa: PLC0415 - half a second and 60 MB

        needed = getattr(self._credentials, "refresh_needed", None)
        if needed is None or not needed():
            return
        with self._lock:
            if not self.in_progress:
                call = self._call = BoundedCall()
                find = self._credentials.get_frozen_credentials
                self._renewal = started(lambda: call.run(lambda: find_credentials(find, self._source)), name="aws")
            renewal = self._renewal
        try:
            if renewal is not None:
                renewal.result(timeout)
        except TimeoutError:
            self._call.cancel()
            raise

    @property
    def in_progress(self) -> bool:
        """Whether credentials are being refreshed."""
        return self._renewal is not None and not self._renewal.done()


class PendingClient:
    """The creation of one client, which starts when the client is first needed."""

    def __init__(
        self, settings: AwsSettings, *, connections: int, count: Callable[..., None], ended: Callable[..., None]
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._count = count
        self._ended = ended
        self._lock = threading.Lock()
        self._future: Future[SigningClient] | None = None

    def wait(self, timeout: float) -> SigningClient:
        """Return the client; raises NoThreadError, TimeoutError, or what its creation raised."""
        with self._lock:
            if self._future is None:
                self._future = started(self._create, name="aws")
        return self._future.result(timeout)

    @property
    def client(self) -> SigningClient | None:
        """The client, if its creation has succeeded."""
        future = self._future
        return future.result() if future is not None and future.done() and future.exception() is None else None

    @property
    def in_progress(self) -> bool:
        """Whether the creation, or a refresh of the credentials, is running."""
        client = self.client
        return client.in_progress if client is not None else self._future is not None and not self._future.done()

    def _create(self) -> SigningClient:
        import boto3.session  # noqa: PLC0415 - half a second and 60 MB, only where such a store is configured
        from botocore.credentials import CredentialResolver  # noqa: PLC0415 - as above

        from sync.stores.aws.wire import record_request  # noqa: PLC0415 - as above

        settings = self._settings
        _check_ca(settings.ca_file)
        network = self._network()
        source = Source.of(settings)
        core = self._session(network)
        credentials = find_credentials(core.get_credentials, source)
        if credentials is None:
            raise UnsignedError(no_credentials("NoCredentialsError", source=source))
        if _has_blank(credentials):
            raise UnsignedError(no_credentials("blank", source=source))
        if settings.role is not None:
            credentials = self._assume_role(core, credentials, settings.role)
            core = self._session(network)
            core.register_component("credential_provider", CredentialResolver([_FixedProvider(credentials)]))
        session = boto3.session.Session(botocore_session=core, region_name=settings.region)
        client = session.client("secretsmanager", endpoint_url=settings.endpoint_url)
        client.meta.events.register("before-send.secrets-manager.*", self._count)
        client.meta.events.register("needs-retry.secrets-manager.*", record_request)
        client.meta.events.register("needs-retry.secrets-manager.*", self._ended)

        def sts() -> Any:
            made = session.client("sts", endpoint_url=_sts(settings.endpoint_url))
            made.meta.events.register("before-send.sts.*", self._count)
            made.meta.events.register("needs-retry.sts.*", self._ended)
            return made

        return SigningClient(client, credentials, source, sts=sts)

    def _session(self, network: Network) -> Any:
        from sync.stores.aws.wire import Session  # noqa: PLC0415 - as above

        core = Session(self._settings.profile, network)
        core.register_component("data_loader", _loader())
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
        return core

    def _network(self) -> Network:
        from sync.stores.aws.wire import Network  # noqa: PLC0415 - as above

        settings = self._settings
        proxy = settings.proxy().reveal() if settings.proxy else None
        return Network(
            settings.region, proxy, settings.ca_file, settings.trust_env, settings.timeout, self._connections
        )

    def _assume_role(self, core: Any, source: Any, role: AwsRole) -> Any:
        """Return the role's credentials, which are fetched when first needed and again before they expire."""
        from botocore.credentials import (  # noqa: PLC0415 - as above
            AssumeRoleCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        settings = self._settings
        external = role.external_id

        def create(service: str, **keys: Any) -> Any:
            endpoint = _sts(settings.endpoint_url)
            sts = core.create_client(service, region_name=settings.region, endpoint_url=endpoint, **keys)
            sts.meta.events.register("before-send.sts.*", self._count)
            sts.meta.events.register("needs-retry.sts.*", self._ended)
            return sts

        fetcher = AssumeRoleCredentialFetcher(
            create,
            source,
            role.arn,
            extra_args={
                "RoleSessionName": SESSION_NAME,
                **({"ExternalId": external().reveal()} if external is not None else {}),
            },
        )
        return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)


@dataclass(frozen=True)
class _FixedProvider:
    """A botocore credential provider for credentials that are known already."""

    credentials: Any
    METHOD = "page-token-sync"
    CANONICAL_NAME = "page-token-sync"

    def load(self) -> Any:
        """Return the credentials."""
        return self.credentials


def find_credentials(find: Callable[[], T], source: Source) -> T:
    """Return what ``find`` returns, or raise UnsignedError whatever botocore raises."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

    try:
        return find()
    except ClientError as error:
        answer = error.response.get("Error", {})
        failed = from_credentials_call(
            str(answer.get("Code", "")), str(answer.get("Message", "")), error.operation_name, source
        )
    except (BotoCoreError, ResponseParserError) as error:
        about = getattr(error, "kwargs", {})
        failed = no_credentials(
            *(kind.__name__ for kind in type(error).__mro__),
            source=source,
            file=str(about.get("path", "")),
            provider=str(about.get("provider", "")),
        )
    except (AbortedError, *_CHAIN) as error:
        file = str(error.filename or "") if isinstance(error, OSError) else ""
        failed = no_credentials(type(error).__name__, source=source, file=file)
    # Raised outside the handlers, so that it does not chain botocore's exception, whose text may hold secrets.
    raise UnsignedError(failed)


def _has_blank(credentials: Any) -> bool:
    """Check whether a key that is known already has a character that no header can carry; boto3 would report no connection."""
    if hasattr(credentials, "refresh_needed"):
        return False
    texts = (credentials.access_key, credentials.secret_key, credentials.token or "")
    return any(character.isspace() for text in texts for character in text)


def _sts(endpoint: str | None) -> str | None:
    """Return the endpoint of STS: boto3's default beside an AWS endpoint, else the emulator's, which serves all services."""
    host = (urlsplit(endpoint).hostname or "") if endpoint else ""
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".aws")) else endpoint


def _check_ca(file: str | None) -> None:
    """Raise CaFileError for an unusable CA file, which botocore would report as an unreachable service."""
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError:
            raise CaFileError from None


def _timestamp(value: Any) -> Any:
    """Parse a time of AWS; one that cannot be is returned as it is, so that it harms nothing but what reads it."""
    from botocore.utils import parse_timestamp  # noqa: PLC0415 - as above

    try:
        return parse_timestamp(value)
    except (ArithmeticError, OSError, RuntimeError, TypeError, ValueError):
        return value


@cache
def _loader() -> Any:
    """Return a loader that keeps botocore's parsed service models, which are most of the cost of a further client."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - as above

    return create_loader()
