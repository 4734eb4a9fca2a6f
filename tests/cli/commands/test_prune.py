"""``prune``: shows orphans, and deletes them recoverably once a person says so."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.app.prune import carry_out, find
from sync.cli.output.forms import Form
from sync.cli.output.pruned import put_pruned
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.file import FileConfig
from sync.core import marks as mark_map
from sync.core.model import Key, Stored, StoreError
from sync.core.plan.guards import Brake
from sync.core.plan.prune import Pruned
from sync.runtime.threads import Stopping
from sync.stores.interface import Store
from tests.support import values
from tests.support.clock import FakeClock
from tests.support.fakes import StoreInMemory
from tests.support.forkserver import ForkServer
from tests.support.rigs.aws import AwsRig
from tests.support.rigs.cli import on_a_terminal
from tests.support.rigs.e2e import PROGRAM, Ran
from tests.support.rigs.file import FileRig
from tests.support.rigs.vault import VaultRig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao
from tests.support.store_contract import marks, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server", "bao"]

TOKEN = "EAAorphanTOKENorphan0123456789orphan"


@dataclass
class Program:
    """A configuration with one Page and a directory, and the commands over it."""

    folder: Path
    forks: ForkServer
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rig = FileRig(self.folder / "secrets")
        self.rig.directory.mkdir(mode=0o700)
        self.write()

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "config.yaml"

    def write(self, **changes: Any) -> None:
        """Write the configuration."""
        self.settings.update(changes)
        config = {
            "version": 1,
            "instance": "acme",
            "apps": {"messenger": {"id": "555", "secret": {"env": "NOT_READ"}}},
            "system_users": {"main": {"token": {"env": "NOT_READ"}}},
            "stores": {"disk": {"type": "file", "directory": str(self.rig.directory)}},
            "pages": [{"id": "101", "name": "berlin"}],
            **self.settings,
        }
        self.file.write_text(yaml.safe_dump(config))

    def plant(self, *names: str, **changes: Any) -> None:
        """Store a secret of each of these names as this instance's."""
        for name in names:
            self.rig.plant(self.rig.key(name), {"access_token": TOKEN}, mark_map.present(marks(**changes)))

    def run(self, *arguments: str) -> Ran:
        """Run ``prune``; what it prints never holds a token."""
        child = self.forks.run(self.folder, "--config", str(self.file), "prune", *arguments)
        ran = Ran(child.wait(), child.stdout.read_text(), child.stderr.read_text())
        assert TOKEN not in ran.stdout + ran.stderr
        return ran

    def names(self) -> set[str]:
        """Return the secrets that readers see."""
        return {path.name for path in self.rig.directory.glob("[!.]*")}


@pytest.fixture
def program(tmp_path: Path, forks: ForkServer) -> Iterator[Program]:
    """Return a program whose directory has a Page's secret, two orphans, another instance's and a person's."""
    made = Program(tmp_path, forks)
    made.plant("berlin", "rome", "oslo")
    made.plant("other", instance="other")
    made.rig.plant(made.rig.key("bare"), {"access_token": TOKEN})
    return made


def test_without_yes_it_only_shows(program: Program) -> None:
    """The orphans are listed with what would be done, the exit code is 1, and nothing is changed."""
    before = program.names()
    ran = program.run("--output", "json")
    assert ran.code == 1
    assert ran.report["format"] == 1
    assert [(one["store"], one["path"], one["page_id"], one["action"]) for one in ran.report["secrets"]] == [
        ("disk", "oslo.json", "101", "delete"),
        ("disk", "rome.json", "101", "delete"),
    ]
    text = program.run()
    assert text.code == 1
    assert "2 orphans: 2 to delete." in text.stdout
    command = next(line for line in text.stdout.splitlines() if line.startswith("  page-token-sync "))
    assert shlex.split(command) == ["page-token-sync", "--config", str(program.file), "prune", "--yes"]
    assert program.names() == before


def test_with_yes_it_deletes_and_says_how_to_restore(program: Program) -> None:
    """The orphans are gone, all else stays, each printed command brings its secret back, and a further run finds nothing."""
    before = program.names()
    ran = program.run("--yes")
    assert (ran.code, ran.stderr) == (0, ""), ran
    assert "2 orphans: 2 deleted." in ran.stdout
    assert before - program.names() == {"rome.json", "oslo.json"}
    again = program.run("--yes", "--output", "json")
    assert (again.code, again.report["secrets"]) == (0, [])
    for line in ran.stdout.splitlines():
        if line.startswith("  mv "):
            subprocess.run(["/bin/sh", "-c", line], check=True)
    assert program.names() == before
    assert program.run("--output", "json").code == 1


def test_where_it_looks_is_said(capsys: pytest.CaptureFixture[str], program: Program) -> None:
    """Where a store is listed in part, a run without orphans says which part, so that older secrets are not taken for gone."""
    put_pruned(Pruned((), stores=1), Form.TABLE, again="", done=False, below=["vault:pages/acme/"])
    assert (
        "No orphans. Only secrets that begin with vault:pages/acme/ are looked for"
        in capsys.readouterr().out.replace("\n", " ")
    )
    program.run("--yes")
    assert program.run().stdout == "No orphans.\n"


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("apps/{instance}/{name}", "apps/acme/"), ("{name}", ""), ("pages", "pages")],
)
def test_the_part_that_is_listed(path: str, prefix: str) -> None:
    """It is the path up to its first placeholder that differs between secrets."""
    assert FileConfig(type="file", directory=Path("x"), name=path).listed_prefix("acme") == ""
    assert AwsConfig(type="aws-secrets-manager", region="eu-west-1", name=path).listed_prefix("acme") == prefix


def test_the_brake_bounds_a_run(program: Program) -> None:
    """With more orphans than the brake allows some are held, and further runs delete the rest."""
    program.plant("a", "b", "c")
    left = [len(program.names())]
    codes = []
    for _ in range(4):
        ran = program.run("--yes")
        codes.append(ran.code)
        left.append(len(program.names()))
    assert left == [8, 6, 4, 3, 3]
    assert codes == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "text"),
    [
        ({"pages": []}, (), 2, "pages is empty"),
        ({"pages": [{"id": "101", "nam": "x"}]}, (), 2, "nam"),
        ({"pages_from": ["none/*.yaml"]}, (), 2, "no file matches"),
        ({}, ("--store", "dsk"), 2, "disk"),
        ({"mode": "observe"}, (), 1, "Set mode: sync."),
    ],
)
def test_when_nothing_may_be_deleted(
    program: Program, changes: dict[str, Any], arguments: tuple[str, ...], code: int, text: str
) -> None:
    """Without Pages, with a broken file, an unknown store or mode: observe nothing is deleted, and the output says why."""
    program.write(**changes)
    before = program.names()
    ran = program.run("--yes", *arguments)
    assert ran.code == code, ran
    assert text in ran.stdout + ran.stderr
    assert program.names() == before
    failed = program.run("--yes", "--output", "json", *arguments)
    assert failed.code == code
    assert failed.report["format"] == 1


def test_a_new_path_before_the_next_cycle(program: Program) -> None:
    """The old secret of a Page is kept until the new one is there; the output names what comes first, with the configuration."""
    program.write(pages=[{"id": "101", "name": "berlin-mitte"}], brake={"share": "100%"})
    before = program.names()
    ran = program.run("--yes")
    assert (ran.code, program.names()) == (1, before)
    assert "not-replaced" in ran.stdout
    assert "disk:berlin-mitte.json, does not exist yet" in ran.stdout
    command = f"page-token-sync --config {program.file} once --page berlin-mitte"
    assert command in " ".join(ran.stdout.split())
    report = program.run("--output", "json").report
    assert {(one["action"], one["reason"]) for one in report["secrets"]} == {("kept", "not-replaced")}
    assert command in report["secrets"][0]["remedy"]
    program.plant("berlin-mitte")
    assert program.run("--yes").code == 0
    assert program.names() == before - {"berlin.json", "rome.json", "oslo.json"} | {"berlin-mitte.json"}


def moved(store: Store, old: Key, new: Key) -> None:
    """Check that an orphan stays until what replaces it is written, and how many requests that took."""
    page = replace(values.page(), id=marks().page_id, targets=(new,))

    def look() -> Pruned:
        store.begin()
        return find({store.name: store}, marks().instance, [page], brake=Brake(1.0, 99), observe=False)

    written(store.write(old, payload(), marks(), replaces=None))
    kept = look()
    assert [(one.key, one.action, one.reason) for one in kept.removals] == [(old, "kept", "not-replaced")]
    carry_out(kept, {store.name: store}, FakeClock())
    written(store.write(new, payload(), marks(), replaces=None))
    done = carry_out(look(), {store.name: store}, FakeClock())
    assert [(one.key, one.action) for one in done.removals] == [(old, "deleted")]
    assert stored(store, new).state == "live"


def test_a_new_path_on_openbao(bao: Bao) -> None:
    """An orphan on OpenBao stays until its Page has the new secret, and is deleted then."""
    rig = VaultRig(bao)
    moved(rig.make_store(), rig.key("old"), rig.key("new"))


def test_a_new_path_on_aws(aws: Aws) -> None:
    """An orphan on AWS stays until its Page has the new secret, and is deleted then."""
    rig = AwsRig(aws)
    moved(rig.make_store(), rig.key("old"), rig.key("new"))


def test_a_page_that_moves_to_another_store() -> None:
    """An orphan waits for the Page's secret in another store, which is read though --store does not name it, once for all orphans."""
    here, there = StoreInMemory("vault"), StoreInMemory("aws")
    stores: dict[str, Store] = {"vault": here, "aws": there}
    page = replace(values.page(), id=marks().page_id, targets=(Key("aws", "berlin"),))
    for name in ("a", "b"):
        here.secrets[Key("vault", name)] = Stored(payload(), "1", marks())

    def look() -> list[tuple[str, str | None]]:
        found = find(stores, "acme", [page], ["vault"], brake=Brake(1.0, 99), observe=False)
        return [(one.action, one.reason) for one in found.removals]

    assert look() == [("kept", "not-replaced")] * 2
    assert there.requests == 1
    there.down = StoreError("denied", "It is denied.", "Allow it.")
    assert look() == [("kept", "not-replaced")] * 2
    there.down = None
    there.secrets[Key("aws", "berlin")] = Stored(payload(), "1", marks())
    assert look() == [("delete", None)] * 2


def test_a_store_that_cannot_be_listed(program: Program) -> None:
    """It is named with its cause; the exit code is 1, and 3 where no store could be listed."""
    missing = {"type": "file", "directory": str(program.folder / "no" / "such")}
    disk = {"type": "file", "directory": str(program.rig.directory)}
    program.write(stores={"disk": disk, "lost": missing}, defaults={"stores": ["disk"]})
    ran = program.run("--yes")
    assert ran.code == 1
    assert "store lost could not be listed" in ran.stdout
    assert "2 orphans: 2 deleted." in ran.stdout
    program.write(stores={"lost": missing}, defaults={"stores": ["lost"]})
    ran = program.run("--output", "json")
    assert (ran.code, [one["store"] for one in ran.report["unlisted"]]) == (3, ["lost"])


@pytest.mark.slow
def test_a_closed_pipe(program: Program) -> None:
    """A reader that closes the pipe changes neither what is done nor the exit code."""
    command = shlex.join([*PROGRAM, "--config", str(program.file), "prune", "--yes"])
    script = f"{command} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("0", "")
    assert "rome.json" not in program.names()


@pytest.mark.slow
def test_a_terminal_of_80_columns(program: Program) -> None:
    """The table fits, and the command for the next step is on one line."""
    code, shown = on_a_terminal("--config", str(program.file), "prune", columns=80)
    assert code == 1
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()
    assert max(len(line) for line in lines if str(program.file) not in line) <= 80
    assert f"page-token-sync --config {program.file} prune --yes" in shown


class Stage:
    """Orphans in stores in memory."""

    def __init__(self, *names: str) -> None:
        self.clock = FakeClock()
        self.store = StoreInMemory()
        for name in names:
            key = Key("vault", name)
            self.store.secrets[key] = Stored(payload(), "1", marks())

    def found(self) -> Any:
        """Find the orphans."""
        return find({"vault": self.store}, "acme", [], brake=Brake(1.0, 99), observe=False)


def test_a_secret_that_changes_after_it_was_shown() -> None:
    """What another writer changes between the look and the deletion is a conflict, and is not deleted."""
    stage = Stage("a", "b")
    shown = stage.found()
    stage.store.secrets[Key("vault", "a")] = Stored(payload("new"), "2", marks())
    done = carry_out(shown, {"vault": stage.store}, stage.clock)
    assert [(one.action, one.error_code) for one in done.removals] == [("failed", "conflict"), ("deleted", None)]
    assert Key("vault", "a") in stage.store.secrets
    assert done.exit_code == 1


def test_shutdown_leaves_the_rest() -> None:
    """What was deleted is in the result, what was not begun stays to be deleted, and the result is marked as cut short."""
    stage = Stage("a", "b", "c")

    def stop(step: str, key: Key | None) -> None:
        if (step, key) == ("remove", Key("vault", "b")):
            raise Stopping

    stage.store.before = stop
    done = carry_out(stage.found(), {"vault": stage.store}, stage.clock)
    assert done.cut_short
    assert {one.key.path: one.action for one in done.removals}["b"] == "delete"
    assert len(stage.store.secrets) >= 1


def test_a_bug_in_one_deletion_stops_no_other() -> None:
    """An unexpected exception is a failed deletion that names where it occurred."""
    stage = Stage("a", "b")

    def fail(step: str, key: Key | None) -> None:
        if (step, key) == ("remove", Key("vault", "a")):
            raise ValueError("secret text")

    stage.store.before = fail
    done = carry_out(stage.found(), {"vault": stage.store}, stage.clock)
    assert [one.action for one in done.removals] == ["failed", "deleted"]
    assert "ValueError" in done.removals[0].message
    assert "secret text" not in done.removals[0].message


def test_what_a_policy_hides() -> None:
    """A warning of a store, such as about secrets whose marks may not be read, is part of the result."""
    stage = Stage("a")
    stage.store.warnings = ("The policy hides 3 secrets.",)
    assert stage.found().warnings == ("store vault: The policy hides 3 secrets.",)


def test_a_store_that_fails_between_list_and_read() -> None:
    """A secret that is listed and cannot be read is failed with the store's error."""
    stage = Stage("a")
    stage.store.down_at[Key("vault", "a")] = StoreError("denied", "It is denied.", "Allow it.")
    (one,) = stage.found().removals
    assert (one.action, one.error_code) == ("failed", "denied")
