"""What commands take: the options they share, and which configuration file is meant."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sync.config.errors import ConfigError, ConfigErrors

VARIABLE = "PAGE_TOKEN_SYNC_CONFIG"
PLACES = ("./config.yaml", "/etc/page-token-sync/config.yaml")


class Form(Enum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Form, typer.Option("--output", "-o", help="A table for people, or one JSON document.")]


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
