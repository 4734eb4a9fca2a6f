"""The program's entry, and its commands. Each command imports what it needs when it runs.

Start-up is most of the time of a short command: --help, --version, schema and validate load none of boto3, hvac,
httpx, rich and structlog.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from sync.cli import complete
from sync.cli.demo import play
from sync.cli.options import (
    CheckOutput,
    ConfigOption,
    CycleOptions,
    DiscoverOutput,
    Holder,
    Kind,
    LabelsOption,
    ListenOption,
    Output,
    PagesOption,
    PlanOutput,
    Scope,
    StoreOption,
    StoresOption,
    YesOption,
    duration_seconds,
)
from sync.cli.output.forms import Form
from sync.ops.process import report_crashes_safely

app = typer.Typer(
    name="page-token-sync",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)
# Help lists the commands in this order, which is the one in which a reader meets them.
app.command()(play.demo)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path("config.yaml"),
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--for", help="The kind of store [default: what the environment suggests: vault, aws, or else file]."
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name of this installation, marked on every secret [default: prod]."),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Another address of the Graph API, such as that of the sandbox.")
    ] = None,
    output: Output = "table",
) -> None:
    """Write a first configuration, and the policy that it needs.

    With META_APP_ID, META_APP_SECRET and META_SYSTEM_USER_TOKEN in the environment it lists the Pages that are found, and refers to
    these variables. On a terminal it asks a few questions, elsewhere none. It never changes a file that exists, and takes no secret.
    """
    from sync.cli.commands.init import InitOptions  # noqa: PLC0415 - see above
    from sync.cli.commands.init import init as command  # noqa: PLC0415 - see above

    raise typer.Exit(command(InitOptions(file, kind, instance, base_url, Form(output))))


def main() -> None:
    """Run the command line. A closed stdout or stderr is replaced, so that writing to it does not fail."""
    report_crashes_safely()
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - open until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - open until the end
    if sys.argv[1:] == ["status", "--check"]:
        # The health check of containers: Typer would load pydantic to parse it, which takes longer than the check.
        from sync.cli.commands import status as command  # noqa: PLC0415 - see above

        sys.exit(command.check(None, None))
    try:
        # Typer's own call would replace the exception hook that report_crashes_safely has set.
        sys.exit(typer.main.get_command(app).main(prog_name="page-token-sync", standalone_mode=False))
    except _WRONG_USAGE as wrong:
        sys.exit(_show_usage_error(wrong))


# UsageError: Typer 0.29.2 does not export it, only its subclasses.
_WRONG_USAGE = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])


def _show_usage_error(wrong: typer.BadParameter) -> int:
    """Print what is wrong with the command line and return the exit code; --output is looked up in the raw arguments."""
    # Typer passes on the prefix of pydantic's message.
    wrong.message = wrong.message.replace("Value error, ", "")
    if not _wants_json(sys.argv[1:]):
        wrong.show()
        return wrong.exit_code
    from sync.cli.output.console import put_failure  # noqa: PLC0415 - see above

    put_failure("usage", wrong.format_message(), Form.JSON)
    return wrong.exit_code


def _wants_json(arguments: Sequence[str]) -> bool:
    following = (*arguments[1:], "")
    return any(
        one in ("--output=json", "-ojson") or (one in ("--output", "-o") and value == "json")
        for one, value in zip(arguments, following, strict=False)
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - see above

        typer.echo(f"page-token-sync {version('page-token-sync')}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 every Page is verified; 1 something has a problem, or a plan has something to do; 2 wrong usage or "
    "configuration; 3 failed; 4 writes are held for a person; 130 interrupted."
)
def options(
    ctx: typer.Context,
    config: ConfigOption = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Keep Facebook Page access tokens in Vault, OpenBao and AWS Secrets Manager valid and up to date.

    To see how it works, with nothing configured: page-token-sync demo
    """
    ctx.obj = config


@app.command()
def policy(  # noqa: PLR0917 - Typer passes options by name
    kind: Annotated[
        Literal["vault", "aws"],
        typer.Argument(metavar="KIND", help="The service: vault, which is OpenBao too, or aws."),
    ],
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="STORE",
            help="The store, if the configuration has several of this kind.",
            autocompletion=complete.stores,
        ),
    ] = None,
    holder: Annotated[
        Holder,
        typer.Option(
            "--for",
            help="Who gets it: the daemon, a plan, which only reads, an app that reads the secrets of Pages, or a person who runs "
            "`prune` or `rollback`, in addition to the policy for the daemon.",
        ),
    ] = "daemon",
    scope: Annotated[
        Scope | None,
        typer.Option(
            help="Cover all Pages by the fixed part of the store's path or name, or only each Page's secret "
            "[default: exact for a reader or a selection, else prefix]."
        ),
    ] = None,
    pages: PagesOption = None,
    labels: LabelsOption = None,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Print the least policy that a store needs, for Vault or AWS.

    It follows from this configuration: for Vault in HCL, for AWS as an IAM policy. `policy vault | vault policy write NAME -` writes it.
    This command is offline. With `mode: observe` the policy for the daemon only reads.
    """
    from sync.cli.commands import policy as command  # noqa: PLC0415 - see above

    file, form = config, Form(output)
    raise typer.Exit(
        command.policy(command.PolicyOptions(file, form, kind, store, holder, scope, pages or (), labels or ()))
    )


@app.command()
def validate(
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Also print every setting after defaults, with the file and line that it comes from."
        ),
    ] = False,
    output: CheckOutput = "table",
    config: ConfigOption = None,
) -> None:
    """Check the configuration, offline. Prints every error at once, with its location and what would be right."""
    if show and output == "github":
        raise typer.BadParameter("--show needs --output table or json")
    from sync.cli.commands.cycle import validate as check  # noqa: PLC0415 - see above

    raise typer.Exit(check(config, Form(output), show=show))


@app.command()
def doctor(  # noqa: PLR0917 - typer gives options by name
    wait: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Repeat until nothing fails, for so long at most, such as 2m; for init containers."
        ),
    ] = None,
    pages: PagesOption = None,
    labels: LabelsOption = None,
    stores: StoresOption = None,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Examine each dependency: what is wrong, and who must act.

    Also prints what that person does. Writes nothing. The exit code is 0 if nothing fails, 1 if a check fails, and 3 if no app, system user, Page or store could be examined, or no
    Page be judged.
    """
    from sync.cli.commands import doctor as command  # noqa: PLC0415 - see above

    seconds = duration_seconds("--wait", wait) if wait is not None else 0.0
    raise typer.Exit(command.doctor(_cycle_options(config, output, pages, labels, stores), wait=seconds))


@app.command()
def plan(
    pages: PagesOption = None,
    labels: LabelsOption = None,
    stores: StoresOption = None,
    output: PlanOutput = "table",
    config: ConfigOption = None,
) -> None:
    """Show what `once` would do and why, with a checksum.

    Writes nothing. The exit code is 0 if nothing is to be done and every Page is verified, 1 if something is to be done or has
    a problem, 3 if no token could be judged or no store reached, and 4 if a write would wait for a person.
    """
    from sync.cli.commands.cycle import cycle  # noqa: PLC0415 - see above

    raise typer.Exit(cycle(_cycle_options(config, output, pages, labels, stores), write=False))


def _cycle_options(
    file: Path | None, output: str, *selection: list[str] | None, if_plan: str | None = None
) -> CycleOptions:
    pages, labels, stores = (tuple(values or ()) for values in selection)
    return CycleOptions(file, Form(output), pages, labels, stores, if_plan)


@app.command()
def once(  # noqa: PLR0917 - typer gives options by name
    pages: PagesOption = None,
    labels: LabelsOption = None,
    stores: StoresOption = None,
    if_plan: Annotated[
        str | None,
        typer.Option(
            metavar="SUM", help="Write only if the plan still has this checksum; then no line waits for a person."
        ),
    ] = None,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Run one cycle and print its report.

    A cycle fetches, verifies and writes the token of each Page. The exit code is 0 if every Page is verified, 1 if something
    has a problem, 3 if no token could be judged or no store reached, and 4 if a write waits for a person.
    """
    from sync.cli.commands.cycle import cycle  # noqa: PLC0415 - see above

    raise typer.Exit(cycle(_cycle_options(config, output, pages, labels, stores, if_plan=if_plan), write=True))


@app.command()
def run(listen: ListenOption = None, config: ConfigOption = None) -> None:
    """Run cycles on the schedule until SIGTERM; log to stdout.

    The first cycle starts immediately. SIGTERM stops the daemon within ten seconds, with exit code 0. SIGUSR1 starts a
    cycle now. An edited configuration is in force within five seconds, or when the running cycle has ended; an invalid one is logged
    and ignored. SIGHUP reads it at once; on a terminal it ends the daemon.
    """
    from sync.cli.commands.cycle import daemon  # noqa: PLC0415 - see above

    raise typer.Exit(daemon(config, listen))


@app.command()
def status(  # noqa: PLR0917 - Typer passes options by name
    check: Annotated[
        bool,
        typer.Option("--check", help="Only check whether the daemon is alive: exit code 0 or 1, for health checks."),
    ] = False,
    wait: Annotated[
        Literal["verified"] | None,
        typer.Option("--wait", help="Wait until the exit code is 0 and the newest configuration is in force."),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long --wait waits at most; after it the exit code is not 0.")
    ] = "5m",
    listen: ListenOption = None,
    page: PagesOption = None,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Print the last report of the running daemon.

    The exit code is that of its last cycle, and 3 if no daemon answers or it does not work. With --page it is 0 if
    these Pages are verified, else 1.
    """
    from sync.cli.commands import status as command  # noqa: PLC0415 - see above

    if check:
        raise typer.Exit(command.check(config, listen))
    if wait is not None:
        seconds = duration_seconds("--timeout", timeout)
        file, form = config, Form(output)
        raise typer.Exit(command.status_once_verified(file, listen, page or (), form, seconds=seconds))
    raise typer.Exit(command.status(config, listen, page or (), Form(output)))


@app.command()
def check(
    page: Annotated[
        str, typer.Argument(metavar="PAGE", help="The Page's name, or its id.", autocompletion=complete.pages)
    ],
    fingerprint: Annotated[
        str | None,
        typer.Option(
            metavar="FP",
            help="Also find out whether the token with this fingerprint is the current one; - reads a token from standard "
            "input.",
        ),
    ] = None,
    stores: StoresOption = None,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Ask Graph and the stores now whether one Page's secrets work.

    Prints what is stored where, since when and why. Writes nothing. The exit code is 0 if all its secrets work, none has a problem, and the token with FP is a current one; 1 if
    not; 2 if there is no such Page; 3 if it could not be found out. A fingerprint is the first 12 hex digits of the token's
    SHA-256.
    """
    from sync.cli.commands.check import check as command  # noqa: PLC0415 - see above

    raise typer.Exit(command(config, page, stores or (), fingerprint, Form(output)))


@app.command()
def discover(output: DiscoverOutput = "table", config: ConfigOption = None) -> None:
    """Compare the Pages that are reached with those that are listed.

    What the system users reach is compared with what the configuration lists. Writes nothing. The exit code is 0 if nothing differs, 1 if a Page is not listed, or is listed and cannot be reached any more, and 3 if it could
    not be found out. YAML is ready to paste below `pages:`.
    """
    from sync.cli.commands.discover import discover as command  # noqa: PLC0415 - see above

    raise typer.Exit(command(config, Form(output)))


@app.command()
def adopt(  # noqa: PLR0917 - Typer passes options by name
    page: Annotated[
        str | None, typer.Argument(metavar="PAGE", help="The Page's name, or its id.", autocompletion=complete.pages)
    ] = None,
    store: StoreOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All Pages; secrets of another instance are only adopted by the Page's name.")
    ] = False,
    yes: YesOption = False,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Mark secrets that something else wrote as this instance's own.

    A secret is marked only if Meta says that its token is of the Page and the app. Shows whose token each is, how long it works, and what the next cycle would change. Without --yes nothing is marked. The payload
    is never changed. The exit code is 0 if nothing is left to do, and 1 if something is to be marked or was refused.
    """
    from sync.cli.commands.secrets import adopt as command  # noqa: PLC0415 - see above

    if (page is None) is not everything:
        raise typer.BadParameter("give either a Page or --all", param_hint="'PAGE'")
    raise typer.Exit(command(config, Form(output), page, store, yes=yes))


@app.command()
def rollback(  # noqa: PLR0917 - Typer passes options by name
    page: Annotated[
        str, typer.Argument(metavar="PAGE", help="The Page's name, or its id.", autocompletion=complete.pages)
    ],
    store: StoreOption = None,
    version: Annotated[
        str | None,
        typer.Option(metavar="V", help="The version to make current again [default: the last one with another token]."),
    ] = None,
    release: Annotated[
        bool,
        typer.Option("--release", help="Let the daemon write a secret again that a rollback holds; needs no --yes."),
    ] = False,
    yes: YesOption = False,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Make an earlier version of a secret current again, and hold it.

    That takes a token which Meta still calls valid; --release ends the hold. Lists the versions that the store keeps, by fingerprint and date. The earlier version is written as a new one; nothing is
    removed. Without --yes and --release nothing is written. The exit code is 0 if nothing is left to do, and 1 if something is to be done or was
    refused.
    """
    from sync.cli.commands.secrets import rollback as command  # noqa: PLC0415 - see above

    if release and version is not None:
        raise typer.BadParameter("--release takes no version", param_hint="'--version'")
    raise typer.Exit(command(config, Form(output), page, store, version, release=release, yes=yes))


@app.command()
def prune(
    yes: YesOption = False, stores: StoresOption = None, output: Output = "table", config: ConfigOption = None
) -> None:
    """Delete orphans: secrets that no Page of the configuration uses.

    An orphan has the marks of this instance. Without --yes orphans are only shown. A secret is deleted so that it can be restored, and the command for that is printed. The old
    secret of a listed Page is kept until its new one holds a token. At most brake.share of a store is deleted at a time. The exit code is 0 if no orphan is left, else 1.
    """
    from sync.cli.commands.secrets import prune as command  # noqa: PLC0415 - see above

    raise typer.Exit(command(config, Form(output), stores or (), yes=yes))


@app.command()
def notify(
    test: Annotated[bool, typer.Option("--test", help="Send one test message to each receiver.")] = False,
    output: Output = "table",
    config: ConfigOption = None,
) -> None:
    """Send a test message to each receiver of `notify`.

    Prints what each answered. The exit code is 0 if all receivers took it, 1 if one did not, and 2 if the configuration has none.
    """
    from sync.cli.commands.notify import send_tests  # noqa: PLC0415 - see above

    if not test:
        raise typer.BadParameter("add --test: this command sends nothing else", param_hint="'--test'")
    raise typer.Exit(send_tests(config, Form(output)))


@app.command()
def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE", help="The code. Without it, all codes are listed.", autocompletion=complete.codes
        ),
    ] = None,
    output: Output = "table",
) -> None:
    """Explain a code, such as a problem or an error of Graph.

    A code is a problem, event, reason, configuration error, exit code, or an error of Graph's such as 190/492. Prints what it means, who must act, and what to do. A whole message of Graph's can be given in quotes.
    """
    from sync.cli.commands.explain import put_explained  # noqa: PLC0415 - see above

    raise typer.Exit(put_explained(code, Form(output)))


@app.command()
def schema() -> None:
    """Print the configuration's JSON Schema."""
    from sync.cli.output.console import put_json  # noqa: PLC0415 - see above
    from sync.config.show.example import schema as json_schema  # noqa: PLC0415 - see above

    put_json(json_schema(), indent=2)


app.command()(play.sandbox)
