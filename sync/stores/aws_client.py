"""Calls to AWS Secrets Manager by boto3: bounded in time, counted, and answered by values."""

from __future__ import annotations

import logging
import os
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sync.core.model import StoreError
from sync.core.secret import CredentialError, Secret, SecretSource
from sync.stores.aws_errors import Refused, from_class, from_code, not_aws

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How to reach one region's Secrets Manager.

    ``region`` and ``profile`` None leave it to boto3's chain; so are credentials. ``tags`` are put on what is created,
    beside our marks. ``timeout`` bounds a call with its retries, in seconds. ``name_prefix`` is the fixed beginning of all
    names, which listings are filtered by; empty lists the whole account. Proxies of the environment count only with ``trust_env``.
    """

    region: str | None = None
    kms_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    endpoint_url: str | None = None
    profile: str | None = None
    timeout: float = 30.0
    ca_file: str | None = None
    proxy: SecretSource | None = None
    trust_env: bool = False
    name_prefix: str = ""


Answer = Mapping[str, Any] | Refused
_NEEDED = {
    "ListSecrets": "SecretList",
    "BatchGetSecretValue": "SecretValues",
    "DescribeSecret": "ARN",
    "GetSecretValue": "VersionId",
    "CreateSecret": "VersionId",
    "PutSecretValue": "VersionId",
    "UpdateSecretVersionStage": "ARN",
}
"""What each answer must hold: the library makes an empty answer of a login page, which must not pass for "nothing there"."""


_PARSER = (AttributeError, KeyError, TypeError, RecursionError, UnicodeError, ArithmeticError)
"""What the library raises, unwrapped, where an answer is JSON of a form that it does not expect (seen with 1.44)."""


class CaFileError(Exception):
    """The configured CA file cannot be used."""


class AwsClient:
    """One boto3 client, made by the first call and made anew where the files it was made from have changed."""

    def __init__(self, settings: AwsSettings, *, workers: int) -> None:
        self.requests = 0
        self._settings = settings
        self._workers = workers
        self._lock = threading.Lock()
        self._made: Any = None
        self._made_from: object = None
        self._down: Refused | None = None
        # At DEBUG these log parameters and answers, so secrets.
        for name in ("boto3", "botocore", "urllib3"):
            logging.getLogger(name).setLevel(logging.WARNING)

    def begin(self) -> None:
        """Ask again after a time-out, on new connections."""
        if self._down is not None:
            self.close()
        self._down = None
        if self._made is not None and self._sources() != self._made_from:
            self.close()

    def close(self) -> None:
        """Give back the connections."""
        with self._lock:
            if self._made is not None:
                self._made.close()
            self._made = None

    @property
    def region(self) -> str:
        """The region that is asked; empty before the first call."""
        return str(self._made.meta.region_name) if self._made is not None else ""

    def call(self, operation: str, subject: str = "", **parameters: Any) -> Answer:
        """Make one call, with the library's retries. ``subject`` is the secret that an error speaks of.

        After a call that had no answer in time, all are refused until ``begin``.
        """
        if self._down is not None:
            return self._down
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - half a second and 60 MB
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

        try:
            answer = within(self._settings.timeout, lambda: self._ask(operation, parameters))
            needed = _NEEDED.get(operation)
            return answer if needed is None or needed in answer else not_aws(operation)
        except ClientError as error:
            said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            code, status = str(said.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
            return from_code(code, str(said.get("Message", "")), status, operation=operation, subject=subject)
        except _PARSER:
            return not_aws(operation)
        except (BotoCoreError, ResponseParserError) as error:
            refused = from_class([kind.__name__ for kind in type(error).__mro__], operation=operation, subject=subject)
        except TimeoutError:
            refused = from_class(["ReadTimeoutError"], operation=operation, subject=subject)
        except CaFileError:
            message = f"The CA file {self._settings.ca_file} is missing, or no PEM file."
            return Refused("CaFileError", StoreError("tls", message, "Correct ca_file or the file.", whole=True))
        except CredentialError as error:
            return Refused(
                "CredentialError", StoreError("credentials", f"{error}", "Correct the reference.", whole=True)
            )
        if refused.error.reason == "timeout":
            self._down = refused
        return refused

    def _ask(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        answer: Mapping[str, Any] = getattr(self._client(), method)(**parameters)
        return answer

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made_from = self._sources()
                self._made = self._make()
                self._made.meta.events.register("before-send.secrets-manager.*", self._count)
            return self._made

    def _make(self) -> Any:
        import boto3.session  # noqa: PLC0415 - half a second and 60 MB, only for who has such a store
        import botocore.session  # noqa: PLC0415 - as above
        from botocore.config import Config  # noqa: PLC0415 - as above

        settings = self._settings
        _check_ca(settings.ca_file)
        proxy = settings.proxy().reveal() if settings.proxy else None
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=settings.timeout / 10,
            read_timeout=settings.timeout / 5,
            max_pool_connections=self._workers + 2,
            # Only what is configured here may turn traffic away: not {} but None would ask the environment.
            proxies={"http": proxy, "https": proxy} if proxy else None if settings.trust_env else {},
            ignore_configured_endpoint_urls=True,
        )
        core = botocore.session.Session()
        core.register_component("data_loader", _loader())
        session = boto3.session.Session(
            botocore_session=core, profile_name=settings.profile, region_name=settings.region
        )
        return session.client(
            "secretsmanager",
            config=config,
            endpoint_url=settings.endpoint_url,
            verify=settings.ca_file or True,
        )

    def _sources(self) -> object:
        """Name the state of the files and references that a client is made from; boto3 reads them once."""
        home = Path.home() / ".aws"
        files = (
            os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials",
            os.environ.get("AWS_CONFIG_FILE") or home / "config",
            *filter(None, [self._settings.ca_file]),
        )
        return [_state(Path(file).expanduser()) for file in files], self._proxy()

    def _proxy(self) -> Secret | str | None:
        try:
            return self._settings.proxy() if self._settings.proxy else None
        except CredentialError as error:
            return str(error)

    def _count(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1


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


def _state(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread of its own and wait so long for it; raises TimeoutError, or what ``work`` raises.

    The library's time-outs are for each read: an answer that drips in, or a chain of credentials, passes them. A thread
    that is given up is a daemon, so that it holds up no exit.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, name="aws", daemon=True).start()
    return future.result(seconds)
