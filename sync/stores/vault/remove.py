"""Deleting one version of a secret so that it can be restored; the marks and all earlier versions stay.

KV has no compare-and-set for this, but deletes by the number of a version: what another writer adds meanwhile stays.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from sync.core.model import Absent, Marks, Removed, StoreError
from sync.runtime.threads import GraceClock, Stopping
from sync.stores.vault import kv
from sync.stores.vault.engine import Engine
from sync.stores.vault.settings import VaultSettings
from sync.stores.vault.write import CONFLICT, CUT_OFF, GRACE, looks


@dataclass(frozen=True)
class Remover:
    """Deletes one path at a time, from any thread."""

    engine: Engine
    clock: GraceClock
    settings: VaultSettings

    def remove(self, path: str, version: str, marks: Marks, end: float) -> Removed | Absent | StoreError:
        """Delete ``version`` if it is the newest, and the marks are the ones that were read."""
        now = self.engine.check(end) or self.engine.read(path, end)
        if isinstance(now, Absent | StoreError):
            return now
        if str(now.info.version) != version or now.marks != marks:
            return CONFLICT
        if now.payload is None:
            return self._removed(path, version)
        self.clock.check()
        try:
            with self.clock.grace(GRACE):
                return self._deleted(path, now.info.version, end)
        except Stopping:
            return CUT_OFF

    def _deleted(self, path: str, version: int, end: float) -> Removed | Absent | StoreError:
        failed = self.engine.delete(path, version, end)
        if failed is not None and not failed.maybe_written:
            return failed
        for now in looks(self.engine, self.clock, path, end):
            match now:
                case StoreError():
                    return replace(now, maybe_written=True)
                case kv.Found(payload=None, info=info) if info.version == version:
                    return self._removed(path, str(version))
                case kv.Found(info=info) if info.version > version:
                    return replace(CONFLICT, maybe_written=True)
                case _:
                    pass  # An older answer comes from a node that lags.
        return failed or replace(CONFLICT, maybe_written=True)

    def _removed(self, path: str, version: str) -> Removed:
        settings = self.settings
        namespace = [f"-namespace={settings.namespace}"] if settings.namespace else []
        options = [f"-address={settings.address}", *namespace, f"-mount={settings.mount}", f"-versions={version}"]
        return Removed(shlex.join(["vault", "kv", "undelete", *options, path]))
