"""The two programs, each run as a process with a configuration file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.bench.measure import Run, measure
from tools.bench.services import ROOT, TOKEN, environment

PROGRAM = Path(sys.executable).with_name("page-token-sync")
AWS_REGION = "eu-central-1"


class UnexpectedResultError(Exception):
    """A program did not do the work that is measured, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a program runs against: a folder for its files, the sandbox's description, the store's address and a path in it."""

    home: Path
    sandbox: Mapping[str, Any]
    store: str
    path: str

    def at(self, store: str) -> Setup:
        """Return the same setup with another address of the store, such as a proxy's."""
        return replace(self, store=store)


def run_script(setup: Setup, expect: str) -> Run:
    """Run the plain script; ``expect`` is "written" or "unchanged", the result that it must report for every Page."""
    settings = {
        "graph": setup.sandbox["url"],
        "vault": setup.store,
        "vault_token": TOKEN,
        "mount": "secret",
        "path": setup.path,
        **{key: setup.sandbox[key] for key in ("app_id", "app_secret", "system_user_token", "pages")},
    }
    file = setup.home / "plain.json"
    file.write_text(json.dumps(settings))
    run = measure([sys.executable, str(ROOT / "tools/bench/plain.py"), str(file)], environment(setup.home))
    _require(run, _json(run), expect, len(setup.sandbox["pages"]))
    return run


def run_sync(setup: Setup, expect: str, *, kind: str = "vault") -> tuple[Run, dict[str, int]]:
    """Run ``once``; ``expect`` is "created" or "unchanged". Return the run and the report's summary."""
    file = setup.home / "config.json"
    file.write_text(json.dumps(config(setup, kind)))
    run = measure([str(PROGRAM), "--config", str(file), "once", "--output", "json"], environment(setup.home))
    summary = dict(_json(run).get("summary", {}))
    _require(run, summary, expect, len(setup.sandbox["pages"]))
    return run, summary


@contextmanager
def daemon(setup: Setup) -> Iterator[Callable[[], Mapping[str, Any]]]:
    """Run the daemon with Vault; yield a function that waits for the end of a cycle and returns its log line.

    The first cycle starts with the daemon, each further one on demand.
    """
    file = setup.home / "daemon.json"
    file.write_text(json.dumps(config(setup, "vault") | {"schedule": {"every": "1h", "jitter": "0s"}}))
    argv = [str(PROGRAM), "--config", str(file), "run"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment(setup.home))
    assert process.stdout
    lines = process.stdout

    on_demand = False

    def cycle() -> Mapping[str, Any]:
        nonlocal on_demand
        if on_demand:
            process.send_signal(signal.SIGUSR1)
        on_demand = True
        for line in lines:
            entry = json.loads(line)
            if entry["event"] == "cycle_finished":
                return dict(entry)
        raise UnexpectedResultError("the daemon has ended")

    try:
        yield cycle
    finally:
        process.terminate()
        process.wait(20)
        lines.close()


def config(setup: Setup, kind: str) -> dict[str, Any]:
    """Return the configuration, as JSON, which is YAML too."""
    for name, value in (
        ("app_secret", setup.sandbox["app_secret"]),
        ("system_user", setup.sandbox["system_user_token"]),
        ("vault_token", TOKEN),
    ):
        (setup.home / name).write_text(value)
    store: dict[str, Any] = {
        "type": "vault",
        "address": setup.store,
        "mount": "secret",
        "path": f"{setup.path}/{{name}}",
    }
    store["auth"] = {"method": "token", "token": {"file": str(setup.home / "vault_token")}}
    if kind == "aws":
        store = {"type": "aws-secrets-manager", "region": AWS_REGION, "name": f"{setup.path}/{{name}}"}
        store["endpoint_url"] = setup.store
    return {
        "version": 1,
        "instance": setup.path.replace("/", "-"),
        "graph": {"base_url": setup.sandbox["url"]},
        "apps": {"bench": {"id": setup.sandbox["app_id"], "secret": {"file": str(setup.home / "app_secret")}}},
        "system_users": {"bench": {"app": "bench", "token": {"file": str(setup.home / "system_user")}}},
        "stores": {kind: store},
        "state": {"file": str(setup.home / f"{setup.path.replace('/', '-')}.state.json")},
        "pages": [{"id": page["id"], "name": page["name"]} for page in setup.sandbox["pages"]],
    }


def _json(run: Run) -> dict[str, Any]:
    try:
        return dict(json.loads(run.stdout))
    except ValueError:
        raise UnexpectedResultError(
            f"exit code {run.exit_code}, no JSON: {(run.stdout + run.stderr)[-1500:]}"
        ) from None


def _require(run: Run, done: Mapping[str, int], expect: str, pages: int) -> None:
    if run.exit_code != 0 or done.get(expect) != pages:
        raise UnexpectedResultError(
            f"exit code {run.exit_code}, wanted {pages} {expect}: {dict(done)}\n{run.stderr[-1500:]}"
        )
