"""An hour of the daemon against the sandbox, a real OpenBao, an AWS emulator and a disk, with faults at random.

Every report is compared with the sandbox's truth. The exit code is 1 if a report was wrong, if the daemon did not repair
everything within a few cycles after the faults had ended, or if a store's content differs from the report.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from sync.sandbox.http.server import Sandbox, start
from sync.sandbox.world.tokens import fingerprint
from tests.support.services.aws import ACCESS_KEY, REGION, SECRET_KEY, served
from tests.support.services.bao import Bao, free_port, run_server
from tools.soak.chaos import Chaos
from tools.soak.oracle import History, differences
from tools.soak.story import Story

EVERY = 1.0
CALM_EVERY = 120
_TICK = 0.2
_STALL = 1.0
"""Seconds; the daemon's timeouts are at least twice that."""

USERS = ("main", "second")
CALM_CYCLES = 6
"""Cycles after the end of all faults within which everything must be repaired; a store that hung is read again only in the next cycle."""


class Soak:
    """One run: the services, the daemon, and the differences found so far."""

    def __init__(self, folder: Path, chaos: Chaos, config: Path) -> None:
        self.folder = folder
        self.chaos = chaos
        self.config = config
        self.reports = folder / "reports.jsonl"
        self.reports.touch()
        self.wrong: list[str] = []
        self.seen = 0
        self.restarts = 0
        self.results: dict[str, int] = {}
        self._handle = self.reports.open()
        self._log = folder / "daemon.log"
        self._log.touch()
        self._log_handle = self._log.open()
        self._lines: dict[str, list[dict[str, Any]]] = {}
        self._told: list[dict[str, Any]] = []
        self._story = Story()
        self.daemon = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.chaos.daemon_started()
        self._told.clear()
        self._story = Story()
        command = [sys.executable, "-m", "tools.soak.daemon", str(self.config), str(self.reports), str(EVERY)]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill the daemon at any point, and start another."""
        self.daemon.kill()
        self.daemon.wait()
        with self._log.open("a") as log:
            log.write("\n")  # so that half a line is one of its own
        self.read()
        self.restarts += 1
        self.daemon = self._start()

    def stop(self) -> int:
        """Stop the daemon with SIGTERM, and return its exit code."""
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(15)

    def read(self) -> list[dict[str, Any]]:
        """Return the reports since the last call, each compared with the truth."""
        reports = []
        self.chaos.note()
        while line := self._handle.readline():
            if not line.endswith("\n"):
                self._handle.seek(self._handle.tell() - len(line))
                break
            report = json.loads(line)
            reports.append(report)
            self.seen += 1
            self.results[report["result"]] = self.results.get(report["result"], 0) + 1
            for what in differences(report, self.chaos.history, app_id=self.chaos.sandbox.app_id):
                self.wrong.append(f"cycle {report['cycle']} ({report['started_at']}): {what}")
        self._told += reports
        self._listen()
        if self.daemon.poll() not in (None, -signal.SIGKILL):
            self.wrong.append(f"the daemon ended by itself with {self.daemon.returncode}")
            self.daemon = self._start()
        return reports

    def _listen(self) -> None:
        """Compare the log with the reports, as far as their last lines are written."""
        while line := self._log_handle.readline():
            if not line.endswith("\n"):
                self._log_handle.seek(self._log_handle.tell() - len(line))
                break
            event = _event(line)
            if event is None and line.strip() and not line.startswith("{"):
                self.wrong.append(f"the daemon printed {line.strip()[:300]}")
            elif event is not None and "cycle" in event and event["event"] != "cycle_started":
                self._lines.setdefault(event["cycle"], []).append(event)
        while self._told and _is_whole(self._lines.get(self._told[0]["cycle"], [])):
            report = self._told.pop(0)
            for what in self._story.compare(report, self._lines.pop(report["cycle"])):
                self.wrong.append(f"log of cycle {report['cycle']} ({report['started_at']}): {what}")

    def calm(self) -> None:
        """End all faults, and check that everything is repaired and that the stores hold what the report says."""
        self.chaos.calm()
        if self.chaos.is_frozen:
            self.kill()  # a new daemon does not know that Graph asked for an hour without calls
        since, cycles, report = time.time() + 1, 0, None
        end = time.monotonic() + 60
        while time.monotonic() < end and cycles < CALM_CYCLES:
            time.sleep(0.3)
            for report in self.read():
                if _time(report["started_at"]) > since:
                    cycles += 1
                    if report["result"] == "ok":
                        self.wrong += self._stored(report)
                        return
        self.wrong.append(f"not repaired after {cycles} cycles without a fault: {json.dumps(report)[:3000]}")

    def _stored(self, report: dict[str, Any]) -> list[str]:
        wrong = []
        for page in report["pages"]:
            for target in page["stores"]:
                stored = self._stored_fingerprint(target)
                if stored != target["fingerprint"]:
                    wrong.append(
                        f"{target['store']} {target['path']} holds {stored}, the report says {target['fingerprint']}"
                    )
        return wrong

    def _stored_fingerprint(self, target: dict[str, Any]) -> str:
        match target["store"]:
            case "vault":
                answer = self.chaos.bao.admin("GET", f"{self.chaos.mount}/data/{target['path']}")
                token = answer["data"]["data"]["access_token"]
            case "aws":
                answer = self.chaos.aws.client.get_secret_value(SecretId=target["path"], VersionStage="AWSCURRENT")
                token = json.loads(answer["SecretString"])["access_token"]
            case _:
                token = json.loads((self.folder / "secrets" / target["path"]).read_text())["access_token"]
        return fingerprint(token)


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _is_whole(lines: list[dict[str, Any]]) -> bool:
    return bool(lines) and lines[-1]["event"] == "cycle_finished"


def _time(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def _config(folder: Path, sandbox: Sandbox, bao: Bao, mount: str, aws_url: str) -> Path:
    for name, value in (
        ("app_secret", sandbox.app_secret),
        *zip(USERS, (user.token for user in sandbox.world.users.values()), strict=True),
        ("vault_token", bao.root),
    ):
        (folder / name).write_text(value)
    config = {
        "version": 1,
        "instance": "soak",
        "schedule": {"every": "10s"},
        "probe_every": "1s",
        "verify_every": "20s",
        "brake": {"share": "100%"},  # never holds, because there is no person who would confirm a change
        "graph": {"base_url": sandbox.url, "timeout": "2s"},
        "apps": {"messenger": {"id": sandbox.app_id, "secret": {"file": "app_secret"}}},
        "system_users": {name: {"token": {"file": name}} for name in USERS},
        "stores": {
            "vault": {
                "type": "vault",
                "address": bao.url,
                "mount": mount,
                "timeout": "2s",
                "auth": {"method": "token", "token": {"file": "vault_token"}},
            },
            "aws": {
                "type": "aws-secrets-manager",
                "region": REGION,
                "endpoint_url": aws_url,
                "timeout": "20s",  # the emulator shares a busy machine, and its slow answers are not a fault
                "auth": {"profile": "soak"},
            },
            "disk": {"type": "file", "directory": "secrets"},
        },
        "defaults": {"stores": ["vault", "aws", "disk"]},
        "log": {"level": "info"},
        "pages": [{**page, "system_user": USERS[number % 2]} for number, page in enumerate(sandbox.pages)],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _environment(folder: Path) -> None:
    credentials = folder / "credentials"
    credentials.write_text(f"[soak]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    for name in [name for name in os.environ if name.startswith(("AWS_", "VAULT_", "BAO_"))]:
        del os.environ[name]
    os.environ |= {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_EC2_METADATA_DISABLED": "true"}


def soak(minutes: float, pages: int, seed: int, folder: Path) -> int:
    """Run for ``minutes``, print the differences as they are found, and return the exit code."""
    _environment(folder)
    logging.disable(logging.CRITICAL)  # moto logs each request
    with ExitStack() as stack:
        sandbox = stack.enter_context(start(pages=pages, seed=seed))
        sandbox.world.add_user("Second")
        port = free_port()
        (folder / "bao").mkdir()
        arguments = ["-dev", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
        process = stack.enter_context(run_server(folder / "bao", arguments, f"http://127.0.0.1:{port}/v1/sys/health"))
        bao = Bao(f"http://127.0.0.1:{port}", "root")
        aws, _ = stack.enter_context(served())
        mount = bao.mount()
        config = _config(folder, sandbox, bao, mount, aws.url)
        files = [folder / name for name in USERS]
        chaos = Chaos(sandbox, bao, process.pid, mount, aws, files, random.Random(seed))
        chaos.note()
        run = Soak(folder, chaos, config)
        stack.callback(lambda: run.daemon.poll() is None and run.daemon.kill())
        over = threading.Event()
        stack.callback(over.set)
        threading.Thread(target=_watch_for_stalls, args=(chaos.history, over), daemon=True).start()
        _run_for(run, minutes)
        code = run.stop()
        if code != 0:
            run.wrong.append(f"SIGTERM ended the daemon with {code}")
    print(f"{json.dumps(chaos.counts)}; stalled itself {len(chaos.history.stalls)} times")
    for what in run.wrong[:50]:
        print(f"WRONG {what}")
    faults = sum(chaos.counts.values())
    print(f"{run.seen} reports ({run.results}), {faults} faults, {run.restarts} kills, {len(run.wrong)} wrong")
    return 1 if run.wrong else 0


def _watch_for_stalls(history: History, over: threading.Event) -> None:
    """Record when this process, which serves Graph and AWS, stalled, since that is not the daemon's fault."""
    last = time.time()
    while not over.wait(_TICK):
        now = time.time()
        if now - last > _TICK + _STALL:
            history.stalled(last, now)
        last = now


def _run_for(run: Soak, minutes: float) -> None:
    run.calm()  # so that every Page has worked once, and counts as set up
    end, next_calm, printed = time.monotonic() + minutes * 60, time.monotonic() + CALM_EVERY, 0
    while time.monotonic() < end:
        run.chaos.disturb()
        if run.chaos.random.random() < 0.02:
            run.kill()
        time.sleep(run.chaos.random.uniform(0.1, 2.5))
        run.read()
        if time.monotonic() > next_calm:
            run.calm()
            next_calm = time.monotonic() + CALM_EVERY
            left = max(end - time.monotonic(), 0) / 60
            print(f"{run.seen} reports, {sum(run.chaos.counts.values())} faults, {left:.0f} minutes left", flush=True)
        for what in run.wrong[printed:]:
            print(f"WRONG {what}", flush=True)
        printed = len(run.wrong)
    run.calm()


def main() -> int:
    """Read the command line and run the soak test."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.hour", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep the folder with the log and the reports")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="page-token-sync-soak-"))
    print(f"seed {chosen.seed}, {chosen.pages} Pages, {chosen.minutes:g} minutes, in {folder}", flush=True)
    try:
        return soak(chosen.minutes, chosen.pages, chosen.seed, folder)
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
