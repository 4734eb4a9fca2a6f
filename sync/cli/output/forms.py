"""The forms in which a result is printed."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """How a result is printed; not every command has every form."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"
    YAML = "yaml"
