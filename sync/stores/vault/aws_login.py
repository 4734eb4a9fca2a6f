"""A signed question to AWS, "who am I?", which Vault's aws method asks in our stead: so it learns whose the login is.

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

_QUESTION = "Action=GetCallerIdentity&Version=2011-06-15"
_GLOBAL = "us-east-1"
"""The region that signatures for the global STS name."""
_CHAIN = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError)
"""What botocore's providers of credentials raise, unwrapped: no such program, its output is no JSON (seen with 1.44)."""


class Identity:
    """What an AWS login shows to Vault, looked up again for each login; for one caller at a time."""

    def __init__(self, login: AwsIamLogin) -> None:
        self.login = login
        self._looking: Future[Mapping[str, str]] | None = None

    def signed(self, seconds: float) -> Mapping[str, str]:
        """Sign GetCallerIdentity; whoever holds the answer can be us towards Vault for 15 minutes.

        Raises CredentialError where that is not done within so long, and NoThreadError.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - half a second for this login alone

        # A chain can ask programs and networks, by timeouts of its own or none: so it is waited for, and may be given up;
        # while it goes on it is not begun a second time. What it found after that is not used, since a signature ends.
        if self._looking is None or self._looking.done():
            self._looking = started(lambda: _signed(self.login), name="aws-identity")
        try:
            return self._looking.result(max(seconds, 0))
        except TimeoutError:
            raise CredentialError("AWS credentials could not be had within the timeout") from None
        except (BotoCoreError, ClientError, *_CHAIN) as error:
            raise CredentialError(f"AWS credentials could not be had ({type(error).__name__})") from None


def _signed(login: AwsIamLogin) -> Mapping[str, str]:
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - as above
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - as above
    from botocore.session import Session  # noqa: PLC0415 - as above

    session = Session(profile=login.profile)
    credentials = session.get_credentials()
    if credentials is None:
        raise CredentialError("no AWS credentials are found")
    host = "sts.amazonaws.com" if login.region is None else _host(session, login.region)
    headers = {"Host": host, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    if login.header_value is not None:
        headers["X-Vault-AWS-IAM-Server-ID"] = login.header_value
    request = AWSRequest("POST", f"https://{host}/", headers, _QUESTION)
    SigV4Auth(credentials.get_frozen_credentials(), "sts", login.region or _GLOBAL).add_auth(request)
    return {
        "iam_http_request_method": "POST",
        "iam_request_url": _encoded(request.url),
        "iam_request_body": _encoded(_QUESTION),
        "iam_request_headers": _encoded(json.dumps({name: [value] for name, value in request.headers.items()})),
    }


def _host(session: Any, region: str) -> str:
    """Return a region's STS, whose domain is another in China and in other partitions."""
    for partition in session.get_component("data_loader").load_data("partitions")["partitions"]:
        if region in partition["regions"] or re.search(partition["regionRegex"], region):
            return f"sts.{region}.{partition['outputs']['dnsSuffix']}"
    raise CredentialError(f"AWS's library knows no region {region}")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
