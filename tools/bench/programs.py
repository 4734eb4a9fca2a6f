"""The two programs, each run as a person would: a process with a configuration file."""

from __future__ import annotations

import json
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


class WrongError(Exception):
    """A program did not do what it was measured for, so that its figures say nothing."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a program works: a folder for its files, the sandbox as it told of itself, and the store's address and path."""

    home: Path
    sandbox: Mapping[str, Any]
    store: str
    path: str

    def at(self, store: str) -> Scene:
        """Return the same scene with another address of the store, such as a proxy's."""
        return replace(self, store=store)


def run_script(scene: Scene, expect: str) -> Run:
    """Run the plain script; ``expect`` is "written" or "unchanged", what it must say of every Page."""
    settings = {
        "graph": scene.sandbox["url"],
        "vault": scene.store,
        "vault_token": TOKEN,
        "mount": "secret",
        "path": scene.path,
        **{key: scene.sandbox[key] for key in ("app_id", "app_secret", "system_user_token", "pages")},
    }
    file = scene.home / "plain.json"
    file.write_text(json.dumps(settings))
    run = measure([sys.executable, str(ROOT / "tools/bench/plain.py"), str(file)], environment(scene.home))
    _all(run, _said(run), expect, len(scene.sandbox["pages"]))
    return run


def run_ours(scene: Scene, expect: str, *, kind: str = "vault") -> tuple[Run, dict[str, int]]:
    """Run ``once``; ``expect`` is "created" or "unchanged". Gives the report's summary too."""
    file = scene.home / "config.json"
    file.write_text(json.dumps(config(scene, kind)))
    run = measure([str(PROGRAM), "--config", str(file), "once", "--output", "json"], environment(scene.home))
    summary = dict(_said(run).get("summary", {}))
    _all(run, summary, expect, len(scene.sandbox["pages"]))
    return run, summary


@contextmanager
def daemon(scene: Scene, *, every: int) -> Iterator[Callable[[], Mapping[str, Any]]]:
    """Run the daemon with Vault; gives what waits for the end of a cycle and gives what the log says of it.

    A cycle begins ``every`` seconds, or when the one before has ended.
    """
    file = scene.home / "daemon.json"
    file.write_text(json.dumps(config(scene, "vault") | {"schedule": {"every": f"{every}s", "jitter": "0s"}}))
    argv = [str(PROGRAM), "--config", str(file), "run"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment(scene.home))
    assert process.stdout
    lines = process.stdout

    def cycle() -> Mapping[str, Any]:
        for line in lines:
            said = json.loads(line)
            if said["event"] == "cycle_finished":
                return dict(said)
        raise WrongError("the daemon has ended")

    try:
        yield cycle
    finally:
        process.terminate()
        process.wait(20)
        lines.close()


def config(scene: Scene, kind: str) -> dict[str, Any]:
    """Return the configuration, as JSON, which is YAML too."""
    for name, value in (
        ("app_secret", scene.sandbox["app_secret"]),
        ("system_user", scene.sandbox["system_user_token"]),
        ("vault_token", TOKEN),
    ):
        (scene.home / name).write_text(value)
    store: dict[str, Any] = {
        "type": "vault",
        "address": scene.store,
        "mount": "secret",
        "path": f"{scene.path}/{{name}}",
    }
    store["auth"] = {"method": "token", "token": {"file": str(scene.home / "vault_token")}}
    if kind == "aws":
        store = {"type": "aws-secrets-manager", "region": AWS_REGION, "name": f"{scene.path}/{{name}}"}
        store["endpoint_url"] = scene.store
    return {
        "version": 1,
        "instance": scene.path.replace("/", "-"),
        "graph": {"base_url": scene.sandbox["url"]},
        "apps": {"bench": {"id": scene.sandbox["app_id"], "secret": {"file": str(scene.home / "app_secret")}}},
        "system_users": {"bench": {"app": "bench", "token": {"file": str(scene.home / "system_user")}}},
        "stores": {kind: store},
        "state": {"file": str(scene.home / f"{scene.path.replace('/', '-')}.state.json")},
        "pages": [{"id": page["id"], "name": page["name"]} for page in scene.sandbox["pages"]],
    }


def _said(run: Run) -> dict[str, Any]:
    try:
        return dict(json.loads(run.stdout))
    except ValueError:
        raise WrongError(f"exit code {run.exit_code}, no JSON: {(run.stdout + run.stderr)[-1500:]}") from None


def _all(run: Run, done: Mapping[str, int], expect: str, pages: int) -> None:
    if run.exit_code != 0 or done.get(expect) != pages:
        raise WrongError(f"exit code {run.exit_code}, wanted {pages} {expect}: {dict(done)}\n{run.stderr[-1500:]}")
