"""What validate prints: for a valid file, for one with errors, and for GitHub's workflows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.cli.output import github
from sync.cli.output.github import command
from sync.config.errors import ConfigError, ConfigErrors
from sync.sandbox.http.server import Sandbox
from tests.cli.test_start import run
from tests.support.rigs.cli import file_rig, on_a_terminal
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_validate_prints_what_follows(tmp_path: Path, sandbox: Sandbox) -> None:
    """A valid configuration gives its Pages, the next three runs and the verify interval, as text and as JSON."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(schedule={"cron": "@hourly"}, verify_every="36h")
    text, document = rig.run("validate"), rig.run("validate", "--output", "json")

    assert text.code == document.code == 0
    assert "5 Pages, 1 store" in text.stdout
    assert "every 36h." in text.stdout
    assert (document.report["format"], document.report["errors"]) == (1, [])
    assert len(document.report["next_runs"]) == 3
    assert all(at.endswith(":00:00Z") for at in document.report["next_runs"])
    assert document.report["verify_interval_seconds"] == 36 * 3600
    assert "found and replaced after 1h at the latest." in text.stdout
    assert document.report["longest_repair_seconds"] == 3600


def test_the_next_runs_are_in_utc_and_in_the_zone_of_the_schedule(tmp_path: Path, sandbox: Sandbox) -> None:
    """Each of the next runs is printed in UTC and in the time zone of cron; in JSON the latter with its offset."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(schedule={"cron": "30 2 * * *", "timezone": "Asia/Kathmandu"})
    text, document = rig.run("validate").stdout, rig.run("validate", "--output", "json").report

    assert [at[10:] for at in document["next_runs"]] == ["T20:45:00Z"] * 3
    assert [at[10:] for at in document["next_runs_local"]] == ["T02:30:00+05:45"] * 3
    assert len(re.findall(r"T20:45:00Z \(\w{3} 02:30 in Asia/Kathmandu\)", text)) == 3


def test_validate_says_where_a_quota_is_too_small(tmp_path: Path, sandbox: Sandbox) -> None:
    """An interval that the app's quota does not allow is printed as it will be, with the reason."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(verify_every="1m")
    ran = rig.run("validate")
    assert "every 3m, because the app's quota does not allow every 1m for so many Pages." in ran.stdout


def test_a_cycle_uses_the_interval_that_validate_prints(tmp_path: Path, sandbox: Sandbox) -> None:
    """The verify interval is the same in validate and once; once has no next cycle."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(verify_every="1m")
    printed, done = rig.run("validate", "--output", "json").report, rig.run("once", "--output", "json").report
    assert printed["verify_interval_seconds"] == done["verify_interval_seconds"] > 60
    assert done["next_cycle_at"] is None


def test_show_is_complete_and_has_no_secret(tmp_path: Path, sandbox: Sandbox) -> None:
    """With --show each key has a line with its origin, in JSON the same; no credential is in either."""
    rig = file_rig(tmp_path, sandbox)
    text, document = rig.run("validate", "--show"), rig.run("validate", "--show", "--output", "json")

    assert text.code == document.code == 0
    lines = [line.split("  ") for line in text.stdout.splitlines()]
    assert ["graph.budget", "75%", "default"] in [[part.strip() for part in line if part] for line in lines]
    assert re.search(r"^berlin: hold +false +default$", text.stdout, re.MULTILINE)
    settings = {one["key"]: one for one in document.report["settings"]}
    assert settings["mode"] == {"key": "mode", "value": "sync", "file": None, "line": None}
    assert (settings["instance"]["file"], settings["instance"]["line"]) == (str(rig.file), 2)
    assert [page["name"] for page in document.report["pages"]] == [page["name"] for page in sandbox.pages]
    for secret in (sandbox.app_secret, sandbox.system_user_token):
        assert secret not in text.stdout + document.stdout


def test_show_fits_80_columns(tmp_path: Path, sandbox: Sandbox) -> None:
    """On a terminal nothing is wider than it, whatever the length of paths."""
    rig = file_rig(tmp_path, sandbox)
    code, shown = on_a_terminal("--config", str(rig.file), "validate", "--show")

    assert code == 0
    assert max(map(len, CODES.sub("", shown).splitlines())) <= 80
    assert "graph.budget" in shown


def test_errors_for_github(tmp_path: Path) -> None:
    """Each error is one command with file, line, column and code, and the exit code is the usual one."""
    (tmp_path / "config.yaml").write_text("instance: X\npagse: []\n")
    ran = run("validate", "--output", "github", cwd=tmp_path)
    lines = ran.stdout.splitlines()

    assert (ran.code, ran.stderr) == (2, "")
    assert lines[0].startswith("::error file=config.yaml,line=1,col=")
    assert (
        "::error file=config.yaml,line=1,col=11,title=bad-name::instance: not a name%0Ause at most 63 lower-case letters"
        in ran.stdout
    )
    assert all(re.match(r"::error file=[^:,]+,line=\d+,col=\d+,title=[a-z-]+::\S", line) for line in lines)


def test_warnings_of_a_file_with_errors(tmp_path: Path) -> None:
    """Warnings are printed beside the errors, in each form, and do not count as errors."""
    scopes = "defaults: {checks: {scopes: [pages_mesaging]}}"
    (tmp_path / "config.yaml").write_text(f"instance: X\n{scopes}\n")
    text = (
        "defaults.checks.scopes[0]: pages_mesaging is not a known permission of Meta's; did you mean pages_messaging?"
    )
    outputs = {form: run("validate", "--output", form, cwd=tmp_path) for form in ("table", "json", "github")}

    assert [ran.code for ran in outputs.values()] == [2, 2, 2]
    *_, warning, count = outputs["table"].stdout.splitlines()
    number = len(outputs["json"].report["errors"])
    assert (warning, count) == (f"warning: {text}", f"{number} errors; nothing was done.")
    assert outputs["json"].report["warnings"] == [text]
    assert outputs["github"].stdout.splitlines()[number:] == [f"::warning file=config.yaml::{text}"]


def test_a_valid_file_for_github(tmp_path: Path, sandbox: Sandbox) -> None:
    """A valid file gives its warnings and one notice, all of them workflow commands, and exit code 0."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(graph={"base_url": "http://graph.internal", "allow_http": True})
    ran = rig.run("validate", "--output", "github")

    assert ran.code == 0
    assert [line.split(" ")[0] for line in ran.stdout.splitlines()] == ["::warning", "::notice"]


def test_show_is_not_for_github(tmp_path: Path) -> None:
    """--show and --output github exclude each other."""
    assert run("validate", "--show", "--output", "github", cwd=tmp_path).code == 2


@pytest.mark.parametrize(
    ("file", "message", "line"),
    [
        ("a,b:c.yaml", "100% wrong", "::error file=a%2Cb%3Ac.yaml,line=1,col=2,title=syntax::k: 100%25 wrong%0Acure"),
        (
            "a%2C",
            "x\n::error::y\r",
            "::error file=a%252C,line=1,col=2,title=syntax::k: x\\u000a::error::y\\u000d%0Acure",
        ),
    ],
)
def test_no_text_ends_a_command(file: str, message: str, line: str) -> None:
    """Characters with a meaning in a workflow command are escaped: percent signs, line ends, in properties colons and commas."""
    wrong = ConfigErrors([ConfigError(file, 1, 2, "k", "syntax", message, "cure")])
    assert list(github.errors(wrong)) == [line]


def test_a_workflow_command_has_name_properties_and_lines() -> None:
    """A workflow command has its name, its properties and its lines."""
    assert command("notice", "a", "b", file="f") == "::notice file=f::a%0Ab"


@pytest.mark.parametrize(("pages", "state", "expected"), [(75, False, False), (76, False, True), (76, True, False)])
def test_validate_says_when_a_plan_needs_the_state_file(
    pages: int, state: bool, expected: bool, tmp_path: Path, sandbox: Sandbox
) -> None:
    """Where the least quota may not suffice to judge two tokens of each Page, validate says that state.file is needed."""
    rig = file_rig(tmp_path, sandbox)
    changes = {"state": {"file": str(tmp_path / "state.json")}} if state else {}
    rig.write(pages=[{"id": str(10**14 + number), "name": f"p{number}"} for number in range(pages)], **changes)
    text, document = rig.run("validate"), rig.run("validate", "--output", "json")
    assert ("Set state.file." in text.stdout) == expected
    assert any("Set state.file." in warning for warning in document.report["warnings"]) == expected
    assert text.code == document.code == 0
