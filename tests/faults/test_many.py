"""Many cycles in one process: nothing grows, and without a change nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import Sandbox, start
from tests.faults.five_pages import AwsInspector, VaultInspector
from tests.support.forkserver import ROOT
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount

__all__ = ["aws", "aws_environment", "aws_server", "bao", "mount"]

pytestmark = pytest.mark.slow

GROWTH = 5 << 10
"""KiB that the process may grow by after its first hundred cycles."""


def _run(rig: Rig, cycles: int) -> Mapping[int, Mapping[str, Any]]:
    """Run this number of cycles in one process; return its resources by the number of cycles."""
    command = [sys.executable, "-m", "tests.faults.run_cycles", str(rig.file), str(cycles)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return {sample["cycles"]: sample for sample in map(json.loads, done.stdout.splitlines())}


def _nothing_grew(samples: Mapping[int, Mapping[str, Any]]) -> None:
    late = [sample for cycles, sample in samples.items() if cycles >= 100]
    assert len(late) > 1
    assert max(sample["rss_kib"] for sample in late) - late[0]["rss_kib"] < GROWTH, samples
    for what in ("threads", "descriptors"):
        assert len({sample[what] for sample in late}) == 1, samples


@contextmanager
def _revocations(sandbox: Sandbox) -> Iterator[None]:
    """Revoke one token after the other until the block ends."""
    over = threading.Event()

    def revoke() -> None:
        while True:
            for page in sandbox.world.pages.values():
                if over.wait(0.1):
                    return
                with sandbox.world.lock:
                    sandbox.world.revoke_page(page)

    thread = threading.Thread(target=revoke)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("changing", [False, True])
def test_many_cycles(tmp_path: Path, changing: bool, long: bool) -> None:
    """Over many cycles memory, threads and descriptors stay as after the first hundred, whether tokens are revoked or not."""
    cycles, pages = (10_000, 500) if long else (150, 10)
    with start(pages=pages) as sandbox:
        rig = file_rig(tmp_path, sandbox)
        rig.write(probe_every="1d", state={"file": str(tmp_path / "state.json")})
        if changing:
            with _revocations(sandbox):
                samples = _run(rig, cycles)
        else:
            samples = _run(rig, cycles)
    _nothing_grew(samples)
    events = samples[cycles]["events"]
    assert "page_refused" not in events
    assert (events["page_written"] > pages) is changing
    assert changing or events == {"page_written": pages, "cycle_finished ok": cycles}


def test_idle_cycles_with_real_stores(tmp_path: Path, bao: Bao, mount: str, aws: Aws, long: bool) -> None:
    """Over many cycles with OpenBao, the AWS emulator and files nothing is written after the first, and nothing grows."""
    cycles = 1000 if long else 110
    inspectors = {"vault": VaultInspector(bao, mount, "pages"), "aws": AwsInspector(aws, "pages")}
    with start(pages=5) as sandbox:
        rig = file_rig(tmp_path, sandbox)
        rig.secret("vault_token", bao.root)
        stores = {name: inspector.block(inspector.url, tmp_path) for name, inspector in inspectors.items()}
        rig.write(stores={**stores, "disk": dict(rig.store)}, defaults={"stores": [*stores, "disk"]}, probe_every="1d")
        samples = _run(rig, cycles)
        names = [page["name"] for page in sandbox.pages]
    assert samples[cycles]["events"] == {"page_written": 15, "cycle_finished ok": cycles}
    for inspector in inspectors.values():
        for name in names:
            found = inspector.read(name)
            assert found is not None
            assert found.versions == 1
    writes = {name: count for name, count in aws.calls.items() if name.startswith(("Put", "Create", "Update", "Tag"))}
    assert writes == {"CreateSecret": 5}
    _nothing_grew(samples)
