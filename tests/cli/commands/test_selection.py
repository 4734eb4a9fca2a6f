"""What the options select: some of the Pages, a plan that a person has seen, and a way past the brake."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from sync.sandbox.http.server import Sandbox
from tests.support.rigs.cli import file_rig, on_a_terminal
from tests.support.rigs.e2e import Rig, run
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDER = {"payload": {"access_token": "{token}", "page_id": "{id}", "team": "crm"}}


def names(rig: Rig) -> set[str]:
    """Return the names of the secrets that are there."""
    return {path.name for path in (rig.folder / "secrets").glob("*.json")}


def changed(tmp_path: Path, sandbox: Sandbox) -> Rig:
    """Return a configuration whose five working secrets are all to be rewritten."""
    rig = file_rig(tmp_path, sandbox)
    assert rig.run("once").code == 0
    rig.write(defaults=WIDER)
    return rig


def test_a_selection_is_all_that_is_done(tmp_path: Path, sandbox: Sandbox) -> None:
    """Only the Pages of a selection are in the report and in the store, and secrets of the others are no orphans."""
    rig = file_rig(tmp_path, sandbox)
    some = rig.once("--page", "berlin", "--page", "par*")
    assert ([page["name"] for page in some.report["pages"]], some.code) == (["berlin", "paris"], 0)
    assert names(rig) == {"berlin.json", "paris.json"}

    other = rig.run("plan", "--page", "rome", "--output", "json")
    assert ([page["name"] for page in other.report["pages"]], other.report["orphans"]) == (["rome"], [])
    assert names(rig) == {"berlin.json", "paris.json"}


def test_a_store_is_chosen(tmp_path: Path, sandbox: Sandbox) -> None:
    """With --store a Page of two stores is written to that one only."""
    rig = file_rig(tmp_path, sandbox)
    (tmp_path / "other").mkdir(mode=0o700)
    stores = {"store": dict(rig.store), "other": {"type": "file", "directory": str(tmp_path / "other")}}
    rig.write(stores=stores, defaults={"stores": ["store", "other"], "labels": {"team": "crm"}})
    ran = rig.once("--store", "other", "--label", "team=crm")

    assert ran.code == 0
    assert {target["store"] for page in ran.report["pages"] for target in page["stores"]} == {"other"}
    assert names(rig) == set()


@pytest.mark.parametrize("command", ["once", "plan"])
def test_a_selection_that_matches_nothing_is_wrong_usage(command: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """What matches nothing is exit 2 with the nearest name, as text and as one JSON document, and nothing is asked."""
    rig = file_rig(tmp_path, sandbox)
    text, document = rig.run(command, "--page", "berln"), rig.run(command, "--store", "stor", "--output", "json")

    assert (text.code, text.stdout, document.code) == (2, "", 2)
    assert "did you mean berlin?" in text.stderr
    assert document.report["errors"][0]["code"] == "selection"
    assert "did you mean store?" in document.report["errors"][0]["message"]
    assert sandbox.world.calls.requests == 0


@pytest.mark.parametrize(
    "wrong", ["", "sha256:", "sha256:abc", "e3b0c44298fc1c14", "sha256:" + "G" * 64, "sha256:" + "0" * 65]
)
def test_a_checksum_that_is_none_is_wrong_usage(wrong: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """Only a whole checksum names a plan."""
    ran = file_rig(tmp_path, sandbox).run("once", "--if-plan", wrong, "--output", "json")

    assert ran.code == 2
    assert "64 hex digits" in ran.report["errors"][0]["message"]
    assert sandbox.world.calls.requests == 0


def test_the_brake_prints_the_command_that_goes_past_it(tmp_path: Path, sandbox: Sandbox) -> None:
    """Held writes are printed with what they would be; the printed command carries them out."""
    rig = changed(tmp_path, sandbox)
    planned, ran = rig.run("plan"), rig.run("once")

    for one in (planned, ran):
        assert one.code == 4
        assert one.stdout.count("brake: would be updated (payload)") == 5
    last = ran.stdout.splitlines()[-1].strip()
    assert last == planned.stdout.splitlines()[-1].strip()
    assert last.startswith(f"page-token-sync --config {rig.file} once --if-plan sha256:")
    done = run(*shlex.split(last)[1:])
    assert done.code == 0, done.stdout + done.stderr
    assert all(json.loads(path.read_text())["team"] == "crm" for path in (tmp_path / "secrets").glob("*.json"))

    again = rig.run(*shlex.split(last)[3:])
    assert (again.code, "no longer the one" in again.stdout) == (4, True)


def test_the_command_names_the_selection(tmp_path: Path, sandbox: Sandbox) -> None:
    """The command that goes past the brake has the selection that the plan was made with, quoted for a shell."""
    rig = changed(tmp_path, sandbox)
    ran = rig.run("plan", "--page", "[bpr]*")

    assert ran.code == 4
    assert " once --page '[bpr]*' --if-plan sha256:" in ran.stdout.splitlines()[-1]


def test_the_command_is_one_line_on_a_terminal(tmp_path: Path, sandbox: Sandbox) -> None:
    """On a narrow terminal the command stays on one line, so that it can be copied whole."""
    rig = changed(tmp_path, sandbox)
    code, shown = on_a_terminal("--config", str(rig.file), "plan")

    assert code == 4
    assert re.search(r"^  page-token-sync .* once --if-plan sha256:[0-9a-f]{64}$", CODES.sub("", shown), re.MULTILINE)


def test_a_plan_in_markdown(tmp_path: Path, sandbox: Sandbox) -> None:
    """A plan for a pull request has its counts and checksum, a table of what changes, and the command past the brake."""
    rig = changed(tmp_path, sandbox)
    ran = rig.run("plan", "--output", "markdown")
    checksum = rig.run("plan", "--output", "json").report["plan_checksum"]

    assert (ran.code, ran.stderr) == (4, "")
    assert ran.stdout.startswith(f"## Plan for `acme-test`: 5 held\n\n`{checksum}`\n")
    assert ran.stdout.count("| held |") == 5
    assert f"```sh\npage-token-sync --config {rig.file} once --if-plan {checksum}\n```\n" in ran.stdout


def test_what_the_configuration_holds_is_printed(tmp_path: Path, sandbox: Sandbox) -> None:
    """Under hold and observe each line says what would be done, nothing is written, and no command is offered."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(mode="observe")
    watched = rig.run("once")
    rig.write(mode="sync", defaults={"hold": True})
    still = rig.run("plan", "--output", "json")

    assert watched.stdout.count("observe: would be created") == 5
    assert "--if-plan" not in watched.stdout
    assert {target["reason"] for page in still.report["pages"] for target in page["stores"]} == {"hold"}
    assert still.target("berlin")["would"] == {"action": "created", "reason": None}
    assert (watched.code, still.code, names(rig)) == (1, 1, set())


def test_checksum_is_there_where_something_would_be_written(tmp_path: Path, sandbox: Sandbox) -> None:
    """Five creations have a checksum, a store that cannot be read makes another plan, and a plan without a write has none."""
    rig = file_rig(tmp_path, sandbox)
    five = rig.run("plan", "--output", "json").report["plan_checksum"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", five)
    unread = tmp_path / "unread"
    unread.write_text("no directory")
    both = {"store": dict(rig.store), "other": {"type": "file", "directory": str(unread)}}
    pages = [{"id": page["id"], "name": page["name"], "stores": ["store"]} for page in sandbox.pages]
    rig.write(stores=both, pages=[{**pages[0], "stores": ["store", "other"]}, *pages[1:]])
    more = rig.run("plan", "--output", "json").report
    assert more["plan_checksum"] not in (five, None)
    assert rig.run("once", "--if-plan", five).code == 4
    assert list((tmp_path / "secrets").glob("*.json")) == []
    rig.write(stores={"store": dict(rig.store)}, pages=pages)
    assert rig.run("once", "--if-plan", five).code == 0
    done = rig.run("plan", "--output", "json").report
    assert (done["plan_checksum"], done["summary"]["unchanged"]) == (None, 5)
    assert "There is nothing to write." in rig.run("plan").stdout
    assert "sha256:" not in rig.run("plan", "--output", "markdown").stdout
    rig.write(stores={"store": both["other"]}, pages=pages)
    assert "No write is planned." in rig.run("plan").stdout


def test_a_plan_that_judged_nothing_does_not_say_that_nothing_is_to_do(tmp_path: Path, sandbox: Sandbox) -> None:
    """Where Graph does not answer, a plan has no checksum, ends with 3, and says that no write is planned."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(graph={"base_url": "http://127.0.0.1:9", "timeout": "1s"})
    for output in ("table", "markdown"):
        planned = rig.run("plan", "--output", output)
        assert planned.code == 3
        assert "There is nothing to write." not in planned.stdout
        assert "nothing to do" not in planned.stdout
        assert "sha256:" not in planned.stdout
        assert "no write is planned" in planned.stdout.lower()


@pytest.mark.parametrize(("inside", "name"), [("", "app-{name}.json"), ("", "app/{name}.json"), ("app", "{name}.json")])
def test_what_another_store_wrote_is_no_orphan(tmp_path: Path, sandbox: Sandbox, inside: str, name: str) -> None:
    """Secrets of a Page are no orphans of a second store that is in the same directory or in a folder of it."""
    rig = file_rig(tmp_path, sandbox)
    (tmp_path / "secrets" / inside).mkdir(mode=0o700, exist_ok=True)
    other = {"type": "file", "directory": str(tmp_path / "secrets" / inside), "name": name}
    both = {"store": dict(rig.store), "other": other}
    rig.write(stores=both, defaults={"stores": ["store", "other"]})
    first, second = rig.once(), rig.once()
    assert (first.code, first.report["summary"]["created"]) == (0, 10)
    assert (second.report["orphans"], second.report["summary"]["unchanged"]) == ([], 10)

    rig.write(stores=both, defaults={"stores": ["store"]})
    left = rig.run("plan", "--output", "json").report["orphans"]
    assert {"store": "other", "path": name.format(name="berlin")} in left
    assert {"store": "other", "path": "berlin.json"} not in left or inside
