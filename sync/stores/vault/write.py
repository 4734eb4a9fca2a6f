"""Writing to a KV mount: data by compare-and-set, then the marks, then both are read back.

The compare-and-set of the data decides between two writers; marks only say whose the secret is. A lost answer and a failed
compare-and-set are both settled by reading: a standby judges the version by its own old copy (OpenBao 2.7.2, 2026-11).
A renewal is a write without marks, over a secret that another tool may own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.core import marks as mark_map
from sync.core.model import Absent, Marks, Stored, StoreError, Written
from sync.core.payload import Payload
from sync.runtime.threads import GraceClock, Stopping
from sync.stores.vault import kv
from sync.stores.vault.engine import Engine, Mismatch, Put

_CATCH_UP = 5.0
"""Seconds for which an answer that is older than the write comes from a node that lags."""
_REST = 0.5
"""Seconds kept for the last answer: a request that is cut off would count as a timeout of the whole store."""
GRACE = 5.0
"""Seconds that a write has after a shutdown request; the rest of the ten seconds is for the report and for revoking logins."""
_PAUSE = 0.1
_LONG_PAUSE = 2.0
_OF_ONE_WRITE = {"written-at", "reason"}
"""Marks that say when and why; two daemons that write the same payload differ in them."""

_UNANSWERED = ("timeout", "unreachable", "no-leader")
"""Error codes after which a PATCH may have taken effect; sent again it changes nothing."""

CONFLICT = StoreError(
    "conflict",
    "Another writer changed the secret first; this write changed nothing.",
    "Nothing to do: the next cycle decides again on what is stored then.",
    owner="nobody",
)

CUT_OFF = StoreError(
    "timeout",
    "Shutdown interrupted the write; it may have taken effect.",
    "Nothing to do: the next start reads what is stored.",
    owner="nobody",
    maybe_written=True,
)

_REMOVED = replace(CONFLICT, message="The secret was removed or replaced before its marks were written.")


@dataclass(frozen=True, slots=True)
class _Write:
    """What is to be at a path, over which version, and the monotonic time by which it must be done.

    ``payload`` None is that of a deleted version or of a container without versions, which is marked.
    ``marks`` None is a renewal: the map of marks is neither read nor written, so that the secret stays its owner's. ``before``
    are the marks that a person has decided to replace, which may be another instance's.
    """

    path: str
    payload: Payload | None
    marks: Marks | None
    cas: int
    end: float
    before: Marks | None = None


@dataclass(frozen=True)
class Writer:
    """Writes one path at a time, from any thread."""

    engine: Engine
    clock: GraceClock

    def write(self, path: str, payload: Payload, marks: Marks | None, cas: int, end: float) -> Written | StoreError:
        """Write payload and marks over version ``cas``, 0 to create; ``marks`` None renews a version that has a value."""
        value = payload.reveal()
        if isinstance(value, str):
            remedy = "Make `payload` a map of names, or keep this secret in another store."
            return StoreError("unreadable", "KV holds objects, and the payload is raw text.", remedy)
        trouble = self.engine.check(end)
        if trouble is None and marks is not None:
            trouble = self.engine.may_write(path, cas, end)
        if trouble is not None:
            return trouble
        wanted = _Write(path, payload, marks, cas, end)
        return self._finish(lambda: self._written(wanted, value))

    def mark(self, path: str, marks: Marks, version: str, read: Stored | None, end: float) -> Written | StoreError:
        """Write the marks alone, if ``version`` is still the newest, and the secret is still the one that was ``read``.

        That may be a deleted one, whose marks stay, or a container that never had a value.
        """
        trouble = self.engine.check(end) or self.engine.may_write(path, None, end)
        now = trouble or self.engine.read(path, end)
        if isinstance(now, Absent) and read is not None and read.state == "empty":
            now = _as_found(self.engine.metadata(path, end))
        if isinstance(now, StoreError):
            return now
        if not isinstance(now, kv.Found) or str(now.info.version) != version:
            return CONFLICT
        if now.payload is None and (read is None or read.state == "live"):
            return CONFLICT
        before = read.marks if read is not None else None
        if _is_anothers(now.info.custom, marks, before) or not (read is None or _is_as_read(now, read)):
            return CONFLICT
        wanted = _Write(path, now.payload, marks, now.info.version, end, before)
        custom = mark_map.patch(marks, now.info.custom)
        return self._finish(lambda: self._marked(wanted, custom))

    def _finish(self, write: Callable[[], Written | StoreError]) -> Written | StoreError:
        """Carry out a write, which a shutdown cuts off only after its grace; raises Stopping where it must not begin."""
        self.clock.check()
        try:
            with self.clock.grace(GRACE):
                return write()
        except Stopping:
            return CUT_OFF

    def _written(self, wanted: _Write, value: Mapping[str, Any]) -> Written | StoreError:
        put = self._put(wanted, value)
        if isinstance(put, StoreError):
            return put
        marks = wanted.marks
        if marks is not None:
            if _is_anothers(put.custom, marks):
                message = "Another instance marked this secret as its own during the write."
                return replace(CONFLICT, message=message, maybe_written=True)
            if mark_map.would_release(mark_map.from_map(put.custom), marks):
                # A rollback has marked the secret since this write was decided on; only a person ends its hold.
                marks = replace(marks, hold=put.custom["hold"])
                wanted = replace(wanted, marks=marks)
            failed = self._mark(wanted, mark_map.patch(marks, put.custom), put.version)
            if failed is not None:
                return replace(failed, maybe_written=True)
        return self._confirm(wanted, put.version)

    def _marked(self, wanted: _Write, custom: Mapping[str, str | None]) -> Written | StoreError:
        failed = self._mark(wanted, custom, wanted.cas)
        if failed is not None:
            return replace(failed, maybe_written=failed.error_code in _UNANSWERED)
        return self._confirm(wanted, wanted.cas)

    def _put(self, wanted: _Write, value: Mapping[str, Any]) -> Put | StoreError:
        """Write the data, and again where a try is known to have done nothing.

        A mismatch over the very version that was named comes from a standby with an old copy: of the write, or of what is
        read then. It is believed after the time in which nodes catch up. A lost answer says nothing about another writer,
        however often it happens: during an election each one may come from a node that is down.
        """
        lost = False
        pause, last = _PAUSE, wanted.end - _REST
        while True:
            if wanted.marks is None:
                # Compare-and-set succeeds over a deleted version too, and what is deleted must not be renewed.
                ready = self._settle(wanted, lost=lost)
                if not isinstance(ready, Mismatch):
                    return ready
            put = self.engine.put(wanted.path, value, wanted.cas, wanted.end)
            if isinstance(put, Put):
                return put
            if isinstance(put, StoreError) and not put.maybe_written:
                return replace(put, maybe_written=lost)
            lost = lost or isinstance(put, StoreError)
            settled = self._settle(wanted, lost=lost)
            if not isinstance(settled, Mismatch):
                return settled
            if isinstance(put, Mismatch):
                last = min(last, self.clock.monotonic() + _CATCH_UP)
            if self.clock.monotonic() + pause >= last:
                return replace(CONFLICT, maybe_written=lost) if isinstance(put, Mismatch) else put
            self.clock.sleep(pause)
            pause = min(pause * 2, _LONG_PAUSE)

    def _settle(self, wanted: _Write, *, lost: bool) -> Put | Mismatch | StoreError:
        """Return which write is stored: the wanted one (Put), the one before it (Mismatch), or another's (an error)."""
        for now in self._looks(wanted):
            if isinstance(now, StoreError):
                return replace(now, maybe_written=lost)
            info = now.info if isinstance(now, kv.Found) else now
            version = 0 if isinstance(info, Absent) else info.version
            if isinstance(now, kv.Found) and now.payload == wanted.payload:
                if _is_done(now, wanted, lost=lost):
                    return Put(version, now.info.custom)
                if now.marks is not None:
                    return replace(CONFLICT, maybe_written=lost)
                # The wanted payload without marks: another daemon is between its two writes.
            elif version == wanted.cas:
                return Mismatch() if _is_as_decided(now, wanted) else replace(CONFLICT, maybe_written=lost)
            elif version > wanted.cas and isinstance(now, kv.Found):
                # Another content right after the version that was named proves that this write never took effect.
                another = now.payload is not None and version == wanted.cas + 1
                return replace(CONFLICT, maybe_written=lost and not another)
            # An older version comes from a node that lags, and so does a newer one without its value.
        return replace(CONFLICT, maybe_written=lost)

    def _mark(self, wanted: _Write, custom: Mapping[str, str | None], version: int) -> StoreError | None:
        """Merge into the map of marks beside ``version``.

        PATCH leaves the entries of others alone, and to send it twice does no harm. It has no compare-and-set: so where the
        node that was asked does not know the secret, it is read before the next try, since it may be another's by then.
        """
        if not custom:
            return None
        failed = self.engine.patch(wanted.path, custom, wanted.end)
        if not isinstance(failed, Absent):
            return failed
        for now in self._looks(wanted):
            if isinstance(now, StoreError):
                return now
            if not isinstance(now, kv.Found) or now.info.version < version:
                continue
            if not _is_unchanged(now, wanted, version):
                return _REMOVED
            failed = self.engine.patch(wanted.path, custom, wanted.end)
            if not isinstance(failed, Absent):
                return failed
        return _REMOVED

    def _confirm(self, wanted: _Write, version: int) -> Written:
        try:
            return self._read_back(wanted, version)
        except Stopping:
            return Written(str(version), confirmed=False)

    def _read_back(self, wanted: _Write, version: int, *, repaired: bool = False) -> Written:
        """Read back and compare; marks that another daemon of this instance overwrote are written once more."""
        for seen in self._looks(wanted):
            now = _as_found(seen) if wanted.payload is None else seen
            if isinstance(now, StoreError):
                break
            if not isinstance(now, kv.Found) or now.info.version < version:
                continue
            same = now.payload == wanted.payload
            rest = {} if wanted.marks is None else mark_map.patch(wanted.marks, now.info.custom)
            if same and set(rest) <= _OF_ONE_WRITE:
                return Written(str(now.info.version), confirmed=True)
            if not same or now.info.version > version or not _has_same_owner(now.marks, wanted.marks):
                break
            if not repaired:
                self._mark(wanted, rest, version)
                return self._read_back(wanted, version, repaired=True)
        return Written(str(version), confirmed=False)

    def _looks(self, wanted: _Write) -> Iterator[kv.Found | kv.Info | Absent | StoreError]:
        """Yield what is stored, as ``looks`` does. A container without a value has a version too.

        A renewal's policy need not allow metadata.
        """
        for now in looks(self.engine, self.clock, wanted.path, wanted.end):
            absent = isinstance(now, Absent) and wanted.marks is not None
            yield self.engine.metadata(wanted.path, wanted.end) if absent else now


def looks(engine: Engine, clock: GraceClock, path: str, end: float) -> Iterator[kv.Found | Absent | StoreError]:
    """Yield what is stored, again and again as long as the answer may come from a node that lags."""
    until = min(end - _REST, clock.monotonic() + _CATCH_UP)
    while True:
        yield engine.read(path, end)
        if clock.monotonic() + _PAUSE >= until:
            return
        clock.sleep(_PAUSE)


def _as_found(now: kv.Found | kv.Info | Absent | StoreError) -> kv.Found | Absent | StoreError:
    """Return a container, which the data endpoint does not know, as a secret without a value."""
    return kv.Found(None, now) if isinstance(now, kv.Info) else now


def _is_done(now: kv.Found, wanted: _Write, *, lost: bool) -> bool:
    """Check whether the wanted payload, which is stored, is this instance's: marked so, or just written without an answer."""
    if wanted.marks is None or _has_same_owner(now.marks, wanted.marks):
        return True
    return lost and now.marks is None and now.info.version == wanted.cas + 1


def _is_as_decided(now: kv.Found | kv.Info | Absent, wanted: _Write) -> bool:
    """Check whether the version that was named is still that secret: numbers begin again after a removal."""
    if wanted.marks is None:
        return isinstance(now, kv.Found) and now.payload is not None
    if isinstance(now, Absent):
        return wanted.cas == 0
    info = now.info if isinstance(now, kv.Found) else now
    return _has_same_owner(mark_map.from_map(info.custom), wanted.marks)


def _is_as_read(now: kv.Found, read: Stored) -> bool:
    """Check whether a secret is the one that was read: marks have no version, and numbers begin again after a removal."""
    return now.payload == read.payload and mark_map.same_owner_and_hold(now.marks, read.marks)


def _is_unchanged(now: kv.Found, wanted: _Write, version: int) -> bool:
    """Check whether the secret to be marked is still there, and not another instance's."""
    same = (now.info.version, now.payload) == (version, wanted.payload)
    return same and not (wanted.marks is not None and _is_anothers(now.info.custom, wanted.marks, wanted.before))


def _is_anothers(custom: Mapping[str, str], marks: Marks, before: Marks | None = None) -> bool:
    """Check whether another instance has marked the secret, other than the one whose marks are replaced."""
    theirs = mark_map.from_map(custom)
    if theirs is None or theirs.instance == marks.instance:
        return False
    return mark_map.owner(theirs) != mark_map.owner(before)


def _has_same_owner(found: Marks | None, marks: Marks | None) -> bool:
    return found is not None and mark_map.owner(found) == mark_map.owner(marks)
