"""Every command line in the documentation is one that the program takes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from sync.cli.commands.explain import explanations
from sync.cli.main import app
from sync.graph.lookup import parse, readings
from tests.support.markdown import PAGES, blocks, name, spans
from tests.support.paths import ROOT

PROGRAM = "page-token-sync"
_WRONG_USAGE = typer.BadParameter.__bases__[0]
_BEFORE = re.compile(r"^\s*(?:- run: |run: |ExecStart=|\$ |docker (?:compose )?exec [\w-]+ )?")
_BETWEEN = re.compile(r"\s(?:&&|\|\||\||;|--)\s")
CODES = {one.code for one in explanations()}
AT_ONCE = {"--help", "--version", "--install-completion", "--show-completion"}
"""Options that do something where they are parsed, such as writing into a home, so that they are not parsed here."""


def parsed(arguments: list[str]) -> str | None:
    """Return what is wrong with a command line of the program; None where nothing is."""
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    if AT_ONCE.issuperset(arguments):
        return None
    # After a command, --version is an option of that command, with a value.
    first, *rest = arguments
    given = [*([] if first in AT_ONCE else [first]), *(one for one in rest if one not in AT_ONCE - {"--version"})]
    try:
        with program.make_context(PROGRAM, given) as root:
            found, command, rest = program.resolve_command(root, [*root._protected_args, *root.args])
            assert command is not None
            with command.make_context(found, rest, parent=root) as context:
                code = context.params.get("code")
    except _WRONG_USAGE as wrong:
        return str(wrong)
    if code is None or code in CODES or code == "CODE":
        return None
    met = parse(code)
    return None if met is not None and readings(met) else f"explains {code}, which does not exist"


def commands(text: str) -> Iterator[list[str]]:
    """Return the arguments of each call of the program in the lines of a shell, a workflow or a unit."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in _BETWEEN.split(_BEFORE.sub("", line)):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            # The program's name by itself is also that of users, images and roles.
            if len(words) > 1 and words[0].rpartition("/")[2] in (PROGRAM, f"{PROGRAM}-exec"):
                yield words[1 : words.index(">") if ">" in words else None]


def _in(page: Path) -> Iterator[list[str]]:
    for block in blocks(page):
        if block.language in ("sh", "yaml", "ini"):
            yield from commands(block.text)
        elif block.language == "text":
            yield from commands("\n".join(line for line in block.text.splitlines() if line.startswith("$ ")))
    for span in spans(page):
        if "COMMAND" not in span:
            yield from commands(span)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_taken(page: Path) -> None:
    """Each call of the program in a page has a command, options and arguments that the program knows."""
    for arguments in _in(page):
        wrong = parsed(arguments)
        assert wrong is None, f"{PROGRAM} {shlex.join(arguments)}: {wrong}"


def test_a_wrong_command_line_is_found() -> None:
    """A command, an option, a value and a code that do not exist is each found."""
    for arguments in (["doctr"], ["once", "--dry-run"], ["plan", "--output", "xml"], ["explain", "no-acces"]):
        assert parsed(arguments) is not None, arguments
    assert parsed(["--config", "x.yaml", "once", "--if-plan", "sha256:…"]) is None
    assert list(commands("x && .venv/bin/page-token-sync plan > a.md  # why")) == [["plan"]]
    assert (
        list(commands("docker exec x page-token-sync plan\nkubectl exec x -- page-token-sync plan")) == [["plan"]] * 2
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_options_exist(page: Path) -> None:
    """Each option that a page names by itself is one of the program's."""
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    known = {"--help"}
    for command in (program, *program.commands.values()):
        known |= {spelled for option in command.params for spelled in option.opts}
    for span in spans(page):
        found = re.match(r"--[a-z][a-z-]*", span)
        assert not found or found[0] in known, span


def test_every_command_is_in_the_reference() -> None:
    """The reference has a section for each command."""
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert [command for command in program.commands if f"\n## {command}\n" not in page] == []


def test_help_cuts_no_summary() -> None:
    """The list of commands fits 80 columns: each summary is whole."""
    listed = CliRunner().invoke(app, ["--help"], terminal_width=80).stdout.partition("Commands:")[2]
    assert "rollback  Make" in listed
    assert "..." not in listed


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_targets_of_make_exist(page: Path) -> None:
    """Each target of make that a page names is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    shell = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    for target in re.findall(r"^(?:.*\s)?make ([a-z]+)", "\n".join([shell, *spans(page)]), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_deployments_run_commands_that_exist() -> None:
    """The commands of the image, of its containers and of the units are ones that the program takes."""
    deploy = ROOT / "deploy"
    compose = yaml.safe_load((deploy / "compose" / "compose.yaml").read_text())
    # A service with an entry point of its own runs a script, which tests/container tests.
    services = [one for one in compose["services"].values() if one["image"] == PROGRAM and "entrypoint" not in one]
    dockerfile = (ROOT / "Dockerfile").read_text()
    (image,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    health = json.loads(re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.MULTILINE)[0])
    pod = yaml.safe_load((deploy / "kubernetes" / "base" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    (task,) = json.loads((deploy / "ecs" / "task-definition.json").read_text())["containerDefinitions"]
    # The timer's unit has its command in a variable, so that one run can be another one.
    texts = [unit.read_text().replace("$COMMAND", "once") for unit in deploy.glob("systemd/**/*.service")]
    units = [arguments for text in texts for arguments in commands(text)]
    called = [
        *(service["command"] for service in services),
        json.loads(image),
        pod["containers"][0]["args"],
        task["command"],
        task["healthCheck"]["command"][2:],
        health[1:],
        *units,
    ]
    assert len(called) == 9
    for arguments in called:
        assert parsed(arguments) is None, arguments
