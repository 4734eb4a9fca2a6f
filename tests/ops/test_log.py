"""Log lines: one line of JSON for each event, safe whatever its values are."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sync.core.report.event import Event
from sync.core.secret import Secret
from sync.ops.log import Log

TOKEN = "EAA" + "Zk3Bq9" * 20


class Terminal(io.StringIO):
    """A stream that reports a terminal."""

    def isatty(self) -> bool:
        """Return true."""
        return True


class ClosedPipe(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        """Fail as the kernel does."""
        raise BrokenPipeError(32, "Broken pipe")


def line(level: Any = "info", cycle: str | None = None, **fields: Any) -> dict[str, Any]:
    """Log one event as JSON and read it."""
    out = io.StringIO()
    Log(out, level="debug").write(Event(level, "cycle_finished", fields), cycle=cycle)
    text = out.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return dict(json.loads(text))


def test_a_closed_pipe_loses_lines_and_nothing_else() -> None:
    """Writing to a closed pipe raises nothing, and the lost lines are counted."""
    log = Log(ClosedPipe())
    log.write(Event("info", "cycle_started", {}))
    log.write(Event("info", "cycle_finished", {}))

    assert log.output.lost == 2


FULL = 100
"""Lines of 100 kB, more than the buffer holds."""


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_reader_that_stops_reading_delays_nothing() -> None:
    """Lines wait in a bounded buffer while nobody reads; those beyond are dropped, and a line says how many."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        log = Log(stream, level="debug", buffered=True)
        begun = time.monotonic()
        for number in range(FULL):
            log.write(Event("info", "cycle_finished", {"number": number, "data": [{"x": "y" * 4000}] * 25}))
        log.close()
        assert time.monotonic() - begun < 10
        assert 0 < log.output.lost < FULL
        written = [json.loads(lines.readline()) for _ in range(FULL - log.output.lost)]
        log.write(Event("info", "cycle_started", {}))
        note = json.loads(lines.readline())

        assert [entry["number"] for entry in written] == list(range(len(written)))
        assert (note["level"], note["event"]) == ("warning", "cycle_warning")
        assert note["message"].startswith(f"{log.output.lost} lines of the log could not be written")
        assert json.loads(lines.readline())["event"] == "cycle_started"
        log.close()


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    """A descriptor that takes nothing loses lines, which are counted, and nothing is left in a buffer that fails the exit."""
    with open("/dev/full", "w") as stream:  # noqa: PTH123 - a device
        log = Log(stream, buffered=True)
        for _ in range(3):
            log.write(Event("info", "cycle_started", {}))
        wait_until(lambda: log.output.lost == 3)


@pytest.mark.parametrize(
    "bad", ["\udc80", "a\nb", "\x1b[31m", "\x00", "\u2028", '"}\n{"event":"forged"}', "x" * 100_000]
)
def test_hostile_values_forge_nothing(bad: str) -> None:
    """Whatever a value contains, an event is one line of JSON, valid UTF-8, and limited in length."""
    out = io.StringIO()
    Log(out).write(Event("info", "cycle_finished", {"message": bad, "details": {bad: [bad]}}))
    written = out.getvalue()

    assert written.count("\n") == 1
    assert json.loads(written)["event"] == "cycle_finished"
    assert len(written.encode()) < 20_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", written)


def test_secrets_are_shown_as_fingerprints() -> None:
    """A Secret, a text that looks like a token, and an exception that quotes one show no token."""
    error = ValueError(f"bad token {TOKEN}")
    entry = line(token=Secret(TOKEN), error=f"Meta says {TOKEN}", cause=error, raw=TOKEN.encode(), many=[{"a": TOKEN}])

    assert TOKEN[:20] not in json.dumps(entry)
    assert entry["token"] == Secret(TOKEN).fingerprint
    assert Secret(TOKEN).fingerprint in entry["error"]
    assert entry["cause"] == "ValueError"
    assert entry["raw"] == "(bytes)"


def test_the_common_fields_of_a_line_come_first() -> None:
    """A line begins with timestamp, level, event and cycle; the timestamp is RFC 3339 in UTC."""
    entry = line("warning", cycle="01JD", page="berlin")

    assert list(entry) == ["timestamp", "level", "event", "cycle", "page"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["timestamp"])
    assert (entry["level"], entry["cycle"]) == ("warning", "01JD")


def test_a_level_suppresses_lower_levels() -> None:
    """At level warning, debug and info are not written."""
    out = io.StringIO()
    log = Log(out, level="warning")
    for level in ("debug", "info", "warning", "error"):
        log.write(Event(level, "cycle_finished", {}))  # type: ignore[arg-type]

    assert [json.loads(text)["level"] for text in out.getvalue().splitlines()] == ["warning", "error"]


def test_numbers_that_json_lacks_are_text() -> None:
    """NaN and infinity are written as text, so that every JSON parser reads the line."""
    assert line(a=float("nan"), b=float("inf"), c=1.5)["a"] == "nan"


def test_auto_is_readable_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a line is coloured text, and with NO_COLOR text without colour."""
    event = Event("info", "cycle_finished", {"result": "ok", "message": f"{TOKEN}\n\x1b[2J"})
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    Log(coloured).write(event)
    monkeypatch.setenv("NO_COLOR", "1")
    Log(plain).write(event)

    assert "\x1b[" in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()
    assert "result=ok" in plain.getvalue()
    for out in (coloured, plain):
        assert TOKEN not in out.getvalue()
        assert "\x1b[2J" not in out.getvalue()
        assert out.getvalue().count("\n") == 1


def test_libraries_log_nothing() -> None:
    """Log lines of libraries, at any level and by any handler, reach neither stdout nor stderr."""
    script = f"""
import logging
from sync.ops.log import standard_log
log = standard_log(level="debug", form="json")
for name in ("httpx", "httpcore", "hvac", "urllib3", "boto3", "botocore", "apscheduler", "asyncio", "concurrent.futures"):
    logging.getLogger(name).critical("GET https://h/?access_token={TOKEN}")
    logging.getLogger(name).setLevel("DEBUG")
    logging.getLogger(name).addHandler(logging.StreamHandler())
    logging.getLogger(name).critical("GET https://h/?access_token={TOKEN}")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == ""
    assert done.stderr == ""
    assert logging.root.manager.disable == logging.NOTSET
