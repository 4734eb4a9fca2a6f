"""Read back what was just written to AWS Secrets Manager, which is eventually consistent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.core.model import Absent, Marks, StoreError, Version
from sync.runtime.threads import Clock, Stopping
from sync.stores.aws.client import AwsClient
from sync.stores.aws.entry import CURRENT, Entry
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.read import AwsReader
from sync.stores.aws.replicas import Replicas

_VISIBLE_WITHIN = 15.0
_LONGEST_PAUSE = 4.0


@dataclass(frozen=True)
class AwsReadBack:
    """Reads until a write is visible, for at most 15 s. False means "not visible yet", not that the write failed."""

    client: AwsClient
    reader: AwsReader
    replicas: Replicas
    clock: Clock

    def content(self, name: str, arn: str, version: Version, text: str) -> bool | FailedCall:
        """Check the value of a version, by its id; FailedCall where it cannot be read or differs from what was sent."""

        def look() -> bool | FailedCall | None:
            answer = self.client.call("GetSecretValue", name, SecretId=arn, VersionId=version)
            if isinstance(answer, FailedCall):
                return None if answer.code == "ResourceNotFoundException" else answer
            return True if answer.get("SecretString") == text else _other_content(name)

        return self._until(look)

    def description(self, before: Entry, version: Version, marks: Marks) -> bool:
        """Check the current version and the marks."""

        def look() -> bool | None:
            after = self.reader.describe(before.arn)
            if isinstance(after, FailedCall | Absent) or after.current not in (version, before.current):
                return False
            self.replicas.note(after.name, after.replicas)
            return True if (after.current, after.marks) == (version, marks) else None

        return self._until(look) is True

    def current(self, name: str, arn: str, version: Version, text: str) -> bool:
        """Check the value that applications read now."""

        def look() -> bool | None:
            answer = self.client.call("GetSecretValue", name, SecretId=arn, VersionStage=CURRENT)
            if isinstance(answer, FailedCall):
                return False
            return True if (answer["VersionId"], answer.get("SecretString")) == (version, text) else None

        return self._until(look) is True

    def _until(self, look: Callable[[], bool | FailedCall | None]) -> bool | FailedCall:
        end, pause = self.clock.monotonic() + _VISIBLE_WITHIN, 0.25
        while True:
            seen = look()
            if seen is not None:
                return seen
            if self.clock.monotonic() + pause > end:
                return False
            try:
                self.clock.sleep(pause)
            except Stopping:
                # The write is done; the next cycle after the restart checks it.
                return False
            pause = min(pause * 2, _LONGEST_PAUSE)


def _other_content(name: str) -> FailedCall:
    error = StoreError(
        "unexpected",
        f"{name}: the new version's value differs from what was sent.",
        "Look for a proxy or emulator that changes requests.",
    )
    return FailedCall("", error)
