"""Faults of files: full and read-only disks, links, foreign owners, second daemons, kills at every step."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync.core.model import Absent, Key, Stored, StoreError, Use, Written
from sync.stores.file.disk import LOCK
from sync.stores.file.layout import sidecar_name
from sync.stores.file.store import FileSettings, FileStore
from tests.support.clock import FakeClock
from tests.support.rigs.file import FileRig
from tests.support.store_contract import CANARY, failed, marks, one, payload, stored, written
from tests.support.values import page

KEY = Key("disk", "berlin.json")


def store_at(directory: Path, clock: FakeClock | None = None) -> FileStore:
    """Make a store whose timeout is 30 s of a fake clock."""
    return FileStore("disk", FileSettings(str(directory), 30.0), clock=clock or FakeClock())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk needs root to mount a small tmpfs")
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], check=False)
    if mounted.returncode != 0:
        pytest.skip("NOT TESTED: a full disk needs mount, which is forbidden here")
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_full_disk_keeps_the_old_file(small: Path) -> None:
    """On a full disk a write fails as "disk", the old file is intact, and no temporary file remains."""
    store = store_at(small)
    first = written(store.write(KEY, payload("one"), marks(), replaces=None))
    before = sorted(path.name for path in small.iterdir())
    error = failed(store.write(KEY, payload("x" * 70_000), marks(), replaces=first.version), "disk")
    assert "ENOSPC" in error.message
    assert stored(store, KEY).payload == payload("one")
    assert sorted(path.name for path in small.iterdir()) == before


def test_full_disk_at_creation_is_repaired_later(small: Path) -> None:
    """A creation on a full disk leaves a marked secret without a value, which the next cycle fills."""
    store = store_at(small)
    failed(store.write(KEY, payload("x" * 70_000), marks(), replaces=None), "disk")
    found = stored(store, KEY)
    assert (found.state, found.marks) == ("empty", marks())
    written(store.write(KEY, payload(), marks(), replaces=found.version))


def test_read_only_disk(small: Path) -> None:
    """On a read-only disk reads work, and a write fails as "disk"."""
    first = written(store_at(small).write(KEY, payload("one"), marks(), replaces=None))
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    store = store_at(small)
    store.begin()
    assert stored(store, KEY).payload == payload("one")
    assert "EROFS" in failed(store.write(KEY, payload("two"), marks(), replaces=first.version), "disk").message


def test_unreadable_file() -> None:
    """A file that this user may not read is "unreadable", and is not taken for absent."""

    def read(directory: Path) -> str:
        if os.geteuid() == 0:
            os.setuid(65532)
        return failed(one(store_at(directory), KEY)).error_code

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "berlin.json").write_text("{}")
        (directory / "berlin.json").chmod(0)
        assert _child(lambda: read(directory)) == (0, "unreadable")


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "fifo", "owner", "linked-folder"])
def test_what_is_not_a_file_of_this_user_is_refused(tmp_path: Path, kind: str) -> None:
    """Links, folders, pipes and files of another user are neither read nor replaced, and their targets do not change."""
    directory, outside = tmp_path / "d", tmp_path / "outside"
    directory.mkdir()
    outside.mkdir()
    (outside / "berlin.json").write_text("theirs")
    target, key = directory / "berlin.json", KEY
    match kind:
        case "link":
            target.symlink_to(outside / "berlin.json")
        case "dangling":
            target.symlink_to(outside / "nothing")
        case "folder":
            target.mkdir()
        case "fifo":
            os.mkfifo(target)
        case "owner":
            if os.geteuid() != 0:
                pytest.skip("NOT TESTED: a foreign owner needs root to change an owner")
            target.write_text("theirs")
            os.chown(target, 12345, 12345)
        case _:
            (directory / "team").symlink_to(outside)
            key = Key("disk", "team/berlin.json")
    store = store_at(directory)
    failed(one(store, key), "refused-path")
    failed(store.write(key, payload(), marks(), replaces=None), "refused-path")
    failed(store.mark(key, marks(), version="1"), "refused-path")
    assert [path.read_text() for path in outside.iterdir()] == ["theirs"]
    assert store.owned("acme") == []


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o022])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    """Files are 0600 and folders 0700, whatever the umask."""
    directory = tmp_path / "new"
    old = os.umask(mask)
    try:
        written(store_at(directory).write(Key("disk", "a/b.json"), payload(), marks(), replaces=None))
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [directory, *directory.rglob("*")]}
    assert modes == {"new": 0o700, "a": 0o700, "b.json": 0o600, sidecar_name("b.json"): 0o600, LOCK: 0o600}


def test_missing_directory_is_a_first_run(tmp_path: Path) -> None:
    """A missing directory with a parent is empty and a warning; a write creates it, and reading does not."""
    store = store_at(tmp_path / "new")
    store.begin()
    assert isinstance(one(store, KEY), Absent)
    assert store.owned("acme") == []
    assert "does not exist" in store.warnings[0]
    assert not (tmp_path / "new").exists()
    written(store.write(KEY, payload(), marks(), replaces=None))
    assert store.warnings == []
    store.begin()
    assert store.warnings == []


def test_missing_parent_is_no_first_run(tmp_path: Path) -> None:
    """Where the parent is missing too, a volume is not mounted: the whole store fails, and nothing is created."""
    store = store_at(tmp_path / "mount" / "new")
    assert failed(one(store, KEY), "disk").whole
    failed(store.write(KEY, payload(), marks(), replaces=None), "disk")
    assert failed(store.owned("acme"), "disk").whole
    assert not list(tmp_path.iterdir())


def test_directory_that_is_a_file(tmp_path: Path) -> None:
    """A file instead of the directory is an error of the whole store."""
    (tmp_path / "file").write_text("")
    assert failed(one(store_at(tmp_path / "file"), KEY), "refused-path").whole


def test_huge_file_has_no_payload(tmp_path: Path) -> None:
    """A file of more than 1 MiB has no payload, and can be replaced where it has this instance's marks."""
    written(store_at(tmp_path).write(KEY, payload(), marks(), replaces=None))
    (tmp_path / "berlin.json").write_text('{"access_token": "' + "x" * 1024 * 1024 + '"}')
    found = stored(store_at(tmp_path), KEY)
    assert (found.payload, found.state, found.marks) == (None, "live", marks())
    written(store_at(tmp_path).write(KEY, payload(), marks(), replaces=found.version))


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5_000, "[1]", "", '{"marks": 3}', '{"marks": {"a": 1}}', "\xff"])
def test_malformed_marks_are_no_marks(tmp_path: Path, text: str) -> None:
    """A marks file that is nested too deeply, huge or malformed marks nothing, and such a file has no payload."""
    for name in ("berlin.json", sidecar_name("berlin.json")):
        (tmp_path / name).write_text(text, encoding="latin-1")
    found = stored(store_at(tmp_path), KEY)
    assert found.marks is None
    assert store_at(tmp_path).owned("acme") == []


@pytest.mark.parametrize("instance", ["other", None])
def test_write_over_what_is_marked_otherwise_is_a_conflict(tmp_path: Path, instance: str | None) -> None:
    """A file whose marks were removed, or replaced by another instance's, since it was read is not overwritten."""
    store, rig = store_at(tmp_path), FileRig(tmp_path)
    version = written(store.write(KEY, payload("one"), marks(), replaces=None)).version
    rig.unmark(KEY)
    if instance is not None:
        written(store.mark(KEY, marks(instance=instance), version=version))
    failed(store.write(KEY, payload("two"), marks(), replaces=version), "conflict")
    assert stored(store, KEY).payload == payload("one")


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    """A foreign value that is not valid UTF-8 is kept as the escape that it was."""
    (tmp_path / "berlin.json").write_text('{"theirs": "\\ud83d"}')
    store = store_at(tmp_path)
    written(store.mark(KEY, marks(), version=stored(store, KEY).version))
    wanted = payload(theirs="\ud83d")
    written(store.write(KEY, wanted, marks(), replaces=stored(store, KEY).version))
    assert stored(store, KEY).payload == wanted


def test_another_daemon_holds_the_lock(tmp_path: Path) -> None:
    """A write waits its timeout for another daemon's lock and fails as "locked"; the rest of the cycle fails at once."""
    clock = FakeClock()
    store = store_at(tmp_path, clock)
    with (tmp_path / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        store.begin()
        assert failed(store.write(KEY, payload(), marks(), replaces=None), "locked").whole
        assert 30 <= clock.passed < 31
        failed(store.mark(KEY, marks(), version="1"), "locked")
        assert clock.passed < 31
        assert isinstance(one(store, KEY), Absent)
    failed(store.write(KEY, payload(), marks(), replaces=None), "locked")
    store.begin()
    written(store.write(KEY, payload(), marks(), replaces=None))


def test_lock_is_waited_for(tmp_path: Path) -> None:
    """A lock that is released within the timeout only delays a write."""
    with (tmp_path / LOCK).open("w") as other:

        class Letting(FakeClock):
            """Lets the lock go at the third look."""

            def sleep(self, seconds: float) -> None:
                """Pass the time."""
                super().sleep(seconds)
                if len(self.slept) == 3:
                    fcntl.flock(other, fcntl.LOCK_UN)

        fcntl.flock(other, fcntl.LOCK_EX)
        written(store_at(tmp_path, Letting()).write(KEY, payload(), marks(), replaces=None))


def test_file_that_appears_during_a_creation_is_not_overwritten(tmp_path: Path) -> None:
    """A foreign file that appears between marks and content is not overwritten, and stays unmarked."""
    target = tmp_path / "berlin.json"
    _step(tmp_path, 0, "os.link", lambda: target.write_text("{}"))
    store = store_at(tmp_path)
    found = stored(store, KEY)
    assert (found.payload is not None, found.marks) == (True, None)
    assert (tmp_path / "berlin.json").read_text() == "{}"
    assert store.owned("acme") == []
    store.begin()
    assert stored(store, KEY) == found


STEPS = ("os.rename", "os.link", "os.remove", "open", "os.mkdir")
"""The audit events of every call that changes or opens something on the disk."""


def _child(work: Callable[[], str]) -> tuple[int, str]:
    """Run this in a process of its own; returns its exit status and output."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(into, work().encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(into)
    with os.fdopen(out) as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def _step(directory: Path, number: int, event: str = "", do: Callable[[], object] | None = None) -> bool:
    """Write in a process that is killed before the step of this number, or runs something there; False if there is no such step."""
    seen = -1

    def hook(name: str, _: object) -> None:
        nonlocal seen
        if name == event or (not event and name in STEPS):
            seen += 1
            if seen == number:
                seen += 1
                (do or (lambda: os._exit(9)))()

    def write() -> str:
        store = store_at(directory)
        found = one(store, KEY)
        sys.addaudithook(hook)
        replaces = found.version if isinstance(found, Stored) else None
        answer = store.write(KEY, payload("new"), marks(reason="rotate", fingerprint="f"), replaces=replaces)
        return type(answer).__name__

    code, said = _child(write)
    assert code in (0, 9)
    assert do or code == 9 or said == "Written"
    return code == 9


@pytest.mark.parametrize("kind", ["create", "update"])
def test_kill_at_every_step_is_repaired_by_the_next_cycle(tmp_path: Path, kind: str) -> None:
    """After a kill at any step of a write the next cycle finds the old or new content with marks, and leaves no temporary file."""
    for step in range(100):
        directory = tmp_path / str(step)
        store = store_at(directory)
        if kind == "update":
            written(store.write(KEY, payload("old"), marks(), replaces=None))
        if not _step(directory, step):
            break
        store.begin()
        _repair(store, directory, kind)
    assert 12 < step < 99


def _repair(store: FileStore, directory: Path, kind: str) -> None:
    found = one(store, KEY)
    wanted = marks(reason="rotate", fingerprint="f")
    assert not isinstance(found, StoreError)
    if isinstance(found, Absent):
        assert kind == "create"
        answer = store.write(KEY, payload("new"), wanted, replaces=None)
    else:
        assert found.marks is not None
        assert found.payload in ({"create": None, "update": payload("old")}[kind], payload("new"))
        answer = store.write(KEY, payload("new"), wanted, replaces=found.version)
    assert isinstance(answer, Written)
    after = stored(store, KEY)
    assert (after.payload, after.marks) == (payload("new"), wanted)
    names = {path.name for path in directory.iterdir()}
    assert names == {"berlin.json", sidecar_name("berlin.json"), LOCK}


def test_interrupted_creation_is_finished_by_the_next_cycle(tmp_path: Path) -> None:
    """Once the next cycle has begun, a later edit by an application does not make the secret foreign."""
    for step in range(40):
        directory = tmp_path / str(step)
        if not _step(directory, step):
            break
        if (directory / "berlin.json").exists():
            store = store_at(directory)
            store.begin()
            (directory / "berlin.json").write_text('{"edited": "yes"}')
            assert stored(store, KEY).marks is not None
    assert step > 12


def test_reading_writes_nothing(tmp_path: Path) -> None:
    """A cycle that only reads creates no file, not even the lock."""
    (tmp_path / "berlin.json").write_text("{}")
    store = store_at(tmp_path)
    store.begin()
    store.read([KEY])
    store.owned("acme")
    assert [path.name for path in tmp_path.iterdir()] == ["berlin.json"]


def test_plan_leaves_what_a_kill_left(tmp_path: Path) -> None:
    """A cycle that ends with its plan changes nothing, not even leftovers of a killed write; the next one that writes removes them."""
    leftover = tmp_path / ".page-token-sync-0011223344556677.tmp"
    leftover.write_text("half a secret")
    store = store_at(tmp_path)
    store.begin(writes=False)
    assert [path.name for path in tmp_path.iterdir()] == [leftover.name]
    store.begin(writes=True)
    assert not leftover.exists()


def test_unreadable_file_does_not_stop_the_sweep(tmp_path: Path) -> None:
    """Leftovers are removed although another name cannot be read; a folder without access hides only itself."""
    (tmp_path / sidecar_name("a")).symlink_to("/nowhere")
    (tmp_path / ".page-token-sync-0123.tmp").write_text(CANARY)
    store_at(tmp_path).begin()
    assert {path.name for path in tmp_path.iterdir()} == {sidecar_name("a"), LOCK}


def test_errors_name_the_path_and_no_content(tmp_path: Path) -> None:
    """An error names the path and the errno symbol, and neither the token nor the text of the library."""
    (tmp_path / "berlin.json").mkdir()
    error = failed(store_at(tmp_path).write(KEY, payload(), marks(), replaces=None))
    assert str(tmp_path / "berlin.json") in error.message
    assert CANARY not in repr(error)
    assert "Errno" not in repr(error)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def _cycle(store: FileStore, *, writes: bool = True) -> list[str]:
    store.begin(writes=writes)
    store.read([KEY])
    store.owned("acme")
    return list(store.warnings)


def test_modes_that_let_others_in_are_reported_and_corrected(tmp_path: Path) -> None:
    """A secret, its marks and its folder that other users may use are named with their modes; a cycle that writes corrects them."""
    folder, key = tmp_path / "secrets" / "team", Key("disk", "team/berlin.json")
    store = store_at(folder.parent)
    written(store.write(key, payload(), marks(), replaces=None))
    paths = {folder / "berlin.json": 0o644, folder / sidecar_name("berlin.json"): 0o660, folder: 0o777}
    uses = {key: Use("write", page(id="101", targets=(key,)))}
    assert {one.status for one in store.examine(uses, "acme")} == {"ok"}
    for path, mode in paths.items():
        path.chmod(mode)
    store.begin(writes=False)
    (found,) = [one for one in store.examine(uses, "acme") if one.status != "ok"]
    assert (found.id, found.status) == ("store-policy", "warn")
    assert all(f"{path} ({mode:04o})" in found.message for path, mode in paths.items())
    for writes in (False, True):
        (warning,) = _cycle(store, writes=writes)
        for path, mode in paths.items():
            assert f"{path} ({mode:04o})" in warning
            assert writes or _mode(path) == mode
    assert [_mode(path) for path in paths] == [0o600, 0o600, 0o755]
    assert _cycle(store) == []


def test_modes_of_other_secrets_are_left(tmp_path: Path) -> None:
    """A file without this instance's marks keeps its mode, and so does a folder of another user, which is reported."""
    store = store_at(tmp_path)
    written(store.write(KEY, payload(), marks(instance="other"), replaces=None))
    (tmp_path / "berlin.json").chmod(0o644)
    assert _cycle(store) == []
    assert _mode(tmp_path / "berlin.json") == 0o644
    if os.geteuid() == 0:
        written(store.write(Key("disk", "mine.json"), payload(), marks(), replaces=None))
        tmp_path.chmod(0o777)
        os.chown(tmp_path, 65532, 65532)
        for _ in range(2):
            assert f"{tmp_path} (0777)" in _cycle(store)[0]
        assert _mode(tmp_path) == 0o777


def test_sticky_folder_is_no_fault(tmp_path: Path) -> None:
    """In a folder with the sticky bit, as a tmpfs has, nobody can replace another user's file."""
    store = store_at(tmp_path)
    written(store.write(KEY, payload(), marks(), replaces=None))
    tmp_path.chmod(0o1777)
    assert _cycle(store) == []


@pytest.mark.parametrize("kind", ["create", "update", "mark", "renew"])
def test_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """When a folder cannot be synced after a file was replaced, the write is in doubt, and the next cycle settles it."""
    store = store_at(tmp_path)
    found = None if kind == "create" else written(store.write(KEY, payload("old"), marks(), replaces=None)).version
    wanted = marks(fingerprint="f")
    sync = os.fsync

    def broken(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):  # noqa: PTH112 - a descriptor
            raise OSError(5, "Input/output error")
        sync(fd)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", broken)
        if kind == "mark":
            answer = store.mark(KEY, wanted, version=found or "")
        elif kind == "renew":
            answer = store.renew(KEY, payload("new"), replaces=found or "")
        else:
            answer = store.write(KEY, payload("new"), wanted, replaces=found)
    error = failed(answer, "disk")
    assert error.maybe_written
    assert "EIO" in error.message
    store.begin()
    now = stored(store, KEY)
    assert isinstance(store.write(KEY, payload("new"), wanted, replaces=now.version), Written)
    assert (stored(store, KEY).payload, stored(store, KEY).marks) == (payload("new"), wanted)


def test_store_below_another_is_left_alone(tmp_path: Path) -> None:
    """A store in a folder of another's directory keeps its temporary files and its secrets: its lock is honoured."""
    outer, inner = store_at(tmp_path), store_at(tmp_path / "inner")
    written(outer.write(KEY, payload(), marks(), replaces=None))
    written(inner.write(KEY, payload(), marks(), replaces=None))
    temporary = tmp_path / "inner" / ".page-token-sync-0123.tmp"
    temporary.write_text("being written")
    (tmp_path / ".page-token-sync-4567.tmp").write_text("left by a kill")
    outer.begin()
    assert temporary.exists()
    assert not (tmp_path / ".page-token-sync-4567.tmp").exists()
    assert outer.owned("acme") == [(KEY, marks())]
    into = Key("disk", "inner/paris.json")
    for answer in (one(outer, into), outer.write(into, payload(), marks(), replaces=None)):
        assert "another store" in failed(answer, "refused-path").message
    inner.begin()
    assert not temporary.exists()


def test_plan_names_a_read_only_file_system(small: Path) -> None:
    """Writes to a read-only file system are known to fail without one."""
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    refused = store_at(small).would_refuse({KEY: "create"})
    assert "EROFS" in refused[KEY].message


def test_examination_names_a_read_only_file_system(small: Path) -> None:
    """The files can be read, and the one check that fails is that of the rights; without a write nothing is missing."""
    store = store_at(small)
    writes = {KEY: Use("write", page(targets=(KEY,))), Key("disk", "b.json"): Use("write", page(id="2"))}
    assert {one.status for one in store.examine(writes, "acme")} == {"ok"}
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    reached, policy, secrets = store.examine(writes, "acme")
    assert (reached.status, policy.id, policy.status, secrets.status) == ("ok", "store-policy", "fail", "ok")
    assert "EROFS" in policy.message
    assert "1 more file" in policy.message
    assert policy.remedy
    assert "store-policy" not in {one.id for one in store.examine({}, "acme")}


def test_plan_names_a_folder_that_may_not_be_written() -> None:
    """Writes into a folder of another user are known to be denied, in the folder itself, below it and where it is missing."""

    def look(directory: Path) -> str:
        (directory / "closed").mkdir()
        (directory / "open" / "team").mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(directory / "open", 65532, 65532)
            os.setuid(65532)
        else:
            (directory / "closed").chmod(0o555)
            (directory / "open" / "team").chmod(0o555)
        team = Key("disk", "team/berlin.json")
        new = Key("disk", "new/berlin.json")
        closed = store_at(directory / "closed").would_refuse({KEY: "create", new: "create"})
        missing = store_at(directory / "closed" / "missing").would_refuse({KEY: "create"})
        some = store_at(directory / "open").would_refuse({KEY: "create", team: "update", new: "create"})
        errors = [*closed.values(), *missing.values(), *some.values()]
        return f"{len(closed)} {len(missing)} {list(some) == [team]} { ({error.error_code for error in errors}) }"

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        assert _child(lambda: look(Path(folder))) == (0, "2 1 True {'denied'}")


def test_plan_of_what_can_be_written(tmp_path: Path) -> None:
    """A directory that can be written, or created, refuses nothing, and looking creates nothing."""
    keys = {KEY: "create", Key("disk", "team/berlin.json"): "create"}
    for directory in (tmp_path, tmp_path / "new"):
        assert store_at(directory).would_refuse(keys) == {}  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
