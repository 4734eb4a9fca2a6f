"""Writing to AWS Secrets Manager by compare-and-set.

AWS has none of its own: a new version is put under a label of ours, where no application sees it, read back by its id,
and only then made current by a move of AWSCURRENT that names the version it must be taken from. Its id follows from
secret, base version and content, so that whoever repeats a write meets the same version. A kill at any step leaves the
old version current, or the new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, Literal

from sync.core.model import Absent, Key, Marks, StoreError, Version, Written
from sync.core.payload import Payload
from sync.runtime.threads import Clock
from sync.stores.aws.client import AwsClient
from sync.stores.aws.confirm import AwsReadBack
from sync.stores.aws.entry import CURRENT, NOTHING, PREVIOUS, Entry, refused_name, replica_states
from sync.stores.aws.errors import Refused
from sync.stores.aws.pending import Content, PendingWrite, conflict, token, too_long
from sync.stores.aws.read import AwsReader
from sync.stores.aws.replicas import Replicas
from sync.stores.aws.settings import AwsSettings
from sync.stores.aws.tags import AwsTags
from sync.stores.text import wire_text

LABEL = "page-token-sync"
"""Our staging label: on a version that is not current yet. AWSPENDING is other tools' and never touched."""
_RATE = 20


class AwsWriter:
    """Carries out writes; at most 20 are begun in a second, which stays below the service's rates."""

    def __init__(
        self, client: AwsClient, reader: AwsReader, replicas: Replicas, settings: AwsSettings, *, clock: Clock
    ) -> None:
        self._client = client
        self._reader = reader
        self._replicas = replicas
        self._at_creation = _at_creation(settings)
        self._back = AwsReadBack(client, reader, replicas, clock=clock)
        self._tags = AwsTags(client, self._back, settings.tags)
        self._clock = clock
        self._lock = Lock()
        self._begun: deque[float] = deque([float("-inf")] * _RATE, maxlen=_RATE)

    def write(self, key: Key, payload: Payload, marks: Marks, replaces: Version | None) -> Written | StoreError:
        """Create, or replace the version that was decided on."""
        answer = self._write(key, payload, marks, replaces)
        self._reader.recent.wrote(key.path, answer, marks)
        return answer

    def mark(self, key: Key, marks: Marks, version: Version) -> Written | StoreError:
        """Set the tags alone."""
        answer = self._mark(key, marks, version)
        self._reader.recent.wrote(key.path, answer, marks)
        return answer

    def _write(self, key: Key, payload: Payload, marks: Marks, replaces: Version | None) -> Written | StoreError:
        pending = PendingWrite(key, payload, wire_text(payload), marks)
        refused = refused_name(key) or too_long(pending)
        if refused is not None:
            return refused
        self._gate()
        found = self._reader.describe(key.path)
        match found:
            case Refused(error=error):
                return error
            case Absent():
                return self._create(pending) if replaces is None else conflict(key, "is gone")
            case Entry():
                return self._over(pending, found, replaces)

    def _mark(self, key: Key, marks: Marks, version: Version) -> Written | StoreError:
        refused = refused_name(key)
        if refused is not None:
            return refused
        self._gate()
        found = self._reader.describe(key.path)
        match found:
            case Refused(error=error):
                return error
            case Absent():
                return conflict(key, "is gone")
            case Entry():
                if found.blocked or found.current != version:
                    return conflict(key, found.blocked or "has changed")
                if found.marks is not None and found.marks.instance != marks.instance:
                    return conflict(key, "is another's now")
                self._replicas.note(found.name, found.replicas)
                self.drop_label(found)
                return self._tags.settle(found, marks, version, confirmed=True)

    def _gate(self) -> None:
        with self._lock:
            wait = self._begun[0] + 1 - self._clock.monotonic()
            self._begun.append(self._clock.monotonic() + max(wait, 0.0))
        if wait > 0:
            self._clock.sleep(wait)

    def _create(self, pending: PendingWrite) -> Written | StoreError:
        """Create value and tags in one call; the first version is current at once."""
        answer = self._client.call(
            "CreateSecret",
            pending.key.path,
            Name=pending.key.path,
            SecretString=pending.text,
            ClientRequestToken=_creation(pending),
            Tags=self._tags.at_creation(pending.marks),
            **self._at_creation,
        )
        if isinstance(answer, Refused):
            return self._not_created(pending, answer)
        version = str(answer["VersionId"])
        self._replicas.note(pending.key.path, replica_states(answer))
        seen = self._back.content(pending.key.path, str(answer["ARN"]), version, pending.text)
        if isinstance(seen, Refused) and not seen.lost:
            return replace(seen.error, maybe_written=True)
        return Written(version, confirmed=seen is True)

    def _not_created(self, pending: PendingWrite, answer: Refused) -> Written | StoreError:
        """Tell by reading whether it was created all the same, or by somebody else."""
        if not answer.lost and answer.code not in ("ResourceExistsException", "InvalidRequestException"):
            return answer.error
        found = self._reader.describe(pending.key.path)
        if isinstance(found, Entry):
            done = self._over(pending, found, None)
            # The id of a version says who wrote it, whoever has taken the secret since.
            created = _creation(pending) in found.labels
            return replace(done, maybe_written=True) if isinstance(done, StoreError) and created else done
        return replace(answer.error, maybe_written=answer.lost)

    def _over(self, pending: PendingWrite, found: Entry, replaces: Version | None) -> Written | StoreError:
        """Write over something: only where it is ours, not blocked, and still what was decided on."""
        if found.blocked:
            return conflict(pending.key, found.blocked)
        if found.marks is None or found.marks.instance != pending.marks.instance:
            return conflict(pending.key, "is another's now")
        self._replicas.note(found.name, found.replicas)
        if replaces == found.current:
            return self._stage(pending, found)
        holds = found.current != NOTHING and self._holds(pending, found)
        if isinstance(holds, Refused):
            return replace(holds.error, maybe_written=True)
        if not holds:
            return conflict(pending.key, "has changed")
        # Ours, be it that an answer was lost or that a second daemon wrote the same.
        self.drop_label(found)
        return self._tags.settle(found, pending.marks, found.current, confirmed=True)

    def _holds(self, pending: PendingWrite, found: Entry) -> bool | Refused:
        answer = self._client.call("GetSecretValue", found.name, SecretId=found.arn, VersionId=found.current)
        return answer if isinstance(answer, Refused) else pending.is_in(answer.get("SecretString"))

    def _stage(self, pending: PendingWrite, found: Entry) -> Written | StoreError:
        """Make the new version current, then bring the tags to the marks."""
        done = self.make_current(pending, found)
        if isinstance(done, StoreError):
            return done
        return self._tags.settle(found, pending.marks, done.version, confirmed=done.confirmed)

    def make_current(self, pending: Content, found: Entry) -> Written | StoreError:
        """Put the new version under our label, read it back, and move AWSCURRENT to it; ``confirmed`` is its reading back."""
        version = token(found.arn, found.current, pending.text)
        answer = self._client.call(
            "PutSecretValue",
            found.name,
            SecretId=found.arn,
            SecretString=pending.text,
            ClientRequestToken=version,
            VersionStages=[LABEL],
        )
        if isinstance(answer, Refused):
            refused = self._not_put(pending, found, version, answer)
            if refused is not None:
                return refused
        seen = self._back.content(found.name, found.arn, version, pending.text)
        if isinstance(seen, Refused):
            return seen.error
        moved = self._first(found, version) if found.current == NOTHING else self._move(found, version)
        if moved is not None:
            return moved if isinstance(moved, StoreError) else conflict(pending.key, "has changed")
        self._drop(found, version)
        return Written(version, confirmed=seen)

    def _not_put(self, pending: Content, found: Entry, version: Version, answer: Refused) -> StoreError | None:
        """Tell by reading whether the version is there all the same; None if so. Nothing is current before the move."""
        if not answer.lost and answer.code not in ("ResourceNotFoundException", "InvalidRequestException"):
            return answer.error
        after = self._reader.describe(found.arn)
        if isinstance(after, Absent) or (isinstance(after, Entry) and after.blocked):
            return conflict(pending.key, "is gone, or about to be")
        return None if isinstance(after, Entry) and version in after.labels else answer.error

    def _first(self, found: Entry, version: Version) -> StoreError | Literal["lost"] | None:
        """Make the first version current: AWS does so by itself for whoever comes first, which settles a race."""
        after = self._reader.describe(found.arn)
        if isinstance(after, Entry) and after.current == NOTHING:
            return self._move(after, version)
        return self._settled(after, found, version, None)

    def _move(self, found: Entry, version: Version) -> StoreError | Literal["lost"] | None:
        """Move AWSCURRENT from the version that was decided on; None where it is done, "lost" where another was faster."""
        base = {} if found.current == NOTHING else {"RemoveFromVersionId": found.current}
        answer = self._client.call(
            "UpdateSecretVersionStage",
            found.name,
            SecretId=found.arn,
            VersionStage=CURRENT,
            MoveToVersionId=version,
            **base,
        )
        if not isinstance(answer, Refused):
            return None
        # The code of a lost race is also that of a mistake in the call: the labels tell.
        return self._settled(self._reader.describe(found.arn), found, version, answer)

    def _settled(
        self, after: Entry | Absent | Refused, found: Entry, version: Version, answer: Refused | None
    ) -> StoreError | Literal["lost"] | None:
        match after:
            case Entry(current=current) if current == version:
                if _instance(after) == _instance(found):
                    return None
                return replace(conflict(Key("", found.name), "is another's now"), maybe_written=True)
            case Entry(current=current) if current == found.current and answer is not None:
                return replace(answer.error, maybe_written=answer.lost)
            case Refused(error=error):
                return replace(error, maybe_written=True)
            case Entry() if PREVIOUS in after.labels.get(version, ()):
                # The move was done, its answer was lost, and another has moved on from there.
                self._drop(found, version)
                return replace(conflict(Key("", found.name), "has changed"), maybe_written=True)
            case _:
                self._drop(found, version)
                return "lost"

    def drop_label(self, found: Entry) -> None:
        """Take our label off whatever has it."""
        self._drop(found, found.holder(LABEL))

    def _drop(self, found: Entry, version: Version | None) -> None:
        """Take our label off. What fails here stays harmless: the next write moves the label to its own version."""
        if version is not None:
            self._client.call(
                "UpdateSecretVersionStage",
                found.name,
                SecretId=found.arn,
                VersionStage=LABEL,
                RemoveFromVersionId=version,
            )


def _at_creation(settings: AwsSettings) -> Mapping[str, Any]:
    """Return what only a new secret is given: its key, and the regions that AWS copies it to."""
    replicas = [
        {"Region": replica.region, **({"KmsKeyId": replica.kms_key} if replica.kms_key else {})}
        for replica in settings.replicas
    ]
    return {
        **({"KmsKeyId": settings.kms_key} if settings.kms_key else {}),
        **({"AddReplicaRegions": replicas} if replicas else {}),
    }


def _instance(entry: Entry) -> str | None:
    """Return the instance that a secret is marked with; None where it carries no mark of ours, as one that is renewed may."""
    return entry.marks.instance if entry.marks is not None else None


def _creation(pending: PendingWrite) -> str:
    """Return the first version by its instance too: AWS takes the same name twice for one creation, and says yes to both."""
    return token(pending.key.path, NOTHING, f"{pending.marks.instance}\0{pending.text}")
