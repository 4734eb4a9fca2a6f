"""Where the configuration is, and how a command line names it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from sync.config.errors import ConfigError, ConfigErrors
from sync.config.source import IN_VARIABLE, TEXT_VARIABLE

VARIABLE = "PAGE_TOKEN_SYNC_CONFIG"
LOCATIONS = ("./config.yaml", "/etc/page-token-sync/config.yaml")


def config_file(given: Path | None) -> Path:
    """Return the configuration: the file that is named, the text in the variable, or the first file that exists.

    Raises ConfigErrors, with where it looked.
    """
    named = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        return named
    if os.environ.get(TEXT_VARIABLE):
        return IN_VARIABLE
    found = next((path for path in map(Path, LOCATIONS) if path.exists()), None)
    if found is None:
        looked = f"${VARIABLE} and ${TEXT_VARIABLE} (not set), {', '.join(LOCATIONS)}"
        message, remedy = f"there is no configuration; looked at {looked}", "write one, or give its path: --config FILE"
        raise ConfigErrors([ConfigError(LOCATIONS[0], 1, 1, "", "unreadable-file", message, remedy)])
    return found


def command_line(given: Path | None, *arguments: str) -> str:
    """Return a command line of this program for a shell, with the same configuration."""
    option = ["--config", str(given)] if given is not None else []
    return shlex.join(["page-token-sync", *option, *arguments])


def each_value(option: str, values: Iterable[str]) -> list[str]:
    """Return an option of a command line with each of its values."""
    return [part for value in values for part in (option, value)]
