"""Translate failures to find credentials into StoreError: which source was used, what failed, and what to do.

No text of AWS or boto3 is passed on, since it can hold credentials; the path of a file can be.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace

from sync.core.model import StoreError
from sync.stores.aws.errors import CLASSES, CREDENTIALS, FailedCall, from_code, is_name
from sync.stores.aws.settings import AwsSettings

_TOKEN_FILE = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 - the name of a variable
_WEB_IDENTITY = "AssumeRoleWithWebIdentity"
_SSO = ("SSOError", "TokenRetrievalError", "NoAuthTokenError")
_LOGIN = ("LoginError",)
_SSO_REFUSED = ("ForbiddenException", "UnauthorizedException", "ResourceNotFoundException", "InvalidRequestException")


_NOT_AWS = (
    "the address or program that was asked for them does not answer in AWS's form",
    "Check the proxy, and the endpoint of STS or SSO in the profile.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where credentials are looked for: the configured role or empty, and the profile in use or empty."""

    role: str = ""
    profile: str = ""

    @classmethod
    def of(cls, settings: AwsSettings) -> Source:
        """Return the source that the settings, and failing them the environment, name."""
        profile = settings.profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or ""
        return cls(settings.role.arn if settings.role is not None else "", profile)

    @property
    def principal(self) -> str:
        """What the credentials are for."""
        return (f"the role {self.role}" if self.role else "AWS") + (
            f" (profile {self.profile})" if self.profile else ""
        )

    @property
    def option(self) -> str:
        """The option of AWS's command line that names the profile."""
        return f" --profile {self.profile}" if self.profile else ""


def no_credentials(*names: str, source: Source, file: str = "") -> FailedCall:
    """Return the failure to find credentials, given the names of an exception's class and all base classes.

    ``file`` is one that could not be read. "late" stands for credentials that were not found within the store's timeout.
    """
    cause, remedy = _cause(names, source, file)
    error = StoreError("credentials", f"No credentials for {source.principal}: {cause}.", remedy, whole=True)
    return FailedCall(names[0], error, not_sent=True)


def _cause(names: Collection[str], source: Source, file: str) -> tuple[str, str]:
    first = next(iter(names))
    row = next((CLASSES[name] for name in names if name in CLASSES), None)
    if first == "late":
        return (
            "their source did not answer in time",
            "Check the source (profile, role, instance metadata), or raise timeout.",
        )
    if file:
        named = _TOKEN_FILE if os.environ.get(_TOKEN_FILE) == file else "the profile"
        return (
            f"the file {file}, which {named} names, cannot be read ({first})",
            f"Mount the service account's token or install the program there, or correct {named}.",
        )
    if not {*_SSO}.isdisjoint(names):
        return (
            "the SSO session has ended or was never started",
            f"Run aws sso login{source.option} as the user that runs this; for a daemon, use the role of its machine.",
        )
    if not {*_LOGIN}.isdisjoint(names):
        return (
            "the session of aws login has ended or was never started",
            f"Run aws login{source.option} as the user that runs this.",
        )
    if first in ("AttributeError", "KeyError", "TypeError") or "ResponseParserError" in names:
        return _NOT_AWS
    if first == "ParamValidationError":
        return (
            "a parameter of the call that fetches them is empty or invalid",
            f"Check the content of the file in {_TOKEN_FILE}, and auth.external_id.",
        )
    if row is not None and row[0] == "credentials":
        return row[1:3]
    if row is not None and row[0] != "unexpected":
        return (
            "their source could not be reached",
            "Check the network path and the proxy to STS, or to the source in the profile.",
        )
    return f"the search failed with {first if is_name(first) else 'an error'}", CREDENTIALS


def from_credentials_call(code: str, text: str, operation: str, source: Source) -> FailedCall:
    """Translate an error of a call that fetches credentials, to STS or to IAM Identity Center."""
    if code.isdecimal() or not code:
        return _refused(code, source, *_NOT_AWS)
    if operation == "GetRoleCredentials" and code in _SSO_REFUSED:
        return _refused(
            code,
            source,
            "IAM Identity Center does not give them the account or role that the profile names",
            f"Correct sso_account_id and sso_role_name, have the permission set assigned, or run aws sso login{source.option}.",
        )
    denied = code in ("AccessDenied", "AccessDeniedException")
    if operation == _WEB_IDENTITY and not denied:
        return _refused(
            code,
            source,
            f"STS rejects the web identity token ({code if is_name(code) else 'an unnamed error'})",
            f"Check that the token in the file of {_TOKEN_FILE} is renewed, and the OIDC provider and audience in IAM.",
        )
    if not denied:
        failed = from_code(code, text, 0, operation=operation, subject="")
        if failed.error.error_code == "clock":
            return replace(failed, maybe_done=False, not_sent=True)
        return no_credentials(code, source=source)
    error = StoreError(
        "denied",
        f"These credentials are not allowed to call sts:{operation if operation.isidentifier() else 'AssumeRole'} for {source.principal}.",
        "Name the OIDC provider with the token's subject and audience in the trust policy of the role in AWS_ROLE_ARN or the profile."
        if operation == _WEB_IDENTITY
        else "Allow sts:AssumeRole in an IAM policy of these credentials, and name them in the role's trust policy, with the "
        "external id if it requires one. AWS answers the same for a role that does not exist.",
        whole=True,
    )
    return FailedCall(code, error, not_sent=True)


def _refused(code: str, source: Source, cause: str, remedy: str) -> FailedCall:
    error = StoreError("credentials", f"No credentials for {source.principal}: {cause}.", remedy, whole=True)
    return FailedCall(code, error, not_sent=True)
