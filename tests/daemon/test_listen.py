"""The daemon's address: where it cannot listen, it does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.ops.web.server import address_of, bind
from tests.support.rigs.e2e import Ran, run

CONFIG = """\
instance: acme
apps: {m: {id: "123456789012345", secret: {env: UNUSED}}}
system_users: {main: {app: m, token: {env: UNUSED}}}
stores: {disk: {type: file, directory: ./secrets}}
pages: [{id: "101010101010101", name: berlin}]
"""


def start(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Start the daemon, which ends at once."""
    (folder / "config.yaml").write_text(CONFIG)
    return run("run", *arguments, cwd=folder, environment=environment)


@pytest.mark.parametrize("address", [None, "192.0.2.1:8087"], ids=["taken", "another host's"])
def test_an_address_that_cannot_be_used(tmp_path: Path, address: str | None) -> None:
    """A taken port and an address of another host end the start with exit code 3, the address and the remedy."""
    with bind("127.0.0.1", 0) as taken:
        listen = address or address_of(taken)
        ran = start(tmp_path, "--listen", listen)
    assert ran.code == 3
    assert f"cannot listen on {listen}: " in ran.stderr
    assert "choose another address with --listen" in ran.stderr
    assert "daemon_started" not in ran.stdout


def test_what_is_no_address(tmp_path: Path) -> None:
    """An option or a variable that is not HOST:PORT is wrong usage."""
    ran = start(tmp_path, "--listen", "8087")
    assert (ran.code, ran.stdout) == (2, "")
    assert "'--listen': not HOST:PORT; write 127.0.0.1:8087" in ran.stderr
    ran = start(tmp_path, PAGE_TOKEN_SYNC_LISTEN="8087")
    assert ran.code == 2
    assert "cannot listen on 8087: it is not HOST:PORT" in ran.stderr
