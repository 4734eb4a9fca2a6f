"""AWS Secrets Manager as a store: values as JSON or raw text, marks as tags under ``page-token-sync:``.

Importing boto3 costs half a second and 60 MB, so the first call imports it and not this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.core.model import (
    Absent,
    Content,
    Key,
    Marks,
    PastVersion,
    Removed,
    Stored,
    StoreError,
    Use,
    Version,
    WriteKind,
    Written,
)
from sync.core.payload import Payload
from sync.core.report.finding import Finding
from sync.core.report.report import Counts
from sync.core.report.store_findings import raw_keys
from sync.runtime.threads import Clock
from sync.stores.aws.client import AwsClient
from sync.stores.aws.examine import AwsExamination
from sync.stores.aws.history import AwsHistory
from sync.stores.aws.read import AwsReader
from sync.stores.aws.remove import AwsRemover
from sync.stores.aws.replicas import Replicas
from sync.stores.aws.settings import AwsReplica, AwsRole, AwsSettings
from sync.stores.aws.write import AwsWriter

__all__ = ["AwsReplica", "AwsRole", "AwsSettings", "AwsStore"]


class AwsStore:
    """The secrets of one Region whose names begin with the fixed part of the name template.

    AWS keeps the previous version, as AWSPREVIOUS. A new secret gets its tags together with its value; a later write sets
    them after the value.
    """

    credential_expires_at = None

    def __init__(self, name: str, settings: AwsSettings, *, clock: Clock, workers: int) -> None:
        self.name = name
        self._settings, self._clock, self._workers = settings, clock, workers
        self._client = AwsClient(settings, workers=workers)
        self._reader = AwsReader(self._client, store=name, prefix=settings.name_prefix, clock=clock, workers=workers)
        self._replicas = Replicas(settings.replicas, clock=clock)
        self._writer = AwsWriter(self._client, self._reader, self._replicas, settings, clock=clock)
        self._history = AwsHistory(self._client, self._reader, clock, workers)
        self._remover = AwsRemover(self._client, self._reader, settings)
        self._looked = False

    @property
    def requests(self) -> int:
        """Requests sent so far, including boto3's retries."""
        return self._client.requests

    @property
    def outcomes(self) -> Counts:
        """Ended requests so far, by AWS's operation, each of boto3's retries apart."""
        return self._client.outcomes

    @property
    def warnings(self) -> Sequence[str]:
        """Return which secrets' replicas are out of sync or differ from the configuration, as far as is known."""
        return self._replicas.warnings()

    def begin(self, *, writes: bool = True) -> None:  # noqa: ARG002 - the protocol's
        """Start a cycle: apply changed credential files, CA files and proxies."""
        self._client.begin()
        self._reader.begin()
        self._replicas.begin()
        self._looked = False

    def read(self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Content]:
        """Read secrets by ListSecrets and BatchGetSecretValue, individually where these are denied or do not suffice."""
        answers = self._reader.read(keys, raw)
        if not self._looked:
            self._looked = True
            self._replicas.look(self._reader.describe)
        return answers

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Create a secret with its tags in one call, or make a new version current and then set the tags."""
        return self._writer.write(key, payload, marks, replaces)

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Set the tags without a new version."""
        return self._writer.mark(key, marks, version, read)

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Make a new version current; no tag is changed."""
        return self._writer.renew(key, payload, replaces)

    def remove(self, key: Key, *, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Schedule the secret for deletion in 30 days."""
        return self._remover.remove(key, version, marks)

    def versions(self, key: Key, *, raw: bool = False) -> Sequence[PastVersion] | StoreError:
        """Return the versions that AWS still has; it may remove one without a staging label at any time."""
        return self._history.versions(key, raw=raw)

    def would_refuse(self, writes: Mapping[Key, WriteKind]) -> Mapping[Key, StoreError]:  # noqa: ARG002 - the protocol's
        """Return nothing: this store cannot find it out before a write."""
        return {}

    def examine(self, uses: Mapping[Key, Use], instance: str) -> Sequence[Finding]:
        """Examine credentials, policy, KMS key and replicas, and read each secret."""
        examination = AwsExamination(
            name=self.name,
            settings=self._settings,
            client=self._client,
            clock=self._clock,
            workers=self._workers,
            read=lambda chosen: self.read(list(chosen), raw=raw_keys(chosen)),
        )
        return list(examination.run(uses, instance))

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List the secrets below the prefix whose tags carry this instance."""
        return self._reader.owned(instance)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
