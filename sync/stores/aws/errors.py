"""What AWS and its library say when a call fails, as a closed table of our own reasons and remedies.

Codes are from the API reference of Secrets Manager and the common errors of AWS, read 2026-11-24. No text of AWS's or of
the library's is passed on: it can hold parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace

from sync.core.model import StoreError, StoreErrorCode


class CutError(CancelledError):
    """An answer is not read any further: it is longer than any of AWS's, or nobody waits for it any more.

    The one class of exceptions that the library neither wraps nor tries again after (seen with 1.44).
    """


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that gave no answer of use.

    ``code`` is AWS's error code, or the name of the library's exception. ``lost`` says that the call may have been carried
    out all the same, ``unsigned`` that it was never sent, for want of a client or of credentials.
    """

    code: str
    error: StoreError
    lost: bool = False
    unsigned: bool = False


_Row = tuple[StoreErrorCode, str, str, bool]
_CREDENTIALS = "Give valid credentials by the profile, the environment, or the role of the machine; files are read again in each cycle."
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
        (
            "throttled",
            "AWS throttles {operation}",
            "It is asked again in the next cycle; lengthen schedule.every.",
            False,
        ),
    ),
    "LimitExceededException": (
        "quota",
        "a quota of Secrets Manager is used up ({operation})",
        (
            "At most one new version every 10 minutes is sustained for a secret, and labels and secrets are limited: look at "
            "Service Quotas, and for another tool that writes this secret."
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
        ("credentials", "AWS refuses the credentials", _CREDENTIALS, True),
    ),
    **dict.fromkeys(
        ("RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"),
        ("clock", "this machine's clock differs from AWS's by more than 5 minutes", "Let NTP set the clock.", True),
    ),
    **dict.fromkeys(
        ("InternalServiceError", "InternalFailure", "ServiceUnavailable", "InternalServiceErrorException"),
        ("unreachable", "AWS has a fault of its own ({operation})", "It is asked again in the next cycle.", False),
    ),
}
_CLASSES: dict[str, _Row] = {
    "ReadTimeoutError": (
        "timeout",
        "no answer to {operation} in time",
        "Check the way to AWS, or raise timeout.",
        True,
    ),
    "ConnectTimeoutError": ("timeout", "no connection to AWS in time", "Check the way to AWS, or raise timeout.", True),
    "SSLError": ("tls", "the endpoint's certificate is not trusted", "Set ca_file to the CA that signed it.", True),
    "ValueError": (
        "unexpected",
        "the address in endpoint_url is not one that the library takes",
        "Write https://HOST:PORT, HOST of letters, digits, dots and hyphens.",
        True,
    ),
    "NoRegionError": ("credentials", "no region is set", "Set region beside the store.", True),
    "ProfileNotFound": ("credentials", "there is no such profile", "Set auth.profile to a profile that exists.", True),
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
        ("credentials", "no usable credentials were found", _CREDENTIALS, True),
    ),
    **dict.fromkeys(
        (
            "ProxyConnectionError",
            "EndpointConnectionError",
            "ConnectionClosedError",
            "ConnectionError",
            "HTTPClientError",
        ),
        ("unreachable", "AWS could not be reached", "Check the network, the region, endpoint_url and proxy.", True),
    ),
}


def from_code(code: str, text: str, status: int, *, operation: str, subject: str) -> Refused:
    """Translate an error that AWS sent. ``text`` is only looked at, never passed on."""
    if code in ("EncryptionFailure", "DecryptionFailure") or code.startswith("KMS") or _denied_by_kms(code, text):
        row: _Row = (
            "kms",
            "KMS refuses the secret's key ({operation})",
            "Enable the key, and allow kms:Decrypt and kms:GenerateDataKey on it to these credentials.",
            False,
        )
    elif code in ("AccessDeniedException", "AccessDenied", "403"):
        row = (
            "denied",
            "AWS does not allow secretsmanager:{operation}",
            (
                "Allow it by IAM for the secret's ARN, which ends in six characters of AWS's own; an explicit deny in a "
                "resource policy or an organisation's policy wins over it."
            ),
            False,
        )
    elif code in ("InvalidSignatureException", "SignatureDoesNotMatch") and ("expired" in text or "not yet" in text):
        row = _CODES["RequestExpired"]
    elif code not in _CODES and (status >= 500 or code.isdecimal()):  # noqa: PLR2004 - HTTP's own number
        row = _CODES["InternalServiceError"]
    else:
        row = _CODES.get(code) or (
            "unexpected",
            "{operation} was answered with " + (code if _is_name(code) else "an error without a name"),
            "Look the code up in the API reference of Secrets Manager.",
            False,
        )
    return Refused(code, _say(row, operation, subject), lost=row[0] in ("unreachable", "throttled"))


def _denied_by_kms(code: str, text: str) -> bool:
    return code in ("AccessDeniedException", "InvalidRequestException") and "KMS" in text


def from_class(names: Sequence[str], *, operation: str, subject: str) -> Refused:
    """Translate an exception of the library's, given the names of its class and of all above it."""
    row = next((_CLASSES[name] for name in names if name in _CLASSES), None) or (
        "unexpected",
        "{operation} failed in the library with " + names[0],
        "Check region, endpoint_url and the credentials' configuration.",
        False,
    )
    # Also where no connection was had: the library has tried three times, and only the last try is told of.
    return Refused(names[0], _say(row, operation, subject), lost=row[0] not in ("credentials", "unexpected"))


def from_chain(code: str, text: str, operation: str, role: str) -> Refused:
    """Translate an error that AWS sent where credentials were to be had from it: by STS, or by its single sign-on.

    ``role`` is the configured one, empty where none is: the error may also be about a role that a profile names.
    """
    if code not in ("AccessDenied", "AccessDeniedException"):
        refused = from_code(code, text, 0, operation=operation, subject="")
        if refused.error.error_code == "clock":
            return replace(refused, lost=False, unsigned=True)
        return no_credentials(code, role=role)
    error = StoreError(
        "denied",
        f"AWS does not allow sts:{operation if operation.isidentifier() else 'AssumeRole'} for {_whose(role)}.",
        "Allow it by IAM to the credentials that assume the role, and name them in the role's trust policy, with the external "
        "id if that demands one. A role that does not exist is answered alike.",
        whole=True,
    )
    return Refused(code, error, unsigned=True)


def no_credentials(*names: str, role: str = "") -> Refused:
    """Report that no credentials could be had, given a code, or the names of an exception's class and of all above it.

    "late" stands for what was not had within the store's timeout.
    """
    row = next((_CLASSES[name] for name in names if name in _CLASSES), None)
    if names[0] == "late":
        cause, remedy = "none were had in time", "Look at who gives them (profile, role, machine), or raise timeout."
    elif row is not None and row[0] == "credentials":
        cause, remedy = row[1:3]
    elif row is not None and row[0] != "unexpected":
        cause, remedy = "who gives them could not be reached", "Check the way to STS, or to what the profile names."
    else:
        cause, remedy = f"finding them ended with {names[0] if _is_name(names[0]) else 'an error'}", _CREDENTIALS
    error = StoreError("credentials", f"No credentials for {_whose(role)}: {cause}.", remedy, whole=True)
    return Refused(names[0], error, unsigned=True)


def _is_name(code: str) -> bool:
    """Whether a code looks like an error's name: what answers may have put there what it was sent."""
    return re.fullmatch(r"[A-Z][A-Za-z]{2,50}(Exception|Error|Failure)", code) is not None


def _whose(role: str) -> str:
    return f"the role {role}" if role else "AWS"


def no_thread() -> Refused:
    """Report that nothing was sent, since this machine gives no thread to send it in."""
    remedy = "Raise the limit on this user's or container's processes."
    return Refused("", StoreError("unreachable", "This machine gives no thread for a call to AWS.", remedy, whole=True))


def not_aws(operation: str) -> Refused:
    """Report that an answer with status 200 is none of Secrets Manager's."""
    row: _Row = (
        "unexpected",
        "{operation} was answered by something that is not Secrets Manager",
        "Check endpoint_url and proxy: a login page may stand in the way.",
        True,
    )
    return Refused("", _say(row, operation, ""), lost=True)


def _say(row: _Row, operation: str, subject: str) -> StoreError:
    reason, message, remedy, whole = row
    said = message.format(operation=operation)
    return StoreError(
        reason, f"{subject}: {said}." if subject and not whole else f"{said[0].upper()}{said[1:]}.", remedy, whole=whole
    )
