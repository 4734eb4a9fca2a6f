"""Run the daemon and append each report to a file: ``python -m tools.soak.daemon CONFIG REPORTS [SECONDS [LISTEN]]``.

``SECONDS`` is the time from one cycle to the next in place of the schedule's, which may be shorter than a configuration allows.
With "-" no report is kept. With ``LISTEN`` it is the whole command ``run``, which serves its web server there, reloads its
configuration, answers checks and sends notifications; without, it only runs cycles.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sync import app as apps
from sync import daemon
from sync.app import App
from sync.cli.commands import cycle as commands
from sync.config import schedule as schedules
from sync.config.load import Config, load
from sync.config.schema.settings import Schedule
from sync.core.report.event import EventLog
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.ops.log import Log
from sync.ops.process import silence_libraries, watch_signals
from sync.ops.status import DaemonStatus
from sync.runtime.threads import SystemClock


class RecordingApp(App):
    """An app that also appends the report of each cycle and check to a file, as one line."""

    def __init__(self, config: Config, path: Path | None, *, clock: SystemClock, log: EventLog | None = None) -> None:
        super().__init__(config, clock=clock, log=log)
        self._path = path

    def cycle(self, **options: Any) -> Report:
        """Run a cycle or a check and append its report, with the time and whether it is a check."""
        report = super().cycle(**options)
        if self._path is not None:
            is_check = options.get("selection") is not None
            with self._path.open("a") as file:
                file.write(json.dumps({**as_json(report), "is_check": is_check, "recorded_at": time.time()}) + "\n")
        return report


def main() -> None:
    """Run until SIGTERM."""
    file, path = Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] != "-" else None
    every = timedelta(seconds=float(sys.argv[3])) if len(sys.argv) > 3 else None
    trigger = schedules.trigger

    def faster(schedule: Schedule) -> Any:
        return trigger(schedule.model_copy(update={"every": every}) if every is not None else schedule)

    def build(config: Config, *, clock: SystemClock, log: EventLog | None = None) -> App:
        return RecordingApp(config, path, clock=clock, log=log)

    if len(sys.argv) > 4:
        silence_libraries()
        with patch.object(apps, "build", build), patch.object(schedules, "trigger", faster):
            sys.exit(commands.daemon(file, sys.argv[4]))
    clock = SystemClock()
    silence_libraries()
    watch_signals(clock, exit_code=0)
    config = load(file)
    log = Log(sys.stdout, level=config.settings.log.level, form="json")
    daemon.run(
        build(config, clock=clock),
        trigger=faster(config.settings.schedule),
        clock=clock,
        log=log,
        status=DaemonStatus(clock),
    )


if __name__ == "__main__":
    main()
