"""What the answers of AWS say about the credentials, the policy, KMS keys and replicas; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sync.core.model import StoreError
from sync.core.report.finding import Finding
from sync.core.report.store_findings import failure
from sync.core.report.text import count, some, span
from sync.stores.aws.entry import rows
from sync.stores.aws.policy import Statement
from sync.stores.aws.replicas import IN_SYNC
from sync.stores.aws.session import Lease
from sync.stores.aws.settings import AwsReplica

_PRINTS = "Write the policy that `page-token-sync policy aws {}` prints."


def identity_finding(store: str, answer: Mapping[str, Any] | StoreError) -> Finding:
    """Return whose the credentials are, which work in any case."""
    if isinstance(answer, StoreError):
        message = f"AWS accepts the credentials. Whose they are is not known: STS gave no answer. {answer.message}"
        return Finding("store-login", store, "ok", message)
    arn = "".join(character for character in str(answer.get("Arn", "")) if character.isprintable())[:200]
    if arn.endswith(":root"):
        message = f"The credentials are those of the account's root user, {arn}, which may do everything."
        remedy = f"Use a role. {_PRINTS.format(store)}"
        return Finding("store-login", store, "warn", message, "operator", remedy)
    return Finding("store-login", store, "ok", f"AWS accepts the credentials of {arn}.")


def lease_finding(store: str, lease: Lease | None, now: datetime) -> Finding:
    """Return how long the credentials are valid, and what renews them."""
    if lease is not None and lease.expires_at is not None:
        left = span(max((lease.expires_at - now).total_seconds(), 0))
        return Finding("store-credential", store, "ok", f"The credentials are valid for {left}, and boto3 renews them.")
    if lease is not None and lease.temporary and not lease.renewed:
        message = "The credentials have a session token, so they expire, and nothing renews them."
        remedy = "Use a role, or a profile that fetches new ones."
        return Finding("store-credential", store, "warn", message, "operator", remedy)
    return Finding(
        "store-credential", store, "ok", "The credentials are a long-lived access key, or are renewed by boto3."
    )


def policy_finding(
    store: str, statements: Sequence[Statement], tried: Mapping[str, StoreError | None], *, writes: bool
) -> Finding:
    """Return which actions are denied; ``tried`` has the error of each that was tried, None where it is allowed."""
    denied = [action for action, error in tried.items() if error is not None and error.error_code == "denied"]
    if denied:
        lacking = [_statement(statements, action) for action in denied]
        message = f"The policy does not allow {', '.join(f'secretsmanager:{action}' for action in denied)}."
        remedy = (
            f"{_PRINTS.format(store)} What it lacks: {', '.join(lacking)}. An explicit deny in a resource policy or a service "
            "control policy overrides it."
        )
        return Finding("store-policy", store, "fail", message, "operator", remedy)
    failed = next((error for error in tried.values() if error is not None), None)
    if failed is not None:
        return failure("store-policy", store, failed, "unknown")
    if writes:
        message = (
            "The policy allows to read and to list. Whether it allows to write cannot be found out without a write."
        )
        remedy = f"Compare it with what `page-token-sync policy aws {store}` prints."
        return Finding("store-policy", store, "unknown", message, "operator", remedy)
    return Finding("store-policy", store, "ok", "The policy allows to read and to list.")


def _statement(statements: Sequence[Statement], action: str) -> str:
    """Return the statement that allows an action, with this action alone."""
    name = f"secretsmanager:{action}"
    resource = next(statement["Resource"] for statement in statements if name in statement["Action"])
    return json.dumps({"Effect": "Allow", "Action": name, "Resource": resource})


def kms_finding(store: str, wanted: str, described: Mapping[str, Mapping[str, Any]]) -> Finding:
    """Return which secrets are encrypted with another key than the configured one, given answers of DescribeSecret by name.

    An alias and a key's id may be one key, which only KMS knows.
    """
    found = {name: str(answer.get("KmsKeyId") or "") for name, answer in described.items()}
    other = [name for name, key in found.items() if _plain(key) != _plain(wanted) and _is_alike(key, wanted)]
    unknown = [name for name, key in found.items() if _plain(key) != _plain(wanted) and not _is_alike(key, wanted)]
    if other:
        message = f"{count(len(other), 'secret')} not encrypted with `kms_key` {wanted}: {some(other)}."
        remedy = f"aws secretsmanager update-secret --secret-id NAME --kms-key-id {wanted}"
        return Finding("store-kms", store, "warn", message, "operator", f"Set the key of each: {remedy}")
    if unknown:
        message = f"Whether `kms_key` {wanted} and the key of {some(unknown)} are the same is known to KMS alone."
        remedy = f"Compare them: aws kms describe-key --key-id {wanted}"
        return Finding("store-kms", store, "unknown", message, "operator", remedy)
    return Finding("store-kms", store, "ok", f"{count(len(found), 'secret')} encrypted with `kms_key`.")


def _plain(key: str) -> str:
    return key.split(":", 5)[-1].removeprefix("key/")


def _is_alike(one: str, other: str) -> bool:
    """Check whether both are aliases or both are ids, or one is the key of AWS, so that different texts are different keys."""
    return not one or _plain(one).startswith("alias/") == _plain(other).startswith("alias/")


def replicas_finding(store: str, wanted: Sequence[AwsReplica], described: Mapping[str, Mapping[str, Any]]) -> Finding:
    """Return which secrets have other replicas than configured, or ones that are not in sync, given answers of DescribeSecret."""
    problems: dict[str, list[str]] = {}
    for name, answer in described.items():
        for problem in _of_replicas(wanted, rows(answer, "ReplicationStatus")):
            problems.setdefault(problem, []).append(name)
    if not problems:
        return Finding("store-replicas", store, "ok", f"{count(len(described), 'secret')} replicated as configured.")
    texts = [f"{problem}: {some(names)}" for problem, names in sorted(problems.items())]
    remedy = (
        "Replicas are set at creation only: aws secretsmanager replicate-secret-to-regions, or "
        "remove-regions-from-replication. StatusMessage of aws secretsmanager describe-secret says why one failed."
    )
    return Finding("store-replicas", store, "warn", f"{'; '.join(texts)}.", "operator", remedy)


def _of_replicas(wanted: Sequence[AwsReplica], found: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return what is wrong with the replicas of one secret, each in a few words."""
    there = {str(row.get("Region", "")): row for row in found}
    problems = [f"extra in {region}" for region in sorted(set(there) - {replica.region for replica in wanted})]
    for replica in wanted:
        row = there.get(replica.region)
        if row is None:
            problems.append(f"missing in {replica.region}")
        elif row.get("Status") != IN_SYNC:
            problems.append(f"{row.get('Status')} in {replica.region}")
        elif replica.kms_key is not None:
            key = str(row.get("KmsKeyId") or "")
            if _plain(key) != _plain(replica.kms_key) and _is_alike(key, replica.kms_key):
                problems.append(f"another KMS key in {replica.region}")
    return problems
