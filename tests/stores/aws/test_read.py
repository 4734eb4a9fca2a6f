"""Reads from AWS: in bulk, individually where bulk reads are denied or do not suffice, and what must not be written."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from sync.core import marks as mark_map
from sync.core.model import Absent, Stored
from sync.core.payload import Payload, fixed_part
from sync.stores.aws import read as aws_read
from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import REGION, Aws, aws, aws_environment, aws_server
from tests.support.services.aws_rules import secret
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server"]


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


def test_denied_listing_becomes_individual_reads(rig: AwsRig, aws: Aws) -> None:
    """Without ListSecrets every secret is described and read; only orphans are unknown, and the error names the action."""
    rig.plant(rig.key("a"), {"access_token": "x"}, mark_map.present(marks()))
    aws.refuse("ListSecrets", "AccessDeniedException")
    store = rig.make_store()
    found = store.read([rig.key("a"), rig.key("b")])
    assert isinstance(found[rig.key("b")], Absent)
    assert isinstance(found[rig.key("a")], Stored)
    assert found[rig.key("a")].payload == Payload({"access_token": "x"})
    assert "secretsmanager:ListSecrets" in failed(store.owned("acme"), "denied").message


def test_denied_batch_becomes_individual_reads(rig: AwsRig, aws: Aws) -> None:
    """Without BatchGetSecretValue each value is read individually, and the batch is not tried again in that cycle."""
    keys = [rig.key(f"p{number}") for number in range(45)]
    for key in keys:
        rig.plant(key, {"access_token": key.path}, mark_map.present(marks()))
    aws.heal()
    aws.refuse("BatchGetSecretValue", "AccessDeniedException")
    found = rig.make_store().read(keys)
    assert [found[key].payload for key in keys] == [Payload({"access_token": key.path}) for key in keys]
    assert aws.calls["BatchGetSecretValue"] <= 4
    assert aws.calls["GetSecretValue"] == 45


@pytest.mark.parametrize("operation", ["ListSecrets", "BatchGetSecretValue"])
def test_failure_in_bulk_is_every_keys_error(rig: AwsRig, aws: Aws, operation: str) -> None:
    """A service that fails a bulk read is not asked for each secret."""
    keys = [rig.key(f"p{number}") for number in range(30)]
    for key in keys:
        rig.plant(key, {"access_token": "x"})
    aws.heal()
    aws.refuse(operation, "SomethingNewException")
    found = rig.make_store().read(keys)
    assert {failed(answer).error_code for answer in found.values()} == {"unexpected"}
    assert aws.total <= 4


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("DecryptionFailure", ""),
        ("KMSInvalidStateException", ""),
        ("AccessDeniedException", "Access to KMS is not allowed"),
    ],
)
def test_secret_with_a_disabled_kms_key_affects_no_other(rig: AwsRig, aws: Aws, code: str, text: str) -> None:
    """Where one secret's KMS key fails a whole batch, the other secrets of the batch are read."""
    keys = [rig.key(f"p{number}") for number in range(7)]
    for key in keys:
        rig.plant(key, {"access_token": key.path}, mark_map.present(marks()))
    aws.refuse("BatchGetSecretValue", code, text=text)
    aws.fault(
        "GetSecretValue",
        lambda call: call.body["SecretId"] == keys[3].path and call.answer(code, text),
        times=99,
    )
    found = rig.make_store().read(keys)
    error = failed(found.pop(keys[3]), "kms")
    assert keys[3].path in error.message
    assert not error.whole
    assert [one.payload for one in found.values() if isinstance(one, Stored)] == [
        Payload({"access_token": key.path}) for key in found
    ]


def test_requests_of_an_idle_cycle(rig: AwsRig, aws: Aws) -> None:
    """230 secrets cost one list request per hundred and one batch per twenty, orphans included."""
    keys = [rig.key(f"p{number}") for number in range(230)]
    for key in keys:
        rig.plant(key, {"access_token": key.path}, mark_map.present(marks()))
    aws.heal()
    store = rig.make_store()
    store.begin()
    found = store.read(keys)
    owned = store.owned("acme")
    assert [found[key].payload for key in keys] == [Payload({"access_token": key.path}) for key in keys]
    assert len(owned) == 230
    assert aws.total == store.requests == math.ceil(230 / 100) + math.ceil(230 / 20)
    assert aws.total <= math.ceil(230 / 100) + math.ceil(230 / 20) + 5


def test_value_that_a_batch_gives_without_its_label_is_read_again(rig: AwsRig, aws: Aws) -> None:
    """A version in a batch without AWSCURRENT is read again, since applications do not get it."""
    key = rig.key("a")
    first = written(rig.make_store().write(key, payload("one"), marks(), replaces=None))
    written(rig.make_store().write(key, payload("two"), marks(), replaces=first.version))
    secret(REGION, key.path).set_default_version_id(first.version)
    assert stored(rig.make_store(), key).payload == payload("two")


def test_scheduled_for_deletion(rig: AwsRig, aws: Aws) -> None:
    """A secret that is scheduled for deletion is read with its marks; its value is not requested, and it is not written or restored."""
    key, store = rig.key("a"), rig.make_store()
    first = written(store.write(key, payload(), marks(), replaces=None))
    rig.delete(key)
    aws.heal()
    for reader in (rig.make_store(), store):
        found = stored(reader, key)
        assert (found.blocked, found.payload, found.marks) == ("scheduled-deletion", None, marks())
        assert stored(reader, key).blocked == "scheduled-deletion"
    assert aws.calls["GetSecretValue"] + aws.calls["BatchGetSecretValue"] == 0
    assert list(rig.make_store().owned("acme")) == []
    for replaces in (None, first.version):
        failed(store.write(key, payload("new"), marks(), replaces=replaces), "conflict")
    failed(store.mark(key, marks(labels={}), version=first.version), "conflict")
    assert set(aws.calls) == {"ListSecrets", "DescribeSecret"}
    rig.client.restore_secret(SecretId=key.path)
    assert stored(rig.make_store(), key).payload == payload()


def test_rotation_enabled(rig: AwsRig, aws: Aws) -> None:
    """A secret with its own rotation is read, blocked and not written."""
    key, store = rig.key("a"), rig.make_store()
    first = written(store.write(key, payload(), marks(), replaces=None))
    moto = secret(REGION, key.path)
    moto.rotation_requested = moto.rotation_enabled = True
    for found in (stored(rig.make_store(), key), stored(store, key)):
        assert (found.blocked, found.payload) == ("rotation-enabled", payload())
    failed(store.write(key, payload("new"), marks(), replaces=first.version), "conflict")
    assert len(rig.versions(key)) == 1


def test_replica(rig: AwsRig, aws: Aws) -> None:
    """A replica of another Region's secret is read, blocked, no orphan, and not written."""
    key = rig.key("a")
    first = written(rig.make_store().write(key, payload(), marks(), replaces=None))
    rig.client.replicate_secret_to_regions(SecretId=key.path, AddReplicaRegions=[{"Region": "eu-west-1"}])
    assert stored(rig.make_store(), key).blocked is None
    there = rig.make_store(region="eu-west-1")
    found = stored(there, key)
    assert (found.blocked, found.payload) == ("replica", payload())
    assert list(there.owned("acme")) == []
    failed(there.write(key, payload("new"), marks(), replaces=first.version), "conflict")


def test_secret_without_a_value_that_is_only_described(rig: AwsRig, aws: Aws) -> None:
    """A secret without a value is empty also where it is read individually, and is filled instead of created."""
    key, store = rig.key("a"), rig.make_store()
    rig.plant_empty(key, mark_map.present(marks()))
    store.read([rig.key("other")])
    found = stored(store, key)
    assert (found.state, found.payload) == ("empty", None)
    aws.heal()
    written(store.write(key, payload(), marks(), replaces=found.version))
    assert (aws.calls["CreateSecret"], aws.calls["PutSecretValue"]) == (0, 1)
    assert rig.labels(key) == {"AWSCURRENT"}


def test_description_of_another_secret_is_ignored(rig: AwsRig, aws: Aws) -> None:
    """A description of another secret, as a partial ARN can return it, means that this name is absent."""
    rig.plant(rig.key("shop"), {"access_token": "x"})
    aws.fault("DescribeSecret", lambda call: call.reply({"ARN": "arn:x", "Name": "meta/pages/shop"}))
    store = rig.make_store()
    store.read([rig.key("other")])
    assert isinstance(one(store, rig.key("shop-berlin")), Absent)


def test_names_outside_the_prefix_are_not_listed(rig: AwsRig, aws: Aws) -> None:
    """Secrets outside the fixed part of the template are no orphans; without a fixed part the whole account is listed."""
    rig.client.create_secret(Name="else/a", SecretString="{}", Tags=rig.tags(mark_map.present(marks())))
    assert list(rig.make_store().owned("acme")) == []
    assert [key.path for key, _ in rig.make_store(name_prefix="").owned("acme")] == ["else/a"]


def test_a_name_with_the_instance_is_listed_for_that_instance(rig: AwsRig, aws: Aws) -> None:
    """Where the name has the instance, its orphans are found, and the list asks for no other instance's names."""
    for name in ("meta/acme/a", "meta/other/a"):
        rig.client.create_secret(Name=name, SecretString="{}", Tags=rig.tags(mark_map.present(marks())))
    store = rig.make_store(name_prefix=fixed_part("meta/{instance}/{name}", {"instance": "acme"}))
    assert [key.path for key, _ in store.owned("acme")] == ["meta/acme/a"]


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>please log in</html>",
        b"{}",
        b'{"SecretList": null}',
        b"[]",
        b"null",
        b"",
        b"[" * 100_000,
        b'{"SecretList": 3}',
        b'{"SecretList": [3]}',
    ],
)
def test_answer_that_is_not_from_aws_is_no_empty_account(rig: AwsRig, aws: Aws, answer: bytes) -> None:
    """A login page with status 200, or an answer without its key, does not mean that secrets are absent."""
    aws.fault("", lambda call: call.reply(answer), times=99)
    store = rig.make_store()
    assert failed(one(store, rig.key("a"))).error_code == "unexpected"
    store.begin()
    failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "unexpected")
    failed(store.owned("acme"), "unexpected")


def test_odd_rows_are_ignored(rig: AwsRig, aws: Aws) -> None:
    """A row of an unexpected form belongs to no instance."""
    aws.fault("ListSecrets", lambda call: call.reply({"SecretList": [{"Name": 3, "Tags": [{}]}, {}]}))
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)


def test_repeated_page_ends_the_listing(rig: AwsRig, aws: Aws) -> None:
    """A list that returns the same page again ends there."""
    aws.fault("ListSecrets", lambda call: call.reply({"SecretList": [], "NextToken": "again"}), times=99)
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)
    assert aws.calls["ListSecrets"] == 2


def test_endless_listing_is_an_error(rig: AwsRig, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list with more pages than an account can have is an error, and no secret is taken for absent."""
    monkeypatch.setattr(aws_read, "_LISTS", 3)
    pages = itertools.count()
    aws.fault("ListSecrets", lambda call: call.reply({"SecretList": [], "NextToken": str(next(pages))}), times=99)
    failed(one(rig.make_store(), rig.key("a")), "unexpected")
    assert aws.calls["ListSecrets"] == 3


def test_other_tags_are_ignored(rig: AwsRig, aws: Aws) -> None:
    """Marks are read only from the tags under the prefix."""
    rig.client.create_secret(
        Name=rig.key("a").path, SecretString=json.dumps({}), Tags=[{"Key": "managed-by", "Value": "page-token-sync"}]
    )
    assert stored(rig.make_store(), rig.key("a")).marks is None
