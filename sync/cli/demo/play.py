"""The commands that need no account at Meta: the demo, and a local Graph API."""

from __future__ import annotations

from typing import Annotated

import typer

from sync.cli.options import Output
from sync.cli.output.forms import Form


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with the configuration and the secrets.")
    ] = False,
) -> None:
    """Show how it works, with nothing configured. Five made-up Pages, what goes wrong with them, and what is done about it."""
    from sync.cli.demo.story import run  # noqa: PLC0415 - start-up is most of the time of a short command

    raise typer.Exit(run(keep=keep))


def sandbox(  # noqa: PLR0917 - typer gives options by name
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The address to listen on; port 0 means any free port.")
    ] = "127.0.0.1:8099",
    pages: Annotated[int, typer.Option(metavar="N", min=0, max=100_000, help="The number of Pages.")] = 5,
    latency_ms: Annotated[float, typer.Option(metavar="MS", min=0, help="Delay of each answer, in milliseconds.")] = 0,
    app_quota: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Calls per hour that the app's own token may make. Default: no limit."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same ids, tokens and secrets.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KIND][=ARG][@PAGE,PAGE][*TIMES][%PROBABILITY]",
            help="Switch on a fault. May be repeated. An unknown name prints all of them.",
        ),
    ] = None,
    output: Output = "table",
) -> None:
    """Run a local Graph API with faults on demand. All its values are made up; SIGTERM or Ctrl-C stops it."""
    from sync.cli.demo.playground import serve  # noqa: PLC0415 - start-up is most of the time of a short command

    code = serve(
        listen,
        pages=pages,
        latency_ms=latency_ms,
        app_quota=app_quota,
        seed=seed,
        faults=fault or [],
        form=Form(output),
    )
    raise typer.Exit(code)
