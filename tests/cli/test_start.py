"""How the program starts: quickly, and with clear errors for wrong usage."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sync.sandbox.http.server import Sandbox
from tests.support.paths import ROOT
from tests.support.rigs import e2e
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import PROGRAM, Ran
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

HEAVY = ("boto3", "botocore", "hvac", "httpx", "rich", "structlog", "requests")


def run(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, text: str = "") -> Ran:
    """Run the program without a configuration of its own, with this text on its standard input."""
    if not text:
        return e2e.run(*arguments, cwd=cwd, environment=env)
    root = str(ROOT)
    done = subprocess.run(
        [*PROGRAM, *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": root, **(env or {})},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "command", ["--help", "--version", "schema", "validate", "validate --show", "explain", "once --help", "run --help"]
)
def test_short_commands_load_nothing_heavy(command: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """None of the libraries that take long to load is loaded where no cycle is run."""
    rig = file_rig(tmp_path, sandbox)
    script = f"""
import sys
from sync.cli.main import main
sys.argv = ["page-token-sync", "--config", {str(rig.file)!r}, *{command.split()!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.exit(sum(name in sys.modules for name in {HEAVY!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("command", ["once", "plan", "demo"])
def test_libraries_are_silent_in_every_command_that_runs_cycles(command: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """What a library logs in a cycle, such as a URL, is not printed by Python for want of a handler."""
    rig = file_rig(tmp_path, sandbox)
    script = f"""
import atexit, logging, sys
from sync.cli.main import main
sys.argv = ["page-token-sync", "--config", {str(rig.file)!r}, {command!r}]
atexit.register(lambda: logging.getLogger("urllib3").critical("GET https://host/?access_token=x"))
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout
    assert done.stderr == ""


def test_the_version_is_the_packages() -> None:
    """--version names program and version."""
    assert run("--version").stdout == f"page-token-sync {version('page-token-sync')}\n"


def test_help_names_every_command() -> None:
    """--help lists the commands of this version and the exit codes."""
    ran = run("--help")

    assert ran.code == 0
    for word in ("demo", "once", "plan", "run", "validate", "explain", "schema", "sandbox", "--config", "Exit codes"):
        assert word in ran.stdout


@pytest.mark.parametrize(
    "wrong", [["nonsense"], ["once", "--output", "yaml"], ["--no-such"], ["sandbox", "--pages", "x"], ["once", "extra"]]
)
def test_wrong_usage_is_exit_2(wrong: list[str]) -> None:
    """An unknown command, option or value is wrong usage, reported on stderr, in words of this program."""
    ran = run(*wrong)

    assert (ran.code, ran.stdout) == (2, "")
    assert "Value error" not in ran.stderr
    assert "Usage" in ran.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["once", "-o", "json", "--bogus"],
        ["once", "--bogus", "--output=json"],
        ["plan", "-ojson", "-c"],
        ["validate", "--output", "json", "extra"],
        ["explain", "-o", "json", "one", "two"],
        ["sandbox", "-o", "json", "--pages", "x"],
        ["sandbox", "-o", "json", "--fault", "nonsense"],
        ["once", "-o", "json", "--if-plan", "x"],
    ],
)
def test_wrong_usage_is_one_document_where_json_is_asked_for(wrong: list[str]) -> None:
    """With --output json wrong usage is a document of the shape of all failures on stdout, text on stderr, exit 2."""
    ran = run(*wrong)
    (error,) = ran.report["errors"]

    assert (ran.code, ran.report["format"], ran.report["warnings"], error["code"]) == (2, 1, [], "usage")
    assert set(error) == {"file", "line", "column", "path", "code", "message", "remedy"}
    assert ran.stderr == error["message"] + "\n"


def test_an_unreadable_file_is_one_document_where_json_is_asked_for(tmp_path: Path) -> None:
    """A configuration that does not exist is reported in the same shape, by its name."""
    ran = run("-c", "none.yaml", "once", "-o", "json", cwd=tmp_path)
    (error,) = ran.report["errors"]

    assert (ran.code, error["code"], error["file"]) == (2, "unreadable-file", "none.yaml")


def test_a_missing_configuration_is_reported_with_where_it_was_looked_for(tmp_path: Path) -> None:
    """Where no configuration is found, the variable and the paths that were tried are named."""
    ran = run("once", cwd=tmp_path)

    assert (ran.code, ran.stdout) == (2, "")
    for target in ("$PAGE_TOKEN_SYNC_CONFIG", "./config.yaml", "/etc/page-token-sync/config.yaml", "--config FILE"):
        assert target in ran.stderr


def test_the_configuration_is_found_where_it_is_said_to_be(tmp_path: Path, sandbox: Sandbox) -> None:
    """The option wins over the variable, and the variable over the folder that the program is started in."""
    rig = file_rig(tmp_path, sandbox)
    empty = tmp_path / "empty"
    empty.mkdir()
    other = {"PAGE_TOKEN_SYNC_CONFIG": str(tmp_path / "other.yaml")}

    assert run("validate", cwd=tmp_path).code == 0
    assert run("validate", cwd=empty, env={"PAGE_TOKEN_SYNC_CONFIG": str(rig.file)}).code == 0
    assert run("validate", cwd=tmp_path, env=other).code == 2
    assert run("--config", str(rig.file), "validate", cwd=empty, env=other).code == 0


def test_the_configuration_is_text_where_there_is_no_file(tmp_path: Path, sandbox: Sandbox) -> None:
    """Standard input and the variable hold the text itself; errors name them, and paths count from the working directory."""
    rig = file_rig(tmp_path, sandbox)
    text = rig.file.read_text()
    rig.file.unlink()
    name = "PAGE_TOKEN_SYNC_CONFIG_YAML"

    assert run("validate", cwd=tmp_path).code == 2
    for ran in (
        run("--config", "-", "once", "-o", "json", cwd=tmp_path, text=text),
        run("once", "-o", "json", cwd=tmp_path, env={name: text}),
    ):
        assert (ran.code, ran.report["result"]) == (0, "ok"), ran.stderr
    broken = text + "nonsense: 1\n"
    line = broken.count("\n")
    assert f"-:{line}:1: " in run("--config", "-", "validate", cwd=tmp_path, text=broken).stdout
    assert f"${name}:{line}:1: " in run("validate", cwd=tmp_path, env={name: broken}).stdout
    assert "the file is empty" in run("-c", "-", "validate", cwd=tmp_path).stdout


def test_a_file_goes_before_the_text_in_a_variable(tmp_path: Path, sandbox: Sandbox) -> None:
    """A file that is named wins over the text, and the text over a file in the usual folders."""
    rig = file_rig(tmp_path, sandbox)
    wrong = {"PAGE_TOKEN_SYNC_CONFIG_YAML": "nonsense: 1"}

    assert run("validate", cwd=tmp_path, env=wrong).code == 2
    assert run("validate", cwd=tmp_path, env={"PAGE_TOKEN_SYNC_CONFIG": str(rig.file), **wrong}).code == 0
    assert run("-c", str(rig.file), "validate", cwd=tmp_path, env=wrong).code == 0


@pytest.mark.parametrize("command", ["validate", "once", "plan", "run"])
def test_the_configuration_may_follow_the_command(command: str, tmp_path: Path) -> None:
    """--config is an option of each command that reads it; after the command it wins over the one before."""
    (tmp_path / "mine.yaml").write_text("instance: X\n")
    for option in (["-c", "mine.yaml"], ["--config", "mine.yaml"], ["--config=mine.yaml"]):
        ran = run("-c", "other.yaml", command, *option, cwd=tmp_path)
        assert ran.code == 2
        assert "mine.yaml:1:11: instance: not a name" in ran.stdout + ran.stderr


def test_no_metavar_is_the_name_of_a_type() -> None:
    """The help of each command describes values in words of the reader's."""
    for command in ("sandbox", "once", "plan", "validate", "demo", "explain"):
        assert not re.search(
            r"<[a-z ]*(range|int|float|text)[a-z ]*>|\[(int|float|text)|INTEGER|FLOAT", run(command, "--help").stdout
        )


@pytest.mark.parametrize("command", ["validate", "once", "plan"])
def test_configuration_errors_are_one_document(command: str, tmp_path: Path) -> None:
    """With --output json a configuration that is wrong gives its errors in one shape, whatever the command."""
    (tmp_path / "config.yaml").write_text("version: 1\ninstance: X\npagse: []\n")
    ran = run(command, "--output", "json", cwd=tmp_path)

    assert ran.code == 2
    document = json.loads(ran.stdout)
    assert (document["format"], document["warnings"]) == (1, [])
    assert {"unknown-key", "bad-name", "missing-key"} <= {error["code"] for error in document["errors"]}
    for error in document["errors"]:
        assert set(error) == {"file", "line", "column", "path", "code", "message", "remedy"}


def test_errors_are_the_result_of_validate_only(tmp_path: Path) -> None:
    """What is wrong goes to stdout where it is what was asked for, and to stderr elsewhere; run ends with 2 as well."""
    (tmp_path / "config.yaml").write_text("version: 1\n")

    assert "config.yaml:1:1" in run("validate", cwd=tmp_path).stdout
    for command in ("once", "plan", "run"):
        ran = run(command, cwd=tmp_path)
        assert (ran.code, len(ran.stdout.splitlines())) == (2, command == "run")
        assert "instance is missing" in ran.stderr


def test_the_schema_is_json(tmp_path: Path) -> None:
    """The schema command prints a JSON Schema that knows the configuration's keys."""
    document = json.loads(run("schema", cwd=tmp_path).stdout)

    assert {"instance", "pages", "stores"} <= set(document["properties"])


def test_an_interrupt_while_the_program_is_loaded() -> None:
    """Ctrl-C before the command line is loaded ends the process as a signal does, without a traceback."""
    script = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_module("sync", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
