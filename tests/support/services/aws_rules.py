"""What AWS Secrets Manager refuses and moto accepts: the rules of the strict shim.

Sources: the service's API reference (read November 2026) and what moto 5.2.5 was seen to accept.
"""

from __future__ import annotations

import re
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.secretsmanager.models import ReplicaSecret, secretsmanager_backends

Refusal = tuple[str, str]
"""An error's code and text."""

DELETED = "You can't perform this operation on the secret because it was marked for deletion."
CREATE_OVER_DELETED = "You can't create this secret because a secret with this name is already scheduled for deletion."
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_TAG = re.compile(r"[\w \t+\-=._:/@]*")
_WRITES = {
    "PutSecretValue",
    "UpdateSecret",
    "TagResource",
    "UntagResource",
    "UpdateSecretVersionStage",
    "DeleteSecret",
    "RotateSecret",
}


def secret(region: str, secret_id: str) -> Any:
    """Return moto's own record of a secret; None where there is none."""
    return secretsmanager_backends[DEFAULT_ACCOUNT_ID][region].secrets.get(secret_id)


def refusal(region: str, operation: str, body: dict[str, Any], tokens: set[str]) -> Refusal | None:
    """Return AWS's refusal of this call; None where moto may answer it. ``tokens`` are the NextTokens issued so far."""
    found = secret(region, body.get("SecretId") or body.get("Name") or "")
    return (
        _form(operation, body, tokens)
        or _tags(operation, body, found)
        or _state(operation, body, found)
        or _version(operation, body, found)
    )


def _form(operation: str, body: dict[str, Any], tokens: set[str]) -> Refusal | None:
    if operation == "CreateSecret" and not _NAME.fullmatch(body.get("Name", "")):
        return (
            "ValidationException",
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of /_+=.@-!",
        )
    if operation in ("CreateSecret", "PutSecretValue"):
        size = len(body.get("SecretString", "").encode("utf-8", "surrogatepass"))
        if size > 65_536:
            return "ValidationException", "Value at 'secretString' failed to satisfy constraint: length at most 65536"
        if not 32 <= len(body.get("ClientRequestToken", "")) <= 64:
            return "InvalidParameterException", "ClientRequestToken must be 32-64 characters long."
    if operation == "BatchGetSecretValue" and not 1 <= len(body.get("SecretIdList", [])) <= 20:
        return "ValidationException", "Value at 'secretIdList' failed to satisfy constraint: length between 1 and 20"
    if operation == "ListSecrets" and not 1 <= body.get("MaxResults", 100) <= 100:
        return "ValidationException", "Value at 'maxResults' failed to satisfy constraint: at most 100"
    if body.get("NextToken") and body["NextToken"] not in tokens:
        return "InvalidNextTokenException", "The NextToken value is invalid."
    return None


def _tags(operation: str, body: dict[str, Any], found: Any) -> Refusal | None:
    tags = body.get("Tags") or []
    for tag in tags:
        key, value = tag["Key"], tag.get("Value", "")
        if key.lower().startswith("aws:"):
            return "InvalidParameterException", "Tag keys that start with aws: are reserved."
        if not (1 <= len(key) <= 128 and len(value) <= 256 and _TAG.fullmatch(key) and _TAG.fullmatch(value)):
            return "InvalidParameterException", "A tag has characters or a length that is not allowed."
    old = {tag["Key"] for tag in found.tags or []} if found and operation == "TagResource" else set()
    if len(old | {tag["Key"] for tag in tags}) > 50:
        return "InvalidParameterException", "A secret can have at most 50 tags."
    return None


def _state(operation: str, body: dict[str, Any], found: Any) -> Refusal | None:
    if found is None:
        return None
    if isinstance(found, ReplicaSecret):
        return (
            ("InvalidRequestException", "Operation not permitted on a replica secret.")
            if operation in _WRITES
            else None
        )
    if found.is_deleted() and operation == "CreateSecret":
        return "InvalidRequestException", CREATE_OVER_DELETED
    if found.is_deleted() and operation in (_WRITES | {"GetSecretValue"}) - {"DeleteSecret"}:
        return "InvalidRequestException", DELETED
    return None


def _version(operation: str, body: dict[str, Any], found: Any) -> Refusal | None:
    if found is None or operation not in ("CreateSecret", "PutSecretValue"):
        return None
    version = found.versions.get(body["ClientRequestToken"])
    if version is not None and version.get("secret_string") != body.get("SecretString"):
        return (
            "ResourceExistsException",
            "You can't use this ClientRequestToken because it is in use with other content.",
        )
    return None
