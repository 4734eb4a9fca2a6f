"""What is known of the replicas of secrets: seen where a secret is described anyway, and followed until they are in step.

ListSecrets does not show them, and a DescribeSecret for each secret would cost more than all else in an idle cycle. So
replicas are looked at when a secret is written or read alone; those that are not in step then are looked at again, a few
in each cycle, for as long as this process runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from sync.core.model import Absent
from sync.runtime.threads import Clock
from sync.stores.aws.entry import Entry
from sync.stores.aws.errors import Refused
from sync.stores.aws.settings import AwsReplica

LOOKS = 5
"""How many secrets are described in one cycle for the sake of their replicas alone."""
_PATIENCE = 15 * 60.0
"""Seconds for which a replica may be "InProgress" before it is told of."""
_NAMED = 3
IN_STEP = "InSync"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The state of one secret's replicas by region; ``since`` is when they were first seen out of step."""

    status: Mapping[str, str]
    since: float


class Replicas:
    """Remembers which secrets' replicas are out of step, or are not those that are configured."""

    def __init__(self, wanted: Sequence[AwsReplica], *, clock: Clock) -> None:
        self._wanted = frozenset(replica.region for replica in wanted)
        self._clock = clock
        self._lock = Lock()
        self._followed: dict[str, _Seen] = {}
        self._other: dict[str, tuple[str, str]] = {}

    def begin(self) -> None:
        """Forget the last cycle's differences; what is out of step is followed on."""
        self._other.clear()

    def note(self, name: str, status: Mapping[str, str]) -> None:
        """Record what a description, or the answer of a creation, says of the replicas of a secret of ours, by region."""
        out = {region: state for region, state in status.items() if state != IN_STEP}
        with self._lock:
            before = self._followed.pop(name, None)
            if out:
                self._followed[name] = _Seen(out, before.since if before is not None else self._clock.monotonic())
            self._other.pop(name, None)
            if self._wanted and self._wanted != set(status):
                self._other[name] = _listed(self._wanted - set(status)), _listed(set(status) - self._wanted)

    def look(self, describe: Callable[[str], Entry | Absent | Refused]) -> None:
        """Describe those that were not looked at for longest."""
        with self._lock:
            due = list(self._followed)[:LOOKS]
        for name in due:
            match describe(name):
                case Entry(blocked=None, replicas=status):
                    self.note(name, status)
                case Refused():
                    self._again(name)
                case _:
                    self._forget(name)

    def _again(self, name: str) -> None:
        with self._lock:
            if name in self._followed:
                self._followed[name] = self._followed.pop(name)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._followed.pop(name, None)

    def warnings(self) -> list[str]:
        """Return in sentences what an operator should know, a few secrets by their names."""
        failed: dict[str, list[str]] = {}
        slow: dict[str, list[str]] = {}
        other: dict[tuple[str, str], list[str]] = {}
        late = self._clock.monotonic() - _PATIENCE
        with self._lock:
            for name, seen in self._followed.items():
                for region, state in seen.status.items():
                    if state == "Failed":
                        failed.setdefault(region, []).append(name)
                    elif seen.since <= late:
                        slow.setdefault(region, []).append(name)
            for name, difference in self._other.items():
                other.setdefault(difference, []).append(name)
        return [
            *(
                f"The replica in {region} has failed for {_few(names)}; applications there are not served what is served here. "
                "See StatusMessage of aws secretsmanager describe-secret."
                for region, names in sorted(failed.items())
            ),
            *(
                f"The replica in {region} is not in step after {_PATIENCE / 60:.0f} minutes for {_few(names)}."
                for region, names in sorted(slow.items())
            ),
            *(
                f"The replicas are not those of the configuration ({_differs(*difference)}) for {_few(names)}; "
                "they are set at creation and not changed later: aws secretsmanager replicate-secret-to-regions."
                for difference, names in sorted(other.items())
            ),
        ]


def _listed(regions: Iterable[str]) -> str:
    return ", ".join(sorted(regions))


def _differs(missing: str, more: str) -> str:
    return "; ".join([*([f"missing: {missing}"] if missing else []), *([f"more: {more}"] if more else [])])


def _few(names: Sequence[str]) -> str:
    named, rest = sorted(names)[:_NAMED], len(names) - _NAMED
    return ", ".join(named) + (f" and {rest} more" if rest > 0 else "")
