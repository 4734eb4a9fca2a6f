"""`run` as a process: its signals, its log, and a reader of the log that goes away."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.api.states import switch_off, switch_on
from sync.sandbox.http.server import Sandbox, start
from tests.support.forkserver import Process, shared
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import INSTANCE, PROGRAM, Rig, cycle_after_cycle, handles
from tests.support.rigs.vault_program import VaultProgram
from tests.support.services.bao import Bao, bao
from tests.support.services.fault_proxy import Fault, Reply, Request, fault_proxy, times
from tests.support.services.graph import sandbox

__all__ = ["bao", "sandbox"]

pytestmark = pytest.mark.slow

OF_SEVERAL = {"pages", "page_count", "secrets", "stores", "verified", "stale", "broken", "absent", "foreign"}
"""The fields of a line about several Pages, secrets or stores."""
FIELDS = {
    *(
        "timestamp",
        "level",
        "event",
        "cycle",
        "page",
        "page_id",
        "system_user",
        "app",
        "store",
        "path",
        "action",
        "reason",
    ),
    *("fetched", "served", "problem", "fingerprint", "previous_fingerprint", "version", "owner", "code", "subcode"),
    *("fbtrace_id", "attempt", "duration_ms", "message", "error_code", "remedy", "resolution"),
}


class Daemon:
    """A running daemon; ``lines`` are the log lines that were read so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Read the log up to an event with these fields."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            self.lines.append(line)
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                return dict(line)
        raise AssertionError(f"{event} was not logged: {self.lines}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, wait for the end, and return the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        rest = self.process.communicate(timeout=15)[0]
        self.lines += [json.loads(text) for text in rest.splitlines()]
        return time.monotonic() - begun


@contextmanager
def running(rig: Rig) -> Iterator[Daemon]:
    """Run the daemon; it is killed at the end of the block, or after two minutes."""
    with shared().start("--config", str(rig.file), "run") as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        often = rig.settings["schedule"]["every"] == "10s"
        try:
            with cycle_after_cycle(process) if often else nullcontext():
                yield Daemon(process)
        finally:
            watchdog.cancel()


@pytest.fixture
def rig(tmp_path: Path, sandbox: Sandbox) -> Rig:
    """Return a configuration whose daemon is asked for a cycle all the time."""
    configured = file_rig(tmp_path, sandbox)
    configured.write(schedule={"every": "10s"}, log={"level": "debug"})
    return configured


def test_sigterm_ends_a_hanging_call_within_ten_seconds(rig: Rig, sandbox: Sandbox) -> None:
    """SIGTERM while Graph does not answer ends the daemon in time, with exit code 0."""
    rig.write(graph={"base_url": sandbox.url, "timeout": "60s"})
    with running(rig) as daemon:
        daemon.until("cycle_finished")
        switch_on(sandbox.world, "hang")
        daemon.until("cycle_started")
        assert daemon.end() < 10
        assert daemon.process.returncode == 0


@contextmanager
def many_writes(
    folder: Path, bao: Bao, fault: Reply | Fault, count: int
) -> Iterator[tuple[VaultProgram, threading.Event]]:
    """Yield a program with 120 Pages and a slow Vault, and an event that is set after 20 writes; ``count`` marks then meet the fault."""
    halfway, data = threading.Event(), list[Request]()
    later = times(count, fault, "PATCH", "/metadata/")

    def done(request: Request) -> None:
        if request.method == "POST" and "/data/" in request.path:
            data.append(request)
            if len(data) > 20:
                halfway.set()
            halfway.wait(0.05)

    with start(pages=120) as graph, fault_proxy(bao.url) as proxy:
        program = VaultProgram(folder, graph, bao, bao.mount())
        program.store = {**program.store, "address": proxy.url, "timeout": "30s"}
        program.write(schedule={"every": "1h"}, state={"file": str(folder / "state" / "state.json")})
        proxy.before_answer, proxy.rule = done, lambda request: later(request) if halfway.is_set() else None
        yield program, halfway


NOT_YET = Reply(429, '{"errors":[]}')


@pytest.mark.parametrize(("fault", "count"), [(NOT_YET, 4), (Fault.HANG, 120)], ids=["not yet", "hangs"])
def test_sigterm_during_writes_reports_what_was_written(
    tmp_path: Path, bao: Bao, fault: Reply | Fault, count: int
) -> None:
    """SIGTERM during writes starts no further write, finishes the started ones where Vault answers, and reports them all."""
    with many_writes(tmp_path, bao, fault, count) as (program, halfway), running(program) as daemon:
        assert halfway.wait(60)
        assert daemon.end() < 10
        assert daemon.process.returncode == 0
    there = program.everything()
    marked = {name for name, (_, metadata) in there.items() if metadata["custom_metadata"]}
    reported = {line["page"] for line in daemon.lines if line["event"] == "page_written" and line["confirmed"]}
    unconfirmed = sum(line.get("secrets", 1) for line in daemon.lines if line["event"] == "store_failed")
    (finished,) = [line for line in daemon.lines if line["event"] == "cycle_finished"]

    assert reported == marked
    assert len(there) - len(reported) == unconfirmed <= 8
    assert bool(unconfirmed) is (fault is Fault.HANG)
    assert finished["not_begun"] == 120 - len(there) > 0
    assert any("Shutdown cut this cycle short" in line.get("message", "") for line in daemon.lines)
    assert len(json.loads((tmp_path / "state" / "state.json").read_text())["tokens"]) > 120


def test_interrupt_during_writes_prints_the_report(tmp_path: Path, bao: Bao) -> None:
    """Ctrl-C during the writes of ``once`` ends it with 130 and a report of what was written and what was not."""
    with many_writes(tmp_path, bao, NOT_YET, 4) as (program, halfway):
        command = ["--config", str(program.file), "once", "--output", "json"]
        with shared().start(*command, stderr=subprocess.DEVNULL) as process:
            assert halfway.wait(60)
            process.send_signal(signal.SIGINT)
            report = json.loads(process.communicate(timeout=15)[0])
    entries = [entry for page in report["pages"] for entry in page["stores"]]
    done = [entry["path"].rpartition("/")[2] for entry in entries if entry["action"] == "created"]

    assert (process.returncode, report["result"]) == (130, "degraded")
    assert sorted(done) == sorted(program.everything())
    assert report["summary"]["not_begun"] == 120 - len(done) > 0


def test_sigterm_between_cycles_ends_at_once(rig: Rig) -> None:
    """SIGTERM while nothing runs ends the daemon at once, with exit code 0 and nothing on stderr."""
    rig.write(schedule={"every": "1h"})
    with running(rig) as daemon:
        daemon.until("cycle_finished", result="ok")
        assert daemon.end() < 5
        assert daemon.process.returncode == 0
        assert [line["event"] for line in daemon.lines[-2:]] == ["cycle_finished", "daemon_stopped"]


def test_start_and_stop_are_logged(rig: Rig) -> None:
    """The first line has version, file and schedule, the last one the end; both have level info and no cycle."""
    rig.write(schedule={"every": "1h", "jitter": "30s"})
    with running(rig) as daemon:
        daemon.until("cycle_finished")
        daemon.end()
    first, last = daemon.lines[0], daemon.lines[-1]
    assert {name: first[name] for name in first if name not in ("timestamp", "listen")} == {
        "level": "info",
        "event": "daemon_started",
        "version": version("page-token-sync"),
        "instance": INSTANCE,
        "page_count": 5,
        "file": str(rig.file),
        "next": "a cycle now, then every 1h, each up to 30s later",
    }
    assert (last["event"], last["level"]) == ("daemon_stopped", "info")
    assert not any("cycle" in line for line in (first, last))


def test_sigterm_right_after_the_start_is_handled(rig: Rig) -> None:
    """A SIGTERM while the daemon is still starting is not lost."""
    with running(rig) as daemon:
        while not handles(daemon.process.pid, signal.SIGTERM):
            time.sleep(0.005)
        assert daemon.end() < 10
        assert daemon.process.returncode == 0


def test_a_reader_that_goes_away_ends_no_cycle(rig: Rig, sandbox: Sandbox) -> None:
    """Cycles continue after the reader of the log has gone."""
    with running(rig) as daemon:
        daemon.until("cycle_finished", result="ok")
        assert daemon.process.stdout is not None
        daemon.process.stdout.close()
        before = sandbox.world.calls.requests
        deadline = time.monotonic() + 20
        while sandbox.world.calls.requests < before + 7 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sandbox.world.calls.requests >= before + 7
        daemon.process.terminate()
        assert daemon.process.wait(10) == 0


def test_a_reader_that_stops_reading_delays_no_cycle(rig: Rig, sandbox: Sandbox) -> None:
    """Cycles continue while the pipe of the log is full, and SIGTERM ends the daemon with exit code 0."""
    with running(rig) as daemon:
        daemon.until("cycle_started")
        assert daemon.process.stdout is not None
        fcntl.fcntl(daemon.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        deadline, waiting, before = time.monotonic() + 90, b"", 0
        # The pipe is full when some cycles, which log at level debug, add nothing to it.
        while waiting != (waiting := fcntl.ioctl(daemon.process.stdout, termios.FIONREAD, b"1234")):
            before = sandbox.world.calls.requests
            while sandbox.world.calls.requests < before + 6:
                assert time.monotonic() < deadline, sandbox.world.calls.requests
                time.sleep(0.05)
        daemon.process.terminate()
        assert daemon.process.wait(10) == 0


@pytest.mark.parametrize("stdout", ["> /dev/full", ">&-", "> /dev/null", "| true"])
def test_a_log_that_cannot_be_written_changes_no_exit_code(rig: Rig, sandbox: Sandbox, stdout: str) -> None:
    """Where the log goes to a full disk, a closed stdout or a reader that has left, cycles run and SIGTERM ends with 0."""
    script = f"exec {shlex.join([*PROGRAM, '--config', str(rig.file), 'run'])}"
    if stdout == "| true":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        script, writer = f"{script} {stdout}", os.open(os.devnull, os.O_WRONLY)
    with subprocess.Popen(["sh", "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        deadline = time.monotonic() + 30
        while sandbox.world.calls.requests < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (0, "")


def test_an_error_at_the_start_is_a_line_of_the_log(rig: Rig) -> None:
    """Where stdout is no terminal, a wrong configuration is one JSON line on stdout, beside the text on stderr; exit 2."""
    rig.file.write_text("version: 1\ninstance: X\npagse: []\n")
    done = rig.run("run")
    (line,) = map(json.loads, done.stdout.splitlines())

    assert (done.code, line["level"], line["event"], line["owner"]) == (2, "error", "config_rejected", "operator")
    assert "config.yaml:2:11: instance: not a name [bad-name]" in " ".join(line["errors"])
    assert f"{rig.file}:1:1: " in line["message"]
    assert line["remedy"]
    assert "config.yaml:2:11: instance: not a name" in done.stderr


def test_every_error_at_the_start_is_in_the_log(rig: Rig) -> None:
    """The log of a start that fails has all errors, in lines of at most 50, and says how many there are."""
    pages = "".join(f'  - {{id: "{number}", hald: true}}\n' for number in range(1, 124))
    text = rig.file.read_text()
    rig.file.write_text(f"{text[: text.index('pages:')]}pages:\n{pages}")
    done = rig.run("run")
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert {(line["event"], line["level"], line["owner"]) for line in lines} == {
        ("config_rejected", "error", "operator")
    }
    assert [len(line["errors"]) for line in lines] == [50, 50, 23]
    listed = [error for line in lines for error in line["errors"]]
    assert [f"pages[{number}].hald: " in error for number, error in enumerate(listed)] == [True] * 123
    assert lines[0]["message"].endswith("(122 more: see errors)")
    assert lines[1]["message"] == "Errors 51 to 100 of 123 in the configuration."
    assert lines[2]["message"] == "Errors 101 to 123 of 123 in the configuration."
    assert all(line["remedy"] for line in lines)


def test_the_duration_is_that_of_the_whole_cycle(rig: Rig) -> None:
    """The duration of a cycle includes the time in which a credential was waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        login = {"method": "token", "token": {"file": str(rig.folder / "app_secret")}}
        slow = {"type": "vault", "address": address, "timeout": "2s", "auth": login}
        reference = {"store": "slow", "path": "meta", "key": "token"}
        rig.write(
            stores={"store": dict(rig.store), "slow": slow},
            defaults={"stores": ["store"]},
            system_users={"main": {"token": reference}},
        )
        begun = time.monotonic()
        report = rig.once().report
        assert 1.9 < report["duration_seconds"] < time.monotonic() - begun


def test_hangup_reads_the_configuration(rig: Rig) -> None:
    """SIGHUP, which would end the process by default, reads the configuration again, and cycles continue."""
    with running(rig) as daemon:
        daemon.until("cycle_finished")
        daemon.process.send_signal(signal.SIGHUP)
        assert "Nothing in it changed" in daemon.until("config_reloaded")["message"]
        daemon.until("cycle_finished", result="ok")
        daemon.end()
        assert daemon.process.returncode == 0


def test_credentials_are_read_again_each_cycle(rig: Rig, sandbox: Sandbox) -> None:
    """A system user token that is replaced in its file is used by the next cycle, without a restart."""
    with running(rig) as daemon:
        daemon.until("cycle_finished", result="ok")
        sandbox.world.invalidate(sandbox.world.user)
        daemon.until("system_user_invalid")
        sandbox.world.rotate(sandbox.world.user)
        rig.secret("system_user_token", sandbox.system_user_token)
        daemon.until("page_written", action="replaced")
        daemon.until("cycle_finished", result="ok")
        daemon.end()


def test_the_log_is_lines_of_json_without_secrets(rig: Rig, sandbox: Sandbox) -> None:
    """Every line is JSON with known fields, a cause has at most one line a cycle, and no part of a token is logged."""
    with running(rig) as daemon:
        daemon.until("cycle_finished", result="ok")
        for fault in ("half-json*1", "unassigned", "revoked", "invalid", "throttled-app"):
            switch_on(sandbox.world, fault)
            daemon.until("cycle_started")
            daemon.until("cycle_finished")
            switch_off(sandbox.world)
        daemon.end()
    text = "\n".join(map(json.dumps, daemon.lines))

    for line in daemon.lines:
        assert list(line)[:3] == ["timestamp", "level", "event"]
        if line["event"] not in ("daemon_started", "cycle_finished"):
            assert set(line) <= FIELDS | OF_SEVERAL | {"confirmed", "since", "previous_served", "resolution"}
    cycles = [line["cycle"] for line in daemon.lines if line["event"] == "system_user_invalid"]
    assert len(cycles) == len(set(cycles)) > 0
    for secret in {sandbox.app_secret, *sandbox.world.tokens}:
        for start_at in range(0, len(secret) - 15, 4):
            assert secret[start_at : start_at + 16] not in text


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("command", ["run", "once", "plan"])
def test_no_command_with_secrets_dumps_core(rig: Rig, sandbox: Sandbox, command: str) -> None:
    """While a command holds secrets its limit for core dumps is 0."""
    switch_on(sandbox.world, "hang")
    before = sandbox.world.calls.requests
    with shared().start("--config", str(rig.file), command, stdout=subprocess.DEVNULL) as process:
        while sandbox.world.calls.requests == before:
            assert process.poll() is None
            time.sleep(0.02)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.kill()

    assert next(text for text in limits.splitlines() if text.startswith("Max core")).split()[4:6] == ["0", "0"]
    assert os.environ.get("PYTHONFAULTHANDLER") is None
