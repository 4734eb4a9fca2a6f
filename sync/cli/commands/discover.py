"""The command ``discover``: the Pages that system users reach, against those that the configuration lists."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.file import config_file
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.ops.process import keep_memory_private, silence_libraries, watch_signals
from sync.runtime.threads import Stopping, SystemClock

if TYPE_CHECKING:
    from sync.config.load import Config
    from sync.core.report.discovery import Discovery

_INTERRUPTED = 130


def discover(given: Path | None, form: Form) -> int:
    """Print which Pages differ, and return the exit code."""
    clock = SystemClock()
    watch_signals(clock, exit_code=_INTERRUPTED)
    keep_memory_private()
    try:
        file = config_file(given)
        from sync.config.load import load  # noqa: PLC0415 - only if the file exists

        config = load(file)
        from sync.app import build  # noqa: PLC0415 - only if the file is valid
        from sync.app.discover import discover as find  # noqa: PLC0415 - only if the file is valid

        silence_libraries()
        with build(config, clock=clock) as app, console.progress("asking Graph for Pages"):
            found = find(app, config)
    except ConfigErrors as errors:
        console.put_errors(errors, Form.JSON if form is Form.JSON else Form.TABLE)
        return 2
    except Stopping:
        console.put_failure("interrupted", "Interrupted. Nothing was written.", form)
        return _INTERRUPTED
    _put(found, config, given, form)
    return found.exit_code


def _put(found: Discovery, config: Config, given: Path | None, form: Form) -> None:
    if form is Form.JSON:
        console.put_json(found.as_json())
        return
    from sync.cli.output import discover as output  # noqa: PLC0415 - only if not for JSON

    if form is Form.YAML:
        console.put_commands(output.yaml_lines(found, config.pages, default_user=_default_user(config)))
        return
    differing = output.rows(found)
    if differing:
        console.put_rows(output.COLUMNS, differing)
    for cause in output.causes(found):
        console.put_cause(cause)
    option = ["--config", str(given)] if given is not None else []
    command = shlex.join(["page-token-sync", *option, "discover", "--output", "yaml"])
    console.put(*output.summary(found, config.pages, yaml_command=command))


def _default_user(config: Config) -> str | None:
    """Return the system user that a Page has which names none."""
    users = config.settings.system_users
    return config.settings.defaults.system_user or (next(iter(users)) if len(users) == 1 else None)
