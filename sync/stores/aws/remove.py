"""Delete a secret of AWS Secrets Manager with a recovery window, in which it can be restored and no application can read it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import datetime

from sync.core.model import Absent, Key, Marks, Removed, StoreError, Version
from sync.stores.aws.client import AwsClient
from sync.stores.aws.entry import Entry, refused_name
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.read import AwsReader
from sync.stores.aws.settings import AwsSettings
from sync.stores.aws.versions import conflict

_DAYS = 30
"""The longest recovery window that AWS offers."""


@dataclass(frozen=True)
class AwsRemover:
    """Schedules secrets for deletion, from any thread."""

    client: AwsClient
    reader: AwsReader
    settings: AwsSettings

    def remove(self, key: Key, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Schedule a secret for deletion, if it still has this version and these marks. AWS refuses one that is replicated."""
        refused = refused_name(key)
        if refused is not None:
            return refused
        found = self.reader.describe(key.path)
        match found:
            case FailedCall(error=error):
                return error
            case Absent():
                return found
            case Entry(blocked="scheduled-deletion"):
                return Removed(self._restore(key))
            case Entry() if found.blocked:
                return conflict(key, f"was blocked ({found.blocked})")
            case Entry() if found.current != version or found.marks != marks:
                return conflict(key, "has changed")
            case Entry() if found.replicas:
                return conflict(key, f"was replicated to {', '.join(sorted(found.replicas))}")
        answer = self.client.call("DeleteSecret", found.name, SecretId=found.arn, RecoveryWindowInDays=_DAYS)
        if isinstance(answer, FailedCall):
            return _settled(self.reader.describe(found.arn), answer, self._restore(key))
        until = answer.get("DeletionDate")
        return Removed(self._restore(key), until if isinstance(until, datetime) else None)

    def _restore(self, key: Key) -> str:
        url = self.settings.endpoint_url
        command = ["aws", "secretsmanager", "restore-secret", "--secret-id", key.path, "--region", self.client.region]
        return shlex.join([*command, *(["--endpoint-url", url] if url else [])])


def _settled(after: Entry | Absent | FailedCall, answer: FailedCall, restore: str) -> Removed | Absent | StoreError:
    """Find out whether a call that failed was carried out all the same."""
    match after:
        case Absent():
            return after
        case Entry(blocked="scheduled-deletion"):
            return Removed(restore)
        case _:
            return replace(answer.error, maybe_written=answer.maybe_done)
