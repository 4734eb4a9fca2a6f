"""Write log lines, without anything that looks like a secret. The only module that imports the logging library."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, date, datetime
from typing import Any, Literal, TextIO

import structlog

from sync.core.redact import scrub
from sync.core.report.event import Event
from sync.core.secret import Secret
from sync.ops.process import location_of, silence_libraries

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FIRST = ("timestamp", "level", "event", "cycle")
_DEEPEST = 8
_LONGEST = 4096

Fields = MutableMapping[str, Any]


class Output:
    """A stream that takes whole lines. When its reader has gone away lines are lost, but no cycle fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line; count it as ``lost`` where the stream does not take it."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    debug = info = warning = error = msg


class Log:
    """Where events go. ``write`` may be called from any thread."""

    def __init__(
        self, stream: TextIO, *, level: str = "info", form: Literal["auto", "json", "console"] = "auto"
    ) -> None:
        """Write events from ``level`` on to ``stream``; ``auto`` is readable text on a terminal, else JSON lines."""
        if hasattr(stream, "reconfigure"):
            # Characters that the terminal's encoding lacks must not cost the line.
            stream.reconfigure(errors="backslashreplace")
        console = form == "console" or (form == "auto" and stream.isatty())
        self.output = Output(stream)
        self._log = structlog.wrap_logger(
            self.output,
            processors=[_stamp, _order, _harmless, _console(stream) if console else _json_line],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            cache_logger_on_first_use=True,
        )

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Write one event, with the id of the cycle that it belongs to."""
        getattr(self._log, event.level)(event.name, **({"cycle": cycle} if cycle else {}), **event.fields)


def _stamp(_: Any, level: str, fields: Fields) -> Fields:
    fields["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields["level"] = level
    return fields


def _order(_: Any, __: str, fields: Fields) -> Fields:
    return {**{name: fields.pop(name) for name in _FIRST if name in fields}, **fields}


def _harmless(_: Any, __: str, fields: Fields) -> Fields:
    return {_text(str(name)): _value(value) for name, value in fields.items() if value is not None}


def _value(value: Any, depth: int = 0) -> Any:
    """Return plain data that is safe to show: text is scrubbed, and any other object becomes its class name."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124 - not a number
        case str():
            return _text(value)
        case Secret():
            return value.fingerprint
        case datetime() | date():
            return value.isoformat()
        case BaseException():
            return location_of(value)
        case Mapping() if depth < _DEEPEST:
            return {_text(str(name)): _value(item, depth + 1) for name, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [_value(item, depth + 1) for item in value]
        case _:
            return f"({type(value).__name__})"


def _text(text: str) -> str:
    """Scrub before cutting: half a token would not be recognised as one."""
    shown = scrub(text)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"


def _json_line(_: Any, __: str, fields: Fields) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(", ", ": "))


def _console(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),
        exception_formatter=structlog.dev.plain_traceback,
        sort_keys=False,
        pad_event_to=16,
    )


def standard_log(*, level: str, form: Literal["auto", "json", "console"], stderr: bool = False) -> Log:
    """Return a log to stdout, or to stderr beside a command's result, and silence what libraries log."""
    silence_libraries()
    return Log(sys.stderr if stderr else sys.stdout, level=level, form=form)
