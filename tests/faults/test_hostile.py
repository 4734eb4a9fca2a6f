"""`once` against servers that answer too much, too slowly, too deep, or nonsense instead of Graph, Vault and AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.app import build
from sync.config.load import load
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from tests.faults.five_pages import AwsInspector
from tests.support.forkserver import ForkServer, forks
from tests.support.logs import names_internal_error
from tests.support.rigs.e2e import Rig
from tests.support.rigs.vault_program import VaultProgram
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox
from tests.support.services.hostile_server import ATTACKS, hostile_server

__all__ = ["aws", "aws_environment", "aws_server", "bao", "forks", "mount", "sandbox"]

pytestmark = pytest.mark.slow

MOST = 32 << 10
"""KiB of memory more than a healthy cycle takes."""

TIMEOUT = 1
HARD = ("gzip bomb", "endless body", "endless header line", "endless interim answers", "slow body", "deep JSON")
"""What is tried without ``--long`` too."""

CASES = [pytest.param(attack, marks=() if attack in HARD else pytest.mark.long) for attack in ATTACKS]


@pytest.fixture
def program(tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str) -> Iterator[VaultProgram]:
    """Return a mount after a successful cycle."""
    made = VaultProgram(tmp_path, sandbox, bao, mount)
    made.settle()
    yield made
    made.assert_nothing_changed()


@pytest.fixture
def account(tmp_path: Path, sandbox: Sandbox, aws: Aws) -> Iterator[Rig]:
    """Return the program with an account of Secrets Manager after a successful cycle."""
    inspector = AwsInspector(aws, "pages")
    rig = Rig(tmp_path, sandbox, inspector.block(aws.url, tmp_path))
    with build(load(rig.file), clock=SystemClock()) as app:
        assert app.cycle(write=True).result == "ok"
    before = {page["name"]: inspector.read(page["name"]) for page in sandbox.pages}
    assert None not in before.values()
    yield rig
    assert {name: inspector.read(name) for name in before} == before


def _once(forks: ForkServer, rig: Rig) -> tuple[int, int, dict[str, Any], str]:
    """Run a cycle; return its exit code, peak of memory in KiB, report, and stderr."""
    child = forks.run(rig.folder, "--config", str(rig.file), "once", "--output", "json")
    code, peak = child.wait_and_weigh()
    return code, peak, json.loads(child.stdout.read_text()), child.stderr.read_text()


@pytest.mark.parametrize("attack", CASES)
def test_hostile_graph(forks: ForkServer, program: VaultProgram, attack: str) -> None:
    """No answer of Graph exhausts memory, causes a traceback, changes the verdict of a token, or changes a secret."""
    _, usual, _, _ = _once(forks, program)
    with hostile_server(attack) as url:
        program.write(graph={"base_url": url, "timeout": f"{TIMEOUT}s"})
        begun = time.monotonic()
        code, peak, report, stderr = _once(forks, program)
    assert code in (1, 3), report
    assert peak < usual + MOST
    assert not names_internal_error(stderr + json.dumps(report))
    assert {page["fetched"] for page in report["pages"]} == {"unknown"}
    assert {target["action"] for page in report["pages"] for target in page["stores"]} == {"kept"}
    assert {target["served"] for page in report["pages"] for target in page["stores"]} == {"stale"}
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("attack", CASES)
def test_hostile_vault(forks: ForkServer, program: VaultProgram, attack: str) -> None:
    """No answer of Vault exhausts memory, causes a traceback, or is read as a secret's content or absence."""
    _hostile_store(forks, program, attack, "address")


@pytest.mark.parametrize("attack", CASES)
def test_hostile_aws(forks: ForkServer, account: Rig, attack: str) -> None:
    """No answer of AWS exhausts memory, causes a traceback, or is read as a secret's content or absence."""
    _hostile_store(forks, account, attack, "endpoint_url")


def _hostile_store(forks: ForkServer, rig: Rig, attack: str, address: str) -> None:
    """Run a cycle with the hostile server at the store's address: every secret fails, and nothing else happens."""
    _, usual, _, _ = _once(forks, rig)
    with hostile_server(attack) as url:
        rig.write(stores={"store": {**rig.store, address: url, "timeout": f"{TIMEOUT}s"}})
        code, peak, report, stderr = _once(forks, rig)
    assert code in (1, 3), report
    assert peak < usual + MOST
    assert not names_internal_error(stderr + json.dumps(report))
    assert {target["action"] for page in report["pages"] for target in page["stores"]} == {"failed"}
    assert {target["served"] for page in report["pages"] for target in page["stores"]} == {"stale"}
