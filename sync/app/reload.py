"""Set an edited configuration in force while the daemon runs, and start a cycle where a credential in a file changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apscheduler.triggers.base import BaseTrigger

from sync.app.app import App
from sync.config.differences import Differences, differences
from sync.config.errors import ConfigError, ConfigErrors
from sync.config.load import Config, load
from sync.config.parse.reader import further
from sync.config.rejected import rejected_events
from sync.config.schedule import trigger
from sync.config.schema.references import FileReference, models_in
from sync.config.source import is_file
from sync.config.watch import Watch
from sync.core.report.changes import MOST_NAMED
from sync.core.report.event import Event, EventLog
from sync.core.report.text import count
from sync.ops.status import DaemonStatus


@dataclass(frozen=True, slots=True)
class Applied:
    """What the daemon does after a reload. ``trigger`` is None where the schedule is the same."""

    trigger: BaseTrigger | None
    starts_cycle: bool


class Reload:
    """Looks at the files of a configuration, once a second. Not for several threads."""

    def __init__(
        self, config: Config, app: App, *, status: DaemonStatus, log: EventLog, since: float | None = None
    ) -> None:
        """Look for edits of ``config``; files that changed after ``since``, by the wall clock, may differ from it."""
        self._config = config
        self._app = app
        self._status = status
        self._log = log
        self._watch, self._credentials_watch = Watch(), Watch()
        self._patterns: Sequence[str] = config.settings.pages_from
        self._newest = self._last = self._watch.digest(self._files())
        if since is not None and self._watch.changed_after(since):
            self._newest = b""
        self._credentials = self._last_credentials = self._credentials_watch.digest(_credential_files(config))
        self._pending: Config | None = None
        self._rejected: Event | None = None
        self._credential_changed = False

    def look(self, *, force: bool = False) -> bool:
        """Look for an edit, and return whether `apply` has something to do.

        An edit is read when its files were the same at two looks, so that one which is being written is left alone; with
        ``force`` at once. An invalid one is logged, and what was in force before stays so.
        """
        if is_file(self._config.files[0]):
            now = self._watch.digest(self._files())
            if force or (now == self._last and now != self._newest):
                self._read(now, force=force)
            self._last = now
            self._status.edited(waits=self._pending is not None or now != self._newest)
        elif force:
            self._log.write(_UNREADABLE)
        self._look_at_credentials()
        return self._pending is not None or self._rejected is not None or self._credential_changed

    def apply(self) -> Applied:
        """Set the newest edit in force, or notify that it was rejected; to be called while no cycle runs."""
        if self._rejected is not None:
            event, self._rejected = self._rejected, None
            self._app.reject(event.fields["message"], event.fields["remedy"])
        config, starts_cycle, self._pending, self._credential_changed = (
            self._pending,
            self._credential_changed,
            None,
            False,
        )
        if config is None:
            return Applied(None, starts_cycle)
        found = differences(self._config, config)
        same_schedule = self._config.settings.schedule == config.settings.schedule
        self._app.configure(config)
        files = _credential_files(config)
        if files != _credential_files(self._config):
            self._credentials = self._last_credentials = self._credentials_watch.digest(files)
        self._config = config
        self._status.configured(per_page_metrics=config.settings.metrics.per_page)
        self._log.write(_reloaded(found, len(config.pages)))
        self._status.edited(waits=False)
        return Applied(None if same_schedule else trigger(config.settings.schedule), starts_cycle or found.needs_cycle)

    def failed(self, event: Event) -> None:
        """Let the next `apply` notify that an edit is not in force, for which ``event`` is in the log."""
        self._rejected = event

    def _files(self) -> list[Path]:
        main = self._config.files[0]
        return [main, *(file for _, files in further(self._patterns, main) for file in files)]

    def _read(self, seen: bytes, *, force: bool) -> None:
        """Read the edit; where its files change meanwhile, or it names other files, the next looks decide."""
        found = _loaded(self._config.files[0])
        patterns = found.patterns if isinstance(found, ConfigErrors) else found.settings.pages_from
        if self._watch.digest(self._files()) != seen:
            return
        if tuple(patterns) != tuple(self._patterns):
            self._patterns = patterns
            self._last = b""
            if not force:
                return
            seen = self._watch.digest(self._files())
        self._newest = seen
        self._app.config_rejected = isinstance(found, ConfigErrors)
        if isinstance(found, Config):
            self._pending, self._rejected = found, None
            return
        self._pending = None
        self._status.rejected([asdict(error) for error in found.errors])
        lines = list(rejected_events(found, "The configuration before this edit stays in force."))
        self._rejected = lines[0]
        for event in lines:
            self._log.write(event)

    def _look_at_credentials(self) -> None:
        now = self._credentials_watch.digest(_credential_files(self._config))
        if now == self._last_credentials and now != self._credentials:
            self._credentials, self._credential_changed = now, True
        self._last_credentials = now


_UNREADABLE = Event(
    "warning",
    "cycle_warning",
    {
        "message": "The configuration came from a variable or from standard input, and cannot be read again.",
        "owner": "operator",
        "remedy": "Start the daemon again with the new configuration.",
    },
)


def _loaded(file: Path) -> Config | ConfigErrors:
    if file.exists() and not file.is_file():
        # Opening a pipe would wait for its writer.
        error = ConfigError(
            str(file), 1, 1, "", "unreadable-file", "cannot be read: not a regular file", "put a file there"
        )
        return ConfigErrors([error])
    try:
        return load(file)
    except ConfigErrors as errors:
        return errors


def _reloaded(found: Differences, page_count: int) -> Event:
    sentences = []
    for names, what in ((found.added, "added"), (found.removed, "removed"), (found.changed, "changed")):
        if names:
            sentences.append(f"{count(len(names), 'Page')} {what}.")
    if found.keys:
        sentences.append(f"Changed: {', '.join(found.keys[:MOST_NAMED])}.")
    if found.needs_restart:
        sentences.append(f"Restart the daemon for {', '.join(found.needs_restart)}.")
    fields: dict[str, Any] = {
        "message": f"The configuration is in force. {' '.join(sentences) or 'Nothing in it changed.'}",
        "page_count": page_count,
        **_named("pages_added", found.added),
        **_named("pages_removed", found.removed),
        **_named("pages_changed", found.changed),
        **_named("keys", found.keys),
    }
    return Event("warning" if found.needs_restart else "info", "config_reloaded", fields)


def _named(field: str, names: Sequence[str]) -> dict[str, Any]:
    return {field: list(names[:MOST_NAMED])} if names else {}


def _credential_files(config: Config) -> list[Path]:
    """Return the files with credentials that a configuration refers to."""
    return [config.base / part.file for _, part in models_in(config.settings) if isinstance(part, FileReference)]
