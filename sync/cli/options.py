"""What commands take: the options they share, and which configuration file is meant."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sync.config.errors import ConfigError, ConfigErrors

VARIABLE = "PAGE_TOKEN_SYNC_CONFIG"
PLACES = ("./config.yaml", "/etc/page-token-sync/config.yaml")


class Form(Enum):
    """How a result is printed; not every command knows every form."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


class CommonForm(Enum):
    """The forms that every command with a result knows."""

    TABLE = "table"
    JSON = "json"


class PlanForm(Enum):
    """The forms of a plan."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class CheckForm(Enum):
    """The forms of what validate finds."""

    TABLE = "table"
    JSON = "json"
    GITHUB = "github"


Output = Annotated[CommonForm, typer.Option("--output", "-o", help="A table for people, or one JSON document.")]
PlanOutput = Annotated[
    PlanForm,
    typer.Option("--output", "-o", help="A table, one JSON document, or Markdown for a pull request's comment."),
]
CheckOutput = Annotated[
    CheckForm, typer.Option("--output", "-o", help="Text, one JSON document, or commands for GitHub's workflows.")
]
PagesOption = Annotated[
    list[str] | None,
    typer.Option("--page", metavar="GLOB", help="Only Pages of such names; may be repeated, each adds to the choice."),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="K=V", help="Only Pages with this label; may be repeated, each adds to the choice."
    ),
]
StoresOption = Annotated[
    list[str] | None,
    typer.Option("--store", metavar="NAME", help="Only this store; may be repeated, each adds to the choice."),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a cycle is asked for on the command line. ``file``: the configuration, where one is named there."""

    file: Path | None
    form: Form
    pages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    if_plan: str | None = None

    def once(self) -> str:
        """Write the command that carries this out, for a shell, with the same configuration and selection."""
        given = (("--page", self.pages), ("--label", self.labels), ("--store", self.stores))
        selection = [part for option, values in given for value in values for part in (option, value)]
        config = ["--config", str(self.file)] if self.file else []
        return shlex.join(["page-token-sync", *config, "once", *selection])


def config_file(given: Path | None) -> Path:
    """Find the configuration file: the one that is named, or the first that exists; raises ConfigErrors, which says where was looked."""
    named = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        return named
    found = next((path for path in map(Path, PLACES) if path.exists()), None)
    if found is None:
        looked = f"${VARIABLE} (not set), {', '.join(PLACES)}"
        message, cure = f"there is no configuration; looked at {looked}", "write one, or name it: --config FILE"
        raise ConfigErrors([ConfigError(PLACES[0], 1, 1, "", "unreadable-file", message, cure)])
    return found
