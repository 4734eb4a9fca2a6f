"""Call AWS Secrets Manager with boto3: bounded in time, counted, with errors as values."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from sync.core.model import StoreError
from sync.core.secret import CredentialError, Secret, SecretSource
from sync.runtime.threads import NoThreadError, started
from sync.stores.aws.credential_errors import Source, no_credentials
from sync.stores.aws.errors import AbortedError, FailedCall, from_code, from_exception, no_thread, not_secrets_manager
from sync.stores.aws.reach import located
from sync.stores.aws.session import PARSER, CaFileError, Lease, PendingClient, SigningClient, UnsignedError
from sync.stores.aws.settings import AwsSettings

Answer = Mapping[str, Any] | FailedCall
_IDENTITY = "GetCallerIdentity"
_NEEDED = {
    "ListSecrets": "SecretList",
    "BatchGetSecretValue": "SecretValues",
    "DescribeSecret": "ARN",
    "GetSecretValue": "VersionId",
    "CreateSecret": "VersionId",
    "PutSecretValue": "VersionId",
    "UpdateSecretVersionStage": "ARN",
    "DeleteSecret": "ARN",
    _IDENTITY: "Arn",
    "ListSecretVersionIds": "ARN",
}
"""A key that each answer must have: boto3 parses a login page as an empty answer, which must not mean "absent"."""


class AwsClient:
    """One boto3 client, created by the first call and again when a file or reference that it depends on has changed."""

    def __init__(self, settings: AwsSettings, *, workers: int) -> None:
        self.requests = 0
        self.outcomes: Counter[tuple[str, ...]] = Counter()
        self._settings = settings
        self._workers = workers
        self._lock = threading.Lock()
        self._pending = self._new_client()
        self._sources_used: object = None
        self._down: FailedCall | None = None
        self._outdated = False
        # At DEBUG these log parameters and answers, which hold secrets; their warnings hold tracebacks with answers of STS.
        for name in ("boto3", "botocore", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def begin(self) -> None:
        """Start a cycle with new connections, and find credentials again after they failed or their files changed.

        A firewall may drop a connection that is idle between cycles without closing it; a request on it would time out. A
        search for credentials that still runs is waited for again and not started a second time.
        """
        sources = self._sources()
        changed = self._sources_used is not None and sources != self._sources_used
        if changed or ((self._down is not None or self._outdated) and not self._pending.in_progress):
            self.close()
        else:
            self._disconnect()
        self._sources_used = sources
        self._down = None
        self._outdated = False

    def close(self) -> None:
        """Close the connections and forget the client."""
        self._disconnect()
        self._pending = self._new_client()

    def _disconnect(self) -> None:
        signing = self._pending.client
        if signing is not None:
            # botocore opens new connections for a closed client.
            signing.client.close()

    def _new_client(self) -> PendingClient:
        return PendingClient(self._settings, connections=self._workers + 2, count=self._count, ended=self._ended)

    @property
    def region(self) -> str:
        """The Region of the client; empty before the first call."""
        signing = self._pending.client
        return str(signing.client.meta.region_name) if signing is not None else ""

    @property
    def lease(self) -> Lease | None:
        """How long the credentials are valid; None before the first call."""
        signing = self._pending.client
        return signing.lease if signing is not None else None

    def identity(self) -> Answer:
        """Ask STS whose the credentials are. Where that fails, all other calls go on."""
        return self._call(_IDENTITY, "", {})

    def call(self, operation: str, subject: str = "", **parameters: Any) -> Answer:
        """Make one call, with boto3's retries. ``subject`` is the secret that an error message names.

        After a timeout, or where no credentials were found, every call fails at once until ``begin``.
        """
        if self._down is not None:
            return self._down
        answer = self._call(operation, subject, parameters)
        if isinstance(answer, FailedCall):
            answer = replace(answer, error=self._located(answer))
            self._outdated |= answer.error.error_code in ("credentials", "clock")
            if answer.error.error_code == "timeout" or answer.not_sent:
                self._down = answer
        return answer

    def _located(self, failed: FailedCall) -> StoreError:
        signing = self._pending.client
        url = str(signing.client.meta.endpoint_url) if signing is not None else self._settings.endpoint_url or ""
        return located(failed.error, self._settings, self.region, url, sent=not failed.not_sent)

    def _call(self, operation: str, subject: str, parameters: Mapping[str, Any]) -> Answer:
        end = time.monotonic() + self._settings.timeout
        signing = self._connected(operation, end)
        if isinstance(signing, FailedCall):
            return signing
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - half a second and 60 MB
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

        from sync.stores.aws.wire import BoundedCall  # noqa: PLC0415 - as above

        call = BoundedCall()
        try:
            future = started(lambda: call.run(lambda: _invoke(signing, operation, parameters)), name="aws")
            answer = future.result(max(end - time.monotonic(), 0))
            needed = _NEEDED.get(operation)
            return answer if needed is None or needed in answer else not_secrets_manager(operation)
        except NoThreadError:
            return no_thread()
        except ClientError as error:
            details, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            code, status = str(details.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
            failed = from_code(code, str(details.get("Message", "")), status, operation=operation, subject=subject)
            # boto3 reports its last try alone, and an earlier one may have been carried out without an answer.
            return replace(failed, maybe_done=failed.maybe_done or call.unanswered)
        except (BotoCoreError, ResponseParserError) as error:
            return from_exception(_class_names(error), operation=operation, subject=subject)
        except (AbortedError, ValueError, RuntimeError, *PARSER):
            return not_secrets_manager(operation)
        except TimeoutError:
            call.cancel()
            return from_exception(["ReadTimeoutError"], operation=operation, subject=subject)

    def _connected(self, operation: str, end: float) -> SigningClient | FailedCall:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

        if self._sources_used is None:
            self._sources_used = self._sources()
        try:
            signing = self._pending.wait(end - time.monotonic())
            signing.refresh_credentials(max(end - time.monotonic(), 0))
            return signing
        except NoThreadError:
            return no_thread()
        except TimeoutError:
            return no_credentials("late", source=Source.of(self._settings))
        except UnsignedError as error:
            return error.failed
        except CredentialError as error:
            failure = StoreError("credentials", f"{error}", "Correct the reference.", whole=True)
        except CaFileError:
            message = f"The CA file {self._settings.ca_file} is missing or not in PEM format."
            failure = StoreError("tls", message, "Correct ca_file or the file.", whole=True)
        except (BotoCoreError, ValueError) as error:
            return replace(
                from_exception(_class_names(error), operation=operation, subject=""), not_sent=True, maybe_done=False
            )
        return FailedCall("", failure, not_sent=True)

    def _sources(self) -> object:
        """Return the state of the files and references that a client depends on, which boto3 reads only once."""
        files = (
            os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
            os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config",
            *filter(None, [self._settings.ca_file]),
        )
        role = self._settings.role
        references = _read(self._settings.proxy), _read(role.external_id if role is not None else None)
        return [_state(file) for file in files], references

    def _count(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1

    def _ended(self, *, event_name: str = "", response: Any = None, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        name = "login" if operation.startswith("AssumeRole") else operation
        with self._lock:
            self.outcomes[name, _outcome(response)] += 1


def _outcome(response: Any) -> str:
    """Return how a request ended, from botocore's response and parsed answer, or None where there is no answer."""
    if response is None:
        return "no-answer"
    status, code = response[0].status_code, str(response[1].get("Error", {}).get("Code", ""))
    if "ResourceNotFound" in code:
        return "not-found"
    if "Throttling" in code or status == HTTPStatus.TOO_MANY_REQUESTS:
        return "throttled"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "server-error"
    return "refused" if status >= HTTPStatus.BAD_REQUEST else "ok"


def _invoke(signing: SigningClient, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    client = signing.sts() if operation == _IDENTITY else signing.client
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    answer: Mapping[str, Any] = getattr(client, method)(**parameters)
    return answer


def _class_names(error: Exception) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _read(reference: SecretSource | None) -> Secret | str | None:
    try:
        return reference() if reference is not None else None
    except CredentialError as error:
        return str(error)


def _state(file: str) -> object:
    try:
        # As boto3 does: without a home directory the path stays, where Path.expanduser would fail.
        status = os.stat(os.path.expanduser(file))  # noqa: PTH111, PTH116 - as above
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
