"""Writing over a secret of a KV mount that need not be ours: its data alone, by compare-and-set.

The map of marks is nobody's business here: it is neither read nor written, so that whoever's secret it is stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.core.model import Absent, StoreError, Written
from sync.core.payload import Payload
from sync.runtime.threads import GraceClock, Stopping
from sync.stores.vault import kv
from sync.stores.vault.engine import Engine, Mismatch, Put
from sync.stores.vault.write import CONFLICT, finished

_CATCH_UP = 5.0
"""Seconds for which an answer older than what was read means that a node lags."""
_REST = 0.5
"""Seconds kept for the last answer: one that is cut off would count as a timeout of the whole store."""
_PAUSE = 0.1
_LONG_PAUSE = 2.0
_MISMATCHES = 2
"""So many are believed: the first one may be a standby's that has not caught up."""


@dataclass(frozen=True)
class Renewer:
    """Renews one path at a time, from any thread."""

    engine: Engine
    clock: GraceClock

    def renew(self, path: str, payload: Payload, cas: int, end: float) -> Written | StoreError:
        """Put a version over ``cas``, which must be there and have a value; an answer that is lost is settled by reading."""
        value = payload.reveal()
        if isinstance(value, str):
            return StoreError("unreadable", "KV holds objects, and the payload is raw text.", "Store an object there.")
        trouble = self.engine.check(end)
        return trouble or finished(self.clock, lambda: self._renewed(path, payload, value, cas=cas, end=end))

    def _renewed(
        self, path: str, payload: Payload, value: Mapping[str, Any], *, cas: int, end: float
    ) -> Written | StoreError:
        put = self._put(path, payload, value, cas=cas, end=end)
        if isinstance(put, StoreError):
            return put
        try:
            return self._confirm(path, payload, put.version, end)
        except Stopping:
            return Written(str(put.version), confirmed=False)

    def _put(self, path: str, payload: Payload, value: Mapping[str, Any], *, cas: int, end: float) -> Put | StoreError:
        """Look and put, in turn, until the payload is there or another's is."""
        lost, mismatches, pause = False, 0, _PAUSE
        while True:
            now = self._now(path, payload, cas, end)
            if isinstance(now, StoreError):
                return replace(now, maybe_written=lost)
            if isinstance(now, Put):
                return now
            if mismatches == _MISMATCHES:
                return replace(CONFLICT, maybe_written=lost)
            put = self.engine.put(path, value, cas, end)
            match put:
                case Put():
                    return put
                case Mismatch():
                    mismatches += 1
                case StoreError(maybe_written=False):
                    return replace(put, maybe_written=lost)
                case StoreError():
                    lost = True
                    if self.clock.monotonic() + pause >= end - _REST:
                        return put
                    self.clock.sleep(pause)
                    pause = min(pause * 2, _LONG_PAUSE)

    def _now(self, path: str, payload: Payload, cas: int, end: float) -> Put | Mismatch | StoreError:
        """Return what is there: our payload, what was decided on (Mismatch), or another's."""
        until = min(end - _REST, self.clock.monotonic() + _CATCH_UP)
        while True:
            now = self.engine.read(path, end)
            if isinstance(now, StoreError):
                return now
            if isinstance(now, kv.Found) and now.payload == payload:
                return Put(now.info.version, now.info.custom)
            version = 0 if isinstance(now, Absent) else now.info.version
            if isinstance(now, kv.Found) and version >= cas:
                return Mismatch() if version == cas and now.payload is not None else CONFLICT
            if self.clock.monotonic() + _PAUSE >= until:
                return CONFLICT
            self.clock.sleep(_PAUSE)

    def _confirm(self, path: str, payload: Payload, version: int, end: float) -> Written:
        """Read back and compare, as long as the answer may be that of a node that lags."""
        until = min(end - _REST, self.clock.monotonic() + _CATCH_UP)
        while True:
            now = self.engine.read(path, end)
            if isinstance(now, StoreError):
                return Written(str(version), confirmed=False)
            if isinstance(now, kv.Found) and now.info.version >= version:
                return Written(str(version), confirmed=now.payload == payload)
            if self.clock.monotonic() + _PAUSE >= until:
                return Written(str(version), confirmed=False)
            self.clock.sleep(_PAUSE)
