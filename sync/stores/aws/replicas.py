"""Warn about replicas of secrets that are out of sync, or that differ from the configuration.

ListSecrets does not show replicas, and a DescribeSecret for each secret would cost more than all other requests of an
idle cycle. Replicas are therefore noted when a secret is described for another reason. Those that are out of sync then
are described again, a few in each cycle, until they are in sync or this process ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from sync.core.model import Absent
from sync.core.report.text import some
from sync.runtime.threads import Clock
from sync.stores.aws.entry import Entry
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.settings import AwsReplica

LOOKS = 5
"""Secrets that one cycle describes only because of their replicas."""
_PATIENCE = 15 * 60.0
"""Seconds for which a replica may be "InProgress" without a warning."""
IN_SYNC = "InSync"


@dataclass(frozen=True, slots=True)
class _OutOfSync:
    """The states of one secret's replicas by Region, and when they were first seen out of sync."""

    states: Mapping[str, str]
    since: float


class Replicas:
    """Remembers which secrets' replicas are out of sync, and which differ from the configured Regions."""

    def __init__(self, wanted: Sequence[AwsReplica], *, clock: Clock) -> None:
        self._wanted = {replica.region for replica in wanted}
        self._clock = clock
        self._lock = Lock()
        self._out_of_sync: dict[str, _OutOfSync] = {}
        self._different: dict[str, str] = {}

    def begin(self) -> None:
        """Forget the differences of the last cycle; what is out of sync stays remembered."""
        self._different.clear()

    def note(self, name: str, states: Mapping[str, str]) -> None:
        """Record the state of each replica of one of this instance's secrets, by Region."""
        out = {region: state for region, state in states.items() if state != IN_SYNC}
        with self._lock:
            before = self._out_of_sync.pop(name, None)
            if out:
                self._out_of_sync[name] = _OutOfSync(out, before.since if before else self._clock.monotonic())
            self._different.pop(name, None)
            if self._wanted and self._wanted != set(states):
                self._different[name] = _difference(self._wanted, set(states))

    def look(self, describe: Callable[[str], Entry | Absent | FailedCall]) -> None:
        """Describe those secrets again that were described longest ago."""
        with self._lock:
            due = list(self._out_of_sync)[:LOOKS]
        for name in due:
            found = describe(name)
            if isinstance(found, Entry) and found.blocked is None:
                self.note(name, found.replicas)
                continue
            with self._lock:
                known = self._out_of_sync.pop(name, None)
                if known is not None and isinstance(found, FailedCall):
                    self._out_of_sync[name] = known

    def warnings(self) -> list[str]:
        """Return one sentence for each Region and problem, with a few of the secrets' names."""
        failed: dict[str, list[str]] = defaultdict(list)
        slow: dict[str, list[str]] = defaultdict(list)
        different: dict[str, list[str]] = defaultdict(list)
        late = self._clock.monotonic() - _PATIENCE
        with self._lock:
            for name, seen in self._out_of_sync.items():
                for region, state in seen.states.items():
                    if state == "Failed":
                        failed[region].append(name)
                    elif seen.since <= late:
                        slow[region].append(name)
            for name, difference in self._different.items():
                different[difference].append(name)
        return [
            *(
                f"Replication to {region} has failed for {some(sorted(names))}; applications there do not get the current value. "
                "See StatusMessage of aws secretsmanager describe-secret."
                for region, names in sorted(failed.items())
            ),
            *(
                f"The replica in {region} is not in sync after {_PATIENCE / 60:.0f} minutes for {some(sorted(names))}."
                for region, names in sorted(slow.items())
            ),
            *(
                f"The replica Regions differ from the configuration ({difference}) for {some(sorted(names))}; "
                "they are set at creation and not changed later: aws secretsmanager replicate-secret-to-regions."
                for difference, names in sorted(different.items())
            ),
        ]


def _difference(wanted: set[str], found: set[str]) -> str:
    parts = {"missing": wanted - found, "extra": found - wanted}
    return "; ".join(f"{what}: {', '.join(sorted(regions))}" for what, regions in parts.items() if regions)
