"""Writing to a KV mount: data by compare-and-set, then the marks, then both read back.

Data decides between two writers; marks only say whose it is. An answer that was lost, and a compare-and-set that failed,
are both settled by reading: a standby judges the version by its own old copy (measured with OpenBao 2.7.2, 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.core import marks as mark_map
from sync.core.model import Absent, Marks, StoreError, Written
from sync.core.payload import Payload
from sync.runtime.threads import GraceClock, Stopping
from sync.stores.vault import kv
from sync.stores.vault.engine import Engine, Mismatch, Put

_CATCH_UP = 5.0
"""Seconds for which an answer older than our write means "not yet"."""
_REST = 0.5
"""Seconds kept for the last answer: one that is cut off would count as a timeout of the whole store."""
_GRACE = 5.0
"""Seconds after shutdown was asked for; what is left of the ten for all is for the account of the cycle and for giving back logins."""
_PAUSE = 0.1
_LONG_PAUSE = 2.0
_OF_A_WRITE = {"written-at", "reason"}
"""Marks that say when and why; two who write the same differ in them."""

CONFLICT = StoreError(
    "conflict",
    "Another writer was faster; nothing was changed.",
    "Nothing to do: the next cycle decides again on what is stored then.",
    owner="nobody",
)


_UNANSWERED = ("timeout", "unreachable", "no-leader")
"""Reasons for which a patch may have taken effect all the same; sent again it changes nothing."""

_CUT_OFF = StoreError(
    "timeout",
    "Shutdown came before the write was through; it may have been done.",
    "Nothing to do: the next start finds out.",
    owner="nobody",
    maybe_written=True,
)

_REMOVED = replace(CONFLICT, message="The secret was removed while it was marked.")


@dataclass(frozen=True, slots=True)
class _Still:
    """What must be there for marks to be put beside it."""

    version: int
    payload: Payload
    marks: Marks

    def holds(self, now: kv.Found) -> bool:
        """Check whether it is there, and no other's."""
        same = (now.info.version, now.payload) == (self.version, self.payload)
        return same and not _is_anothers(now.info.custom, self.marks)


@dataclass(frozen=True)
class Writer:
    """Writes one path at a time, from any thread."""

    engine: Engine
    clock: GraceClock

    def write(self, path: str, payload: Payload, marks: Marks, cas: int, end: float) -> Written | StoreError:
        """Write payload and marks over version ``cas``, 0 for none."""
        value = payload.reveal()
        if isinstance(value, str):
            remedy = "Make `payload` a map of names, or keep this Page's secret in another store."
            return StoreError("unreadable", "KV holds objects, and the payload is raw text.", remedy)
        trouble = self.engine.check(end) or self.engine.may_write(path, cas, end)
        if trouble is not None:
            return trouble
        return finished(self.clock, lambda: self._written(path, value, marks, cas, end))

    def _written(self, path: str, value: Mapping[str, Any], marks: Marks, cas: int, end: float) -> Written | StoreError:
        put = self._put(path, value, marks, cas, end)
        if isinstance(put, StoreError):
            return put
        theirs = mark_map.from_map(put.custom)
        if theirs is not None and theirs.instance != marks.instance:
            return replace(
                CONFLICT, message="Another instance took this secret while it was written.", maybe_written=True
            )
        payload = Payload(value)
        marked = self._mark(path, mark_map.patch(marks, put.custom), end, still=_Still(put.version, payload, marks))
        if marked is not None:
            return replace(marked, maybe_written=True)
        return self._confirm(path, payload, marks, put.version, end)

    def mark(self, path: str, marks: Marks, version: str, end: float) -> Written | StoreError:
        """Write the marks alone, if ``version`` is still the newest."""
        trouble = self.engine.check(end) or self.engine.may_write(path, None, end)
        now = trouble or self._look(path, end)
        if isinstance(now, StoreError):
            return now
        if not isinstance(now, kv.Found) or now.payload is None or str(now.info.version) != version:
            return CONFLICT
        if _is_anothers(now.info.custom, marks):
            return CONFLICT
        still = _Still(now.info.version, now.payload, marks)
        custom = mark_map.patch(marks, now.info.custom)
        return finished(self.clock, lambda: self._marked(path, custom, end, still=still))

    def _marked(
        self, path: str, custom: Mapping[str, str | None], end: float, *, still: _Still
    ) -> Written | StoreError:
        failed = self._mark(path, custom, end, still=still)
        if failed is not None:
            return replace(failed, maybe_written=failed.error_code in _UNANSWERED)
        return self._confirm(path, still.payload, still.marks, still.version, end)

    def _put(self, path: str, value: Mapping[str, Any], marks: Marks, cas: int, end: float) -> Put | StoreError:
        """Write the data; again where a try is known to have done nothing.

        A mismatch that is none is a standby's error, and two of them are believed. A lost answer says nothing of another
        writer, however often it happens: through an election it may be a dead node's each time.
        """
        lost = mismatched = False
        pause = _PAUSE
        while True:
            put = self.engine.put(path, value, cas, end)
            if isinstance(put, Put):
                return put
            if isinstance(put, StoreError) and not put.maybe_written:
                return replace(put, maybe_written=lost)
            lost = lost or isinstance(put, StoreError)
            settled = self._settle(path, Payload(value), marks, cas, end, lost=lost)
            if not isinstance(settled, Mismatch):
                return settled
            if isinstance(put, Mismatch):
                if mismatched:
                    return replace(CONFLICT, maybe_written=lost)
                mismatched = True
                continue
            if self.clock.monotonic() + pause >= end:
                return put
            self.clock.sleep(pause)
            pause = min(pause * 2, _LONG_PAUSE)

    def _settle(
        self, path: str, payload: Payload, marks: Marks, cas: int, end: float, *, lost: bool
    ) -> Put | Mismatch | StoreError:
        """Read what a write without a success has left: our payload, the version as it was (Mismatch), or another's."""
        until = min(end - _REST, self.clock.monotonic() + _CATCH_UP)
        while True:
            now = self._look(path, end)
            if isinstance(now, StoreError):
                return replace(now, maybe_written=lost)
            info = now.info if isinstance(now, kv.Found) else now
            version = 0 if isinstance(info, Absent) else info.version
            if isinstance(now, kv.Found) and now.payload == payload:
                if _is_ours(now.marks, marks) or (lost and now.marks is None and version == cas + 1):
                    return Put(version, now.info.custom)
                if now.marks is not None:
                    return replace(CONFLICT, maybe_written=lost)
            elif version == cas:
                return Mismatch() if _is_as_decided(info, cas, marks) else replace(CONFLICT, maybe_written=lost)
            elif version > cas and isinstance(now, kv.Found):
                # Another content right after the version that was named says that ours never came to be there.
                another = now.payload is not None and version == cas + 1
                return replace(CONFLICT, maybe_written=lost and not another)
            # An older version is a node that lags, and so is a version without its value; our payload without marks is
            # another daemon between its two writes.
            if self.clock.monotonic() + _PAUSE >= until:
                return replace(CONFLICT, maybe_written=lost)
            self.clock.sleep(_PAUSE)

    def _mark(self, path: str, custom: Mapping[str, str | None], end: float, *, still: _Still) -> StoreError | None:
        """Patch the map of marks, waiting for the secret to be seen by the node that is asked.

        A node that does not know the secret may lag; or the secret was removed, and what comes to be there is another's.
        """
        if not custom:
            return None
        until = min(end - _REST, self.clock.monotonic() + _CATCH_UP)
        while True:
            failed = self.engine.patch(path, custom, end)
            if not isinstance(failed, Absent):
                return failed
            while True:
                if self.clock.monotonic() + _PAUSE >= until:
                    return _REMOVED
                self.clock.sleep(_PAUSE)
                now = self._look(path, end)
                if isinstance(now, StoreError):
                    return now
                # A version without its value is the word of two nodes, of which one lags.
                if isinstance(now, kv.Found) and now.info.version >= still.version:
                    break
            if not still.holds(now):
                return _REMOVED

    def _confirm(self, path: str, payload: Payload, marks: Marks, version: int, end: float) -> Written:
        try:
            return self._read_back(path, payload, marks, version, end)
        except Stopping:
            return Written(str(version), confirmed=False)

    def _read_back(self, path: str, payload: Payload, marks: Marks, version: int, end: float) -> Written:
        """Read back and compare, as long as the answer may be that of a node that lags."""
        until = min(end - _REST, self.clock.monotonic() + _CATCH_UP)
        mended = False
        while True:
            now = self._look(path, end)
            if isinstance(now, StoreError):
                return Written(str(version), confirmed=False)
            if isinstance(now, kv.Found) and now.info.version >= version:
                info, same = now.info, now.payload == payload
                rest = mark_map.patch(marks, info.custom)
                if same and set(rest) <= _OF_A_WRITE:
                    return Written(str(info.version), confirmed=True)
                if not same or info.version > version or not _is_ours(mark_map.from_map(info.custom), marks):
                    return Written(str(version), confirmed=False)
                if not mended:
                    mended = True
                    self._mark(path, rest, end, still=_Still(version, payload, marks))
                    continue
            if self.clock.monotonic() + _PAUSE >= until:
                return Written(str(version), confirmed=False)
            self.clock.sleep(_PAUSE)

    def _look(self, path: str, end: float) -> kv.Found | kv.Info | Absent | StoreError:
        now = self.engine.read(path, end)
        return self.engine.metadata(path, end) if isinstance(now, Absent) else now


def finished(clock: GraceClock, write: Callable[[], Written | StoreError]) -> Written | StoreError:
    """Carry out a write, which shutdown cuts off only when its grace is over; raises Stopping where it is not to begin."""
    clock.check()
    try:
        with clock.grace(_GRACE):
            return write()
    except Stopping:
        return _CUT_OFF


def _is_as_decided(info: kv.Info | Absent, cas: int, marks: Marks) -> bool:
    """Check whether what has the version that was named is still ours: numbers begin again where a secret was removed."""
    if isinstance(info, Absent):
        return cas == 0
    return _is_ours(mark_map.from_map(info.custom), marks)


def _is_anothers(custom: Mapping[str, str], marks: Marks) -> bool:
    """Check whether another instance has marked this since it was decided to mark it."""
    theirs = mark_map.from_map(custom)
    return theirs is not None and theirs.instance != marks.instance


def _is_ours(found: Marks | None, marks: Marks) -> bool:
    return found is not None and (found.instance, found.page_id) == (marks.instance, marks.page_id)
