"""Whether the daemon is alive and ready, each with its reason. Pure: failures of Meta or of a store change neither."""

from __future__ import annotations

from dataclasses import dataclass

from sync.ops.status import Snapshot

HEART_SECONDS = 60.0
"""After so many seconds without a beat the scheduler counts as ended. It beats each second, and reads configurations between."""


@dataclass(frozen=True, slots=True)
class Health:
    """An answer to a health check."""

    ok: bool
    reason: str


def alive(snapshot: Snapshot, *, now: float, stuck_after: float) -> Health:
    """Check whether the scheduler's heart beats and a running cycle advances; ``now`` and the seconds are monotonic."""
    silent = now - snapshot.heart_at
    if silent > HEART_SECONDS:
        return Health(False, f"The scheduler has not been active for {silent:.0f} seconds. Restart the daemon.")
    if snapshot.cycle_began_at is not None:
        waiting = now - (snapshot.advanced_at or snapshot.cycle_began_at)
        if waiting > stuck_after:
            reason = f"The running cycle has not advanced for {waiting:.0f} seconds: it is stuck. Restart the daemon."
            return Health(False, reason)
        return Health(True, "A cycle is running.")
    return Health(True, "The scheduler waits for the next cycle.")


def ready(snapshot: Snapshot) -> Health:
    """Check whether a configuration is in force and the first cycle has ended, whatever its result."""
    if snapshot.report is None:
        return Health(False, "The first cycle has not ended yet.")
    return Health(True, f"The last cycle ended with result {snapshot.report.result}.")
