"""Writing to AWS Secrets Manager by compare-and-set.

AWS has none of its own: a new version is put under a label of ours, where no application sees it, read back by its id,
and only then made current by a move of AWSCURRENT that names the version it must be taken from. Its id follows from
secret, base version and content, so that whoever repeats a write meets the same version. A kill at any step leaves the
old version current, or the new one.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, replace
from hashlib import sha256
from threading import Lock
from typing import Literal

from sync.core.model import Absent, Key, Marks, StoreError, Version, Written
from sync.core.payload import Payload, parse_text
from sync.stores.aws_client import AwsClient
from sync.stores.aws_confirm import AwsReadBack
from sync.stores.aws_errors import Refused
from sync.stores.aws_read import CURRENT, NOTHING, AwsReader, Entry, refused_name
from sync.stores.aws_settings import AwsSettings
from sync.stores.aws_tags import AwsTags
from sync.stores.text import wire_text
from sync.threads import Clock

LABEL = "page-token-sync"
"""Our staging label: on a version that is not current yet. AWSPENDING is other tools' and never touched."""
_LIMIT = 65_536
_RATE = 20


@dataclass(frozen=True, slots=True)
class _Wish:
    """One write: the content as object and text, and its marks."""

    key: Key
    payload: Payload
    text: str
    marks: Marks

    def is_in(self, text: object) -> bool:
        """Whether a stored text is this content, be it written with other spaces."""
        raw = isinstance(self.payload.reveal(), str)
        return text == self.text or (isinstance(text, str) and parse_text(text, raw=raw) == self.payload)


class AwsWriter:
    """Carries out writes; at most 20 are begun in a second, which stays below the service's rates."""

    def __init__(self, client: AwsClient, reader: AwsReader, settings: AwsSettings, *, clock: Clock) -> None:
        self._client = client
        self._reader = reader
        self._kms_key = settings.kms_key
        self._back = AwsReadBack(client, reader, clock=clock)
        self._tags = AwsTags(client, self._back, settings.tags)
        self._clock = clock
        self._lock = Lock()
        self._begun: deque[float] = deque([float("-inf")] * _RATE, maxlen=_RATE)

    def write(self, key: Key, payload: Payload, marks: Marks, replaces: Version | None) -> Written | StoreError:
        """Create, or replace the version that was decided on."""
        wish = _Wish(key, payload, wire_text(payload), marks)
        refused = refused_name(key) or _too_long(wish)
        if refused is not None:
            return refused
        self._gate()
        found = self._reader.describe(key.path)
        match found:
            case Refused(error=error):
                return error
            case Absent():
                return self._create(wish) if replaces is None else _conflict(key, "is gone")
            case Entry():
                return self._over(wish, found, replaces)

    def mark(self, key: Key, marks: Marks, version: Version) -> Written | StoreError:
        """Set the tags alone."""
        refused = refused_name(key)
        if refused is not None:
            return refused
        self._gate()
        found = self._reader.describe(key.path)
        match found:
            case Refused(error=error):
                return error
            case Absent():
                return _conflict(key, "is gone")
            case Entry():
                if found.blocked or found.current != version:
                    return _conflict(key, found.blocked or "has changed")
                self._drop(found, found.holder(LABEL))
                return self._tags.settle(found, marks, version, confirmed=True)

    def _gate(self) -> None:
        with self._lock:
            wait = self._begun[0] + 1 - self._clock.monotonic()
            self._begun.append(self._clock.monotonic() + max(wait, 0.0))
        if wait > 0:
            self._clock.sleep(wait)

    def _create(self, wish: _Wish) -> Written | StoreError:
        """Create value and tags in one call; the first version is current at once."""
        kms = {"KmsKeyId": self._kms_key} if self._kms_key else {}
        answer = self._client.call(
            "CreateSecret",
            wish.key.path,
            Name=wish.key.path,
            SecretString=wish.text,
            ClientRequestToken=_token(wish.key.path, NOTHING, wish.text),
            Tags=self._tags.at_creation(wish.marks),
            **kms,
        )
        if isinstance(answer, Refused):
            return self._not_created(wish, answer)
        version = str(answer["VersionId"])
        seen = self._back.content(wish.key.path, str(answer["ARN"]), version, wish.text)
        if isinstance(seen, Refused) and not seen.lost:
            return replace(seen.error, maybe_written=True)
        return Written(version, confirmed=seen is True)

    def _not_created(self, wish: _Wish, answer: Refused) -> Written | StoreError:
        """Tell by reading whether it was created all the same, or by somebody else."""
        if not answer.lost and answer.code not in ("ResourceExistsException", "InvalidRequestException"):
            return answer.error
        found = self._reader.describe(wish.key.path)
        if isinstance(found, Entry):
            return self._over(wish, found, None)
        return replace(answer.error, maybe_written=answer.lost)

    def _over(self, wish: _Wish, found: Entry, replaces: Version | None) -> Written | StoreError:
        """Write over something: only where it is ours, not blocked, and still what was decided on."""
        if found.blocked:
            return _conflict(wish.key, found.blocked)
        if found.marks is None or found.marks.instance != wish.marks.instance:
            return _conflict(wish.key, "is another's now")
        if replaces == found.current:
            return self._stage(wish, found)
        if found.current == NOTHING or not self._holds(wish, found):
            return _conflict(wish.key, "has changed")
        # Ours, be it that an answer was lost or that a second daemon wrote the same.
        self._drop(found, found.holder(LABEL))
        return self._tags.settle(found, wish.marks, found.current, confirmed=True)

    def _holds(self, wish: _Wish, found: Entry) -> bool:
        answer = self._client.call("GetSecretValue", found.name, SecretId=found.arn, VersionId=found.current)
        return not isinstance(answer, Refused) and wish.is_in(answer.get("SecretString"))

    def _stage(self, wish: _Wish, found: Entry) -> Written | StoreError:
        """Put the new version under our label, read it back, and make it current."""
        version = _token(found.arn, found.current, wish.text)
        answer = self._client.call(
            "PutSecretValue",
            found.name,
            SecretId=found.arn,
            SecretString=wish.text,
            ClientRequestToken=version,
            VersionStages=[LABEL],
        )
        if isinstance(answer, Refused):
            refused = self._not_put(wish, found, version, answer)
            if refused is not None:
                return refused
        seen = self._back.content(found.name, found.arn, version, wish.text)
        if isinstance(seen, Refused):
            return seen.error
        moved = self._first(found, version) if found.current == NOTHING else self._move(found, version)
        if moved is not None:
            return moved if isinstance(moved, StoreError) else _conflict(wish.key, "has changed")
        self._drop(found, version)
        return self._tags.settle(found, wish.marks, version, confirmed=seen)

    def _not_put(self, wish: _Wish, found: Entry, version: Version, answer: Refused) -> StoreError | None:
        """Tell by reading whether the version is there all the same; None if so. Nothing is current before the move."""
        if not answer.lost and answer.code not in ("ResourceNotFoundException", "InvalidRequestException"):
            return answer.error
        after = self._reader.describe(found.arn)
        if isinstance(after, Absent) or (isinstance(after, Entry) and after.blocked):
            return _conflict(wish.key, "is gone, or about to be")
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
                return None
            case Entry(current=current) if current == found.current and answer is not None:
                return replace(answer.error, maybe_written=answer.lost)
            case Refused(error=error):
                return replace(error, maybe_written=True)
            case _:
                self._drop(found, version)
                return "lost"

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


def _token(secret: str, base: Version, text: str) -> str:
    return str(uuid.UUID(bytes=sha256(f"{secret}\0{base}\0{text}".encode()).digest()[:16]))


def _too_long(wish: _Wish) -> StoreError | None:
    size = len(wish.text.encode())
    if size <= _LIMIT:
        return None
    return StoreError(
        "quota",
        f"{wish.key.path}: {size} bytes are more than AWS keeps (65,536).",
        "Shorten payload, or what others keep there.",
    )


def _conflict(key: Key, how: str) -> StoreError:
    return StoreError(
        "conflict", f"{key.path} {how} since it was read; it is left as it is.", "The next cycle decides anew."
    )
