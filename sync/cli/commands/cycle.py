"""Carrying out what a command asks for; each function prints its result and gives the exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.file import config_file
from sync.cli.options import Asked
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.resolve.select import Selected, SelectionError, select
from sync.ops.process import keep_memory_private, silence_libraries, watch_signals
from sync.runtime.garbage import uncollected
from sync.runtime.threads import Stopping, SystemClock

if TYPE_CHECKING:
    from sync.config.load import Config
    from sync.core.report.events import Event
    from sync.core.report.report import Report
    from sync.ops.log import Log

INTERRUPTED = 130
_CHECKSUM = "sha256:[0-9a-f]{64}"


def validate(given: Path | None, form: Form, *, show: bool) -> int:
    """Check whether the configuration is right, or all that is wrong with it; ``show``: with all that applies."""
    try:
        file = config_file(given)
        from sync.config.load import load_with_sources  # noqa: PLC0415 - not for a file that is not there

        config, sources = load_with_sources(file)
    except ConfigErrors as wrong:
        console.put_errors(wrong, form, stream=sys.stdout)
        return 2
    from sync.cli.commands.validate import put_right  # noqa: PLC0415 - not for a file that is wrong

    put_right(config, sources if show else None, form)
    return 0


@uncollected()
def cycle(asked: Asked, *, write: bool) -> int:
    """Run one cycle, or only its plan, over all Pages or a selection, and print the report."""
    if asked.if_plan is not None and not re.fullmatch(_CHECKSUM, asked.if_plan):
        console.put_failure(
            "usage", "--if-plan: not a plan's checksum; plan prints it: sha256: and 64 hex digits", asked.form
        )
        return 2
    clock = SystemClock()
    watch_signals(clock, exit_code=INTERRUPTED)
    try:
        config = _configuration(asked.file)
        selection = _selection(config, asked)
        with console.progress("asking Graph and the stores"):
            report = _report(config, clock, selection, asked.if_plan, write=write)
    except ConfigErrors as wrong:
        console.put_errors(wrong, asked.form)
        return 2
    except SelectionError as nothing:
        console.put_failure("selection", str(nothing), asked.form)
        return 2
    except Stopping:
        console.put_failure("interrupted", "Interrupted. What was written stays written.", asked.form)
        return INTERRUPTED
    console.put_report(report, asked.form, once=asked.once())
    return INTERRUPTED if report.frame.cut_short else report.exit_code


def _selection(config: Config, asked: Asked) -> Selected | None:
    """Choose the Pages that were asked for; None for all of them."""
    if not (asked.pages or asked.labels or asked.stores):
        return None
    return select(config.pages, pages=asked.pages, labels=asked.labels, stores=asked.stores)


def daemon(given: Path | None) -> int:
    """Run cycles until a signal ends them."""
    clock = SystemClock()
    logs: list[Log] = []
    # A terminal that goes away ends what was started from it; a service gets SIGHUP from those who hope for a reload.
    watch_signals(clock, exit_code=0, hangup=None if sys.stdin and sys.stdin.isatty() else lambda: _hang_up(logs))
    keep_memory_private()
    try:
        config = _configuration(given)
    except ConfigErrors as wrong:
        console.put_errors(wrong, Form.TABLE)
        return 2
    from sync import app, daemon  # noqa: PLC0415 - not for a file that is wrong
    from sync.config.schedule import trigger  # noqa: PLC0415 - not for a file that is wrong
    from sync.core.report.events import Event  # noqa: PLC0415 - not for a file that is wrong
    from sync.ops.log import standard_log  # noqa: PLC0415 - not for a file that is wrong

    log = standard_log(level=config.settings.log.level, form=config.settings.log.format)
    logs.append(log)
    log.write(_started(config))
    daemon.run(app.build(config, clock=clock), trigger=trigger(config.settings.schedule), clock=clock, log=log)
    log.write(Event("info", "daemon_stopped", {}))
    return 0


def _started(config: Config) -> Event:
    from importlib.metadata import version  # noqa: PLC0415 - not for a file that is wrong

    from sync.config.schedule import in_words  # noqa: PLC0415 - not for a file that is wrong
    from sync.core.report.events import Event  # noqa: PLC0415 - not for a file that is wrong

    fields = {
        "version": version("page-token-sync"),
        "instance": config.settings.instance,
        "pages": len(config.pages),
        "file": str(config.files[0].absolute()),
        "next": in_words(config.settings.schedule),
    }
    return Event("info", "daemon_started", fields)


def _configuration(given: Path | None) -> Config:
    file = config_file(given)
    from sync.config.load import load  # noqa: PLC0415 - not for a file that is not there

    return load(file)


def _report(
    config: Config, clock: SystemClock, selection: Selected | None, if_plan: str | None, *, write: bool
) -> Report:
    from sync.app import build  # noqa: PLC0415 - not for a file that is wrong

    silence_libraries()
    with build(config, clock=clock) as app:
        report = app.cycle(write=write, selection=selection, if_plan=if_plan)
    if write and config.settings.log.level == "debug":
        _log(report, config)
    return report


def _log(report: Report, config: Config) -> None:
    """Log beside a report, which tells the same, for those who want to see each place's line."""
    from sync.core.report.events import events  # noqa: PLC0415 - only where it is asked for
    from sync.ops.log import standard_log  # noqa: PLC0415 - only where it is asked for

    log = standard_log(level=config.settings.log.level, form=config.settings.log.format, stderr=True)
    for event in events(report):
        log.write(event, cycle=report.frame.cycle)


def _hang_up(logs: Sequence[Log]) -> None:
    from sync.daemon import HANGUP  # noqa: PLC0415 - only where it is needed

    for log in logs:
        log.write(HANGUP)
