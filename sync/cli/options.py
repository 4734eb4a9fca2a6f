"""The options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from sync.cli import complete
from sync.cli.file import LOCATIONS, VARIABLE, command_line, each_value
from sync.cli.output.forms import Form
from sync.config.listen import LISTEN_VARIABLE, host_and_port
from sync.config.source import TEXT_VARIABLE

Kind = Literal["vault", "aws", "file"]
"""The kinds of stores that ``init`` writes a configuration for."""
Scope = Literal["prefix", "exact"]
"""How a policy names the secrets of Pages."""
Holder = Literal["daemon", "plan", "reader", "prune", "rollback"]
"""Who gets a policy."""


def _given(ctx: typer.Context, value: Path | None) -> Path | None:
    """Return the file of an option after the command, else that of the one before it."""
    return value or ctx.obj


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        callback=_given,
        help="The configuration file, before or after the command; - reads standard input "
        f"[default: ${VARIABLE}, the text in ${TEXT_VARIABLE}, {', '.join(LOCATIONS)}].",
    ),
]


def _checked_address(value: str | None) -> str | None:
    if value is not None:
        try:
            host_and_port(value)
        except ValueError:
            raise typer.BadParameter("not HOST:PORT; write 127.0.0.1:8087 or [::]:8087") from None
    return value


ListenOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        callback=_checked_address,
        help=f"The address of the web server; port 0 is any free port [default: ${LISTEN_VARIABLE}, web.listen].",
    ),
]
Output = Annotated[
    Literal["table", "json"], typer.Option("--output", "-o", help="Print a table, or one JSON document.")
]
PlanOutput = Annotated[
    Literal["table", "json", "markdown"],
    typer.Option(
        "--output", "-o", help="Print a table, one JSON document, or Markdown for a comment on a pull request."
    ),
]
CheckOutput = Annotated[
    Literal["table", "json", "github"],
    typer.Option("--output", "-o", help="Print text, one JSON document, or annotations for a GitHub workflow."),
]
DiscoverOutput = Annotated[
    Literal["table", "json", "yaml"],
    typer.Option("--output", "-o", help="Print a table, one JSON document, or YAML to paste below `pages:`."),
]
PagesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--page",
        metavar="GLOB",
        help="Only Pages whose name matches. May be repeated: Pages that match any of them.",
        autocompletion=complete.pages,
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="K=V",
        help="Only Pages with this label. May be repeated: Pages that have any of them.",
        autocompletion=complete.labels,
    ),
]
StoresOption = Annotated[
    list[str] | None,
    typer.Option("--store", metavar="NAME", help="Only this store. May be repeated.", autocompletion=complete.stores),
]

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="NAME",
        help="The store of the secret; needed if there are several.",
        autocompletion=complete.stores,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it. Without this option nothing is changed.")]


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """The options of a command for all Pages or some. ``file`` is the configuration, if --config is given."""

    file: Path | None
    form: Form
    pages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    if_plan: str | None = None

    def once(self) -> str:
        """Return the command line of ``once`` for a shell, with the same configuration and selection."""
        given = (("--page", self.pages), ("--label", self.labels), ("--store", self.stores))
        selection = [part for option, values in given for part in each_value(option, values)]
        return command_line(self.file, "once", *selection)


def duration_seconds(option: str, text: str) -> float:
    """Return the seconds of a duration as the configuration writes it; raises typer.BadParameter."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - only where a duration is given

    from sync.config.schema.types import PositiveDuration  # noqa: PLC0415 - only where a duration is given

    adapter: TypeAdapter[timedelta] = TypeAdapter(PositiveDuration)
    try:
        return adapter.validate_python(text).total_seconds()
    except ValidationError:
        raise typer.BadParameter(f"{option}: not a duration; write an integer and a unit: 90s or 5m") from None
