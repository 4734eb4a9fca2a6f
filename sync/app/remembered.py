"""What the App remembers from one cycle to the next: in this process, and in the state file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from sync.config.load import Config
from sync.core.memory.memory import Memory
from sync.core.report.changes import and_warned
from sync.core.report.report import Report
from sync.cycle.task import attempt
from sync.runtime.threads import GraceClock, Stopping
from sync.state import StateFile

GRACE = 1.0
"""Seconds that writing a file may take under shutdown: another process may hold the file's lock."""


class Remembered:
    """The memory of the last cycle of one instance. ``memory`` is None before the first cycle of this process.

    ``warning`` is why the state file was not used at the first cycle, later why it was not written; empty where it was.
    """

    def __init__(self, config: Config, late: GraceClock) -> None:
        self.memory: Memory | None = None
        self.warning = ""
        self._late = late
        self._file = self._file_of(config)
        self._unlogged = False

    def configure(self, old: Config, config: Config) -> None:
        """Use the state file of another configuration of the same instance."""
        if old.settings.state != config.settings.state:
            self._file, self.warning = self._file_of(config), ""

    def load(self) -> Memory:
        """Read the state file; an empty memory where there is none."""
        if self._file is None:
            return Memory()
        memory = self._file.load()
        self.warning = self._file.warning
        return memory

    def current(self) -> Memory:
        """Return the memory that the next cycle begins with."""
        return self._with_let_through(self.memory) if self.memory is not None else self.load()

    def keep(self, memory: Memory) -> None:
        """Remember ``memory`` and write it to the state file."""
        self.memory = memory
        self._save(memory)

    def keep_cycle(self, before: Memory, after: Memory, report: Report, *, continuous: bool) -> Report:
        """Remember and write what a cycle left, and return its report with the warning of the state file, if that is new."""
        self.memory = after = self._with_let_through(after)
        # A kill before the report is in the log must not lose its lines: they are logged again after the next start.
        self._unlogged = continuous and report.changes.is_news
        self._save(replace(after, reported=before.reported) if self._unlogged else after)
        report = self._warned(report)
        if continuous:
            self.memory = replace(after, reported=report.changes.reported)
        return report

    def logged(self) -> None:
        """Remember that the report of the last cycle is in the log."""
        if self._unlogged and self.memory is not None:
            self._unlogged = False
            self._save(self.memory)

    def _file_of(self, config: Config) -> StateFile | None:
        state = config.settings.state
        return StateFile(state.file, config.settings.instance, clock=self._late) if state is not None else None

    def _with_let_through(self, memory: Memory) -> Memory:
        """Return the memory with what a person let through meanwhile by ``once --if-plan`` in another process."""
        lines = self._file.let_through() if self._file is not None else {}
        return replace(memory, let_through={**memory.let_through, **lines}) if lines else memory

    def _save(self, memory: Memory) -> None:
        """Write the memory to the state file; a failure is a warning, and ends no cycle."""
        if self._file is None:
            return
        file = self._file

        def save() -> str:
            file.save(memory)
            return file.warning

        with suppress(Stopping), self._late.grace(GRACE):
            self.warning = attempt(save, lambda where: f"The state file is not written. Internal error: {where}.")

    def _warned(self, report: Report) -> Report:
        if not self.warning or self.warning in report.frame.warnings:
            return report
        frame = replace(report.frame, warnings=(*report.frame.warnings, self.warning))
        return replace(report, frame=frame, changes=and_warned(report.changes, self.warning, frame.started_at))
