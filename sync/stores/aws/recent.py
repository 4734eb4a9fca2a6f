"""What this process wrote a moment ago, since lists of AWS may not show it for minutes.

AWS documents of ListSecrets that it is eventually consistent and may not show changes of the last five minutes (API
reference, read 2026-11-25).
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.core.model import Marks, StoreError, Version, Written
from sync.runtime.threads import Clock
from sync.stores.aws.entry import Entry, same_marks

_LAG = 15 * 60.0
"""Seconds after which a list that does not show a write is believed: somebody else has changed it since."""


@dataclass(frozen=True, slots=True)
class _Write:
    """What a list must show; ``version`` is None where it is not known whether the write took effect."""

    version: Version | None
    marks: Marks
    at: float


class Recent:
    """Remembers each write until a list shows it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writes: dict[str, _Write] = {}

    def wrote(self, name: str, answer: Written | StoreError, marks: Marks) -> None:
        """Remember how a write ended; one that certainly changed nothing is none."""
        if isinstance(answer, Written):
            self._writes[name] = _Write(answer.version, marks, self._clock.monotonic())
        elif answer.maybe_written:
            self._writes[name] = _Write(None, marks, self._clock.monotonic())

    def hides(self, name: str, row: Entry | None) -> bool:
        """Tell whether a list's row of a secret, or its lack, may be older than a write of ours."""
        write = self._writes.get(name)
        if write is None:
            return False
        shown = row is not None and row.current == write.version and same_marks(row.marks, write.marks)
        if shown or self._clock.monotonic() - write.at > _LAG:
            self._writes.pop(name, None)
            return False
        return True
