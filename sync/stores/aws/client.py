"""Calls to AWS Secrets Manager by boto3: bounded in time, counted, and answered by values."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sync.core.model import StoreError
from sync.core.secret import CredentialError, Secret, SecretSource
from sync.runtime.threads import NoThreadError, started
from sync.stores.aws.errors import CutError, Refused, from_class, from_code, no_credentials, no_thread, not_aws
from sync.stores.aws.session import PARSER, CaFileError, Made, Opening, UnsignedError
from sync.stores.aws.settings import AwsSettings

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


class AwsClient:
    """One boto3 client, made by the first call and made again where what it was made from has changed."""

    def __init__(self, settings: AwsSettings, *, workers: int) -> None:
        self.requests = 0
        self._settings = settings
        self._workers = workers
        self._lock = threading.Lock()
        self._opening = self._another()
        self._made_from: object = None
        self._down: Refused | None = None
        self._outdated = False
        # At DEBUG these log parameters and answers, so secrets; as warnings, tracebacks with what STS said.
        for name in ("boto3", "botocore", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def begin(self) -> None:
        """Ask again on new connections, and after trouble with credentials that are found again.

        A way to AWS may forget a connection that is idle between cycles, and what is sent on it is then waited for in vain.
        Where the finding itself still goes on it is waited for again, and not begun a second time.
        """
        sources = self._sources()
        changed = self._made_from is not None and sources != self._made_from
        if changed or ((self._down is not None or self._outdated) and not self._opening.hangs):
            self.close()
        else:
            self._disconnect()
        self._made_from = sources
        self._down = None
        self._outdated = False

    def close(self) -> None:
        """Return back the connections, and what was made."""
        self._disconnect()
        self._opening = self._another()

    def _disconnect(self) -> None:
        made = self._opening.made
        if made is not None:
            # The library makes new connections for a client that it calls closed.
            made.client.close()

    def _another(self) -> Opening:
        return Opening(self._settings, connections=self._workers + 2, count=self._count)

    @property
    def region(self) -> str:
        """The region that is asked; empty before the first call."""
        made = self._opening.made
        return str(made.client.meta.region_name) if made is not None else ""

    def call(self, operation: str, subject: str = "", **parameters: Any) -> Answer:
        """Make one call, with the library's retries. ``subject`` is the secret that an error speaks of.

        After a call that had no answer in time, or for which no credentials were to be had, all are refused until ``begin``.
        """
        if self._down is not None:
            return self._down
        answer = self._tried(operation, subject, parameters)
        if isinstance(answer, Refused):
            self._outdated |= answer.error.error_code in ("credentials", "clock")
            if answer.error.error_code == "timeout" or answer.unsigned:
                self._down = answer
        return answer

    def _tried(self, operation: str, subject: str, parameters: Mapping[str, Any]) -> Answer:
        end = time.monotonic() + self._settings.timeout
        made = self._opened(operation, end)
        if isinstance(made, Refused):
            return made
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - half a second and 60 MB
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

        from sync.stores.aws.wire import Call  # noqa: PLC0415 - as above

        call = Call()
        try:
            asking = started(lambda: call.run(lambda: _ask(made.client, operation, parameters)), name="aws")
            answer = asking.result(max(end - time.monotonic(), 0))
            needed = _NEEDED.get(operation)
            return answer if needed is None or needed in answer else not_aws(operation)
        except NoThreadError:
            return no_thread()
        except ClientError as error:
            said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            code, status = str(said.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
            return from_code(code, str(said.get("Message", "")), status, operation=operation, subject=subject)
        except (CutError, *PARSER):
            return not_aws(operation)
        except (BotoCoreError, ResponseParserError) as error:
            return from_class(_kinds(error), operation=operation, subject=subject)
        except TimeoutError:
            call.give_up()
            return from_class(["ReadTimeoutError"], operation=operation, subject=subject)

    def _opened(self, operation: str, end: float) -> Made | Refused:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

        if self._made_from is None:
            self._made_from = self._sources()
        try:
            made = self._opening.wait(end - time.monotonic())
            made.sign(max(end - time.monotonic(), 0))
            return made
        except NoThreadError:
            return no_thread()
        except TimeoutError:
            return self._late()
        except UnsignedError as error:
            return error.refused
        except CredentialError as error:
            said = StoreError("credentials", f"{error}", "Correct the reference.", whole=True)
        except CaFileError:
            message = f"The CA file {self._settings.ca_file} is missing, or no PEM file."
            said = StoreError("tls", message, "Correct ca_file or the file.", whole=True)
        except (BotoCoreError, ValueError) as error:
            return replace(from_class(_kinds(error), operation=operation, subject=""), unsigned=True, lost=False)
        return Refused("", said, unsigned=True)

    def _late(self) -> Refused:
        return no_credentials("late", role=self._settings.role.arn if self._settings.role is not None else "")

    def _sources(self) -> object:
        """Return the state of the files and references that a client is made from; boto3 reads them once."""
        home = Path.home() / ".aws"
        files = (
            os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials",
            os.environ.get("AWS_CONFIG_FILE") or home / "config",
            *filter(None, [self._settings.ca_file]),
        )
        role = self._settings.role
        references = _read(self._settings.proxy), _read(role.external_id if role is not None else None)
        return [_state(Path(file).expanduser()) for file in files], references

    def _count(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1


def _ask(client: Any, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    answer: Mapping[str, Any] = getattr(client, method)(**parameters)
    return answer


def _kinds(error: Exception) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _read(reference: SecretSource | None) -> Secret | str | None:
    try:
        return reference() if reference is not None else None
    except CredentialError as error:
        return str(error)


def _state(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
