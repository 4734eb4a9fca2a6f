"""What commands take: the options they share."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sync.cli import complete
from sync.cli.output.forms import CheckForm, CommonForm, Form, PlanForm

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
    typer.Option(
        "--page",
        metavar="GLOB",
        help="Only Pages of such names; may be repeated, each adds to the choice.",
        autocompletion=complete.pages,
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="K=V",
        help="Only Pages with this label; may be repeated, each adds to the choice.",
        autocompletion=complete.labels,
    ),
]
StoresOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="NAME",
        help="Only this store; may be repeated, each adds to the choice.",
        autocompletion=complete.stores,
    ),
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
