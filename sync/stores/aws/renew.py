"""Writing over a secret of AWS Secrets Manager that need not be ours: its value alone, by compare-and-set.

The tags are nobody's business here: they stay as they are, so that whoever's secret it is stays so.
"""

from __future__ import annotations

from sync.core.model import Absent, Key, StoreError, Version, Written
from sync.core.payload import Payload
from sync.stores.aws.client import AwsClient
from sync.stores.aws.confirm import AwsReadBack
from sync.stores.aws.entry import NOTHING, Entry, refused_name
from sync.stores.aws.errors import Refused
from sync.stores.aws.pending import Content, conflict, too_long
from sync.stores.aws.read import AwsReader
from sync.stores.aws.write import AwsWriter
from sync.stores.text import wire_text


class AwsRenewer:
    """Renews secrets through the writer's own way of making a version current."""

    def __init__(self, client: AwsClient, reader: AwsReader, writer: AwsWriter, back: AwsReadBack) -> None:
        self._client = client
        self._back = back
        self._reader = reader
        self._writer = writer

    def renew(self, key: Key, payload: Payload, replaces: Version) -> Written | StoreError:
        """Put a value over the version that was decided on, where nothing keeps the secret from being written."""
        content = Content(key, payload, wire_text(payload))
        refused = refused_name(key) or too_long(content)
        if refused is not None:
            return refused
        found = self._reader.describe(key.path)
        match found:
            case Refused(error=error):
                return error
            case Absent():
                return conflict(key, "is gone")
            case Entry():
                return self._over(content, found, replaces)

    def _over(self, content: Content, found: Entry, replaces: Version) -> Written | StoreError:
        if found.blocked:
            return conflict(content.key, found.blocked)
        if found.current == NOTHING:
            return conflict(content.key, "has no value")
        if found.current == replaces:
            done = self._writer.make_current(content, found)
            if isinstance(done, StoreError):
                return done
            seen = self._back.current(found.name, found.arn, done.version, content.text)
            return Written(done.version, confirmed=done.confirmed and seen)
        answer = self._client.call("GetSecretValue", found.name, SecretId=found.arn, VersionId=found.current)
        if isinstance(answer, Refused) or not content.is_in(answer.get("SecretString")):
            return conflict(content.key, "has changed")
        # Ours: the answer to an earlier try was lost.
        self._writer.drop_label(found)
        return Written(found.current, confirmed=True)
