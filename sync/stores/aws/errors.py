"""Translate errors of AWS and of boto3 into StoreError, by a closed table.

Codes are from the API reference of Secrets Manager and the common errors of AWS, read 2026-11-24. No text of AWS or boto3
is passed on, since it can hold parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from http import HTTPStatus

from sync.core.model import StoreError, StoreErrorCode


class AbortedError(CancelledError):
    """An answer is not read to its end, because it is too long or its call was cancelled.

    A CancelledError is the one exception that botocore neither wraps nor retries after (seen with 1.44).
    """


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call without a usable answer.

    ``code`` is AWS's error code, or the name of boto3's exception. ``maybe_done``: AWS may have carried out the call.
    ``not_sent``: no request was sent, since there is no client or there are no credentials.
    """

    code: str
    error: StoreError
    maybe_done: bool = False
    not_sent: bool = False


_Row = tuple[StoreErrorCode, str, str, bool]
CREDENTIALS = "Provide valid credentials by auth.profile, the environment or the instance's IAM role; files are read again in each cycle."
_NETWORK = "Check the network path to AWS, or raise timeout."
_CODES: dict[str, _Row] = {
    **dict.fromkeys(
        (
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "SlowDown",
        ),
        ("throttled", "AWS throttles {operation}", "The next cycle tries again; or lengthen schedule.every.", False),
    ),
    "LimitExceededException": (
        "quota",
        "a quota of Secrets Manager is exceeded ({operation})",
        (
            "AWS allows about one new version of a secret every 10 minutes, and limits the numbers of staging labels and of "
            "secrets: check Service Quotas, and whether another tool writes this secret."
        ),
        False,
    ),
    **dict.fromkeys(
        (
            "ExpiredTokenException",
            "ExpiredToken",
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "IncompleteSignature",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "MissingAuthenticationTokenException",
            "IncompleteSignatureException",
            "NotAuthorized",
            "OptInRequired",
        ),
        ("credentials", "AWS rejects the credentials", CREDENTIALS, True),
    ),
    **dict.fromkeys(
        ("RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"),
        ("clock", "this machine's clock differs from AWS's by more than 5 minutes", "Synchronize it by NTP.", True),
    ),
    **dict.fromkeys(
        ("UnknownOperationException", "InvalidAction"),
        (
            "unexpected",
            "{operation} is unknown at the endpoint, which is another service of AWS",
            "Set endpoint_url to the address of Secrets Manager, or leave it out.",
            True,
        ),
    ),
    **dict.fromkeys(
        ("InternalServiceError", "InternalFailure", "ServiceUnavailable", "InternalServiceErrorException"),
        ("unreachable", "AWS has an internal error ({operation})", "The next cycle tries again.", False),
    ),
}
CLASSES: dict[str, _Row] = {
    "ReadTimeoutError": ("timeout", "{operation} timed out", _NETWORK, True),
    "ConnectTimeoutError": ("timeout", "the connection to AWS timed out", _NETWORK, True),
    "SSLError": ("tls", "the endpoint's certificate is not trusted", "Set ca_file to the CA that issued it.", True),
    "ValueError": (
        "unexpected",
        "boto3 does not accept the address in endpoint_url",
        "Use https://HOST:PORT with letters, digits, dots and hyphens in HOST.",
        True,
    ),
    "NoRegionError": ("credentials", "no region is configured", "Set the store's region.", True),
    "ProfileNotFound": ("credentials", "the AWS profile does not exist", "Set auth.profile to an existing one.", True),
    **dict.fromkeys(
        (
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "TokenRetrievalError",
            "NoAuthTokenError",
            "SSOError",
            "LoginError",
            "MetadataRetrievalError",
            "RefreshWithMFAUnsupportedError",
            "ConfigParseError",
            "ConfigNotFound",
            "InvalidConfigError",
        ),
        ("credentials", "no usable credentials were found", CREDENTIALS, True),
    ),
    **dict.fromkeys(
        (
            "ProxyConnectionError",
            "EndpointConnectionError",
            "ConnectionClosedError",
            "ConnectionError",
            "HTTPClientError",
        ),
        ("unreachable", "AWS could not be reached", "Check the network, region, endpoint_url and proxy.", True),
    ),
}


def from_code(code: str, text: str, status: int, *, operation: str, subject: str) -> FailedCall:
    """Translate an error that AWS sent. ``text`` is matched against, never passed on."""
    denied_by_kms = code in ("AccessDeniedException", "InvalidRequestException") and "KMS" in text
    if code in ("EncryptionFailure", "DecryptionFailure") or code.startswith("KMS") or denied_by_kms:
        row: _Row = (
            "kms",
            "the secret's KMS key cannot be used ({operation})",
            "Enable the KMS key, and allow kms:Decrypt and kms:GenerateDataKey on it for these credentials.",
            False,
        )
    elif code.isdecimal():
        row = _not_aws(int(code))
    elif code in ("AccessDeniedException", "AccessDenied"):
        row = (
            "denied",
            "these credentials are not allowed to call secretsmanager:{operation}",
            (
                "Allow the action in an IAM policy for the secret's ARN, which ends in six random characters; an explicit deny "
                "in a resource policy or a service control policy overrides it."
            ),
            False,
        )
    elif code in ("InvalidSignatureException", "SignatureDoesNotMatch") and ("expired" in text or "not yet" in text):
        row = _CODES["RequestExpired"]
    elif code not in _CODES and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        row = _CODES["InternalServiceError"]
    else:
        row = _CODES.get(code) or (
            "unexpected",
            "{operation} failed with " + (code if is_name(code) else "an unnamed error"),
            "Look up the code in the API reference of Secrets Manager.",
            False,
        )
    return FailedCall(code, _error(row, operation, subject), maybe_done=row[0] in ("unreachable", "throttled"))


def _not_aws(status: int) -> _Row:
    """Return the error for an answer without a code of AWS, such as a page of a proxy; boto3 takes its status for the code."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return (
            "unreachable",
            "the proxy demands a user and a password",
            "Add them to the URL that proxy refers to.",
            True,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "throttled",
            "a gateway before AWS limits {operation}",
            "Raise its limit, or lengthen schedule.every.",
            False,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return (
            "unreachable",
            f"a proxy or load balancer answers {{operation}} with HTTP {status}",
            "The next cycle tries again. If it lasts, check endpoint_url and the proxy.",
            False,
        )
    return (
        "unexpected",
        f"the answer to {{operation}}, HTTP {status}, is not from Secrets Manager",
        "Check endpoint_url and the proxy: the address belongs to another server.",
        True,
    )


def from_exception(names: Sequence[str], *, operation: str, subject: str) -> FailedCall:
    """Translate an exception of boto3, given the names of its class and of all base classes."""
    row = next((CLASSES[name] for name in names if name in CLASSES), None) or (
        "unexpected",
        "{operation} failed in boto3 with " + names[0],
        "Check region, endpoint_url and the configuration of the credentials.",
        False,
    )
    # Also where no connection was made: boto3 has tried three times, and reports only the last try.
    return FailedCall(names[0], _error(row, operation, subject), maybe_done=row[0] not in ("credentials", "unexpected"))


def is_name(code: str) -> bool:
    """Check whether a code looks like the name of an error: an answer may hold what it was sent instead."""
    return re.fullmatch(r"[A-Z][A-Za-z]{2,50}(Exception|Error|Failure)", code) is not None


def no_thread() -> FailedCall:
    """Return the failure to start a thread for a call."""
    remedy = "Raise the process limit of this user or container."
    return FailedCall(
        "", StoreError("unreachable", "No thread could be started for a call to AWS.", remedy, whole=True)
    )


def not_secrets_manager(operation: str) -> FailedCall:
    """Return the failure for an answer with status 200 that is not from Secrets Manager."""
    row: _Row = (
        "unexpected",
        "the answer to {operation} is not from Secrets Manager",
        "Check endpoint_url and proxy: the answer may be a login page.",
        True,
    )
    return FailedCall("", _error(row, operation, ""), maybe_done=True)


def _error(row: _Row, operation: str, subject: str) -> StoreError:
    error_code, message, remedy, whole = row
    text = message.format(operation=operation)
    sentence = f"{subject}: {text}." if subject and not whole else f"{text[0].upper()}{text[1:]}."
    return StoreError(error_code, sentence, remedy, whole=whole)
