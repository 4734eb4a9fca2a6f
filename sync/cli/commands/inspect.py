"""The command ``doctor``: examine each dependency, and print what is wrong and who does what about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sync.cli.commands.cycle import INTERRUPTED, configuration, selected
from sync.cli.options import CycleOptions
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.resolve.select import SelectionError
from sync.ops.process import keep_memory_private, silence_libraries, watch_signals
from sync.runtime.threads import Clock, Stopping, SystemClock

if TYPE_CHECKING:
    from sync.core.report.finding import Finding

_PAUSE = 5.0
"""Seconds between two examinations while doctor waits."""


def doctor(options: CycleOptions, *, wait: float) -> int:
    """Examine each dependency and print the findings; repeat for ``wait`` seconds at most while a check fails."""
    clock = SystemClock()
    watch_signals(clock, exit_code=INTERRUPTED)
    keep_memory_private()
    silence_libraries()
    try:
        config = configuration(options.file)
        selection = selected(config, options)
        from sync.app import build  # noqa: PLC0415 - only if the file is valid

        with console.progress("examining each dependency"), build(config, clock=clock) as app:
            findings = repeated(lambda: app.examine(selection), clock, wait)
    except ConfigErrors as errors:
        console.put_errors(errors, options.form)
        return 2
    except SelectionError as error:
        console.put_failure("selection", str(error), options.form)
        return 2
    except Stopping:
        console.put_failure("interrupted", "Interrupted. Nothing was written.", options.form)
        return INTERRUPTED
    from sync.cli.output.doctor import exit_code, sections, summary  # noqa: PLC0415 - only with findings

    if options.form is Form.JSON:
        console.put_json({"format": 1, "checks": [finding.as_json() for finding in findings]})
        return exit_code(findings)
    for title, items in sections(findings):
        console.put_title(title)
        console.put_items(items)
    console.put("", *summary(findings))
    return exit_code(findings)


def repeated(examine: Callable[[], Sequence[Finding]], clock: Clock, wait: float) -> Sequence[Finding]:
    """Examine until the exit code is 0 or the time is over, and return the last findings; say on stderr what is waited for."""
    from sync.cli.output.doctor import unjudged  # noqa: PLC0415 - only with findings

    end, before = clock.monotonic() + wait, ""
    while True:
        findings = examine()
        fails = [f"{one.id} {one.subject}".rstrip() for one in findings if one.status == "fail"]
        failed = ", ".join(fails or unjudged(findings))
        left = end - clock.monotonic()
        if left <= 0 or not failed:
            return findings
        if failed != before:
            console.put_note(f"Waiting for {failed}.")
        before = failed
        clock.sleep(min(_PAUSE, left))
