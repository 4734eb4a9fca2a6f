"""The log lines of a configuration that is not usable."""

from __future__ import annotations

from collections.abc import Iterator

from sync.config.errors import ConfigErrors
from sync.core.report.event import Event

_LISTED = 50
"""A log line lists at most this many errors of a configuration; further lines list the others."""


def rejected_events(errors: ConfigErrors, consequence: str) -> Iterator[Event]:
    """Yield the lines for all errors; the first one has ``consequence``, a sentence, and the first error."""
    texts = [str(error).partition("\n")[0] for error in errors.errors]
    total, more = len(texts), len(texts) - 1
    for start in range(0, total, _LISTED):
        listed = texts[start : start + _LISTED]
        message = f"Errors {start + 1:,} to {start + len(listed):,} of {total:,} in the configuration."
        if not start:
            message = f"{consequence} {texts[0]}" + (f" ({more:,} more: see errors)" if more else "")
        remedy = errors.errors[start].remedy
        fields = {"message": message, "owner": "operator", "remedy": remedy, "errors": listed}
        yield Event("error", "config_rejected", fields)
