"""Make a new version of a secret current in AWS Secrets Manager, by compare-and-set.

The service has no compare-and-set of its own. A new version is therefore put under a staging label that no application
reads, read back by its version id, and only then made current by a move of AWSCURRENT that names the version to remove it
from. The version id follows from secret, base version and content, so that whoever repeats a write meets the same version.
A kill at any step leaves either the old version current or the new one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from sync.core.model import Absent, Key, StoreError, Version, Written
from sync.core.payload import Payload, parse_text
from sync.stores.aws.client import AwsClient
from sync.stores.aws.confirm import AwsReadBack
from sync.stores.aws.entry import CURRENT, NOTHING, PREVIOUS, Entry
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.read import AwsReader

LABEL = "page-token-sync"
"""The staging label of a version that is not current yet. AWSPENDING belongs to rotation and is never touched."""


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """The value to write to one secret, as an object and as the text that is sent."""

    key: Key
    payload: Payload
    text: str

    def matches(self, text: object) -> bool:
        """Check whether a stored text has this content, whatever its white space."""
        raw = isinstance(self.payload.reveal(), str)
        return text == self.text or (isinstance(text, str) and parse_text(text, raw=raw) == self.payload)


def client_request_token(secret: str, base: Version, text: str) -> str:
    """Return the id of a new version: the same for everyone who replaces this base version by this content."""
    return str(uuid.UUID(bytes=sha256(f"{secret}\0{base}\0{text}".encode()).digest()[:16]))


def conflict(key: Key, how: str) -> StoreError:
    """Return the error for a secret that has changed since the write was decided on."""
    return StoreError(
        "conflict", f"{key.path} {how} since it was read; it is left as it is.", "The next cycle decides again."
    )


@dataclass(frozen=True)
class AwsVersions:
    """Puts new versions and moves AWSCURRENT to them."""

    client: AwsClient
    reader: AwsReader
    back: AwsReadBack

    def replace_current(self, pending: PendingWrite, found: Entry) -> Written | StoreError:
        """Write the new version under LABEL, read it back, and move AWSCURRENT to it.

        ``confirmed`` says whether the new version could be read back.
        """
        version = client_request_token(found.arn, found.current, pending.text)
        answer = self.client.call(
            "PutSecretValue",
            found.name,
            SecretId=found.arn,
            SecretString=pending.text,
            ClientRequestToken=version,
            VersionStages=[LABEL],
        )
        if isinstance(answer, FailedCall):
            refused = self._not_put(pending, found, version, answer)
            if refused is not None:
                return refused
        seen = self.back.content(found.name, found.arn, version, pending.text)
        if isinstance(seen, FailedCall):
            return seen.error
        moved = self._first(found, version) if found.current == NOTHING else self._move(found, version)
        if moved is not None:
            return moved if isinstance(moved, StoreError) else conflict(pending.key, "has changed")
        self._drop(found, version)
        return Written(version, confirmed=seen)

    def _not_put(self, pending: PendingWrite, found: Entry, version: Version, answer: FailedCall) -> StoreError | None:
        """Return None if the version exists although the call failed; nothing is current before the move."""
        if not answer.maybe_done and answer.code not in ("ResourceNotFoundException", "InvalidRequestException"):
            return answer.error
        after = self.reader.describe(found.arn)
        if isinstance(after, Absent) or (isinstance(after, Entry) and after.blocked):
            return conflict(pending.key, "was deleted or blocked")
        return None if isinstance(after, Entry) and version in after.labels else answer.error

    def _first(self, found: Entry, version: Version) -> StoreError | Literal["lost"] | None:
        """Make a secret's first version current, which AWS does itself for the first writer of a race."""
        after = self.reader.describe(found.arn)
        if isinstance(after, Entry) and after.current == NOTHING:
            return self._move(after, version)
        return self._settled(after, found, version, None)

    def _move(self, found: Entry, version: Version) -> StoreError | Literal["lost"] | None:
        """Move AWSCURRENT from the version that was decided on; "lost" where another writer was faster."""
        base = {} if found.current == NOTHING else {"RemoveFromVersionId": found.current}
        answer = self.client.call(
            "UpdateSecretVersionStage",
            found.name,
            SecretId=found.arn,
            VersionStage=CURRENT,
            MoveToVersionId=version,
            **base,
        )
        if not isinstance(answer, FailedCall):
            return None
        # A lost race and a mistake in the call have the same error code; only the labels show which it was.
        return self._settled(self.reader.describe(found.arn), found, version, answer)

    def _settled(
        self, after: Entry | Absent | FailedCall, found: Entry, version: Version, answer: FailedCall | None
    ) -> StoreError | Literal["lost"] | None:
        match after:
            case Entry(current=current) if current == version:
                if _instance(after) == _instance(found):
                    return None
                return replace(conflict(Key("", found.name), "was taken over by another instance"), maybe_written=True)
            case Entry(current=current) if current == found.current and answer is not None:
                return replace(answer.error, maybe_written=answer.maybe_done)
            case FailedCall(error=error):
                return replace(error, maybe_written=True)
            case Entry() if PREVIOUS in after.labels.get(version, ()):
                # The move took effect, its answer was lost, and another writer has replaced the version since.
                self._drop(found, version)
                return replace(conflict(Key("", found.name), "has changed"), maybe_written=True)
            case _:
                self._drop(found, version)
                return "lost"

    def drop_label(self, found: Entry) -> None:
        """Remove LABEL from the version that carries it, if any does."""
        self._drop(found, found.holder(LABEL))

    def _drop(self, found: Entry, version: Version | None) -> None:
        # A failure here is harmless: the next write moves the label to its own version.
        if version is not None:
            self.client.call(
                "UpdateSecretVersionStage",
                found.name,
                SecretId=found.arn,
                VersionStage=LABEL,
                RemoveFromVersionId=version,
            )


def _instance(entry: Entry) -> str | None:
    """Return the instance in the marks; None for a secret without our marks, which a renewed one may be."""
    return entry.marks.instance if entry.marks is not None else None
