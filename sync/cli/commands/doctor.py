"""The command ``doctor``: examine each dependency, and print what is wrong and who does what about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sync.cli.command import begin, carry_out, configuration, opened, selected
from sync.cli.options import CycleOptions
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.cli.remedies import with_file
from sync.runtime.threads import Clock

if TYPE_CHECKING:
    from sync.core.report.finding import Finding

_PAUSE = 5.0
"""Seconds between two examinations while doctor waits."""


def doctor(options: CycleOptions, *, wait: float) -> int:
    """Examine each dependency and print the findings; repeat for ``wait`` seconds at most while a check fails."""
    return carry_out(lambda: _doctor(options, wait), options.form)


def _doctor(options: CycleOptions, wait: float) -> int:
    clock, config = begin(), configuration(options.file)
    selection = selected(config, options)
    with opened(config, clock, "examining each dependency") as app:
        found = repeated(lambda: app.examine(selection), clock, wait)
    findings = [replace(finding, remedy=with_file(finding.remedy, options.file)) for finding in found]
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
