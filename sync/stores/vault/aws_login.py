"""The login by AWS credentials: a signed GetCallerIdentity request, which Vault's aws method sends to STS to learn who logs in.

The form is that of Vault's documentation of the login endpoint (developer.hashicorp.com/vault/api-docs/auth/aws, read 2026-11-25).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from sync.core.secret import CredentialError
from sync.runtime.threads import started
from sync.stores.vault.settings import AwsIamLogin

_REQUEST = "Action=GetCallerIdentity&Version=2011-06-15"
_GLOBAL = "us-east-1"
"""The region that signatures for the global STS name."""
_CHAIN = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError)
"""What botocore's credential providers raise unwrapped, such as for a missing program or output that is not JSON (seen with 1.44)."""


class Identity:
    """Signs the request that an AWS login sends to Vault; credentials are looked up for each login. One caller at a time."""

    def __init__(self, login: AwsIamLogin) -> None:
        self.login = login
        self._looking: Future[Mapping[str, str]] | None = None

    def signed(self, seconds: float) -> Mapping[str, str]:
        """Sign GetCallerIdentity; who holds the result can log in to Vault as this program for 15 minutes.

        Raises CredentialError if there are no credentials within ``seconds``, and NoThreadError.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - its import takes half a second, and only this login needs it

        # The credential chain can run programs and call networks, with timeouts of its own or none. So it runs in a thread
        # whose result is awaited for a limited time, and is not started again while it runs. A result that comes later is
        # not used, since a signature expires.
        if self._looking is None or self._looking.done():
            self._looking = started(lambda: _signed(self.login), name="aws-identity")
        try:
            return self._looking.result(max(seconds, 0))
        except TimeoutError:
            raise CredentialError("no AWS credentials were found within the timeout") from None
        except (BotoCoreError, ClientError, *_CHAIN) as error:
            raise CredentialError(f"AWS credentials could not be loaded ({type(error).__name__})") from None


def _signed(login: AwsIamLogin) -> Mapping[str, str]:
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - as above
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - as above
    from botocore.session import Session  # noqa: PLC0415 - as above

    session = Session(profile=login.profile)
    credentials = session.get_credentials()
    if credentials is None:
        raise CredentialError("no AWS credentials were found")
    host = "sts.amazonaws.com" if login.region is None else _host(session, login.region)
    headers = {"Host": host, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    if login.header_value is not None:
        headers["X-Vault-AWS-IAM-Server-ID"] = login.header_value
    request = AWSRequest("POST", f"https://{host}/", headers, _REQUEST)
    SigV4Auth(credentials.get_frozen_credentials(), "sts", login.region or _GLOBAL).add_auth(request)
    return {
        "iam_http_request_method": "POST",
        "iam_request_url": _encoded(request.url),
        "iam_request_body": _encoded(_REQUEST),
        "iam_request_headers": _encoded(json.dumps({name: [value] for name, value in request.headers.items()})),
    }


def _host(session: Any, region: str) -> str:
    """Return the host of a region's STS, whose domain differs in China and in other partitions."""
    for partition in session.get_component("data_loader").load_data("partitions")["partitions"]:
        if region in partition["regions"] or re.search(partition["regionRegex"], region):
            return f"sts.{region}.{partition['outputs']['dnsSuffix']}"
    raise CredentialError(f"AWS's library knows no region {region}")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
