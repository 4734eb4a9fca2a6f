"""Two processes of one instance at once, as in a rolling update, or `once` beside the daemon."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import Sandbox
from tests.faults.five_pages import WRITES, AwsInspector, FileInspector, FivePages, Inspector, VaultInspector
from tests.support.forkserver import Child, ForkServer, forks
from tests.support.logs import EACH_SECOND, each_second
from tests.support.services.aws import aws, aws_environment, aws_server
from tests.support.services.bao import bao, mount
from tests.support.services.fault_proxy import fault_proxy
from tests.support.services.gate import Gate
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "bao", "forks", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def inspector(request: pytest.FixtureRequest, tmp_path: Path) -> Inspector:
    """Return the store that a test names."""
    match request.param:
        case "vault":
            return VaultInspector(request.getfixturevalue("bao"), request.getfixturevalue("mount"), "pages")
        case "aws":
            return AwsInspector(request.getfixturevalue("aws"), "pages")
        case _:
            return FileInspector(tmp_path / "secrets")


@pytest.mark.parametrize("inspector", ["vault", "aws"], indirect=True)
def test_two_that_write_the_same_at_the_same_moment(
    forks: ForkServer, tmp_path: Path, sandbox: Sandbox, inspector: Inspector
) -> None:
    """Two cycles that meet at every write leave each Page as wanted; Vault has no extra version, AWS at most one."""
    with fault_proxy(inspector.url) as store:
        world = FivePages(tmp_path / "rig", sandbox, inspector, graph=sandbox.url, store=store.url)
        assert world.cycle().result == "ok"
        world.change()
        store.rule = gate = Gate()
        children = [_once(forks, world) for _ in range(2)]
        codes = [child.wait() for child in children]
        store.rule = None
        assert len(gate.met) >= 3
        reports = [json.loads(child.stdout.read_text()) for child in children]

        assert set(codes) <= {0, 1}
        assert 0 in codes or len(gate.met) > 1
        for target in _targets(reports):
            assert target["action"] in ("created", "updated", "replaced", "unchanged", "failed"), target
            assert target["error_code"] in (None, "conflict"), target
        assert world.broken() == []
        last = world.cycle()
        assert last.result == "ok"
        assert world.unlike_wanted() == []
        assert {target.action.value for page in last.pages for target in page.stores} <= {"unchanged", "updated"}
        assert world.extra_versions() <= (3 if isinstance(inspector, AwsInspector) else 0)
        for name in WRITES:
            if isinstance(inspector, AwsInspector):
                assert set(inspector.labels(name)) <= {"AWSCURRENT", "AWSPREVIOUS"}
            elif isinstance(inspector, VaultInspector):
                history = inspector.history(name)
                assert all(one != other for one, other in itertools.pairwise(history))


@pytest.mark.parametrize("inspector", ["vault", "aws"], indirect=True)
def test_two_instances_that_want_one_path(
    forks: ForkServer, tmp_path: Path, sandbox: Sandbox, inspector: Inspector
) -> None:
    """Of two that create a secret at once one succeeds; the other is refused from its next cycle on and changes nothing."""
    with fault_proxy(inspector.url) as store:
        world = FivePages(tmp_path / "rig", sandbox, inspector, graph=sandbox.url, store=store.url)
        world.rig.write(pages=world.rig.settings["pages"][:1])
        store.rule = gate = Gate()
        children = {}
        for instance in ("acme-one", "acme-two"):
            world.rig.write(instance=instance)
            config = world.rig.file.rename(world.rig.folder / f"{instance}.yaml")
            children[instance] = forks.run(tmp_path, "--config", str(config), "once", "--output", "json")
        codes = {instance: child.wait() for instance, child in children.items()}
        store.rule = None
        assert len(gate.met) == 1
        (winner,) = (instance for instance, code in codes.items() if code == 0)
        (loser,) = (instance for instance, code in codes.items() if code == 1)
        (target,) = _targets([json.loads(children[loser].stdout.read_text())])
        assert (target["action"], target["error_code"]) == ("failed", "conflict")
        before = inspector.read("berlin")
        assert before is not None
        assert (before.marks["instance"], before.versions) == (winner, 1)
        for instance, outcome in (
            (loser, ("refused", "foreign")),
            (winner, ("unchanged", "verified")),
            (loser, ("refused", "foreign")),
        ):
            world.rig.write(instance=instance)
            child = _once(forks, world)
            assert child.wait() == (1 if instance == loser else 0)
            (target,) = _targets([json.loads(child.stdout.read_text())])
            assert (target["action"], target["served"]) == outcome
            assert [problem["code"] for problem in target["problems"]] == ["secret-foreign"] * (instance == loser)
            assert inspector.read("berlin") == before


@pytest.mark.parametrize("inspector", ["vault", "file"], indirect=True)
def test_two_daemons_and_once(forks: ForkServer, tmp_path: Path, sandbox: Sandbox, inspector: Inspector) -> None:
    """Two daemons and `once` beside them heal each change, write each new token once, and refuse nothing."""
    world = FivePages(tmp_path / "rig", sandbox, inspector, graph=sandbox.url, store=inspector.url)
    world.rig.write(probe_every="1s")
    daemons = [forks.run(tmp_path, *each_second(world.rig.file), main=EACH_SECOND) for _ in range(2)]
    wanted = dict.fromkeys(("berlin", "paris", "rome", "madrid"), 1)
    _settled(world, wanted)
    for name in ("berlin", "paris", "rome", "madrid", "berlin"):
        with sandbox.world.lock:
            if name == "rome":
                sandbox.world.rotate(world.second)
            else:
                sandbox.world.revoke_page(world.page(name))
        world.rig.secret("second", world.second.token)
        wanted[name] += 1
        once = _once(forks, world)
        _settled(world, wanted)
        assert once.wait() in (0, 1)
    for daemon in daemons:
        assert daemon.end() == 0
    lines = [json.loads(line) for daemon in daemons for line in daemon.stdout.read_text().splitlines()]
    assert {line.get("action") for line in lines} <= {
        None,
        "created",
        "replaced",
        "unchanged",
        "failed",
        "updated",
        "kept",
    }
    assert {line.get("error_code") for line in lines if line.get("action") == "failed"} <= {"conflict", "locked"}
    _settled(world, wanted)


def _once(forks: ForkServer, world: FivePages) -> Child:
    return forks.run(world.rig.folder, "--config", str(world.rig.file), "once", "--output", "json")


def _settled(world: FivePages, versions: dict[str, int]) -> None:
    """Wait until each Page's current token is stored, and assert that there is no extra version."""
    end = time.monotonic() + 20
    while any(_token(world, name) != world.token(name) for name in versions):
        assert time.monotonic() < end, world.read()
        time.sleep(0.05)
    found = {name: current.versions for name, current in world.read().items() if current is not None}
    extra = sum(found[name] - versions[name] for name in versions if found[name])
    assert extra == 0, found


def _token(world: FivePages, name: str) -> str | None:
    current = world.inspector.read(name)
    return current.payload["access_token"] if current else None


def _targets(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [target for report in reports for page in report["pages"] for target in page["stores"]]
