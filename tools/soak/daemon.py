"""Run the daemon as ``run`` does, and append each report to a file: ``python -m tools.soak.daemon CONFIG REPORTS [SECONDS]``.

``SECONDS`` is the time from one cycle to the next in place of the schedule's, which may be shorter than a configuration allows.
With "-" no report is kept.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Self

from sync import daemon
from sync.app import App, build
from sync.config.load import load
from sync.config.schedule import trigger
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.ops.log import Log
from sync.ops.process import silence_libraries, watch_signals
from sync.ops.status import DaemonStatus
from sync.runtime.threads import SystemClock


class RecordingApp:
    """An app that also appends each report to a file, as one line."""

    def __init__(self, app: App, path: Path) -> None:
        self._app = app
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._app.close()

    def cycle(self, *, write: bool, cycle: str | None = None, continuous: bool = False) -> Report:
        """Run a cycle and append its report."""
        report = self._app.cycle(write=write, cycle=cycle, continuous=continuous)
        with self._path.open("a") as file:
            file.write(json.dumps(as_json(report)) + "\n")
        return report

    @property
    def progress(self) -> int:
        """A number that changes while a cycle advances."""
        return self._app.progress

    def logged(self) -> None:
        """Remember that the report of the last cycle is in the log."""
        self._app.logged()


def main() -> None:
    """Run until SIGTERM."""
    clock = SystemClock()
    silence_libraries()
    watch_signals(clock, exit_code=0)
    config = load(Path(sys.argv[1]))
    built = build(config, clock=clock)
    app = built if sys.argv[2] == "-" else RecordingApp(built, Path(sys.argv[2]))
    schedule = config.settings.schedule
    if len(sys.argv) > 3:
        schedule = schedule.model_copy(update={"every": timedelta(seconds=float(sys.argv[3]))})
    log = Log(sys.stdout, level=config.settings.log.level, form="json")
    daemon.run(app, trigger=trigger(schedule), clock=clock, log=log, status=DaemonStatus(clock))


if __name__ == "__main__":
    main()
