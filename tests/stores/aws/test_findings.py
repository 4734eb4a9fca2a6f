"""What the answers of AWS say about credentials, policy, KMS keys and replicas."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sync.core.model import Key, StoreError, Use
from sync.stores.aws.findings import identity_finding, kms_finding, lease_finding, policy_finding, replicas_finding
from sync.stores.aws.policy import Grants
from sync.stores.aws.session import Lease
from sync.stores.aws.settings import AwsReplica
from tests.support.values import NOW, page

DENIED = StoreError("denied", "Denied.", "Allow it.")
KEY = "12345678-1234-1234-1234-123456789012"
ARN = f"arn:aws:kms:eu-central-1:111122223333:key/{KEY}"
ALIAS = "arn:aws:kms:eu-central-1:111122223333:alias/meta"


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ({"Arn": "arn:aws:sts::1:assumed-role/x/page-token-sync"}, "ok", "of arn:aws:sts::1:assumed-role/x"),
        ({"Arn": "arn:aws:iam::1:root"}, "warn", "root user"),
        ({"Arn": "a\x1b[31m"}, "ok", "of a[31m."),
        (StoreError("timeout", "STS timed out.", "Wait."), "ok", "is not known"),
    ],
)
def test_identity(answer: Mapping[str, Any] | StoreError, status: str, text: str) -> None:
    """Whose the credentials are is said; the root user is a warning, and STS need not be reachable."""
    found = identity_finding("aws", answer)
    assert (found.status, text in found.message) == (status, True), found


@pytest.mark.parametrize(
    ("lease", "status", "text"),
    [
        (Lease(NOW + timedelta(hours=6), renewed=True, temporary=True), "ok", "valid for 6 h"),
        (Lease(NOW - timedelta(hours=6), renewed=True, temporary=True), "ok", "valid for 0 s"),
        (Lease(None, renewed=False, temporary=True), "warn", "nothing renews them"),
        (Lease(None, renewed=False, temporary=False), "ok", "long-lived"),
        (None, "ok", "long-lived"),
    ],
)
def test_lease(lease: Lease | None, status: str, text: str) -> None:
    """Credentials that expire and that nothing renews are a warning."""
    found = lease_finding("aws", lease, NOW)
    assert (found.status, text in found.message) == (status, True), found


@pytest.mark.parametrize(
    ("errors", "writes", "status", "text"),
    [
        ({}, False, "ok", "to read and to list"),
        ({}, True, "unknown", "cannot be found out without a write"),
        ({"DescribeSecret": DENIED}, True, "fail", "does not allow secretsmanager:DescribeSecret."),
        ({"GetSecretValue": StoreError("throttled", "Slow down.", "Wait.")}, True, "unknown", "Slow down."),
    ],
)
def test_policy(errors: Mapping[str, StoreError], writes: bool, status: str, text: str) -> None:
    """What is denied is named with its statement; what only a write can show is unknown."""
    key = Key("aws", "meta/pages/berlin")
    statements = list(Grants("eu-central-1", "meta/pages/", "acme").daemon({key: Use("write", page())}, exact=False))
    actions = ("ListSecrets", "BatchGetSecretValue", "DescribeSecret", "GetSecretValue")
    found = policy_finding("aws", statements, {action: errors.get(action) for action in actions}, writes=writes)
    assert (found.status, text in found.message) == (status, True), found
    assert bool(found.remedy) == (status != "ok")
    if status == "fail":
        resource = "arn:aws:secretsmanager:eu-central-1:*:secret:meta/pages/*"
        assert (
            f'{{"Effect": "Allow", "Action": "secretsmanager:DescribeSecret", "Resource": "{resource}"}}'
            in found.remedy
        )


@pytest.mark.parametrize(
    ("wanted", "stored", "status"),
    [
        ("alias/meta", "alias/meta", "ok"),
        ("alias/meta", ALIAS, "ok"),
        (ALIAS, "alias/other", "warn"),
        (KEY, ARN, "ok"),
        (KEY, ARN[:-1] + "3", "warn"),
        ("alias/meta", None, "warn"),
        ("alias/meta", ARN, "unknown"),
        (KEY, "alias/meta", "unknown"),
    ],
)
def test_kms(wanted: str, stored: str | None, status: str) -> None:
    """Another key is a warning; an alias and an id may be one key. Without a key of its own a secret has that of AWS."""
    found = kms_finding("aws", wanted, {"meta/pages/a": {"KmsKeyId": stored} if stored else {}})
    assert found.status == status
    assert ("meta/pages/a" in found.message, bool(found.remedy)) == (status != "ok", status != "ok")


@pytest.mark.parametrize(
    ("rows", "status", "text"),
    [
        ([{"Region": "us-east-1", "Status": "InSync", "KmsKeyId": "alias/r"}], "ok", ""),
        ([], "warn", "missing in us-east-1: a, b, c and 2 more"),
        ([{"Region": "us-east-1", "Status": "Failed"}], "warn", "Failed in us-east-1"),
        ([{"Region": "us-east-1", "Status": "InSync"}], "warn", "another KMS key in us-east-1"),
        ([{"Region": "us-east-1", "Status": "InSync", "KmsKeyId": KEY}], "ok", ""),
        (
            [{"Region": "us-east-1", "Status": "InSync", "KmsKeyId": "alias/r"}, {"Region": "eu-west-1"}],
            "warn",
            "extra in eu-west-1",
        ),
    ],
)
def test_replicas(rows: list[Mapping[str, str]], status: str, text: str) -> None:
    """Regions that differ, replicas that are not in sync, and another KMS key are warnings that name the secrets."""
    wanted = [AwsReplica("us-east-1", "alias/r")]
    found = replicas_finding("aws", wanted, {name: {"ReplicationStatus": rows} for name in "abcde"})
    assert (found.status, text in found.message) == (status, True), found
