"""The documentation says what the code does: every command, key, code and event, and the README's own examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from sync.cli.main import app
from sync.cli.output.words import EXITS
from sync.config.load import load
from sync.core.model import Key
from sync.core.problems import CATALOGUE
from sync.core.report.json import as_json
from tests.docs import generated
from tests.support.paths import ROOT
from tests.support.reports import GOOD, account, of
from tests.support.values import fetched

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_problems_page_is_that_of_the_catalogue() -> None:
    """docs/problems.md is what the catalogue in the code says; ``python -m tests.docs.generated`` writes it."""
    assert (ROOT / "docs" / "problems.md").read_text() == generated.problems()


def test_the_reference_has_every_event_and_configuration_error() -> None:
    """The tables of docs/reference.md are those of the code."""
    page = (ROOT / "docs" / "reference.md").read_text()
    assert page == generated.reference(page)


def test_the_reference_has_every_command_and_option() -> None:
    """Each command stands in the reference, and each option there or on the sandbox's page."""
    page = (ROOT / "docs" / "reference.md").read_text()
    more = page + (ROOT / "docs" / "sandbox.md").read_text()
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    for name, command in program.commands.items():
        assert re.search(rf"^\| `{name}[` ]", page, re.MULTILINE), name
        for option in (*command.params, *program.params):
            for spelled in option.opts:
                assert not spelled.startswith("--") or spelled in more, f"{name} {spelled}"


def test_the_reference_has_every_key_of_the_report() -> None:
    """Each key of a report stands in the reference's table of it, in the row of what it belongs to."""
    page = (ROOT / "docs" / "reference.md").read_text()
    document = as_json(account(of(fetched(), GOOD), orphans=(Key("vault", "x"),)))
    (one,), (user,), (orphan,) = document["pages"], document["system_users"], document["orphans"]
    for row, keys in (
        ("system_users[]", user),
        ("pages[]", one),
        ("pages[].stores[]", one["stores"][0]),
        ("orphans[]", orphan),
    ):
        (told,) = re.findall(rf"^\| `{re.escape(row)}` \| (.*)", page, re.MULTILINE)
        assert [key for key in keys if f"`{key}`" not in told and key != "stores"] == [], row
    assert [key for key in document if not re.search(rf"^\|.*`{key}(\[\])?`.* \| ", page, re.MULTILINE)] == []


def test_every_exit_code_is_told() -> None:
    """README, help and the page on judgement name each exit code."""
    readme, judgement = (ROOT / "README.md").read_text(), (ROOT / "docs" / "judgement.md").read_text()
    codes = readme[readme.index("Exit codes: ") :].split(".\n")[0]
    epilog = str(typer.main.get_command(app).epilog)
    for code in EXITS:
        assert re.search(rf"\b{code} [a-z]", codes), code
        assert re.search(rf"\b{code} [a-z]", epilog), code
        assert f"\n| {code} |" in judgement, code


def test_the_catalogue_names_nothing_that_is_not_there() -> None:
    """No remedy tells of a command that this version does not have."""
    text = " ".join(entry.remedy for entry in CATALOGUE.values())
    assert not re.search(r"\b(adopt|doctor|prune|rollback|discover) ", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link in the documentation leads to a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_readme_is_short() -> None:
    """The README stays within 120 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_readme_s_configurations_are_right(tmp_path: Path) -> None:
    """The README's twelve lines for Vault load as they stand, and so do they with the two lines for AWS."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    vault, aws = blocks
    assert len(vault.strip().splitlines()) <= 13
    file = tmp_path / "config.yaml"
    file.write_text(vault)
    assert [page.name for page in load(file).pages] == ["berlin", "paris"]
    file.write_text(re.sub(r"stores:\n  vault:\n.*\n", aws, vault))
    assert load(file).pages[0].targets[0].store == "aws"
