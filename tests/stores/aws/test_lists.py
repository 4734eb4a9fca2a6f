"""Lists of AWS that lag by minutes: nothing is created twice, refused, or taken for another instance's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.core import marks as mark_map
from sync.core.model import Absent, Stored
from sync.core.payload import Payload
from sync.sandbox.http.server import Sandbox
from tests.support.clock import FakeClock
from tests.support.rigs.aws import AwsRig
from tests.support.rigs.e2e import Rig
from tests.support.services.aws import REGION, Aws, aws, aws_environment, aws_server
from tests.support.services.aws_rules import secret
from tests.support.services.graph import sandbox
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server", "sandbox"]

LATER = marks(written_at="2026-11-26T00:00:00Z", reason="labels", labels={"team": "sales"})


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


def test_stale_list_leads_to_no_second_creation(rig: AwsRig, aws: Aws) -> None:
    """When a stale list leads to a creation, the description before it prevents the creation."""
    key = rig.key("a")
    first = written(rig.make_store().write(key, payload("one"), marks(), replaces=None))
    store = rig.make_store()
    failed(store.write(key, payload("two"), marks(), replaces=None), "conflict")
    assert written(store.write(key, payload("one"), marks(), replaces=None)).version == first.version
    assert len(rig.versions(key)) == 1
    assert aws.calls["CreateSecret"] == 1


@pytest.mark.parametrize("same", [True, False], ids=["run", "once"])
def test_secret_that_is_not_in_lists_yet(rig: AwsRig, aws: Aws, *, same: bool) -> None:
    """A secret that was created minutes ago is found, by the daemon that wrote it and by a process that starts now."""
    key, store = rig.key("a"), rig.make_store()
    aws.lag()
    written(store.write(key, payload("one"), marks(), replaces=None))
    store = store if same else rig.make_store()
    store.begin()
    found = stored(store, key)
    assert (found.payload, found.marks, found.state) == (payload("one"), marks(), "live")
    assert list(store.owned("acme")) == []
    written(store.write(key, payload("two"), marks(), replaces=found.version))
    assert aws.calls["CreateSecret"] == 1


def test_many_creations_that_are_not_in_lists_yet(rig: AwsRig, aws: Aws) -> None:
    """The daemon's own creations are read individually until a list shows them, and in bulk from then on."""
    clock = FakeClock()
    store, keys = rig.make_store(clock=clock), [rig.key(f"p{number}") for number in range(30)]
    aws.lag()
    for key in keys:
        written(store.write(key, payload(key.path), marks(), replaces=None))
    store.begin()
    found = store.read(keys)
    assert [one.payload for one in found.values() if isinstance(one, Stored)] == [payload(key.path) for key in keys]
    aws.heal()
    store.begin()
    assert all(isinstance(one, Stored) for one in store.read(keys).values())
    assert aws.total == 1 + 2
    aws.heal()
    store.begin()
    store.read(keys)
    assert aws.total == 1 + 2


def test_first_run_reads_no_secret_individually(rig: AwsRig, aws: Aws) -> None:
    """Where many secrets are absent the list is trusted: describing each would double the requests of a first run."""
    keys = [rig.key(f"p{number}") for number in range(6)]
    assert set(map(type, rig.make_store().read(keys).values())) == {Absent}
    assert dict(aws.calls) == {"ListSecrets": 1}
    rig.make_store().read(keys[:5])
    assert dict(aws.calls) == {"ListSecrets": 2, "DescribeSecret": 5}


def test_marks_that_lists_do_not_show_yet(rig: AwsRig, aws: Aws) -> None:
    """Marks that were just set are read as they are, whatever the list shows, so that nothing is set twice."""
    key, store = rig.key("a"), rig.make_store()
    first = written(store.write(key, payload(), marks(), replaces=None))
    aws.lag()
    written(store.mark(key, LATER, version=first.version))
    store.begin()
    assert stored(store, key).marks == LATER
    aws.calls.clear()
    written(rig.make_store().mark(key, LATER, version=first.version))
    assert dict(aws.calls) == {"DescribeSecret": 1}


def test_version_that_lists_do_not_show_yet(rig: AwsRig, aws: Aws) -> None:
    """The next cycle reads a rotation with its own version and marks, although a list shows the old ones."""
    key, store = rig.key("a"), rig.make_store()
    first = written(store.write(key, payload("one"), marks(), replaces=None))
    aws.lag()
    second = written(store.write(key, payload("two"), LATER, replaces=first.version))
    store.begin()
    found = stored(store, key)
    assert (found.payload, found.marks, found.version) == (payload("two"), LATER, second.version)


def test_lost_answer_and_stale_list(rig: AwsRig, aws: Aws) -> None:
    """A write whose outcome is unknown is described in the next cycle."""
    key, store = rig.key("a"), rig.make_store()
    aws.lag()
    aws.lose("CreateSecret", times=9)
    aws.cut("DescribeSecret", skip=1, times=3)
    assert failed(store.write(key, payload("one"), marks(), replaces=None)).maybe_written
    store.begin()
    assert stored(store, key).payload == payload("one")


def test_list_is_trusted_after_a_quarter_of_an_hour(rig: AwsRig, aws: Aws) -> None:
    """After a quarter of an hour a list that does not show a write is trusted, and costs no further request."""
    clock = FakeClock()
    key, store = rig.key("a"), rig.make_store(clock=clock)
    first = written(store.write(key, payload(), marks(), replaces=None))
    aws.lag()
    written(store.mark(key, LATER, version=first.version))
    clock.sleep(16 * 60)
    aws.calls.clear()
    store.begin()
    assert stored(store, key).marks == marks()
    assert dict(aws.calls) == {"ListSecrets": 1, "BatchGetSecretValue": 1}


def test_marks_that_another_process_set(rig: AwsRig, aws: Aws) -> None:
    """A secret that was just adopted is not refused because a list shows it without marks."""
    key = rig.key("a")
    rig.plant(key, {"access_token": "x"})
    aws.lag()
    store = rig.make_store()
    written(rig.make_store().mark(key, marks(), version=stored(store, key).version))
    store.begin()
    assert stored(store, key).marks == marks()


def test_cancelled_deletion(rig: AwsRig, aws: Aws) -> None:
    """A secret that a person has restored is used again at once, although a list shows it as scheduled for deletion."""
    key = rig.key("a")
    rig.plant(key, {"access_token": "x"}, mark_map.present(marks()))
    rig.delete(key)
    aws.lag()
    rig.client.restore_secret(SecretId=key.path)
    found = stored(rig.make_store(), key)
    assert (found.blocked, found.payload) == (None, Payload({"access_token": "x"}))


def test_deletion_that_lists_do_not_show_yet(rig: AwsRig, aws: Aws) -> None:
    """A deletion that was just scheduled is noticed when the value is read, and nothing is written over it."""
    key, store = rig.key("a"), rig.make_store()
    first = written(store.write(key, payload(), marks(), replaces=None))
    aws.lag()
    rig.delete(key)
    for reader in (store, rig.make_store()):
        reader.begin()
        assert stored(reader, key).blocked == "scheduled-deletion"
    failed(store.write(key, payload("two"), marks(), replaces=first.version), "conflict")


def test_rotation_that_was_turned_off(rig: AwsRig, aws: Aws) -> None:
    """A secret whose rotation was turned off is not refused because a list still shows the rotation."""
    key = rig.key("a")
    rig.plant(key, {"access_token": "x"}, mark_map.present(marks()))
    moto = secret(REGION, key.path)
    moto.rotation_requested = moto.rotation_enabled = True
    aws.lag()
    moto.rotation_requested = moto.rotation_enabled = False
    assert stored(rig.make_store(), key).blocked is None


def test_secret_that_is_deleted_while_lists_show_it(rig: AwsRig, aws: Aws) -> None:
    """A secret that was deleted without recovery is absent, although a list still shows it, and can be created."""
    key = rig.key("a")
    rig.plant(key, {"access_token": "x"}, mark_map.present(marks()))
    aws.lag()
    rig.client.delete_secret(SecretId=key.path, ForceDeleteWithoutRecovery=True)
    store = rig.make_store()
    assert isinstance(one(store, key), Absent)
    written(store.write(key, payload(), marks(), replaces=None))


def test_list_that_matches_names_anywhere(rig: AwsRig, aws: Aws) -> None:
    """Secrets in a list whose names do not begin with the prefix are no orphans."""
    row = {"Name": "else/meta/pages/a", "ARN": "arn:x", "Tags": rig.tags(mark_map.present(marks()))}
    aws.edit(
        "ListSecrets",
        lambda answer: answer["SecretList"].append({**row, "SecretVersionsToStages": {"v": ["AWSCURRENT"]}}),
    )
    assert list(rig.make_store().owned("acme")) == []


def test_cycles_of_the_program_while_lists_lag(aws: Aws, sandbox: Sandbox, tmp_path: Path) -> None:
    """While lists show an empty account, cycles create each secret once and then find it unchanged; none is an orphan."""
    store = {"type": "aws-secrets-manager", "region": REGION, "endpoint_url": aws.url, "auth": {"profile": "prod"}}
    program = Rig(tmp_path, sandbox, store)
    aws.lag()
    actions = []
    for lagging in (True, True, False):
        if not lagging:
            aws.faults.clear()
        ran = program.once()
        assert (ran.code, ran.report["orphans"], ran.report["warnings"]) == (0, [], []), ran.stdout
        actions.append({target["action"] for page in ran.report["pages"] for target in page["stores"]})
    assert actions == [{"created"}, {"unchanged"}, {"unchanged"}]
    assert aws.calls["CreateSecret"] == len(sandbox.pages)
    assert aws.calls["PutSecretValue"] + aws.calls["TagResource"] == 0
