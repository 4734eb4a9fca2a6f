"""AWS Secrets Manager as a store: values as JSON or raw text, marks as tags under ``page-token-sync:``.

boto3 costs half a second and 60 MB, so it is imported by the first call and not with this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.core.model import Absent, Key, Marks, Stored, StoreError, Version, Written
from sync.core.payload import Payload
from sync.runtime.threads import Clock
from sync.stores.aws.client import AwsClient
from sync.stores.aws.confirm import AwsReadBack
from sync.stores.aws.read import AwsReader
from sync.stores.aws.renew import AwsRenewer
from sync.stores.aws.replicas import Replicas
from sync.stores.aws.settings import AwsReplica, AwsRole, AwsSettings
from sync.stores.aws.write import AwsWriter

__all__ = ["AwsReplica", "AwsRole", "AwsSettings", "AwsStore"]


class AwsStore:
    """One region's secrets whose names begin with the fixed part of the name template.

    History is what AWS keeps: the version before, under AWSPREVIOUS. Marks come with the value at creation, later after it.
    """

    def __init__(self, name: str, settings: AwsSettings, *, clock: Clock, workers: int) -> None:
        self.name = name
        self._client = AwsClient(settings, workers=workers)
        self._reader = AwsReader(self._client, store=name, prefix=settings.name_prefix, clock=clock, workers=workers)
        self._replicas = Replicas(settings.replicas, clock=clock)
        self._writer = AwsWriter(self._client, self._reader, self._replicas, settings, clock=clock)
        back = AwsReadBack(self._client, self._reader, self._replicas, clock=clock)
        self._renewer = AwsRenewer(self._client, self._reader, self._writer, back)
        self._looked = False

    @property
    def requests(self) -> int:
        """Requests sent so far, the library's retries included."""
        return self._client.requests

    @property
    def warnings(self) -> Sequence[str]:
        """Return which secrets' replicas are not as they should be, as far as is known."""
        return self._replicas.warnings()

    def begin(self, *, writes: bool = True) -> None:  # noqa: ARG002 - the protocol's
        """Start a cycle; changed credential and CA files, and a changed proxy, are in force from here on."""
        self._client.begin()
        self._reader.begin()
        self._replicas.begin()
        self._looked = False

    def read(
        self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()
    ) -> Mapping[Key, Stored | Absent | StoreError]:
        """Read secrets by ListSecrets and BatchGetSecretValue, singly where these are denied or do not say."""
        answers = self._reader.read(keys, raw)
        if not self._looked:
            self._looked = True
            self._replicas.look(self._reader.describe)
        return answers

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Create value and tags in one call, or put a new version and make it current."""
        return self._writer.write(key, payload, marks, replaces)

    def mark(self, key: Key, marks: Marks, *, version: Version) -> Written | StoreError:
        """Set the tags; no new version."""
        return self._writer.mark(key, marks, version)

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Put a new version and make it current; no tag is touched."""
        return self._renewer.renew(key, payload, replaces)

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List what is tagged as ours among the names of this prefix."""
        return self._reader.owned(instance)

    def close(self) -> None:
        """Return back the connections."""
        self._client.close()
