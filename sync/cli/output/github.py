"""The errors of a configuration as workflow commands of GitHub, which shows them beside the lines of a pull request.

The form and its escapes are those of actions/toolkit, packages/core/src/command.ts (read 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Iterator

from sync.config.errors import ConfigErrors
from sync.core.redact import scrub


def errors(wrong: ConfigErrors) -> Iterator[str]:
    """Yield a workflow command for each error and warning."""
    for error in wrong.errors:
        location = {"file": error.file, "line": str(error.line), "col": str(error.column), "title": error.code}
        at = f"{error.path}: " if error.path else ""
        yield command("error", f"{at}{error.message}", error.remedy, **location)
    for text in wrong.warnings:
        yield command("warning", text, file=wrong.file)


def command(name: str, *lines: str, **properties: str) -> str:
    """Return one workflow command; no text in it can end it or begin another one."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {given}::{'%0A'.join(map(_data, lines))}"


def _data(text: str) -> str:
    return scrub(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
