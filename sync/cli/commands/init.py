"""The command ``init``: write the first configuration and the policy that it needs."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sync.cli.command import INTERRUPTED, UsageError, opened
from sync.cli.commands.questions import asked, asked_kind
from sync.cli.file import command_line
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.source import STDIN
from sync.ops.process import keep_memory_private, silence_libraries, watch_signals
from sync.runtime.threads import Stopping, SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.config.load import Config
    from sync.config.show.starter import Draft, Kind
    from sync.core.report.discovery import Discovery

_POLICY_NAME = "page-token-sync"
_SOURCES = "Nothing was written. Values that no option has come from the environment, such as META_APP_ID, VAULT_ADDR and AWS_REGION."


@dataclass(frozen=True, slots=True)
class InitOptions:
    """The options of ``init``; None: asked for on a terminal, and otherwise the default."""

    file: Path
    kind: Kind | None
    instance: str | None
    base_url: str | None
    form: Form


def init(options: InitOptions) -> int:
    """Write the configuration and the policy, and print the next commands; return the exit code."""
    keep_memory_private()
    silence_libraries()
    try:
        return _init(options)
    except UsageError as refused:
        console.put_failure("usage", str(refused), options.form)
    except FileExistsError as error:
        console.put_failure("usage", _exists(Path(str(error.filename2 or error.filename))), options.form)
    except ConfigErrors as errors:
        console.put_errors(errors, options.form)
        console.put_note(_SOURCES)
    except OSError as error:
        text = f"{options.file}: {error.strerror}. Nothing was written. Choose another FILE."
        console.put_failure("not-written", text, options.form)
        return 3
    except (Stopping, typer.Abort, KeyboardInterrupt):
        console.put_failure("interrupted", "Interrupted. Nothing was written.", options.form)
        return INTERRUPTED
    return 2


def _init(options: InitOptions) -> int:
    from sync.config.new_file import load_draft, write_new  # noqa: PLC0415 - not for other commands
    from sync.config.show.starter import draft, likely_kind, text  # noqa: PLC0415 - not for other commands

    target, environment = options.file, os.environ
    _check_free(target)
    loaded = partial(load_draft, target)
    asks = _is_terminal() and options.form is Form.TABLE
    kind = options.kind or (asked_kind(likely_kind(environment)) if asks else likely_kind(environment))
    wanted = draft(kind, environment)
    wanted = replace(wanted, instance=options.instance or wanted.instance, base_url=options.base_url)
    if asks:
        # What an option has wrong, no answer corrects.
        loaded(text(replace(draft(kind, {}), instance=wanted.instance, base_url=wanted.base_url)))
        wanted = asked(wanted, loaded, instance=options.instance is None)
    # Only now: a signal that a thread takes does not end the wait for an answer.
    clock = SystemClock()
    watch_signals(clock, exit_code=INTERRUPTED)
    config = loaded(text(wanted))
    found = _discovered(config, clock) if _has_credentials(wanted, config, environment) else None
    if found is not None:
        names = {page.id: page.name for page in found.not_listed if page.problem is None}
        wanted = replace(wanted, pages=names)
        config = loaded(text(wanted))
    if asks:
        _put_examined(config, clock)
    policy = _policy(target, kind, config)
    if policy is not None:
        # Before the configuration, so that after a kill in between the same command goes on.
        _check_free(*policy)
        if not policy[0].exists():
            write_new(*policy)
    write_new(target, text(wanted))
    _put(options, wanted, policy[0] if policy else None, found)
    return 0


def _check_free(path: Path, text: str | None = None) -> None:
    """Raise UsageError where a file exists already, unless it holds this text, or where its folder does not exist."""
    if path == STDIN:
        raise UsageError("FILE is a file, not standard output. Nothing was written. Name one, such as config.yaml.")
    if not path.parent.is_dir():
        raise UsageError(
            f"The folder of {path} does not exist. Nothing was written. Create it, or choose another FILE."
        )
    exists = path.exists() or path.is_symlink()
    if exists and (text is None or not path.is_file() or path.read_bytes() != text.encode()):
        raise UsageError(_exists(path))


def _exists(path: Path) -> str:
    return (
        f"{path} exists already, and is not changed. Nothing was written. Choose another FILE, or move that one away."
    )


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _has_credentials(wanted: Draft, config: Config, environment: Mapping[str, str]) -> bool:
    """Check whether the credentials of Meta's are there, so that Graph can be asked."""
    return wanted.app_id is not None and all(
        bool(environment.get(reference["env"])) if "env" in reference else (config.base / reference["file"]).exists()
        for reference in (wanted.secret, wanted.token)
    )


def _discovered(config: Config, clock: SystemClock) -> Discovery:
    from sync.app.discover import discover  # noqa: PLC0415 - only if the file is valid

    with opened(config, clock, "asking Graph for Pages") as app:
        # The configuration has a made-up Page.
        return discover(app, replace(config, pages=()))


def _put_examined(config: Config, clock: SystemClock) -> None:
    """Print what does not work with these answers; they are written all the same, since much can be repaired elsewhere."""
    from sync.cli.output.doctor import sections, summary  # noqa: PLC0415 - only on a terminal

    with opened(config, clock, "examining each dependency") as app:
        findings = app.examine()
    for title, items in sections([finding for finding in findings if finding.status == "fail"]):
        console.put_title(title)
        console.put_items(items)
    console.put("", *summary(findings))


def _policy(target: Path, kind: Kind, config: Config) -> tuple[Path, str] | None:
    """Return the policy and the path beside the configuration that it is written to; None where the store needs none."""
    from sync.app.policy import aws_policy, vault_policy  # noqa: PLC0415 - not for other commands

    makers = {"vault": ("policy.hcl", vault_policy), "aws": ("policy.json", aws_policy)}
    if kind not in makers:
        return None
    name, policy = makers[kind]
    (store,) = config.settings.stores
    path = target.with_name(name if target.stem == "config" else f"{target.stem}.{name}")
    return path, policy(config, store, "daemon", config.pages, exact=False).text


def _put(options: InitOptions, wanted: Draft, policy: Path | None, found: Discovery | None) -> None:
    commands = list(_commands(options.file, policy))
    pages = len(wanted.pages)
    if options.form is Form.JSON:
        files = {"file": str(options.file), "policy": str(policy) if policy else None}
        unknown = found.as_json()["unknown"] if found is not None else []
        console.put_json({"format": 1, **files, "pages": pages, "unknown": unknown, "next": commands})
        return
    from sync.cli.output.discover import causes  # noqa: PLC0415 - not for JSON
    from sync.core.report.text import count  # noqa: PLC0415 - not for JSON

    for cause in causes(found) if found is not None else ():
        console.put_cause(cause)
    listed = f"with {count(pages, 'Page')}" if pages else "with a made-up Page"
    console.put(f"Written: {options.file}, {listed}{f'; {policy}' if policy else ''}.")
    if found is None:
        console.put(
            "Graph was not asked for Pages: set META_APP_ID, META_APP_SECRET and META_SYSTEM_USER_TOKEN to have them listed."
        )
    console.put("Next:")
    console.put_commands(f"  {command}" for command in commands)


def _commands(file: Path, policy: Path | None) -> Iterator[str]:
    """Yield the commands to run next, the last of which says whether all is well."""
    if policy is not None and policy.suffix == ".hcl":
        yield shlex.join(["vault", "policy", "write", _POLICY_NAME, str(policy)])
    elif policy is not None:
        names = ["--role-name", _POLICY_NAME, "--policy-name", _POLICY_NAME]
        yield shlex.join(["aws", "iam", "put-role-policy", *names, "--policy-document", f"file://{policy}"])
    yield command_line(None if str(file) == "config.yaml" else file, "doctor")
