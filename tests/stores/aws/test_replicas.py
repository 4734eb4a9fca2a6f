"""Replicas in other Regions: set at creation, followed until they are in sync, and warned about where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sync.core import marks as mark_map
from sync.stores.aws.store import AwsReplica
from tests.support.clock import FakeClock
from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.store_contract import failed, marks, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server"]

US, WEST = AwsReplica("us-east-1", kms_key="alias/there"), AwsReplica("eu-west-1")


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


def states(aws: Aws, **regions: str) -> None:
    """Make AWS report these states of replicas, by Region with underscores."""
    rows = [
        {"Region": region.replace("_", "-"), "Status": state, "StatusMessage": "canary"}
        for region, state in regions.items()
    ]

    def change(answer: dict[str, Any]) -> None:
        answer["ReplicationStatus"] = rows

    aws.heal()
    for operation in ("CreateSecret", "DescribeSecret"):
        aws.edit(operation, change)


def regions(rig: AwsRig, name: str) -> Mapping[str, Any]:
    """Return the Regions and KMS keys of a secret's replicas in the service."""
    rows = rig.client.describe_secret(SecretId=rig.key(name).path).get("ReplicationStatus", [])
    return {row["Region"]: row.get("KmsKeyId") for row in rows}


def test_failed_replica_is_a_warning(rig: AwsRig, aws: Aws) -> None:
    """A failed replica is a warning in each cycle until it is in sync; the primary is written."""
    store = rig.make_store(replicas=(US,))
    store.begin()
    states(aws, us_east_1="Failed")
    first = written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    for _ in range(2):
        (warning,) = store.warnings
        assert "us-east-1" in warning
        assert "meta/pages/a" in warning
        assert "canary" not in warning
        store.begin()
        assert stored(store, rig.key("a")).version == first.version
    states(aws, us_east_1="InSync")
    store.begin()
    store.read([rig.key("a")])
    assert list(store.warnings) == []
    aws.calls.clear()
    store.begin()
    store.read([rig.key("a")])
    assert aws.calls["DescribeSecret"] == 0


def test_replica_that_fails_after_a_rotation(rig: AwsRig, aws: Aws) -> None:
    """A replica that fails to get a new version is noticed when the new marks are read back."""
    store = rig.make_store(replicas=(US,))
    states(aws, us_east_1="InSync")
    first = written(store.write(rig.key("a"), payload("one"), marks(), replaces=None))
    assert list(store.warnings) == []
    states(aws, us_east_1="Failed")
    written(store.write(rig.key("a"), payload("two"), marks(fingerprint="0123456789ab"), replaces=first.version))
    assert len(store.warnings) == 1


def test_replica_that_takes_long(rig: AwsRig, aws: Aws) -> None:
    """A replica in progress is a warning only after a quarter of an hour; it costs one description a cycle."""
    clock = FakeClock()
    store = rig.make_store(clock=clock, replicas=(US,))
    states(aws, us_east_1="InProgress")
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    counts = []
    for _ in range(3):
        clock.sleep(400)
        store.begin()
        aws.calls.clear()
        store.read([rig.key("b")])
        store.read([rig.key("a")])
        assert aws.calls["DescribeSecret"] == 3
        counts.append(len(store.warnings))
    assert counts == [0, 0, 1]


def test_many_replicas_that_failed_are_counted(rig: AwsRig, aws: Aws) -> None:
    """Of many failed replicas a few are named and all counted, and one cycle describes only some of them again."""
    store, keys = rig.make_store(replicas=(US, WEST)), [rig.key(f"p{number:02}") for number in range(12)]
    states(aws, us_east_1="Failed", eu_west_1="InSync")
    for key in keys:
        written(store.write(key, payload(), marks(), replaces=None))
    (warning,) = store.warnings
    assert "meta/pages/p00, meta/pages/p01, meta/pages/p02 and 9 more" in warning
    store.begin()
    aws.calls.clear()
    store.read(keys)
    assert aws.calls["DescribeSecret"] == 5
    states(aws, us_east_1="InSync", eu_west_1="InSync")
    left = []
    for _ in range(3):
        store.begin()
        store.read(keys)
        left.append(len(store.warnings))
    assert left == [1, 1, 0]


def test_service_that_does_not_answer_while_a_replica_is_followed(rig: AwsRig, aws: Aws) -> None:
    """Where the description fails the replica stays in the warnings, and nothing else is affected."""
    store = rig.make_store(replicas=(US,))
    states(aws, us_east_1="Failed")
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    aws.heal()
    aws.refuse("DescribeSecret", "AccessDeniedException")
    store.begin()
    assert stored(store, rig.key("a")).payload == payload()
    assert len(store.warnings) == 1


@pytest.mark.parametrize("forever", [True, False])
def test_deleted_secret_is_not_followed(rig: AwsRig, aws: Aws, *, forever: bool) -> None:
    """A secret that was deleted, at once or with a recovery window, is no longer warned about."""
    store = rig.make_store(replicas=(US,))
    states(aws, us_east_1="Failed")
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    window = {"ForceDeleteWithoutRecovery": True} if forever else {"RecoveryWindowInDays": 7}
    for row in rig.client.list_secrets()["SecretList"]:
        rig.client.remove_regions_from_replication(SecretId=row["ARN"], RemoveReplicaRegions=["us-east-1"])
    rig.client.delete_secret(SecretId=rig.key("a").path, **window)
    store.begin()
    store.read([rig.key("a")])
    assert list(store.warnings) == []


def test_replicas_are_set_at_creation_with_their_keys(rig: AwsRig, aws: Aws) -> None:
    """The one call that creates a secret also sets its Regions and their KMS keys."""
    store = rig.make_store(replicas=(US, WEST))
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert dict(aws.calls) == {"DescribeSecret": 1, "CreateSecret": 1, "GetSecretValue": 1}
    assert set(regions(rig, "a")) == {"us-east-1", "eu-west-1"}
    assert list(store.warnings) == []
    bodies: list[dict[str, Any]] = []
    aws.fault("CreateSecret", lambda call: bool(bodies.append(call.body)))
    written(store.write(rig.key("b"), payload(), marks(), replaces=None))
    assert bodies[0]["AddReplicaRegions"] == [
        {"Region": "us-east-1", "KmsKeyId": "alias/there"},
        {"Region": "eu-west-1"},
    ]
    assert "ForceOverwriteReplicaSecret" not in bodies[0]


def test_different_replicas_are_a_warning(rig: AwsRig, aws: Aws) -> None:
    """A secret whose Regions differ from the configuration is written unchanged, and the differences are named."""
    first = written(rig.make_store(replicas=(WEST,)).write(rig.key("a"), payload(), marks(), replaces=None))
    store = rig.make_store(replicas=(US,))
    store.begin()
    written(store.write(rig.key("a"), payload("two"), marks(labels={}), replaces=first.version))
    (warning,) = store.warnings
    assert "missing: us-east-1; extra: eu-west-1" in warning
    assert set(regions(rig, "a")) == {"eu-west-1"}
    assert aws.calls["ReplicateSecretToRegions"] == 0
    store.begin()
    assert list(store.warnings) == []


def test_replicas_are_compared_only_where_configured(rig: AwsRig, aws: Aws) -> None:
    """Without configured replicas there is no difference, and another instance's secret is never warned about."""
    first = written(rig.make_store(replicas=(WEST,)).write(rig.key("a"), payload(), marks(), replaces=None))
    store = rig.make_store()
    written(store.write(rig.key("a"), payload("two"), marks(labels={}), replaces=first.version))
    assert list(store.warnings) == []
    store = rig.make_store(replicas=(US,))
    rig.plant(rig.key("b"), {"access_token": "x"}, mark_map.present(marks(instance="other")))
    failed(store.write(rig.key("b"), payload(), marks(), replaces=None), "conflict")
    assert list(store.warnings) == []


def test_copy_in_another_account_is_not_written(rig: AwsRig, aws: Aws) -> None:
    """A secret that is a copy of another account's is blocked like any replica."""
    written(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None))
    aws.edit("DescribeSecret", lambda answer: answer.update(CrossAccountPrimary={"PrimarySecretARN": "arn:x"}))
    store = rig.make_store()
    store.read([rig.key("b")])
    assert stored(store, rig.key("a")).blocked == "replica"
    failed(store.mark(rig.key("a"), marks(labels={}), version=stored(store, rig.key("a")).version), "conflict")
