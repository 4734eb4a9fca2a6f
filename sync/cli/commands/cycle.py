"""The commands ``once``, ``plan``, ``run`` and ``validate``: each function prints its result and returns the exit code."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.command import INTERRUPTED, UsageError, begin, carry_out, configuration, opened, selected
from sync.cli.file import config_file
from sync.cli.options import CycleOptions
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.listen import LISTEN_VARIABLE, host_and_port
from sync.config.source import is_file
from sync.ops.process import keep_memory_private, watch_signals
from sync.runtime.garbage import uncollected
from sync.runtime.threads import SystemClock

if TYPE_CHECKING:
    from socket import socket

    from sync.config.load import Config
    from sync.core.report.event import Event
    from sync.core.report.report import Report
    from sync.ops.check import Checks
    from sync.ops.health import Health
    from sync.ops.log import Log
    from sync.ops.status import DaemonStatus, Snapshot
    from sync.ops.web.site import Site

_CHECKSUM = "sha256:[0-9a-f]{64}"


def validate(given: Path | None, form: Form, *, show: bool) -> int:
    """Check the configuration and print all errors, or what follows from it; ``show``: also every setting."""
    try:
        file = config_file(given)
        from sync.config.load import load_with_sources  # noqa: PLC0415 - only if the file exists

        config, sources = load_with_sources(file)
    except ConfigErrors as errors:
        console.put_errors(errors, form, stream=sys.stdout)
        return 2
    from sync.cli.commands.validate import put_valid  # noqa: PLC0415 - only if the file is valid

    put_valid(config, sources if show else None, form)
    return 0


@uncollected()
def cycle(options: CycleOptions, *, write: bool) -> int:
    """Run one cycle, or only its plan, for all Pages or a selection, and print the report."""
    return carry_out(
        lambda: _cycle(options, write=write), options.form, interrupted="Interrupted. What was written stays written."
    )


def _cycle(options: CycleOptions, *, write: bool) -> int:
    if options.if_plan is not None and not re.fullmatch(_CHECKSUM, options.if_plan):
        raise UsageError("--if-plan: not a checksum of a plan. `plan` prints one: sha256: and 64 hex digits.")
    clock, config = begin(), configuration(options.file)
    selection = selected(config, options)
    with opened(config, clock, "reading Graph and the stores") as app:
        report = app.cycle(write=write, selection=selection, if_plan=options.if_plan)
        # What a person lets through, or some Pages alone, are not the run that a monitor waits for.
        if write and selection is None and options.if_plan is None:
            report = app.beat(report)
    if write and config.settings.log.level == "debug":
        _log(report, config)
    console.put_report(report, options.form, given=options.file, once=options.once())
    return INTERRUPTED if report.frame.cut_short else report.exit_code


def daemon(given: Path | None, listen: str | None) -> int:
    """Run cycles until a signal stops the daemon. ``listen`` replaces the web server's address."""
    clock, now, hangup = SystemClock(), threading.Event(), threading.Event()
    # SIGHUP from a closed terminal stops the daemon as usual; a service gets it from people who expect a reload.
    reloads = not (sys.stdin and sys.stdin.isatty())
    watch_signals(clock, exit_code=0, hangup=hangup.set if reloads else None, user=now.set)
    keep_memory_private()
    since = time.time()
    try:
        config = configuration(given)
    except ConfigErrors as errors:
        _put_rejected(errors)
        return 2
    from sync import app, daemon  # noqa: PLC0415 - only if the file is valid
    from sync.app.check import AppChecker  # noqa: PLC0415 - only if the file is valid
    from sync.app.reload import Reload  # noqa: PLC0415 - only if the file is valid
    from sync.config.schedule import trigger  # noqa: PLC0415 - only if the file is valid
    from sync.core.report.event import Event  # noqa: PLC0415 - only if the file is valid
    from sync.ops.check import Checks  # noqa: PLC0415 - only if the file is valid
    from sync.ops.health import alive  # noqa: PLC0415 - only if the file is valid
    from sync.ops.log import standard_log  # noqa: PLC0415 - only if the file is valid
    from sync.ops.sd_notify import SystemdNotifier  # noqa: PLC0415 - only if the file is valid
    from sync.ops.status import DaemonStatus  # noqa: PLC0415 - only if the file is valid
    from sync.ops.turns import Turns  # noqa: PLC0415 - only if the file is valid
    from sync.ops.web.server import WebServer, bind  # noqa: PLC0415 - only if the file is valid

    log = standard_log(level=config.settings.log.level, form=config.settings.log.format)
    address = listen or os.environ.get(LISTEN_VARIABLE) or config.settings.web.listen
    try:
        host, port = host_and_port(address)
        server = bind(host, port)
    except (ValueError, OSError) as error:
        _put_not_listening(address, error, log)
        return 2 if isinstance(error, ValueError) else 3
    log.write(_started_event(config, server))
    schedule = trigger(config.settings.schedule)
    status = DaemonStatus(clock)
    status.configured(per_page_metrics=config.settings.metrics.per_page)
    running, turns = app.build(config, clock=clock, log=log), Turns()
    checks = Checks(AppChecker(lambda: running, status=status, log=log, clock=clock), turns=turns, clock=clock)

    def health() -> Health:
        return alive(status.snapshot, now=clock.monotonic(), stuck_after=running.stuck_after)

    web = WebServer(server, _site(status, clock, health, host, checks).app())
    try:
        daemon.run(
            running,
            trigger=schedule,
            clock=clock,
            log=log,
            status=status,
            now=now,
            turns=turns,
            reload=Reload(config, running, status=status, log=log, since=since),
            hangup=hangup,
            notifier=SystemdNotifier(health),
        )
        log.write(Event("info", "daemon_stopped", {}))
    finally:
        web.close()
        log.close()
    return 0


def _site(status: DaemonStatus, clock: SystemClock, health: Callable[[], Health], host: str, checks: Checks) -> Site:
    """Return what the web server answers."""
    from sync.ops.metrics import Metrics  # noqa: PLC0415 - only if the file is valid
    from sync.ops.page import STYLE_HASH, StatusPage  # noqa: PLC0415 - only if the file is valid
    from sync.ops.web.site import Site  # noqa: PLC0415 - only if the file is valid

    metrics, status_page = Metrics(), StatusPage()

    def page(snapshot: Snapshot, query: Mapping[str, str]) -> str:
        return status_page.render(snapshot, query, now=clock.now(), health=health())

    def scrape(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        return metrics.render(snapshot, accept=accept)

    return Site(status, health, host, scrape, page, STYLE_HASH, checks=checks)


def _put_not_listening(address: str, error: ValueError | OSError, log: Log) -> None:
    """Print why the daemon does not start, and log it."""
    from sync.core.report.event import Event  # noqa: PLC0415 - only on an error

    cause = (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not HOST:PORT"
    message = f"The daemon does not start: it cannot listen on {address}: {cause}."
    remedy = f"Stop what listens there, or choose another address with --listen, ${LISTEN_VARIABLE} or web.listen."
    console.put_failure("address", f"{message} {remedy}", Form.TABLE)
    if not sys.stdout.isatty():
        fields = {"message": message, "owner": "operator", "remedy": remedy}
        log.write(Event("error", "daemon_stopped", fields))
    log.close()


def _put_rejected(errors: ConfigErrors) -> None:
    """Print why the daemon does not start: as text on stderr, and as log lines where stdout is no terminal."""
    console.put_errors(errors, Form.TABLE)
    if sys.stdout.isatty():
        return
    from sync.config.rejected import rejected_events  # noqa: PLC0415 - only on an error
    from sync.ops.log import standard_log  # noqa: PLC0415 - only on an error

    log = standard_log(level="info", form="json")
    for event in rejected_events(errors, "The daemon does not start."):
        log.write(event)
    log.close()


def _started_event(config: Config, server: socket) -> Event:
    from importlib.metadata import version  # noqa: PLC0415 - only if the file is valid

    from sync.config.schedule import in_words  # noqa: PLC0415 - only if the file is valid
    from sync.core.report.event import Event  # noqa: PLC0415 - only if the file is valid
    from sync.ops.web.server import address_of  # noqa: PLC0415 - only if the file is valid

    fields = {
        "version": version("page-token-sync"),
        "instance": config.settings.instance,
        "page_count": len(config.pages),
        "file": str(config.files[0].absolute() if is_file(config.files[0]) else config.files[0]),
        "next": in_words(config.settings.schedule),
        "listen": address_of(server),
    }
    return Event("info", "daemon_started", fields)


def _log(report: Report, config: Config) -> None:
    """Log the events of a report beside it, for log.level debug."""
    from sync.core.report.events import events  # noqa: PLC0415 - only at log.level debug
    from sync.ops.log import standard_log  # noqa: PLC0415 - only at log.level debug

    log = standard_log(level=config.settings.log.level, form=config.settings.log.format, stderr=True)
    for event in events(report):
        log.write(event, cycle=report.frame.cycle)
