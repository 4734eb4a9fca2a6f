"""The tutorial leads where it says, with a sandbox in Meta's place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from sync.sandbox.http.server import Sandbox
from tests.support.markdown import blocks
from tests.support.paths import ROOT
from tests.support.rigs.e2e import run
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

PAGE = ROOT / "docs" / "tutorial.md"


def test_the_tutorial_leads_to_an_app_that_reads_the_token(
    bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With the tutorial's configuration and its commands the tutorial's app reads a token that Graph takes as the Page's."""
    berlin = sandbox.pages[0]
    config = yaml.safe_load(next(block.text for block in blocks(PAGE) if block.language == "yaml"))
    config["graph"] = {"base_url": sandbox.url}
    config["apps"]["messenger"]["id"] = sandbox.app_id
    config["stores"]["vault"] |= {"address": bao.url, "mount": mount}
    config["pages"][0]["id"] = berlin["id"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "secrets").mkdir()
    for name, value in (
        ("app_secret", sandbox.app_secret),
        ("system_user_token", sandbox.system_user_token),
        ("vault_token", bao.root),
    ):
        (tmp_path / "secrets" / name).write_text(value + "\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command, code in (("validate", 0), ("plan", 1), ("once", 0), ("plan", 0)):
        ran = run(command, cwd=tmp_path)
        assert ran.code == code, (command, ran.stdout, ran.stderr)
    app = next(block.text for block in blocks(PAGE) if block.language == "python")
    app = app.replace("https://graph.facebook.com", sandbox.url).replace("/secret/data/", f"/{mount}/data/")
    read = subprocess.run(
        [sys.executable, "-c", app.replace("print(me.json())", "import json; print(json.dumps(me.json()))")],
        env={**environment, "VAULT_ADDR": bao.url, "VAULT_TOKEN": bao.root},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(read.stdout)["id"] == berlin["id"]
