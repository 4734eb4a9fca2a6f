"""Create, replace, mark and renew secrets in AWS Secrets Manager."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from sync.core.marks import same_owner_and_hold, would_release
from sync.core.model import Absent, Key, Marks, Stored, StoreError, Version, Written
from sync.core.payload import Payload
from sync.runtime.threads import Clock
from sync.stores.aws.client import AwsClient
from sync.stores.aws.confirm import AwsReadBack
from sync.stores.aws.entry import NOTHING, Entry, refused_name, replica_states
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.read import AwsReader
from sync.stores.aws.replicas import Replicas
from sync.stores.aws.settings import AwsSettings
from sync.stores.aws.tags import AwsTags
from sync.stores.aws.versions import AwsVersions, PendingWrite, client_request_token, conflict

_LIMIT = 65_536
"""Bytes of UTF-8 in one secret value (AWS's quota)."""
_RATE = 20
"""Writes begun in one second, which stays below the request rates of the service."""


class AwsWriter:
    """Carries out writes, at most 20 of them begun in a second."""

    def __init__(
        self, client: AwsClient, reader: AwsReader, replicas: Replicas, settings: AwsSettings, *, clock: Clock
    ) -> None:
        self._client = client
        self._reader = reader
        self._replicas = replicas
        self._at_creation = _at_creation(settings)
        self._back = AwsReadBack(client, reader, replicas, clock=clock)
        self._versions = AwsVersions(client, reader, self._back)
        self._tags = AwsTags(client, self._back, settings.tags)
        self._clock = clock
        self._lock = Lock()
        self._begun: deque[float] = deque([float("-inf")] * _RATE, maxlen=_RATE)

    def write(self, key: Key, payload: Payload, marks: Marks, replaces: Version | None) -> Written | StoreError:
        """Create a secret, or replace the version that was decided on."""
        answer = self._write(PendingWrite(key, payload, payload.text()), marks, replaces)
        self._reader.recent.record(key.path, answer, marks)
        return answer

    def mark(self, key: Key, marks: Marks, version: Version, read: Stored | None) -> Written | StoreError:
        """Set the tags alone, unless the secret is not the same owner's any more as the one that was ``read``."""
        answer = self._mark(key, marks, version, read)
        self._reader.recent.record(key.path, answer, marks)
        return answer

    def renew(self, key: Key, payload: Payload, replaces: Version) -> Written | StoreError:
        """Replace the value of a secret that may belong to someone else; its tags stay as they are."""
        pending = PendingWrite(key, payload, payload.text())
        found = self._described(key, pending)
        if not isinstance(found, Entry):
            return found or conflict(key, "was deleted")
        if found.blocked or found.current == NOTHING:
            return conflict(key, _why_blocked(found))
        if found.current == replaces:
            done = self._versions.replace_current(pending, found)
            if isinstance(done, StoreError):
                return done
            seen = self._back.current(found.name, found.arn, done.version, pending.text)
            return Written(done.version, confirmed=done.confirmed and seen)
        if self._holds(pending, found) is not True:
            return conflict(key, "has changed")
        # The new value is there: the answer to an earlier try was lost.
        self._versions.drop_label(found)
        return Written(found.current, confirmed=True)

    def _write(self, pending: PendingWrite, marks: Marks, replaces: Version | None) -> Written | StoreError:
        found = self._described(pending.key, pending, paced=True)
        if isinstance(found, StoreError):
            return found
        if found is None:
            return self._create(pending, marks) if replaces is None else conflict(pending.key, "was deleted")
        return self._replace(pending, marks, found, replaces)

    def _mark(self, key: Key, marks: Marks, version: Version, read: Stored | None) -> Written | StoreError:
        found = self._described(key, paced=True)
        if not isinstance(found, Entry):
            return found or conflict(key, "was deleted")
        if found.blocked or found.current != version:
            return conflict(key, _why_blocked(found) if found.blocked else "has changed")
        if read is not None and not same_owner_and_hold(found.marks, read.marks):
            return conflict(key, "lost its marks or was given others")
        if read is None and found.marks is not None and found.marks.instance != marks.instance:
            return conflict(key, "was taken over by another instance")
        self._replicas.note(found.name, found.replicas)
        self._versions.drop_label(found)
        return self._tags.settle(found, marks, version, confirmed=True)

    def _described(
        self, key: Key, pending: PendingWrite | None = None, *, paced: bool = False
    ) -> Entry | StoreError | None:
        """Return the secret as it is now, None where there is none, or why it must not be written."""
        refused = refused_name(key) or (_too_long(pending) if pending is not None else None)
        if refused is not None:
            return refused
        if paced:
            self._pace()
        match self._reader.describe(key.path):
            case FailedCall(error=error):
                return error
            case Absent():
                return None
            case found:
                return found

    def _pace(self) -> None:
        with self._lock:
            wait = self._begun[0] + 1 - self._clock.monotonic()
            self._begun.append(self._clock.monotonic() + max(wait, 0.0))
        if wait > 0:
            self._clock.sleep(wait)

    def _create(self, pending: PendingWrite, marks: Marks) -> Written | StoreError:
        """Create value and tags in one call; the first version is current at once."""
        answer = self._client.call(
            "CreateSecret",
            pending.key.path,
            Name=pending.key.path,
            SecretString=pending.text,
            ClientRequestToken=_creation_token(pending, marks),
            Tags=self._tags.at_creation(marks),
            **self._at_creation,
        )
        if isinstance(answer, FailedCall):
            return self._not_created(pending, marks, answer)
        version = str(answer["VersionId"])
        self._replicas.note(pending.key.path, replica_states(answer))
        seen = self._back.content(pending.key.path, str(answer["ARN"]), version, pending.text)
        if isinstance(seen, FailedCall) and not seen.maybe_done:
            return replace(seen.error, maybe_written=True)
        return Written(version, confirmed=seen is True)

    def _not_created(self, pending: PendingWrite, marks: Marks, answer: FailedCall) -> Written | StoreError:
        """Find out whether the secret was created although the call failed, or by another writer."""
        if not answer.maybe_done and answer.code not in ("ResourceExistsException", "InvalidRequestException"):
            return answer.error
        found = self._reader.describe(pending.key.path)
        if isinstance(found, Entry):
            done = self._replace(pending, marks, found, None)
            # The version id proves that this process created the secret, whoever has changed it since.
            created = _creation_token(pending, marks) in found.labels
            return replace(done, maybe_written=True) if isinstance(done, StoreError) and created else done
        return replace(answer.error, maybe_written=answer.maybe_done)

    def _replace(
        self, pending: PendingWrite, marks: Marks, found: Entry, replaces: Version | None
    ) -> Written | StoreError:
        """Replace a value only where the secret has this instance's marks, is not blocked and is still as decided on."""
        if found.blocked:
            return conflict(pending.key, _why_blocked(found))
        if found.marks is None or found.marks.instance != marks.instance:
            return conflict(pending.key, "was taken over by another instance")
        if would_release(found.marks, marks):
            return conflict(pending.key, "is held by a rollback")
        self._replicas.note(found.name, found.replicas)
        if replaces == found.current:
            done = self._versions.replace_current(pending, found)
            if isinstance(done, StoreError):
                return done
            return self._tags.settle(found, marks, done.version, confirmed=done.confirmed)
        holds = found.current != NOTHING and self._holds(pending, found)
        if isinstance(holds, FailedCall):
            return replace(holds.error, maybe_written=True)
        if not holds:
            return conflict(pending.key, "has changed")
        # The new value is there: an answer was lost, or a second daemon wrote the same.
        self._versions.drop_label(found)
        return self._tags.settle(found, marks, found.current, confirmed=True)

    def _holds(self, pending: PendingWrite, found: Entry) -> bool | FailedCall:
        answer = self._client.call("GetSecretValue", found.name, SecretId=found.arn, VersionId=found.current)
        return answer if isinstance(answer, FailedCall) else pending.matches(answer.get("SecretString"))


def _at_creation(settings: AwsSettings) -> Mapping[str, Any]:
    """Return what only a new secret is given: its KMS key, and the Regions that AWS replicates it to."""
    replicas = [
        {"Region": replica.region, **({"KmsKeyId": replica.kms_key} if replica.kms_key else {})}
        for replica in settings.replicas
    ]
    return {
        **({"KmsKeyId": settings.kms_key} if settings.kms_key else {}),
        **({"AddReplicaRegions": replicas} if replicas else {}),
    }


def _too_long(pending: PendingWrite) -> StoreError | None:
    size = len(pending.text.encode())
    if size <= _LIMIT:
        return None
    return StoreError(
        "quota",
        f"{pending.key.path}: the value has {size} bytes; Secrets Manager allows 65,536.",
        "Shorten payload, or remove other keys from the secret.",
    )


def _why_blocked(found: Entry) -> str:
    return f"was blocked ({found.blocked})" if found.blocked else "lost its value"


def _creation_token(pending: PendingWrite, marks: Marks) -> str:
    """Return the id of a first version, which contains the instance.

    Two instances that create one name with the same token would both be answered with success.
    """
    return client_request_token(pending.key.path, NOTHING, f"{marks.instance}\0{pending.text}")
