"""What commands that use the configuration share: how one begins, and how a failure ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.file import config_file
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.resolve.select import Selected, SelectionError, select
from sync.ops.process import keep_memory_private, silence_libraries, watch_signals
from sync.runtime.threads import Stopping, SystemClock

if TYPE_CHECKING:
    from sync.app import App
    from sync.cli.options import CycleOptions
    from sync.config.load import Config

INTERRUPTED = 130


class UsageError(Exception):
    """The command line is wrong, and nothing was done; the text says what would be right, and repeats no secret."""


def begin() -> SystemClock:
    """Begin a command that calls services, and return its clock, which a signal stops."""
    clock = SystemClock()
    watch_signals(clock, exit_code=INTERRUPTED)
    keep_memory_private()
    silence_libraries()
    return clock


def configuration(given: Path | None) -> Config:
    """Load the configuration; raises ConfigErrors."""
    file = config_file(given)
    from sync.config.load import load  # noqa: PLC0415 - only if the file exists

    return load(file)


def selected(config: Config, options: CycleOptions) -> Selected | None:
    """Return the Pages that the options select, None for all; raises SelectionError."""
    if not (options.pages or options.labels or options.stores):
        return None
    return select(config.pages, pages=options.pages, labels=options.labels, stores=options.stores)


@contextmanager
def opened(config: Config, clock: SystemClock, doing: str) -> Iterator[App]:
    """Provide what works with the stores and Graph of a configuration; a terminal shows meanwhile what it is ``doing``."""
    from sync.app import build  # noqa: PLC0415 - only if the file is valid

    with console.progress(doing), build(config, clock=clock) as app:
        yield app


def carry_out(command: Callable[[], int], form: Form, *, interrupted: str = "Interrupted. Nothing was written.") -> int:
    """Run a command and return its exit code; print why it cannot be carried out, where it cannot."""
    try:
        return command()
    except ConfigErrors as errors:
        console.put_errors(errors, form)
    except SelectionError as error:
        console.put_failure("selection", str(error), form)
    except UsageError as error:
        console.put_failure("usage", str(error), form)
    except Stopping:
        console.put_failure("interrupted", interrupted, form)
        return INTERRUPTED
    return 2
