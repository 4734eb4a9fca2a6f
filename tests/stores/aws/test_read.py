"""Reading from AWS: in bulk, singly where that is denied or does not say, and what must not be written."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from sync.core import marks as mark_map
from sync.core.model import Absent, Stored
from sync.core.payload import Payload
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


def test_denied_listing_is_made_up_for_by_single_reads(rig: AwsRig, aws: Aws) -> None:
    """Without ListSecrets every key is described and got; only the orphans cannot be told, with the action named."""
    rig.plant(rig.key("a"), {"access_token": "x"}, mark_map.present(marks()))
    aws.refuse("ListSecrets", "AccessDeniedException")
    store = rig.make_store()
    found = store.read([rig.key("a"), rig.key("b")])
    assert isinstance(found[rig.key("b")], Absent)
    assert isinstance(found[rig.key("a")], Stored)
    assert found[rig.key("a")].payload == Payload({"access_token": "x"})
    assert "secretsmanager:ListSecrets" in failed(store.owned("acme"), "denied").message


def test_denied_batch_is_made_up_for_by_single_reads(rig: AwsRig, aws: Aws) -> None:
    """Without BatchGetSecretValue each value is got alone, and the batch is not tried again in that cycle."""
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
def test_trouble_in_bulk_is_every_keys_error_and_is_not_multiplied(rig: AwsRig, aws: Aws, operation: str) -> None:
    """A service that fails in bulk is not then asked for each secret."""
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
def test_secret_whose_key_is_disabled_keeps_no_other_from_being_read(
    rig: AwsRig, aws: Aws, code: str, text: str
) -> None:
    """Where KMS refuses one secret's key, which fails the whole batch, the others of the batch are read all the same."""
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
    """230 secrets cost a listing by hundreds and values by twenties, orphans included."""
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
    """A version that is not labelled AWSCURRENT is not what applications are served."""
    key = rig.key("a")
    first = written(rig.make_store().write(key, payload("one"), marks(), replaces=None))
    written(rig.make_store().write(key, payload("two"), marks(), replaces=first.version))
    secret(REGION, key.path).set_default_version_id(first.version)
    assert stored(rig.make_store(), key).payload == payload("two")


def test_scheduled_for_deletion(rig: AwsRig, aws: Aws) -> None:
    """What is scheduled for deletion is seen with its marks, never asked for its value, and never written or restored."""
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


def test_rotation_by_another(rig: AwsRig, aws: Aws) -> None:
    """A secret with a rotation of its own is read, blocked, and not written."""
    key, store = rig.key("a"), rig.make_store()
    first = written(store.write(key, payload(), marks(), replaces=None))
    moto = secret(REGION, key.path)
    moto.rotation_requested = moto.rotation_enabled = True
    for found in (stored(rig.make_store(), key), stored(store, key)):
        assert (found.blocked, found.payload) == ("rotation-enabled", payload())
    failed(store.write(key, payload("new"), marks(), replaces=first.version), "conflict")
    assert len(rig.versions(key)) == 1


def test_replica(rig: AwsRig, aws: Aws) -> None:
    """A replica of another region's secret is read, blocked, owns no orphan, and is not written."""
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
    """A container without a value is empty also where it is read alone, and is put to, not created again."""
    key, store = rig.key("a"), rig.make_store()
    rig.plant_empty(key, mark_map.present(marks()))
    store.read([rig.key("other")])
    found = stored(store, key)
    assert (found.state, found.payload) == ("empty", None)
    aws.heal()
    written(store.write(key, payload(), marks(), replaces=found.version))
    assert (aws.calls["CreateSecret"], aws.calls["PutSecretValue"]) == (0, 1)
    assert rig.labels(key) == {"AWSCURRENT"}


def test_secret_of_another_name_is_not_taken_for_ours(rig: AwsRig, aws: Aws) -> None:
    """A description that speaks of another secret, as a partial ARN can bring it, is no secret at this name."""
    rig.plant(rig.key("shop"), {"access_token": "x"})
    aws.fault("DescribeSecret", lambda call: call.reply({"ARN": "arn:x", "Name": "meta/pages/shop"}))
    store = rig.make_store()
    store.read([rig.key("other")])
    assert isinstance(one(store, rig.key("shop-berlin")), Absent)


def test_names_outside_the_prefix_are_not_listed(rig: AwsRig, aws: Aws) -> None:
    """What stands outside the fixed part of the name template is no orphan; without a fixed part all is looked at."""
    rig.client.create_secret(Name="else/a", SecretString="{}", Tags=rig.tags(mark_map.present(marks())))
    assert list(rig.make_store().owned("acme")) == []
    assert [key.path for key, _ in rig.make_store(name_prefix="").owned("acme")] == ["else/a"]


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
def test_what_is_no_answer_is_no_empty_account(rig: AwsRig, aws: Aws, answer: bytes) -> None:
    """A login page with status 200, or an answer that lacks what it should hold, does not mean that nothing is there."""
    aws.fault("", lambda call: call.reply(answer), times=99)
    store = rig.make_store()
    assert failed(one(store, rig.key("a"))).error_code == "unexpected"
    store.begin()
    failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "unexpected")
    failed(store.owned("acme"), "unexpected")


def test_odd_rows_are_survived(rig: AwsRig, aws: Aws) -> None:
    """A row of a strange form is nobody's secret."""
    aws.fault("ListSecrets", lambda call: call.reply({"SecretList": [{"Name": 3, "Tags": [{}]}, {}]}))
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)


def test_listing_without_end_ends(rig: AwsRig, aws: Aws) -> None:
    """A list that gives the same page for ever is left."""
    aws.fault("ListSecrets", lambda call: call.reply({"SecretList": [], "NextToken": "again"}), times=99)
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)
    assert aws.calls["ListSecrets"] == 2


def test_listing_of_ever_new_pages_is_no_listing(rig: AwsRig, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pages than an account can have are not gone on with, and nothing is taken for absent."""
    monkeypatch.setattr(aws_read, "_LISTS", 3)
    pages = itertools.count()
    aws.fault("ListSecrets", lambda call: call.reply({"SecretList": [], "NextToken": str(next(pages))}), times=99)
    failed(one(rig.make_store(), rig.key("a")), "unexpected")
    assert aws.calls["ListSecrets"] == 3


def test_tags_that_are_not_marks_do_not_disturb(rig: AwsRig, aws: Aws) -> None:
    """Marks are read from the tags under our prefix alone."""
    rig.client.create_secret(
        Name=rig.key("a").path, SecretString=json.dumps({}), Tags=[{"Key": "managed-by", "Value": "page-token-sync"}]
    )
    assert stored(rig.make_store(), rig.key("a")).marks is None
