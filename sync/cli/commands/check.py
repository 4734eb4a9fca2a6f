"""The command ``check``: what one Page's secrets hold now, whether it works, and whether a token is the current one."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.command import UsageError, begin, carry_out, configuration, opened
from sync.cli.file import config_file
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.resolve.select import select_page
from sync.config.source import STDIN
from sync.core.secret import fingerprint, is_credential

if TYPE_CHECKING:
    from sync.core.report.inspection import Inspection

_FINGERPRINT = re.compile("[0-9a-f]{12}(?:[0-9a-f]{52})?")
_MOST = 8192
"""Characters that are read of a token on standard input; no token is as long."""


def check(given: Path | None, name: str, stores: Sequence[str], asked: str | None, form: Form) -> int:
    """Print what the secrets of a Page hold, and return the exit code; ``asked`` is the option --fingerprint."""
    return carry_out(lambda: _check(given, name, stores, asked, form), form)


def _check(given: Path | None, name: str, stores: Sequence[str], asked: str | None, form: Form) -> int:
    clock = begin()
    file = config_file(given)
    of_token = _fingerprint(asked, stdin_is_free=file != STDIN) if asked is not None else None
    config = configuration(file)
    selection = select_page(config.pages, name, stores=stores)
    from sync.app.inspect import inspect  # noqa: PLC0415 - only if the file is valid

    with opened(config, clock, "asking Graph and the stores") as app:
        found = inspect(app, selection, of_token)
    _put(found, form, given)
    return found.exit_code


def _fingerprint(asked: str, *, stdin_is_free: bool) -> str:
    """Return the fingerprint that is asked about: the given one, or that of the token on standard input. Raises UsageError."""
    if asked != "-":
        text = asked.strip().lower()
        if not _FINGERPRINT.fullmatch(text):
            raise UsageError(
                "--fingerprint: not a fingerprint: 12 hex digits, as this prints them: "
                'printf %s "$TOKEN" | sha256sum | cut -c1-12. Never give a token as an argument; --fingerprint - reads one from '
                "standard input."
            )
        return text[:12]
    if not stdin_is_free:
        raise UsageError("--fingerprint -: standard input is the configuration already; give --config FILE.")
    token = _standard_input().removesuffix("\n").removesuffix("\r")
    if not is_credential(token):
        raise UsageError(
            "--fingerprint -: what standard input holds is not shaped like a token. Write the token alone, without quotes."
        )
    return fingerprint(token)


def _standard_input() -> str:
    """Return what standard input holds; "" where it is closed, or holds no text."""
    try:
        return sys.stdin.read(_MOST) if sys.stdin is not None else ""
    except UnicodeDecodeError:
        return ""


def _put(found: Inspection, form: Form, given: Path | None) -> None:
    if form is Form.JSON:
        from sync.core.report.inspection import as_json  # noqa: PLC0415 - only for JSON

        console.put_json(as_json(found))
        return
    from sync.cli.output.check import headline, matched, secret_lines  # noqa: PLC0415 - only for a table
    from sync.cli.output.table import cause_text  # noqa: PLC0415 - only for a table
    from sync.core.report.causes import causes  # noqa: PLC0415 - only for a table

    answer = matched(found)
    console.put(headline(found), *([answer] if answer else []))
    for secret in found.secrets:
        console.put_block(f"{secret.entry.key.store}:{secret.entry.key.path}", *secret_lines(found, secret))
    for cause in causes([found.page], ()):
        console.put_cause(cause_text(cause, given))
