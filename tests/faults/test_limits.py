"""The daemon on a machine without descriptors, threads, disk space or the right to write."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import Sandbox
from tests.support.forkserver import THREADS, Child, ForkServer, forks
from tests.support.logs import EACH_SECOND, Daemon, each_second, names_internal_error
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox

__all__ = ["forks", "sandbox"]

pytestmark = pytest.mark.slow

NOBODY = 61_234
"""A user of no other process, so that its processes and threads can be counted."""


def _may_open(daemon: Daemon, count: int | None) -> None:
    """Limit the running process to this number of descriptors; None restores the old limit."""
    _, hard = resource.prlimit(daemon.child.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.child.pid, resource.RLIMIT_NOFILE, (hard if count is None else count, hard))


@pytest.fixture
def rig(sandbox: Sandbox) -> Iterator[Rig]:
    """Return a configuration with a cycle each second and a state file, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="page-token-sync-"))
    folder.chmod(0o777)
    made = Rig(folder, sandbox, {"type": "file", "directory": str(folder / "secrets")})
    made.write(probe_every="1s", state={"file": str(folder / "state" / "state.json")})
    yield made
    shutil.rmtree(folder, ignore_errors=True)


def _revoke(sandbox: Sandbox) -> str:
    """Revoke the token of the first Page; return the Page's name."""
    page = next(iter(sandbox.world.pages.values()))
    with sandbox.world.lock:
        sandbox.world.revoke_page(page)
    return page.name


def _assert_no_internal_error(lines: list[dict[str, Any]], child: Child) -> None:
    assert not names_internal_error(json.dumps(lines))
    assert child.stderr.read_text() == ""


def test_no_descriptors(forks: ForkServer, rig: Rig, sandbox: Sandbox) -> None:
    """A daemon that may open no further descriptor reports that in each cycle, loops no faster, and heals once it may."""
    daemon = Daemon(forks.run(rig.folder, *each_second(rig.file), main=EACH_SECOND))
    daemon.until("cycle_finished", result="ok")
    before = daemon.descriptors()
    _may_open(daemon, 4)
    daemon.cycles(1)
    page, begun = _revoke(sandbox), time.monotonic()
    starved = daemon.cycles(2)
    assert time.monotonic() - begun > 0.9
    results = [line["result"] for line in starved if line["event"] == "cycle_finished"]
    assert set(results) <= {"degraded", "failed"}
    assert not [line for line in starved if line["event"] == "page_written"]
    _may_open(daemon, None)
    healed = daemon.until("page_written", page=page, action="replaced")
    healed += daemon.until("cycle_finished", result="ok")
    # A cycle that has begun since has connections of its own, which it closes.
    deadline = time.monotonic() + 10
    while daemon.descriptors() > before + 2:
        assert time.monotonic() < deadline, "descriptors were not closed"
        time.sleep(0.02)
    assert daemon.child.end() == 0
    _assert_no_internal_error(starved + healed, daemon.child)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: a user with no other processes needs root")
def test_no_threads(forks: ForkServer, rig: Rig, sandbox: Sandbox) -> None:
    """A daemon that can start no thread works sequentially or reports that, and is ok once it can."""
    daemon = Daemon(forks.run(rig.folder, *each_second(rig.file), main=EACH_SECOND, user=NOBODY))
    daemon.until("cycle_finished", result="ok")
    with _exhausted_processes():
        daemon.cycles(1)
        page = _revoke(sandbox)
        starved = daemon.cycles(2)
    if not any(line["event"] == "page_written" and line["page"] == page for line in starved):
        daemon.until("page_written", page=page, action="replaced")
    daemon.until("cycle_finished", result="ok")
    assert daemon.child.end() == 0
    _assert_no_internal_error(starved, daemon.child)


@contextmanager
def _exhausted_processes() -> Iterator[None]:
    """Use up that user's process limit, so that no thread can be started, until the block ends."""
    script = f"for i in $(seq {THREADS}); do sleep 60 & done; echo ready; wait"
    command = ["/bin/sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, user=NOBODY, start_new_session=True) as crowd:
        try:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == b"ready\n"
            yield
        finally:
            os.killpg(crowd.pid, signal.SIGKILL)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk needs root to mount a small tmpfs")
    directory = tmp_path / "small_disk"
    directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], check=False).returncode:
        pytest.skip("NOT TESTED: a full disk needs mount, which is forbidden here")
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_disk_of_the_secrets_is_full(
    forks: ForkServer, rig: Rig, sandbox: Sandbox, small_disk: Path, trouble: str
) -> None:
    """On a full or read-only disk a heal fails and the old file stays intact; the heal succeeds once the disk can be written."""
    directory = small_disk / "secrets"
    rig.write(stores={"store": {"type": "file", "directory": str(directory)}})
    daemon = Daemon(forks.run(rig.folder, *each_second(rig.file), main=EACH_SECOND))
    daemon.until("cycle_finished", result="ok")
    filler = _take_away(small_disk, trouble)
    page = _revoke(sandbox)
    starved = daemon.until("store_failed")
    file = directory / f"{page}.json"
    assert set(json.loads(file.read_text())) == {"access_token", "page_id", "app_id"}
    assert [path.name for path in directory.iterdir() if path.name.endswith(".tmp")] == []
    if filler is not None:
        filler.unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    healed = daemon.until("page_written", page=page, action="replaced")
    healed += daemon.until("cycle_finished", result="ok")
    assert daemon.child.end() == 0
    _assert_no_internal_error(starved + healed, daemon.child)


def _take_away(small_disk: Path, trouble: str) -> Path | None:
    if trouble == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        return None
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_disk_of_the_state_file_is_full(
    forks: ForkServer, rig: Rig, sandbox: Sandbox, small_disk: Path, trouble: str
) -> None:
    """If the state file cannot be written, cycles work as before and warn about it."""
    rig.write(state={"file": str(small_disk / "state.json")})
    _take_away(small_disk, trouble)
    daemon = Daemon(forks.run(rig.folder, *each_second(rig.file), main=EACH_SECOND))
    lines = daemon.until("cycle_finished", result="ok")
    warned = [line["message"] for line in lines if line["event"] == "cycle_warning" and "state.json" in line["message"]]
    assert len(warned) == 1, "the cycle warns, once"
    page = _revoke(sandbox)
    lines += daemon.until("page_written", page=page, action="replaced")
    lines += daemon.until("cycle_finished")
    assert daemon.child.end() == 0
    warnings = [line["message"] for line in lines if line["event"] == "cycle_warning"]
    assert [text for text in warnings if ("ENOSPC" if trouble == "full" else "EROFS") in text]
    _assert_no_internal_error([line for line in lines if line["event"] != "cycle_warning"], daemon.child)
