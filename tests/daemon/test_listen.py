"""The daemon's address: where it cannot listen, it does not start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sync.ops.web.server import address_of, bind

CONFIG = """\
instance: acme
apps: {m: {id: "123456789012345", secret: {env: UNUSED}}}
system_users: {main: {app: m, token: {env: UNUSED}}}
stores: {disk: {type: file, directory: ./secrets}}
pages: [{id: "101010101010101", name: berlin}]
"""


@pytest.mark.parametrize("address", [None, "192.0.2.1:8087", "8087"], ids=["taken", "another host's", "no host"])
def test_an_address_that_cannot_be_used(tmp_path: Path, address: str | None) -> None:
    """A taken port, an address of another host and one without a host end the start with exit code 3, the address and the remedy."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    with bind("127.0.0.1", 0) as taken:
        listen = address or address_of(taken)
        command = [sys.executable, "-c", "from sync.cli.main import main; main()", "run", "--listen", listen]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 3
    assert f"cannot listen on {listen}: " in ran.stderr
    assert "choose another address with --listen" in ran.stderr
    assert "daemon_started" not in ran.stdout
