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


class CommonForm(Enum):
    """The forms of every command with a result."""

    TABLE = "table"
    JSON = "json"


class PlanForm(Enum):
    """The forms of a plan."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class CheckForm(Enum):
    """The forms of ``validate``."""

    TABLE = "table"
    JSON = "json"
    GITHUB = "github"


class DiscoverForm(Enum):
    """The forms of ``discover``."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
