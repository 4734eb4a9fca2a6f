"""Renewing a secret that another tool may own, under faults of networks, standbys, policies and other writers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync.core.model import Key, Stored, StoreError, Written
from sync.core.payload import Payload
from sync.core.secret import Secret
from sync.stores.aws.read import AwsReader
from sync.stores.aws.replicas import Replicas
from sync.stores.aws.versions import LABEL
from sync.stores.aws.write import AwsWriter
from sync.stores.vault.store import VaultStore
from tests.stores.vault.test_faults import CAS, LOST_LEAD
from tests.support.clock import FakeClock, LeapingClock
from tests.support.fakes import Killed
from tests.support.rigs.aws import AwsRig, KilledClient
from tests.support.rigs.vault import VaultRig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request, fault_proxy, times
from tests.support.store_contract import CANARY, failed, one, stored, written

__all__ = ["aws", "aws_environment", "aws_server", "bao"]

OLD, NEW = Payload({"token": "old", "note": "theirs"}), Payload({"token": CANARY, "note": "theirs"})
FOREIGN = {"managed-by": "terraform", "team": "identity"}


@pytest.fixture
def rig(bao: Bao) -> VaultRig:
    """Return a fresh mount with a credential of another owner."""
    rig = VaultRig(bao)
    rig.plant(rig.key("user"), {"token": "old", "note": "theirs"}, FOREIGN)
    return rig


@pytest.fixture
def proxy(bao: Bao) -> Iterator[FaultProxy]:
    """Return the proxy in front of the server."""
    with fault_proxy(bao.url) as proxy:
        yield proxy


@pytest.fixture
def store(rig: VaultRig, proxy: FaultProxy) -> Iterator[VaultStore]:
    """Return a store that goes through the proxy, on a clock that need not be waited for."""
    store = VaultStore("vault", rig.settings(address=proxy.url, timeout=5), clock=LeapingClock())
    store.begin()
    yield store
    proxy.rule = None


def renew(store: VaultStore, key: Key) -> Written | StoreError:
    """Renew the credential over its first version."""
    return store.renew(key, NEW, replaces="1")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.CUT, LOST_LEAD, Reply(502, "<html>"), Reply(503, "")])
def test_answer_that_is_lost_is_settled_by_reading(
    fault: Fault | Reply, count: int, rig: VaultRig, proxy: FaultProxy, store: VaultStore
) -> None:
    """A renewal whose answer is lost, before or after it took effect, makes one version and leaves the marks alone."""
    key = rig.key("user")
    proxy.rule = times(count, fault, "POST", "/data/")
    written(renew(store, key))
    assert (stored(rig.make_store(), key).payload, rig.versions(key)) == (NEW, ["1", "2"])
    assert rig.metadata(key)["custom_metadata"] == FOREIGN
    assert not [request for request in proxy.requests if request.method == "PATCH"]


def test_answer_that_never_comes_may_have_taken_effect(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A renewal whose every answer is cut off ends at the timeout and says that it may have taken effect."""
    key = rig.key("user")
    proxy.rule = times(10**6, Fault.CUT, "POST", "/data/")
    assert failed(renew(store, key)).maybe_written
    assert rig.versions(key) == ["1"]


def test_a_mismatch_is_retried_while_nodes_may_lag(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """A compare-and-set that fails though nothing changed is tried again for as long as a node may lag, and then it is a conflict."""
    key = rig.key("user")
    proxy.rule = times(10**6, CAS, "POST", "/data/")
    failed(renew(store, key), "conflict")
    assert rig.versions(key) == ["1"]
    proxy.rule = times(2, CAS, "POST", "/data/")
    written(renew(store, key))


def test_another_writers_value_stays(rig: VaultRig, proxy: FaultProxy, store: VaultStore) -> None:
    """If a person stores another token just before the renewal, that token stays."""
    key = rig.key("user")

    def rule(request: Request) -> None:
        if request.method == "POST" and "/data/" in request.path and rig.versions(key) == ["1"]:
            rig.plant(key, {"token": "by hand"})

    proxy.rule = rule
    failed(renew(store, key), "conflict")
    assert stored(rig.make_store(), key).payload == Payload({"token": "by hand"})


def test_policy_needs_the_data_path_alone(rig: VaultRig, bao: Bao) -> None:
    """Read and update on the data path are enough; without update nothing is changed, and the error names the path."""
    key, path = rig.key("user"), f"{rig.mount}/data/meta/pages/user"
    for rights, allowed in (('"read"', False), ('"read", "update"', True)):
        rig.token = bao.token(bao.policy(f'path "{path}" {{ capabilities = [{rights}] }}'))
        store = rig.make_store()
        store.begin()
        found = one(store, key)
        assert isinstance(found, Stored)
        answer = store.renew(key, NEW, replaces=found.version)
        if allowed:
            written(answer)
        else:
            assert path in failed(answer, "denied").message + failed(answer).remedy
        assert len(rig.versions(key)) == 1 + allowed


def test_kv_version_1_is_refused(bao: Bao) -> None:
    """A KV version 1 mount has no compare-and-set and is not written to."""
    rig = VaultRig(bao)
    rig.mount = bao.mount(version=1)
    rig.token = bao.root
    bao.admin("POST", f"{rig.mount}/meta/pages/user", {"token": "old"})
    failed(rig.make_store().renew(rig.key("user"), NEW, replaces="1"), "kv-v1")
    assert bao.admin("GET", f"{rig.mount}/meta/pages/user")["data"] == {"token": "old"}


@pytest.fixture
def account(aws: Aws) -> AwsRig:
    """Return an account with a credential of another owner."""
    rig = AwsRig(aws)
    rig.plant(rig.key("user"), {"token": "old", "note": "theirs"})
    rig.add_foreign_mark(rig.key("user"), "team", "identity")
    aws.heal()
    return rig


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue"])
@pytest.mark.parametrize("count", [1, 3])
def test_answer_of_aws_that_is_lost_is_settled_by_reading(
    account: AwsRig, aws: Aws, operation: str, count: int
) -> None:
    """A renewal whose answer is lost at any step makes one new version, removes its own staging label, and leaves the tags alone."""
    key = account.key("user")
    store = account.make_store()
    before = stored(store, key).version
    aws.lose(operation, times=count)
    answer = store.renew(key, NEW, replaces=before)
    aws.heal()
    assert isinstance(answer, Written) or operation == "GetSecretValue"
    store.begin()
    again = written(store.renew(key, NEW, replaces=before))
    assert stored(account.make_store(), key).payload == NEW
    assert (len(account.versions(key)), account.labels(key, again.version)) == (2, {"AWSCURRENT"})
    assert dict(account.foreign_marks(key)) == {"team": "identity"}
    assert not {"TagResource", "UntagResource"} & set(aws.calls)


def test_another_writers_version_of_aws_stays(account: AwsRig, aws: Aws) -> None:
    """If another writer makes a version current just before the renewal, that version stays, and the renewal's label is removed."""
    key, store = account.key("user"), account.make_store()
    before = stored(store, key).version
    aws.before(
        "UpdateSecretVersionStage",
        lambda: account.client.put_secret_value(SecretId=key.path, SecretString='{"token": "by hand"}'),
    )
    failed(store.renew(key, NEW, replaces=before), "conflict")
    assert stored(account.make_store(), key).payload == Payload({"token": "by hand"})
    labels = account.client.describe_secret(SecretId=key.path)["VersionIdsToStages"]
    assert not [version for version, names in labels.items() if LABEL in names]


def _killed(rig: AwsRig, key: Key, version: str, number: int, *, after: bool) -> bool:
    """Renew with a process that is killed at this call; return False if it made fewer calls."""
    clock, settings = FakeClock(), rig.settings()
    client = KilledClient(settings, workers=1)
    client.number, client.after = number, after
    reader = AwsReader(client, store="aws", prefix="meta/pages/", clock=clock, workers=1)
    writer = AwsWriter(client, reader, Replicas((), clock=clock), settings, clock=clock)
    try:
        writer.renew(key, NEW, version)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("after", [False, True])
def test_kill_at_every_call_to_aws_leaves_the_old_token_or_the_new_one(aws: Aws, *, after: bool) -> None:
    """After a kill before or after any call of a renewal the secret has the old or the new token, and a later renewal succeeds."""
    rig, later, calls = AwsRig(aws), OLD.renewed("token", Secret("later")), 0
    for number in range(20):
        key = rig.key(f"user{number}")
        rig.plant(key, {"token": "old", "note": "theirs"})
        was_killed = _killed(rig, key, stored(rig.make_store(), key).version, number, after=after)
        found = stored(rig.make_store(), key)
        assert found.payload in (OLD, NEW)
        written(rig.make_store().renew(key, later, replaces=found.version))
        assert stored(rig.make_store(), key).payload == later
        labels = rig.client.describe_secret(SecretId=key.path)["VersionIdsToStages"]
        assert not [version for version, names in labels.items() if LABEL in names]
        calls = number
        if not was_killed:
            break
    assert calls == 6


def test_what_blocks_a_secret_of_aws_blocks_its_renewal(account: AwsRig, aws: Aws) -> None:
    """A secret with rotation enabled, a replica, or one scheduled for deletion is not renewed."""
    key = account.key("user")
    before = stored(account.make_store(), key).version
    aws.edit("DescribeSecret", lambda answer: answer.update(RotationEnabled=True))
    assert "rotation-enabled" in failed(account.make_store().renew(key, NEW, replaces=before), "conflict").message
    aws.heal()
    aws.edit("DescribeSecret", lambda answer: answer.update(PrimaryRegion="us-east-1"))
    assert "replica" in failed(account.make_store().renew(key, NEW, replaces=before), "conflict").message
    aws.heal()
    account.delete(key)
    assert "scheduled-deletion" in failed(account.make_store().renew(key, NEW, replaces=before), "conflict").message
    account.client.restore_secret(SecretId=key.path)
    assert stored(account.make_store(), key).payload == OLD
