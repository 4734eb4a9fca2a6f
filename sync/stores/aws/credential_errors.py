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
_SSO = frozenset({"SSOError", "TokenRetrievalError", "NoAuthTokenError"})
_SSO_REFUSED = ("ForbiddenException", "UnauthorizedException", "ResourceNotFoundException", "InvalidRequestException")

_FILES = (_TOKEN_FILE, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
_ROWS: dict[str, tuple[str, str]] = {
    "late": (
        "their source did not answer in time",
        "Check the source (profile, role, instance metadata), or raise timeout.",
    ),
    "ParamValidationError": (
        "a parameter of the call that fetches them is empty or invalid",
        f"Check the content of the file in {_TOKEN_FILE}, and auth.external_id.",
    ),
    "RefreshWithMFAUnsupportedError": (
        "the profile demands an MFA code (mfa_serial), which nobody can enter here",
        "Use a role or a key that needs no MFA code.",
    ),
    "PartialCredentialsError": (
        "only one of the key id and the secret key is set",
        "Set both: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or aws_access_key_id and aws_secret_access_key in the profile.",
    ),
    "blank": (
        "the key id, the secret key or the session token has a blank or a line break in it",
        "Store them again without it: a file that becomes a variable often ends with a line break.",
    ),
    **dict.fromkeys(
        ("InvalidConfigError", "InfiniteLoopConfigError"),
        (
            "the profile, or the environment in its place, is not complete or refers to itself",
            "Check source_profile, credential_source and sso_session in the profile, and AWS_ROLE_ARN in the environment.",
        ),
    ),
    **dict.fromkeys(
        ("custom-process", "JSONDecodeError"),
        (
            "the program in credential_process failed, or its output is not JSON",
            "Run that program as the user that runs this, and correct what it reports.",
        ),
    ),
    "container-role": (
        "the address in AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI does not give them",
        "Check that the task has a role, or that the agent of EKS Pod Identity runs on the node.",
    ),
}
"""Cause and remedy by the name of an exception, or by botocore's name of a source (``METHOD`` of its providers)."""

_NOT_AWS = (
    "the address or program that was asked for them does not answer in AWS's form",
    "Check the proxy, and the endpoint of STS or SSO in the profile.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where credentials are looked for: the configured role, the profile in use, and the variable that names it; each may be empty."""

    role: str = ""
    profile: str = ""
    variable: str = ""

    @classmethod
    def of(cls, settings: AwsSettings) -> Source:
        """Return the source that the settings, and failing them the environment, name."""
        role = settings.role.arn if settings.role is not None else ""
        if settings.profile:
            return cls(role, settings.profile)
        variable = next((name for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if os.environ.get(name)), "")
        return cls(role, os.environ.get(variable, ""), variable)

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


def no_credentials(*names: str, source: Source, file: str = "", provider: str = "") -> FailedCall:
    """Return the failure to find credentials, given the names of an exception's class and all base classes.

    ``file`` is one that could not be read, and ``provider`` is botocore's name of the source that failed, where they are
    known. "late" stands for credentials that were not found within the store's timeout, and "blank" for a blank in them.
    """
    cause, remedy = _cause(names, source, file, provider)
    error = StoreError("credentials", f"No credentials for {source.principal}: {cause}.", remedy, whole=True)
    return FailedCall(names[0], error, not_sent=True)


def _cause(names: Collection[str], source: Source, file: str, provider: str) -> tuple[str, str]:
    first = next(iter(names))
    row = next((CLASSES[name] for name in names if name in CLASSES), None)
    if "ConfigParseError" in names:
        return (
            f"the AWS configuration file {file} cannot be parsed",
            "Correct it: aws configure list, run as the same user, reports the same.",
        )
    if file:
        named = next((name for name in _FILES if os.environ.get(name) == file), "the profile")
        return (
            f"the file {file}, which {named} names, cannot be read ({first})",
            f"Mount the service account's token or install the program there, or correct {named}.",
        )
    known = _ROWS.get(first) or _ROWS.get(provider)
    if known is not None:
        return known
    if first == "ProfileNotFound" and source.variable:
        return CLASSES[first][1], f"Correct {source.variable} in the environment, or set auth.profile."
    if not _SSO.isdisjoint(names):
        return (
            "the SSO session has ended or was never started",
            f"Run aws sso login{source.option} as the user that runs this; for a daemon, use the role of its machine.",
        )
    if "LoginError" in names:
        return (
            "the session of aws login has ended or was never started",
            f"Run aws login{source.option} as the user that runs this.",
        )
    if first in ("AttributeError", "KeyError", "TypeError") or "ResponseParserError" in names:
        return _NOT_AWS
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
