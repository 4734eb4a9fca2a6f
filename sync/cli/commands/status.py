"""The command ``status``: what the running daemon knows.

It asks the daemon's own address with the standard library, which starts fast enough for a health check each few seconds.
No proxy is used, no redirect is followed, and no token is sent or received.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.listen import DEFAULT_LISTEN, LISTEN_VARIABLE, host_and_port

_SECONDS = 5.0
_MOST_BYTES = 256 * 1024 * 1024
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - an address to ask, not to listen on
_SEEN = 3.0
"""Seconds after which the daemon has seen an edit that was made before the command started."""
_PAUSE = 0.5
"""How many seconds --wait lets pass between two questions."""


class UnreachableError(Exception):
    """No daemon answers; the text says where, and why."""


def check(given: Path | None, listen: str | None) -> int:
    """Print whether the daemon is alive; return 0 where it is, else 1."""
    try:
        status, body = _ask(_address(given, listen), "/healthz")
    except UnreachableError as error:
        console.put_failure("daemon", str(error), Form.TABLE)
        return 1
    console.put(str(body.get("reason")))
    return 0 if status == HTTPStatus.OK else 1


def status(given: Path | None, listen: str | None, pages: Sequence[str], form: Form) -> int:
    """Print the last report of the daemon, or its part about some Pages."""
    address = _address(given, listen)
    try:
        health, alive = _ask(address, "/healthz")
        found, report = _ask(address, "/status.json")
    except UnreachableError as error:
        console.put_failure("daemon", str(error), form)
        return 3
    if found != HTTPStatus.OK or "pages" not in report:
        console.put_failure("daemon", f"The daemon at {address} has no report: {report.get('reason')}", form)
        return 3
    shown = [page for page in report["pages"] if _is_selected(page["name"], pages)]
    if pages and not shown:
        console.put_failure("selection", "No Page of the daemon's last report matches --page.", form)
        return 2
    if form is Form.JSON:
        console.put_json({**report, "pages": shown})
    else:
        from sync.cli.output.status import put_status  # noqa: PLC0415 - only for a table

        put_status({**report, "pages": shown}, now=datetime.now(UTC), selected=bool(pages))
    if report["config_error"]:
        console.put_warning(
            "The newest edit of the configuration is rejected, and the one before it is in force: see validate."
        )
    if health != HTTPStatus.OK:
        console.put_warning(f"The daemon does not work, and this report is old. {alive.get('reason')}")
        return 3
    return _exit_code(report, shown, pages)


def status_once_verified(
    given: Path | None, listen: str | None, pages: Sequence[str], form: Form, *, seconds: float
) -> int:
    """Wait until the exit code is 0 and the newest edit is in force, then print the report; at the timeout print it as it is."""
    address, began = _address(given, listen), time.monotonic()
    end, seen = began + seconds, began + min(_SEEN, seconds)
    while True:
        found = _is_verified(address, pages) and time.monotonic() >= seen
        left = end - time.monotonic()
        if found or left <= 0:
            break
        time.sleep(min(_PAUSE, left))
    code = status(None, address, pages, form)
    if found:
        return code
    console.put_warning(f"Not verified within {seconds:g} s.")
    return code or 1


def _is_verified(address: str, pages: Sequence[str]) -> bool:
    """Check whether the daemon works, with the newest edit, and reports no problem; a daemon that is not there yet may come."""
    try:
        health, _ = _ask(address, "/healthz")
        ready, readiness = _ask(address, "/readyz")
        found, report = _ask(address, "/status.json")
    except UnreachableError:
        return False
    if not health == ready == found == HTTPStatus.OK or report.get("config_error") is not None:
        return False
    # Without it the report may be that of a cycle before the newest edit.
    if not readiness.get("settled"):
        return False
    shown = [page for page in report.get("pages", ()) if _is_selected(page["name"], pages)]
    return bool(shown or not pages) and _exit_code(report, shown, pages) == 0


def _exit_code(report: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], pages: Sequence[str]) -> int:
    if pages:
        return 0 if all(entry["served"] == "verified" and not problem for entry, problem in _entries(shown)) else 1
    from sync.core.report.report import EXIT_CODES  # noqa: PLC0415 - a health check needs no report

    return EXIT_CODES.get(report.get("result", ""), 1)


def _address(given: Path | None, listen: str | None) -> str:
    """Return where the daemon listens. A broken configuration hides it from nobody: the daemon may run with the one before."""
    known = listen or os.environ.get(LISTEN_VARIABLE)
    if known:
        return known
    from sync.cli.file import config_file  # noqa: PLC0415 - a health check of the image needs no configuration
    from sync.config.load import load  # noqa: PLC0415 - a health check of the image needs no configuration
    from sync.config.parse.reader import written_listen  # noqa: PLC0415 - a health check of the image needs no configuration

    file: Path | None = None
    try:
        file = config_file(given)
        return load(file).settings.web.listen
    except ConfigErrors:
        address = (file and written_listen(file)) or DEFAULT_LISTEN
        console.put_warning(
            f"The configuration has errors, so the daemon is looked for at {address}; --listen names another."
        )
        return address


def _ask(address: str, path: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of the daemon's answer; raises UnreachableError where none comes, or one of another program."""
    try:
        host, port = host_and_port(address)
    except ValueError:
        raise UnreachableError(f"{address} is not HOST:PORT. Correct --listen or ${LISTEN_VARIABLE}.") from None
    connection = HTTPConnection(_LOOPBACK.get(host, host), port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read(_MOST_BYTES))
    except (OSError, HTTPException, ValueError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise UnreachableError(
            f"No daemon answers at {address}: {cause}. Start it with run, or name its address with --listen."
        ) from None
    finally:
        connection.close()
    if not isinstance(body, dict) or not ("reason" in body or body.get("format") == 1):
        raise UnreachableError(f"What answers at {address} is not this program. Name its address with --listen.")
    return answer.status, body


def _is_selected(name: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _entries(pages: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Return each store's entry with the problems that concern it: its own and its Page's."""
    return [(entry, [*page["problems"], *entry["problems"]]) for page in pages for entry in page["stores"]]
