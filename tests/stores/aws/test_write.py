"""Writes to AWS: the exact calls, lost answers, second writers, and kills between any two calls."""

from __future__ import annotations

from typing import Any

import pytest

from sync.core.model import Absent, Stored, StoreError, Written
from sync.core.payload import Payload
from sync.stores.aws.read import AwsReader
from sync.stores.aws.replicas import Replicas
from sync.stores.aws.versions import LABEL
from sync.stores.aws.write import AwsWriter
from tests.support.clock import FakeClock
from tests.support.fakes import Killed
from tests.support.rigs.aws import AwsRig, KilledClient
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server"]

UPDATED = marks(reason="rotate", fingerprint="0123456789ab")
UPDATE = {
    "DescribeSecret": 2,
    "PutSecretValue": 1,
    "GetSecretValue": 1,
    "UpdateSecretVersionStage": 2,
    "TagResource": 1,
}


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


def begun(rig: AwsRig, aws: Aws) -> str:
    """Store a first version and return its id."""
    version = written(rig.make_store().write(rig.key("a"), payload("one"), marks(), replaces=None)).version
    aws.heal()
    return version


def update(rig: AwsRig, version: str, clock: FakeClock | None = None) -> Written | StoreError:
    """Replace that version by a second."""
    return rig.make_store(clock=clock).write(rig.key("a"), payload("two"), UPDATED, replaces=version)


def test_creation_is_three_requests(rig: AwsRig, aws: Aws) -> None:
    """A new secret is described, created with value, tags and KMS key, and read back by its version id."""
    answer = written(
        rig.make_store(kms_key="alias/meta").write(rig.key("a"), payload(), marks(reason="x"), replaces=None)
    )
    assert dict(aws.calls) == {"DescribeSecret": 1, "CreateSecret": 1, "GetSecretValue": 1}
    found = rig.client.describe_secret(SecretId=rig.key("a").path)
    assert found["KmsKeyId"] == "alias/meta"
    assert found["VersionIdsToStages"] == {answer.version: ["AWSCURRENT"]}
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert tags["Cost"] == "1"
    assert tags["page-token-sync:managed-by"] == "page-token-sync"
    assert tags["page-token-sync:reason"] == "x"


def test_update_leaves_only_its_own_traces(rig: AwsRig, aws: Aws) -> None:
    """After an update the new version is current, the old one previous, LABEL removed, and AWSPENDING unchanged."""
    first = begun(rig, aws)
    pending = "pending-0123456789012345678901234567"
    rig.client.put_secret_value(
        SecretId=rig.key("a").path, SecretString="{}", ClientRequestToken=pending, VersionStages=["AWSPENDING"]
    )
    aws.heal()
    second = written(update(rig, first)).version
    assert dict(aws.calls) == UPDATE
    found = rig.client.describe_secret(SecretId=rig.key("a").path)["VersionIdsToStages"]
    assert {version: set(labels) for version, labels in found.items()} == {
        first: {"AWSPREVIOUS"},
        second: {"AWSCURRENT"},
        pending: {"AWSPENDING"},
    }


@pytest.mark.parametrize("times", [1, 3])
def test_lost_answer_to_a_creation(rig: AwsRig, aws: Aws, times: int) -> None:
    """A creation whose answer is lost once, or in all of boto3's tries, is found done, with one version."""
    aws.lose("CreateSecret", times=times)
    written(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None))
    assert len(rig.versions(rig.key("a"))) == 1


def test_creation_that_is_refused_after_its_answer_was_lost(rig: AwsRig, aws: Aws) -> None:
    """A creation that AWS carried out in a first try and refused in boto3's next one is found done."""
    aws.lose("CreateSecret", times=1)
    aws.refuse("CreateSecret", "AccessDeniedException")
    written(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None))
    assert stored(rig.make_store(), rig.key("a")).marks == marks()


def test_creation_that_may_have_been_done_is_not_called_undone(rig: AwsRig, aws: Aws) -> None:
    """A refusal after a lost answer says that the secret may have been created where it cannot be looked for."""
    aws.lose("CreateSecret", times=1)
    aws.refuse("CreateSecret", "AccessDeniedException")
    aws.refuse("DescribeSecret", "AccessDeniedException", skip=1)
    assert failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None), "denied").maybe_written


@pytest.mark.parametrize("operation", ["TagResource", "UntagResource"])
def test_tags_never_state_an_earlier_origin_of_a_new_token(rig: AwsRig, aws: Aws, operation: str) -> None:
    """Where one of the two calls for tags fails, no origin stands beside another token's fingerprint, and what changed is reported."""
    first = begun(rig, aws)
    wanted = marks(fingerprint="0123456789ab", system_user_id=None, system_user_fingerprint=None)
    aws.refuse(operation, "AccessDeniedException")
    error = failed(rig.make_store().mark(rig.key("a"), wanted, version=first), "denied")
    aws.heal()
    found = stored(rig.make_store(), rig.key("a")).marks
    assert found is not None
    assert error.maybe_written == (found != marks())
    assert (found.fingerprint, found.system_user_fingerprint) in (
        (marks().fingerprint, None),
        (marks().fingerprint, marks().system_user_fingerprint),
    )
    written(rig.make_store().mark(rig.key("a"), wanted, version=first))
    assert stored(rig.make_store(), rig.key("a")).marks == wanted


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage", "TagResource"])
@pytest.mark.parametrize("times", [1, 3])
def test_lost_answer_to_an_update(rig: AwsRig, aws: Aws, operation: str, times: int) -> None:
    """An update whose answer is lost at any step ends with one new version; only a lost answer to the tags is an error."""
    first = begun(rig, aws)
    aws.lose(operation, times=times)
    answer = update(rig, first)
    if (operation, times) == ("TagResource", 3):
        assert failed(answer).maybe_written
    else:
        written(answer)
    aws.heal()
    found = stored(rig.make_store(), rig.key("a"))
    assert (found.payload, found.marks) == (payload("two"), UPDATED)
    assert len(rig.versions(rig.key("a"))) == 2
    assert rig.labels(rig.key("a"), found.version) == {"AWSCURRENT"}


def test_second_writer_between_reading_and_moving(rig: AwsRig, aws: Aws) -> None:
    """When another writer makes a version current first it stays, LABEL is removed, and the answer is a conflict."""
    first = begun(rig, aws)

    def other() -> None:
        rig.client.put_secret_value(SecretId=rig.key("a").path, SecretString='{"access_token": "theirs"}')

    aws.before("UpdateSecretVersionStage", other)
    failed(update(rig, first), "conflict")
    found = stored(rig.make_store(), rig.key("a"))
    assert found.payload == Payload({"access_token": "theirs"})
    described = rig.client.describe_secret(SecretId=rig.key("a").path)["VersionIdsToStages"]
    assert not [version for version, labels in described.items() if LABEL in labels]


def test_secret_that_is_deleted_during_a_write(rig: AwsRig, aws: Aws) -> None:
    """A deletion that is scheduled between description and write is a conflict, and stays."""
    first = begun(rig, aws)
    aws.before("PutSecretValue", lambda: rig.delete(rig.key("a")))
    failed(update(rig, first), "conflict")
    assert stored(rig.make_store(), rig.key("a")).blocked == "scheduled-deletion"


def test_secret_that_appears_during_a_creation(rig: AwsRig, aws: Aws) -> None:
    """A foreign secret that appears between description and creation stays as it is."""
    aws.before("CreateSecret", lambda: rig.plant(rig.key("a"), {"access_token": "theirs"}))
    failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None), "conflict")
    found = stored(rig.make_store(), rig.key("a"))
    assert (found.payload, found.marks) == (Payload({"access_token": "theirs"}), None)


def test_creation_over_one_scheduled_for_deletion(rig: AwsRig, aws: Aws) -> None:
    """A secret whose deletion is scheduled between description and creation is neither restored nor created over."""

    def other() -> None:
        rig.plant(rig.key("a"), {"access_token": "theirs"})
        rig.delete(rig.key("a"))

    aws.before("CreateSecret", other)
    failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None), "conflict")


def test_changed_instance_stops_a_write(rig: AwsRig, aws: Aws) -> None:
    """A secret that another instance has taken over since it was read is not written, whatever its version."""
    first = begun(rig, aws)
    rig.client.untag_resource(SecretId=rig.key("a").path, TagKeys=["page-token-sync:managed-by"])
    failed(update(rig, first), "conflict")
    assert rig.versions(rig.key("a")) == [first]


def test_two_writers_fill_an_empty_secret(rig: AwsRig, aws: Aws) -> None:
    """Of two first values the first one stays current; the other writer gets a conflict."""
    key = rig.key("a")
    rig.client.create_secret(Name=key.path, Tags=rig.tags({"managed-by": "page-token-sync", "instance": "acme"}))
    store = rig.make_store()
    found = stored(store, key)
    other = rig.make_store()
    aws.before(
        "PutSecretValue",
        lambda: other.write(key, payload("other"), marks(), replaces=found.version),
    )
    failed(store.write(key, payload("mine"), marks(), replaces=found.version), "conflict")
    assert stored(rig.make_store(), key).payload == payload("other")


@pytest.mark.parametrize("gaps", [1, 3])
def test_new_version_that_is_not_visible_at_once(rig: AwsRig, aws: Aws, gaps: int) -> None:
    """A version that is not visible yet is read again, and then confirmed."""
    clock = FakeClock()
    aws.hide("GetSecretValue", times=gaps)
    answer = rig.make_store(clock=clock).write(rig.key("a"), payload("one"), marks(), replaces=None)
    aws.hide("GetSecretValue", times=gaps)
    written(update(rig, written(answer).version, clock))
    assert len(clock.slept) == 2 * gaps


def test_new_version_that_stays_invisible_is_unconfirmed(rig: AwsRig, aws: Aws) -> None:
    """A write that is not visible after 15 s is done and unconfirmed; the next cycle finds it."""
    clock = FakeClock()
    aws.hide("GetSecretValue", times=99)
    first = rig.make_store(clock=clock).write(rig.key("a"), payload("one"), marks(), replaces=None)
    assert isinstance(first, Written)
    assert not first.confirmed
    assert 10 < clock.passed <= 15
    second = update(rig, first.version, FakeClock())
    assert isinstance(second, Written)
    assert not second.confirmed
    aws.heal()
    assert stored(rig.make_store(), rig.key("a")).payload == payload("two")


@pytest.mark.parametrize(
    ("operation", "code", "reason"),
    [
        ("DescribeSecret", "AccessDeniedException", "denied"),
        ("PutSecretValue", "AccessDeniedException", "denied"),
        ("PutSecretValue", "LimitExceededException", "quota"),
        ("PutSecretValue", "EncryptionFailure", "kms"),
        ("GetSecretValue", "DecryptionFailure", "kms"),
        ("GetSecretValue", "AccessDeniedException", "denied"),
        ("UpdateSecretVersionStage", "AccessDeniedException", "denied"),
        ("UpdateSecretVersionStage", "LimitExceededException", "quota"),
    ],
)
def test_refusal_before_the_move_changes_nothing(rig: AwsRig, aws: Aws, operation: str, code: str, reason: Any) -> None:
    """After a failure before AWSCURRENT is moved applications keep the old version, and the error says so."""
    first = begun(rig, aws)
    aws.refuse(operation, code)
    error = failed(update(rig, first), reason)
    assert not error.maybe_written
    aws.heal()
    found = stored(rig.make_store(), rig.key("a"))
    assert (found.payload, found.version, found.marks) == (payload("one"), first, marks())
    written(update(rig, first))
    assert len(rig.versions(rig.key("a"))) == 2


@pytest.mark.parametrize(
    ("code", "text", "reason", "word"),
    [
        ("EncryptionFailure", "", "kms", "kms:GenerateDataKey"),
        ("AccessDeniedException", "Access to KMS is not allowed", "kms", "kms:Decrypt"),
        ("AccessDeniedException", "with an explicit deny in a service control policy", "denied", "explicit deny"),
        ("LimitExceededException", "", "quota", "10 minutes"),
        ("InvalidParameterException", "", "unexpected", "API reference"),
    ],
)
def test_refused_creation(rig: AwsRig, aws: Aws, code: str, text: str, reason: Any, word: str) -> None:
    """A refused creation leaves nothing, each cause has its error code, and the remedy says what to do."""
    aws.refuse("CreateSecret", code, text=text)
    error = failed(rig.make_store(kms_key="alias/meta").write(rig.key("a"), payload(), marks(), replaces=None), reason)
    assert word in error.remedy
    assert not error.maybe_written
    assert not error.whole
    aws.heal()
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)


def test_refused_tags_are_reported_and_set_later(rig: AwsRig, aws: Aws) -> None:
    """A value whose tags were refused is reported as written, and is marked by the next cycle without a new version."""
    first = begun(rig, aws)
    aws.refuse("TagResource", "AccessDeniedException")
    error = failed(update(rig, first), "denied")
    assert error.maybe_written
    assert "secretsmanager:TagResource" in error.message
    aws.heal()
    found = stored(rig.make_store(), rig.key("a"))
    assert (found.payload, found.marks) == (payload("two"), marks())
    written(rig.make_store().mark(rig.key("a"), UPDATED, version=found.version))
    assert stored(rig.make_store(), rig.key("a")).marks == UPDATED
    assert len(rig.versions(rig.key("a"))) == 2


def test_marks_that_are_right_already_are_not_written(rig: AwsRig, aws: Aws) -> None:
    """Where a stale list made marks look outdated, the description shows them correct, and no tag is set."""
    first = begun(rig, aws)
    written(rig.make_store().mark(rig.key("a"), marks(written_at="2026-11-26T00:00:00Z"), version=first))
    assert dict(aws.calls) == {"DescribeSecret": 1}


def test_content_too_long_is_refused_before_anything(rig: AwsRig, aws: Aws) -> None:
    """More than 65,536 bytes of UTF-8 are refused without a request, and 65,536 are not."""
    fits = payload("", page_id="é" * 32_000)
    space = 65_536 - len(fits.text().encode())
    failed(
        rig.make_store().write(rig.key("a"), payload("x" * (space + 1), page_id="é" * 32_000), marks(), replaces=None),
        "quota",
    )
    assert aws.total == 0
    written(rig.make_store().write(rig.key("a"), payload("x" * space, page_id="é" * 32_000), marks(), replaces=None))


def test_writes_are_paced(rig: AwsRig) -> None:
    """At most 20 writes begin within a second."""
    clock = FakeClock()
    store = rig.make_store(clock=clock)
    for number in range(41):
        store.mark(rig.key(f"p{number}"), marks(), version="1")
    assert sum(clock.slept) == pytest.approx(2)


def _killed(rig: AwsRig, version: str | None, number: int, *, after: bool) -> bool:
    """Write with a process that is killed at this call; False where it made fewer calls."""
    clock = FakeClock()
    client = KilledClient(rig.settings(), workers=1)
    client.number, client.after = number, after
    reader = AwsReader(client, store="aws", prefix="meta/pages/", clock=clock, workers=1)
    writer = AwsWriter(client, reader, Replicas((), clock=clock), rig.settings(), clock=clock)
    try:
        writer.write(rig.key("a"), payload("two"), UPDATED, version)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["create", "update", "fill"])
def test_kill_at_every_call_is_repaired_by_the_next_cycle(rig: AwsRig, aws: Aws, kind: str, *, after: bool) -> None:
    """After a kill at any call of a write the next cycle finds the old or the new value with marks, and adds one version at most."""
    for number in range(20):
        key, version = rig.key("a"), None
        if kind == "update":
            version = begun(rig, aws)
        elif kind == "fill":
            rig.plant_empty(key, {"managed-by": "page-token-sync", "instance": "acme"})
            version = "none"
        killed = _killed(rig, version, number, after=after)
        found = one(rig.make_store(), key)
        assert isinstance(found, Stored) or (kind, found) == ("create", Absent())
        if isinstance(found, Stored):
            assert found.marks is not None
            assert found.payload in ({"create": None, "update": payload("one"), "fill": None}[kind], payload("two"))
        replaces = found.version if isinstance(found, Stored) else None
        if not (isinstance(found, Stored) and (found.payload, found.marks) == (payload("two"), UPDATED)):
            _again(rig, replaces, found)
        after_all = stored(rig.make_store(), key)
        assert (after_all.payload, after_all.marks) == (payload("two"), UPDATED)
        assert len(rig.versions(key)) == (2 if kind == "update" else 1)
        rig.client.delete_secret(SecretId=key.path, ForceDeleteWithoutRecovery=True)
        if not killed:
            break
    assert number == {"create": 3, "update": 7, "fill": 7}[kind]


def _again(rig: AwsRig, replaces: str | None, found: object) -> None:
    """Do what the next cycle decides: only the marks where the payload is stored, else the write."""
    if isinstance(found, Stored) and found.payload == payload("two"):
        written(rig.make_store().mark(rig.key("a"), UPDATED, version=found.version))
    else:
        written(rig.make_store().write(rig.key("a"), payload("two"), UPDATED, replaces=replaces))


def test_leftover_of_a_kill_does_not_stop_the_next_write(rig: AwsRig, aws: Aws) -> None:
    """A version that a killed write left under LABEL loses it to the next write, and never becomes current."""
    first = begun(rig, aws)
    assert _killed(rig, first, 2, after=False)
    written(rig.make_store().write(rig.key("a"), payload("three"), UPDATED, replaces=first))
    described = rig.client.describe_secret(SecretId=rig.key("a").path)["VersionIdsToStages"]
    assert sorted(sorted(labels) for labels in described.values()) == [[], ["AWSCURRENT"], ["AWSPREVIOUS"]]
    assert stored(rig.make_store(), rig.key("a")).payload == payload("three")
