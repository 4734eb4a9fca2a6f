"""The two programs, each run as a person would: a process with a configuration file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.measure import Run, measure
from tests.bench.services import ROOT, TOKEN, environment

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
        """Give the same scene with another address of the store, such as a proxy's."""
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
    run = measure([sys.executable, str(ROOT / "tests/bench/plain.py"), str(file)], environment(scene.home))
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


def config(scene: Scene, kind: str) -> dict[str, Any]:
    """Give the configuration, as JSON, which is YAML too."""
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
