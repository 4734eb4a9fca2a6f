"""The commands that need no account: a Graph API to play with, and the story of this program told with it."""

from __future__ import annotations

from typing import Annotated

import typer

from sync.cli.options import Output
from sync.cli.output.forms import CommonForm, Form


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the folder with configuration and secrets behind.")
    ] = False,
) -> None:
    """See the whole story with nothing configured: five Pages, what goes wrong with them, and what is done about it."""
    from sync.cli.demo.story import tell  # noqa: PLC0415 - starting is most of what a short command costs

    raise typer.Exit(tell(keep=keep))


def sandbox(  # noqa: PLR0917 - typer gives options by name
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:8099",
    pages: Annotated[int, typer.Option(min=0, max=100_000, help="How many Pages there are.")] = 5,
    latency_ms: Annotated[float, typer.Option(min=0, help="Added to each HTTP request.")] = 0,
    app_quota: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Calls an hour that the app's own token has, as at Meta.")
    ] = None,
    seed: Annotated[int, typer.Option(help="All made-up values follow from it.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KIND][=ARG][@PAGE,PAGE][*TIMES][%PROBABILITY]",
            help="Switch a fault on; may be repeated. An unknown name lists them all.",
        ),
    ] = None,
    output: Output = CommonForm.TABLE,
) -> None:
    """Start a local Graph API with faults on demand, until SIGTERM or Ctrl-C."""
    from sync.cli.demo.playground import serve  # noqa: PLC0415 - starting is most of what a short command costs

    code = serve(
        listen,
        pages=pages,
        latency_ms=latency_ms,
        app_quota=app_quota,
        seed=seed,
        faults=fault or [],
        form=Form(output.value),
    )
    raise typer.Exit(code)
