"""What validate prints: of a file that is right, of one that is wrong, and for GitHub's workflows."""

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


def test_validate_tells_what_follows(tmp_path: Path, sandbox: Sandbox) -> None:
    """A right configuration gives its Pages, the next three runs and how often Meta is asked, as text and as JSON."""
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


def test_validate_says_where_a_quota_is_too_small(tmp_path: Path, sandbox: Sandbox) -> None:
    """An interval that the app's quota does not allow is told as it will be, with the reason."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(verify_every="1m")
    ran = rig.run("validate")
    assert "every 3m: so many Pages are more than the app's quota allows to verify every 1m." in ran.stdout


def test_cycle_goes_by_the_interval_that_validate_tells(tmp_path: Path, sandbox: Sandbox) -> None:
    """How often tokens are judged is one fact, whoever tells it; a cycle by hand is followed by none."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(verify_every="1m")
    told, done = rig.run("validate", "--output", "json").report, rig.run("once", "--output", "json").report
    assert told["verify_interval_seconds"] == done["verify_interval_seconds"] > 60
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
        "::error file=config.yaml,line=1,col=11,title=bad-name::instance: not a name%0Ause small letters" in ran.stdout
    )
    assert all(re.match(r"::error file=[^:,]+,line=\d+,col=\d+,title=[a-z-]+::\S", line) for line in lines)


def test_a_right_file_for_github(tmp_path: Path, sandbox: Sandbox) -> None:
    """A file that is right gives its warnings and one notice, all of them commands, and exit code 0."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(graph={"base_url": "http://graph.internal", "allow_http": True})
    ran = rig.run("validate", "--output", "github")

    assert ran.code == 0
    assert [line.split(" ")[0] for line in ran.stdout.splitlines()] == ["::warning", "::notice"]


def test_show_is_not_for_github(tmp_path: Path) -> None:
    """Showing all values and commands for GitHub exclude each other."""
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
    """What has a meaning in a command is escaped: percent signs, line ends, and in properties colons and commas."""
    wrong = ConfigErrors([ConfigError(file, 1, 2, "k", "syntax", message, "cure")])
    assert list(github.errors(wrong)) == [line]


def test_a_command_without_texts_of_others() -> None:
    """A command has its name, its properties and its lines."""
    assert command("notice", "a", "b", file="f") == "::notice file=f::a%0Ab"
