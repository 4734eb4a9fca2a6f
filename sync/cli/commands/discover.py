"""The command ``discover``: the Pages that system users reach, against those that the configuration lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.command import begin, carry_out, configuration, opened
from sync.cli.file import command_line
from sync.cli.output import console
from sync.cli.output.forms import Form

if TYPE_CHECKING:
    from sync.config.load import Config
    from sync.core.report.discovery import Discovery


def discover(given: Path | None, form: Form) -> int:
    """Print which Pages differ, and return the exit code."""
    return carry_out(lambda: _discover(given, form), form)


def _discover(given: Path | None, form: Form) -> int:
    clock, config = begin(), configuration(given)
    from sync.app.discover import discover as find  # noqa: PLC0415 - only if the file is valid

    with opened(config, clock, "asking Graph for Pages") as app:
        found = find(app, config)
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
    command = command_line(given, "discover", "--output", "yaml")
    console.put(*output.summary(found, config.pages, yaml_command=command))


def _default_user(config: Config) -> str | None:
    """Return the system user that a Page has which names none."""
    users = config.settings.system_users
    return config.settings.defaults.system_user or (next(iter(users)) if len(users) == 1 else None)
