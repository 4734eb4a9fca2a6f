"""The daemon as a process whose wall clock is set, and which is suspended as a laptop is."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.api.states import switch_off, switch_on
from sync.sandbox.http.server import Sandbox
from tests.support.forkserver import ForkServer, fork_server, forks
from tests.support.logs import EACH_SECOND, Daemon, each_second, names
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox

__all__ = ["forks", "sandbox"]

pytestmark = pytest.mark.slow

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
EVERY = 2


class SettableClock:
    """The wall clock of a process, which can be set; the monotonic clock goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set("+0")

    def set(self, offset: str) -> None:
        """Set the offset from the machine's clock: +1d, -1h."""
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(offset + "\n")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which a process uses this clock."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }


@pytest.fixture
def wall_clock(tmp_path: Path) -> SettableClock:
    """Return a wall clock that can be set."""
    if LIBRARY is None:
        pytest.skip("NOT TESTED: setting a process's wall clock needs the package libfaketime")
    return SettableClock(tmp_path / "offset")


@pytest.fixture
def shifted(wall_clock: SettableClock) -> Iterator[ForkServer]:
    """Return a fork server under that wall clock."""
    with fork_server(wall_clock.environment) as running:
        yield running


def test_the_wall_clock_is_set(
    shifted: ForkServer, wall_clock: SettableClock, tmp_path: Path, sandbox: Sandbox, long: bool
) -> None:
    """If the clock is set back or forward by an hour or a day, the next cycle comes once and in time, and no judgement is from the future."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(state={"file": str(tmp_path / "state.json")}, log={"level": "debug"})
    reports = tmp_path / "reports"
    reports.touch()
    daemon = Daemon(shifted.run(tmp_path, str(rig.file), str(reports), str(EVERY), main="tools.soak.daemon"))
    daemon.until("cycle_finished", result="ok")
    for offset in ("-1h", "+1d", "-1d", "+1h", "+3d") if long else ("-1h", "+1d"):
        daemon.so_far()
        asked, seen = sandbox.world.calls.calls, len(reports.read_text().splitlines())
        wall_clock.set(offset)
        begun = time.monotonic()
        daemon.until("cycle_started")
        assert time.monotonic() - begun < EVERY + 3, offset
        daemon.until("cycle_finished", result="ok")
        time.sleep(EVERY)
        assert names(daemon.so_far(), "cycle_started") <= 2, offset
        assert sandbox.world.calls.calls - asked <= 4 * (2 * len(rig.sandbox.pages) + 3), offset
        after = [json.loads(line) for line in reports.read_text().splitlines()[seen:]]
        _ages_are_right(after[1:], offset)
    assert daemon.child.end() == 0
    assert daemon.child.stderr.read_text() == ""


def _ages_are_right(reports: list[dict[str, Any]], offset: str) -> None:
    """Assert that no judgement is later than the report that has it, or older than what still counts."""
    for report in reports:
        ended = datetime.fromisoformat(report["finished_at"])
        for page in report["pages"]:
            for target in page["stores"]:
                assert target["served"] == "verified", offset
                age = ended - datetime.fromisoformat(target["verified_at"])
                assert timedelta(0) <= age < timedelta(hours=48), (offset, age)


@pytest.mark.parametrize(("offset", "words"), [("+10m", "10 minutes ahead of"), ("-2m", "120 seconds behind")])
def test_the_clock_is_wrong(
    shifted: ForkServer, wall_clock: SettableClock, tmp_path: Path, sandbox: Sandbox, offset: str, words: str
) -> None:
    """A clock that differs from Meta's by minutes is reported once, with direction and size; tokens without expiry are judged."""
    rig = file_rig(tmp_path, sandbox)
    wall_clock.set(offset)
    child = shifted.run(tmp_path, "--config", str(rig.file), "once", "--output", "json")
    assert child.wait() == 0
    report = json.loads(child.stdout.read_text())
    assert [text for text in report["warnings"] if words in text and "NTP" in text] == report["warnings"][:1]
    assert report["result"] == "ok"


def test_suspended_between_cycles(forks: ForkServer, tmp_path: Path, sandbox: Sandbox) -> None:
    """After a suspension over many intervals one cycle is made up for, and not all of them."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(log={"level": "debug"})
    daemon = Daemon(forks.run(tmp_path, *each_second(rig.file), main=EACH_SECOND))
    daemon.cycles(2)
    os.kill(daemon.child.pid, signal.SIGSTOP)
    time.sleep(5)
    daemon.so_far()
    os.kill(daemon.child.pid, signal.SIGCONT)
    begun = time.monotonic()
    daemon.until("cycle_finished", result="ok")
    time.sleep(max(1.5 - (time.monotonic() - begun), 0))
    assert names(daemon.so_far(), "cycle_started") <= 2
    assert daemon.child.end() == 0


def test_suspended_inside_a_call(forks: ForkServer, tmp_path: Path, sandbox: Sandbox) -> None:
    """A suspension during a call, longer than its timeout, is at most a timeout, and the next cycle is ok."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(graph={"base_url": sandbox.url, "timeout": "2s"}, log={"level": "debug"})
    daemon = Daemon(forks.run(tmp_path, *each_second(rig.file), main=EACH_SECOND))
    daemon.cycles(1)
    before = _stored(rig)
    switch_on(sandbox.world, "slow=500")
    daemon.until("cycle_started")
    os.kill(daemon.child.pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(daemon.child.pid, signal.SIGCONT)
    daemon.until("cycle_finished")
    switch_off(sandbox.world)
    daemon.until("cycle_finished", result="ok")
    assert daemon.child.end() == 0
    assert daemon.child.stderr.read_text() == ""
    assert _stored(rig) == before


def _stored(rig: Rig) -> dict[str, str]:
    return {path.name: path.read_text() for path in (rig.folder / "secrets").glob("*.json")}
