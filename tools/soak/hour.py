"""An hour of the daemon against the sandbox, a real OpenBao, an AWS emulator and a disk, with faults at random.

Every report is compared with the sandbox's truth, and with the reports the log, the metrics, the page, the health checks, the
notifications, the heartbeats and the answers to checks. Meanwhile the configuration is edited, receivers fail, and the daemon is
killed. The exit code is 1 if anything was untrue, if the daemon did not repair everything within a few cycles after the faults had
ended, or if a store's content differs from the report.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sync.sandbox.http.server import Sandbox, start
from tests.support.services.aws import ACCESS_KEY, REGION, SECRET_KEY, served
from tests.support.services.bao import Bao, free_port, run_server
from tools.soak.chaos import Chaos
from tools.soak.checks import TOKEN
from tools.soak.edits import Edits
from tools.soak.oracle import History
from tools.soak.receivers import HEARTBEAT, JSON, SLACK, receivers
from tools.soak.run import Soak

CALM_EVERY = 120
_TICK = 0.2
_STALL = 1.0
"""Seconds; the daemon's timeouts are at least twice that."""

USERS = ("main", "second")


def _config(folder: Path, sandbox: Sandbox, bao: Bao, mount: str, aws_url: str, receivers: str) -> dict[str, Any]:
    """Write the credentials, and return a configuration that reads them."""
    for name, value in (
        ("app_secret", sandbox.app_secret),
        *zip(USERS, (user.token for user in sandbox.world.users.values()), strict=True),
        ("vault_token", bao.root),
        ("web_token", TOKEN),
        ("json_url", receivers + JSON),
        ("slack_url", receivers + SLACK),
        ("heartbeat_url", receivers + HEARTBEAT),
    ):
        (folder / name).write_text(value)

    def file(name: str) -> dict[str, str]:
        return {"file": str(folder / name)}

    return {
        "version": 1,
        "instance": "soak",
        "schedule": {"every": "10s"},
        "probe_every": "1s",
        "verify_every": "20s",
        "brake": {"share": "100%"},  # never holds, because there is no person who would confirm a change
        "graph": {"base_url": sandbox.url, "timeout": "2s"},
        "apps": {"messenger": {"id": sandbox.app_id, "secret": file("app_secret")}},
        "system_users": {name: {"token": file(name)} for name in USERS},
        "stores": {
            "vault": {
                "type": "vault",
                "address": bao.url,
                "mount": mount,
                "timeout": "2s",
                "auth": {"method": "token", "token": file("vault_token")},
            },
            "aws": {
                "type": "aws-secrets-manager",
                "region": REGION,
                "endpoint_url": aws_url,
                "timeout": "20s",  # the emulator shares a busy machine, and its slow answers are not a fault
                "auth": {"profile": "soak"},
            },
            "disk": {"type": "file", "directory": str(folder / "secrets")},
        },
        "defaults": {"stores": ["vault", "aws", "disk"]},
        "state": file("state.json"),
        "web": {"token": file("web_token")},
        "heartbeat": {"url": file("heartbeat_url")},
        "notify": [
            {"webhook": file("json_url"), "format": "json", "events": ["problem", "written"]},
            {"webhook": file("slack_url"), "format": "slack", "events": ["problem", "written"]},
        ],
        "log": {"level": "info", "format": "json"},
        "pages": [{**page, "system_user": USERS[number % 2]} for number, page in enumerate(sandbox.pages)],
    }


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
        found = stack.enter_context(receivers(seed))
        config = _config(folder, sandbox, bao, mount, aws.url, found.url)
        files = [folder / name for name in USERS]
        chaos = Chaos(sandbox, bao, process.pid, mount, aws, files, random.Random(seed))
        chaos.note()
        edits = Edits(folder / "config", config, random.Random(seed + 1))
        run = Soak(folder, chaos, edits, found)
        stack.callback(lambda: run.daemon.poll() is None and run.daemon.kill())
        over = threading.Event()
        stack.callback(over.set)
        threading.Thread(target=_watch_for_stalls, args=(chaos.history, over), daemon=True).start()
        _run_for(run, minutes)
        run.finish()
    print(f"{json.dumps(chaos.counts)}; stalled itself {len(chaos.history.stalls)} times")
    for what in run.wrong[:50]:
        print(f"WRONG {what}")
    faults = sum(chaos.counts.values())
    for number, what in ((0, "in all"), (1, "without a cycle")):
        seconds = sorted(latency[number] for latency in edits.latencies)
        print(
            f"edits in force after {seconds[len(seconds) // 2 :][:1]} to {seconds[-1:]} s {what}: {json.dumps(edits.counts)}"
        )
    print(f"receivers: {json.dumps(found.counts)}; answers to checks: {json.dumps(run.asker.counts)}")
    print(f"compared: {json.dumps(run.counts)}")
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
        if run.chaos.random.random() < 0.15:
            run.edits.edit()
        if run.chaos.random.random() < 0.05:
            run.receivers.failing = run.chaos.random.choice((0.0, 0.3, 0.6))
        if run.chaos.random.random() < 0.03:
            run.chaos.random.choice((run.kill, run.kill, run.restart))()
        time.sleep(run.chaos.random.uniform(0.1, 2.5))
        run.read()
        if time.monotonic() > next_calm:
            run.calm()
            next_calm = time.monotonic() + CALM_EVERY
            left = max(end - time.monotonic(), 0) / 60
            faults, compared = sum(run.chaos.counts.values()), json.dumps(run.counts)
            print(f"{run.seen} reports, {faults} faults, {left:.0f} minutes left, compared: {compared}", flush=True)
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
