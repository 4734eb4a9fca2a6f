"""Write log lines, without anything that looks like a secret. The only module that imports the logging library."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Literal, TextIO

import structlog

from sync.core.redact import scrub
from sync.core.report.event import Event
from sync.core.secret import Secret
from sync.ops.process import location_of, silence_libraries
from sync.runtime.threads import NoThreadError, started

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FIRST = ("timestamp", "level", "event", "cycle")
_DEEPEST = 8
_LONGEST = 4096

_BUFFER = 8 * 1024 * 1024
"""Bytes of lines that wait for a reader who does not keep up."""
_CLOSE_SECONDS = 1.0

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

    def close(self) -> None:
        """Do nothing: every line is written."""


class BufferedOutput:
    """A descriptor that takes whole lines by a thread of its own, so that no reader delays the writer.

    Lines that the buffer or the descriptor does not take are lost and counted; ``note`` makes a line of their number, which
    is written before the next line.
    """

    def __init__(self, descriptor: int, encoding: str, note: Callable[[int], str]) -> None:
        self._descriptor, self._encoding, self._note = descriptor, encoding, note
        self._waiting: deque[tuple[bytes, int]] = deque()  # a line, and the number that it notes
        self._size = self._missing = self.lost = 0
        self._cut = False
        self._changed = threading.Condition()
        self._thread: Future[None] | None = None

    def msg(self, line: str) -> None:
        """Leave one line to the thread, after a note of the lines that are missing before it."""
        with self._changed:
            notes = [(self._bytes(self._note(self._missing)), self._missing)] if self._missing else []
            added = [*notes, (self._bytes(line), 0)]
            size = sum(len(data) for data, _ in added)
            if self._size + size > _BUFFER:
                self._lose()
                return
            self._missing = 0
            self._waiting += added
            self._size += size
            if self._thread is None:
                with suppress(NoThreadError):  # the next line tries again
                    self._thread = started(self._run, name="log")
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until all lines are written, for a second at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size, timeout=_CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data, noted = self._waiting.popleft()
            written = self._write(data)
            with self._changed:
                if not written and noted:
                    self._missing += noted
                elif not written:
                    self._lose()
                self._size -= len(data)
                self._changed.notify_all()

    def _lose(self) -> None:
        self.lost += 1
        self._missing += 1

    def _bytes(self, line: str) -> bytes:
        return f"{line}\n".encode(self._encoding, "backslashreplace")

    def _write(self, data: bytes) -> bool:
        """Write a line by the descriptor itself: what a stream's own buffer keeps would fail the exit."""
        left = b"\n" + data if self._cut else data
        try:
            while left:
                count = os.write(self._descriptor, left)
                self._cut, left = count < len(left), left[count:]
        except OSError:
            return False
        return True


class Log:
    """Where events go. ``write`` may be called from any thread."""

    def __init__(
        self,
        stream: TextIO,
        *,
        level: str = "info",
        form: Literal["auto", "json", "console"] = "auto",
        buffered: bool = False,
    ) -> None:
        """Write events from ``level`` on to ``stream``; ``auto`` is readable text on a terminal, else JSON lines.

        ``buffered``: a thread writes them, so that a reader that stops reading delays nothing.
        """
        if hasattr(stream, "reconfigure"):
            # Characters that the terminal's encoding lacks must not cost the line.
            stream.reconfigure(errors="backslashreplace")
        console = form == "console" or (form == "auto" and stream.isatty())
        self._line = _console(stream) if console else _json_line
        self._level = _LEVELS[level]
        self.output: Output | BufferedOutput = (
            BufferedOutput(stream.fileno(), stream.encoding or "utf-8", self._lost) if buffered else Output(stream)
        )

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Write one event, with the id of the cycle that it belongs to."""
        if _LEVELS[event.level] >= self._level:
            self.output.msg(self._rendered(event, cycle))

    def close(self) -> None:
        """Wait for lines that are not written yet, for a second at most."""
        self.output.close()

    def _rendered(self, event: Event, cycle: str | None = None) -> str:
        fields: Any = {"event": event.name, **({"cycle": cycle} if cycle else {}), **event.fields}
        for processor in (_stamp, _order, _harmless, self._line):
            fields = processor(None, event.level, fields)
        return str(fields)

    def _lost(self, number: int) -> str:
        message = (
            f"{number} {'line' if number == 1 else 'lines'} of the log could not be written, because its reader does not "
            "keep up or its disk is full."
        )
        return self._rendered(Event("warning", "cycle_warning", {"message": message}))


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
    """Return the daemon's log to stdout, or a log to stderr beside a command's result; and silence what libraries log."""
    silence_libraries()
    return Log(sys.stderr if stderr else sys.stdout, level=level, form=form, buffered=not stderr)
