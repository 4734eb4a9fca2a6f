"""Deletions that lose their answer, meet another writer, or are killed between two steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.core.model import Absent, Removed, Stored
from sync.runtime.threads import Stopping, SystemClock
from sync.stores.file.store import FileSettings, FileStore
from sync.stores.vault.store import VaultStore
from tests.support.clock import FakeClock, LeapingClock
from tests.support.rigs.aws import AwsRig
from tests.support.rigs.file import FileRig
from tests.support.rigs.vault import VaultRig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request, fault_proxy, times
from tests.support.store_contract import failed, marks, one, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server", "bao"]

STEPS = ("os.rename", "os.link", "os.remove")


@pytest.fixture
def vault(bao: Bao) -> Iterator[tuple[VaultRig, FaultProxy, VaultStore]]:
    """Return a mount, the proxy before it, and a store that goes through the proxy."""
    rig = VaultRig(bao)
    with fault_proxy(bao.url) as proxy:
        store = VaultStore("vault", rig.settings(address=proxy.url, timeout=5), clock=LeapingClock())
        store.begin()
        yield rig, proxy, store
        proxy.rule = None


@pytest.mark.parametrize("fault", [Fault.LOSE, Reply(502, "<html>"), Reply(403, '{"errors":["permission denied"]}')])
def test_vault_deletion_without_its_answer(
    fault: Fault | Reply, vault: tuple[VaultRig, FaultProxy, VaultStore]
) -> None:
    """A lost answer is settled by reading; what was not done is an error that names the capability, and no deletion."""
    rig, proxy, store = vault
    key = rig.key("a")
    written(store.write(key, payload(), marks(), replaces=None))
    proxy.rule = times(1, fault, "POST", "/delete/")
    answer = store.remove(key, version="1", marks=marks())
    if fault is Fault.LOSE:
        assert isinstance(answer, Removed), answer
        assert stored(rig.make_store(), key).state == "deleted"
        return
    error = failed(answer, "denied" if isinstance(fault, Reply) and fault.status == 403 else "unreachable")
    assert error.error_code != "denied" or f"{rig.mount}/delete/{key.path}" in error.message + error.remedy
    assert stored(rig.make_store(), key).state == "live"


def test_vault_deletion_beside_a_writer(vault: tuple[VaultRig, FaultProxy, VaultStore]) -> None:
    """A version that another writer adds between the last look and the deletion stays, and that is a conflict."""
    rig, proxy, store = vault
    key, other = rig.key("a"), rig.make_store()
    written(store.write(key, payload("one"), marks(), replaces=None))

    def rule(request: Request) -> Reply | None:
        if "/delete/" not in request.path:
            return None
        written(other.write(key, payload("two"), marks(), replaces="1"))
        return Reply(503, "")

    proxy.rule = rule
    failed(store.remove(key, version="1", marks=marks()), "conflict")
    assert stored(rig.make_store(), key).payload == payload("two")


def test_aws_deletion_without_its_answer(aws: Aws) -> None:
    """A lost answer is settled by DescribeSecret; a call that was never carried out is an error, and the secret stays."""
    rig = AwsRig(aws)
    store, key = rig.make_store(), rig.key("a")
    version = written(store.write(key, payload(), marks(), replaces=None)).version
    aws.cut("DeleteSecret", times=3)
    assert failed(store.remove(key, version=version, marks=marks()), "unreachable").maybe_written
    assert isinstance(stored(rig.make_store(), key).payload, type(payload()))
    aws.lose("DeleteSecret", times=3)
    assert isinstance(store.remove(key, version=version, marks=marks()), Removed)
    assert stored(rig.make_store(), key).blocked == "scheduled-deletion"


def test_aws_deletion_can_be_undone_for_thirty_days(aws: Aws) -> None:
    """The recovery window is the longest one, and its end is known."""
    rig = AwsRig(aws)
    store, key = rig.make_store(), rig.key("a")
    version = written(store.write(key, payload(), marks(), replaces=None)).version
    answer = store.remove(key, version=version, marks=marks())
    assert isinstance(answer, Removed)
    assert answer.until is not None
    assert 29 < (answer.until - SystemClock().now()).total_seconds() / 86400 < 31


def test_aws_deletion_of_what_is_replicated_or_rotates(aws: Aws) -> None:
    """A secret with replicas is read with their Regions, and like one with a rotation it is not deleted."""
    rig = AwsRig(aws)
    store, key = rig.make_store(), rig.key("a")
    version = written(store.write(key, payload(), marks(), replaces=None)).version
    rows = [{"Region": "us-east-1", "Status": "InSync"}]
    aws.edit("DescribeSecret", lambda answer: answer.update(ReplicationStatus=rows), times=2)
    store.owned("acme")
    assert stored(store, key).replicas == ("us-east-1",)
    assert "us-east-1" in failed(store.remove(key, version=version, marks=marks()), "conflict").message
    aws.edit("DescribeSecret", lambda answer: answer.update(RotationEnabled=True), times=1)
    failed(store.remove(key, version=version, marks=marks()), "conflict")
    assert aws.calls["DeleteSecret"] == 0


def store_at(directory: Path) -> FileStore:
    """Return a store over a directory."""
    return FileStore("disk", FileSettings(str(directory), 5.0), clock=SystemClock())


def remove_and_be_killed(directory: Path, step: int) -> int:
    """Delete in a process that is killed before the step of this number; return its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = 0

    def hook(name: str, _: object) -> None:
        nonlocal seen
        if name in STEPS:
            seen += 1
            if seen > step:
                os._exit(9)

    try:
        store, key = store_at(directory), FileRig(directory).key("a")
        found = stored(store, key)
        sys.addaudithook(hook)
        os._exit(0 if isinstance(store.remove(key, version=found.version, marks=marks()), Removed) else 1)
    finally:
        os._exit(2)


def test_file_deletion_that_is_killed(tmp_path: Path) -> None:
    """After a kill at any step the secret is as it was, or gone and complete under its hidden names."""
    for step in range(10):
        directory = tmp_path / str(step)
        directory.mkdir()
        rig = FileRig(directory)
        key, store = rig.key("a"), store_at(directory)
        written(store.write(key, payload(), marks(), replaces=None))
        code = remove_and_be_killed(directory, step)
        store.begin()
        found = one(store, key)
        if isinstance(found, Stored) and found.state == "live":
            assert found.marks == marks()
            assert code == 9
            continue
        assert isinstance(found, Absent) or found.state == "deleted"  # type: ignore[union-attr]
        assert list(store.owned("acme")) == []  # type: ignore[arg-type]
        (hidden,) = directory.glob(".a.json.pruned-*")
        (hidden_marks,) = directory.glob(".a.json.page-token-sync.pruned-*")
        hidden.rename(directory / "a.json")
        hidden_marks.rename(directory / ".a.json.page-token-sync")
        assert (stored(store, key).payload, stored(store, key).marks) == (payload(), marks())
        if code == 0:
            break
    assert 2 < step < 9


def test_file_deletion_that_fails_midway(tmp_path: Path) -> None:
    """A deletion that cannot begin leaves the secret as it was."""
    rig = FileRig(tmp_path)
    key, store = rig.key("n" * 210), store_at(tmp_path)
    version = written(store.write(key, payload(), marks(), replaces=None)).version
    failed(store.remove(key, version=version, marks=marks()), "refused-path")
    assert stored(store, key).payload == payload()


def test_file_names_that_exist(tmp_path: Path) -> None:
    """Neither a deletion nor the command that undoes one replaces a file; the message names what is in the way."""
    rig, clock = FileRig(tmp_path), FakeClock()
    key, store = rig.key("a"), FileStore("disk", FileSettings(str(tmp_path), 5.0), clock=clock)
    version = written(store.write(key, payload(), marks(), replaces=None)).version
    removed = store.remove(key, version=version, marks=marks())
    assert isinstance(removed, Removed)
    version = written(store.write(key, payload("newer"), marks(), replaces=None)).version
    assert ".a.json.pruned-" in failed(store.remove(key, version=version, marks=marks()), "refused-path").message
    subprocess.run(["/bin/sh", "-c", removed.restore], check=False)
    assert stored(store, key).payload == payload("newer")
    assert len(list(tmp_path.glob(".a.json*pruned-*"))) == 2


def test_shutdown_before_a_deletion(vault: tuple[VaultRig, FaultProxy, VaultStore]) -> None:
    """A deletion that has not begun when shutdown comes is not begun."""
    rig, _, _ = vault
    key, clock = rig.key("a"), SystemClock()
    written(rig.make_store().write(key, payload(), marks(), replaces=None))
    store = VaultStore("vault", rig.settings(), clock=clock)
    one(store, key)
    clock.stop.set()
    with pytest.raises(Stopping):
        store.remove(key, version="1", marks=marks())
    assert stored(rig.make_store(), key).state == "live"
