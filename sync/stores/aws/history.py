"""Read the versions of a secret that AWS Secrets Manager still has, those without a staging label included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sync.core.model import Absent, Key, PastVersion, StoreError
from sync.core.payload import Payload, parse_text
from sync.runtime.threads import Clock, each
from sync.stores.aws.client import AwsClient
from sync.stores.aws.entry import CURRENT, PREVIOUS, Entry, refused_name, rows
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.read import AwsReader
from sync.stores.aws.versions import LABEL

_PAGES, _PAGE = 10, 100
"""AWS keeps about 100 versions without a label (its quotas, read 2026-12-02)."""
_UNKNOWN = datetime.min.replace(tzinfo=UTC)

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class AwsHistory:
    """Reads one secret at a time, several of its versions at once."""

    client: AwsClient
    reader: AwsReader
    clock: Clock
    workers: int

    def versions(self, key: Key, *, raw: bool) -> Sequence[PastVersion] | StoreError:
        """Return the versions, the current one first; empty where there is no such secret."""
        refused = refused_name(key)
        if refused is not None:
            return refused
        found = self.reader.describe(key.path)
        if not isinstance(found, Entry):
            return [] if isinstance(found, Absent) else found.error
        listed = self._listed(found)
        if isinstance(listed, StoreError):
            return listed

        def read(version: str) -> Payload | StoreError | None:
            return self._payload(found, version, raw=raw)

        payloads = each(
            read, sorted(listed, key=lambda version: _newness(listed[version])), workers=self.workers, clock=self.clock
        )
        past: list[PastVersion] = []
        for version, payload in reversed(list(payloads.items())):
            if isinstance(payload, StoreError):
                return payload
            current, _, at = _newness(listed[version])
            past.append(PastVersion(version, payload, at if at != _UNKNOWN else None, current=current))
        return past

    def _listed(self, found: Entry) -> Rows | StoreError:
        listed: dict[str, Mapping[str, Any]] = {}
        token: dict[str, str] = {}
        for _ in range(_PAGES):
            answer = self.client.call(
                "ListSecretVersionIds",
                found.name,
                SecretId=found.arn,
                IncludeDeprecated=True,
                MaxResults=_PAGE,
                **token,
            )
            if isinstance(answer, FailedCall):
                return answer.error
            listed.update({str(row.get("VersionId")): row for row in rows(answer, "Versions") if not _is_pending(row)})
            if not answer.get("NextToken"):
                break
            token = {"NextToken": answer["NextToken"]}
        return listed

    def _payload(self, found: Entry, version: str, *, raw: bool) -> Payload | StoreError | None:
        """Read one version; None where AWS has removed it since, or it is not of the wanted form."""
        answer = self.client.call("GetSecretValue", found.name, SecretId=found.arn, VersionId=version)
        if isinstance(answer, FailedCall):
            return None if answer.code == "ResourceNotFoundException" else answer.error
        text = answer.get("SecretString")
        return parse_text(text, raw=raw) if isinstance(text, str) else None


def _is_pending(row: Mapping[str, Any]) -> bool:
    """Check whether a version was never current: a write of this program or a rotation was killed before it was."""
    stages = set(row.get("VersionStages") or ())
    return bool(stages & {LABEL, "AWSPENDING"}) and not stages & {CURRENT, PREVIOUS}


def _newness(row: Mapping[str, Any]) -> tuple[bool, bool, datetime]:
    """Return what versions are sorted by: their labels, since their times have whole seconds, then their times."""
    created, stages = row.get("CreatedDate"), row.get("VersionStages") or ()
    at = created.astimezone(UTC) if isinstance(created, datetime) else _UNKNOWN
    return CURRENT in stages, PREVIOUS in stages, at
