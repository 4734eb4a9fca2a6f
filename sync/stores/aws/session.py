"""Making boto3's client, and finding the credentials that it signs with.

Both can take long or for ever: a program that gives credentials, a role, the metadata of a machine. So they are had in a
thread of their own, which is waited for only so long, and is not started twice while it goes on.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sync.runtime.threads import started
from sync.stores.aws.errors import CutError, Refused, from_chain, no_credentials
from sync.stores.aws.settings import AwsSettings

T = TypeVar("T")
SESSION_NAME = "page-token-sync"
"""What CloudTrail shows after the role's name."""
PARSER = (AttributeError, KeyError, TypeError, RecursionError, UnicodeError, ArithmeticError)
"""What the library raises, unwrapped, where an answer is JSON of a form that it does not expect (seen with 1.44)."""
_CHAIN = (*PARSER, OSError, ValueError, RuntimeError, EOFError)
"""What the library's providers raise, unwrapped: no such program, its output is no JSON, what was had has ended already
(seen with 1.44)."""


class CaFileError(Exception):
    """The configured CA file cannot be used."""


class UnsignedError(Exception):
    """No credentials could be had; ``refused`` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


class Made:
    """A client, and the credentials that it signs with."""

    def __init__(self, client: Any, credentials: Any, role: str) -> None:
        self.client = client
        self._credentials = credentials
        self._role = role
        self._lock = threading.Lock()
        self._renewal: Future[Any] | None = None
        self._asked: Any = None

    def sign(self, seconds: float) -> None:
        """Have credentials at hand that do not end soon, so that the client's own signing finds them.

        Raises UnsignedError; TimeoutError where they are not had in time; NoThreadError.
        """
        from sync.stores.aws.wire import Call  # noqa: PLC0415 - half a second and 60 MB

        needed = getattr(self._credentials, "refresh_needed", None)
        if needed is None or not needed():
            return
        with self._lock:
            if not self.hangs:
                asked = self._asked = Call()
                find = self._credentials.get_frozen_credentials
                self._renewal = started(lambda: asked.run(lambda: found(find, self._role)), name="aws")
            renewal = self._renewal
        try:
            if renewal is not None:
                renewal.result(seconds)
        except TimeoutError:
            self._asked.give_up()
            raise

    @property
    def hangs(self) -> bool:
        """Whether credentials are being found, and are not yet."""
        return self._renewal is not None and not self._renewal.done()


class Opening:
    """The making of one client, which begins when it is first asked for."""

    def __init__(self, settings: AwsSettings, *, connections: int, count: Callable[..., None]) -> None:
        self._settings = settings
        self._connections = connections
        self._count = count
        self._lock = threading.Lock()
        self._future: Future[Made] | None = None

    def wait(self, seconds: float) -> Made:
        """Return the client; raises TimeoutError where it is not made in time, NoThreadError, or what its making raised."""
        with self._lock:
            if self._future is None:
                self._future = started(self._make, name="aws")
        return self._future.result(seconds)

    @property
    def made(self) -> Made | None:
        """The client, if it has been made."""
        future = self._future
        return future.result() if future is not None and future.done() and future.exception() is None else None

    @property
    def hangs(self) -> bool:
        """Whether its making has begun and not ended, or the finding of its credentials."""
        made = self.made
        return made.hangs if made is not None else self._future is not None and not self._future.done()

    def _make(self) -> Made:
        import boto3.session  # noqa: PLC0415 - half a second and 60 MB, only for who has such a store
        from botocore.credentials import CredentialResolver  # noqa: PLC0415 - as above

        settings = self._settings
        _check_ca(settings.ca_file)
        reach = self._reach()
        role = settings.role.arn if settings.role is not None else ""
        core = self._session()
        credentials = found(core.get_credentials, role)
        if credentials is None:
            raise UnsignedError(no_credentials("NoCredentialsError"))
        if settings.role is not None:
            credentials = self._assumed(core, credentials, reach)
            core = self._session()
            core.register_component("credential_provider", CredentialResolver([_Given(credentials)]))
        session = boto3.session.Session(botocore_session=core, region_name=settings.region)
        client = session.client("secretsmanager", endpoint_url=settings.endpoint_url, **reach)
        client.meta.events.register("before-send.secrets-manager.*", self._count)
        return Made(client, credentials, role)

    def _session(self) -> Any:
        from sync.stores.aws.wire import Session  # noqa: PLC0415 - as above

        core = Session(profile=self._settings.profile)
        core.register_component("data_loader", _loader())
        return core

    def _reach(self) -> dict[str, Any]:
        from botocore.config import Config  # noqa: PLC0415 - as above

        settings = self._settings
        proxy = settings.proxy().reveal() if settings.proxy else None
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=settings.timeout / 10,
            read_timeout=settings.timeout / 5,
            max_pool_connections=self._connections,
            # Only what is configured here may turn traffic away: not {} but None would ask the environment.
            proxies={"http": proxy, "https": proxy} if proxy else None if settings.trust_env else {},
            ignore_configured_endpoint_urls=True,
        )
        return {"config": config, "verify": settings.ca_file or True}

    def _assumed(self, core: Any, source: Any, reach: dict[str, Any]) -> Any:
        """Return the role's credentials, which are had when they are first needed and again before they end."""
        from botocore.credentials import (  # noqa: PLC0415 - as above
            AssumeRoleCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        settings = self._settings
        if settings.role is None:
            return source
        external = settings.role.external_id

        def create(service: str, **keys: Any) -> Any:
            endpoint = _sts(settings.endpoint_url)
            sts = core.create_client(service, region_name=settings.region, endpoint_url=endpoint, **reach, **keys)
            sts.meta.events.register("before-send.sts.*", self._count)
            return sts

        fetcher = AssumeRoleCredentialFetcher(
            create,
            source,
            settings.role.arn,
            extra_args={
                "RoleSessionName": SESSION_NAME,
                **({"ExternalId": external().reveal()} if external is not None else {}),
            },
        )
        return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)


@dataclass(frozen=True)
class _Given:
    """A provider, in the library's sense, of credentials that are had already."""

    credentials: Any
    METHOD = "page-token-sync"
    CANONICAL_NAME = "page-token-sync"

    def load(self) -> Any:
        """Return them."""
        return self.credentials


def found(find: Callable[[], T], role: str) -> T:
    """Find credentials, or raise UnsignedError whatever the library raises."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

    try:
        return find()
    except ClientError as error:
        said = error.response.get("Error", {})
        refused = from_chain(str(said.get("Code", "")), str(said.get("Message", "")), error.operation_name, role)
    except (BotoCoreError, ResponseParserError) as error:
        refused = no_credentials(*(kind.__name__ for kind in type(error).__mro__), role=role)
    except (CutError, *_CHAIN) as error:
        refused = no_credentials(type(error).__name__, role=role)
    # Not inside the handlers: what is raised must not hold what the library said.
    raise UnsignedError(refused)


def _sts(endpoint: str | None) -> str | None:
    """Return the address of STS: an emulator's own, since it has all services at one; Amazon's usual beside one of Amazon's."""
    host = (urlsplit(endpoint).hostname or "") if endpoint else ""
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".aws")) else endpoint


def _check_ca(file: str | None) -> None:
    """Read the CA file once: the library would take its lack for an unreachable service."""
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError:
            raise CaFileError from None


@cache
def _loader() -> Any:
    """Keep the library's parsed descriptions of the service, which are most of the cost of a further client."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - as above

    return create_loader()
