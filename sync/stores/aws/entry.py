"""One secret of AWS Secrets Manager as DescribeSecret and ListSecrets show it, and the names that secrets can have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.core.marks import from_map
from sync.core.model import Blocked, Key, Marks, StoreError, Version

PREFIX = "page-token-sync:"
"""The prefix of each mark's tag key."""
NOTHING: Version = "none"
"""The version of a secret that has no value."""
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One secret in an answer of DescribeSecret or ListSecrets.

    ``labels`` are the staging labels of each version. ``replicas`` is the status of each Region, which a list lacks.
    """

    name: str
    arn: str
    tags: Mapping[str, str]
    labels: Mapping[str, frozenset[str]]
    blocked: Blocked | None
    replicas: Mapping[str, str]

    @property
    def current(self) -> Version:
        """The version that applications read, or NOTHING."""
        return self.holder(CURRENT) or NOTHING

    def holder(self, label: str) -> Version | None:
        """Return the version that has this label."""
        return next((version for version, labels in self.labels.items() if label in labels), None)

    @property
    def marks(self) -> Marks | None:
        """The marks, if page-token-sync wrote them."""
        return from_map(self.mark_map)

    @property
    def mark_map(self) -> Mapping[str, str]:
        """The tags under PREFIX, without it."""
        return {key.removeprefix(PREFIX): value for key, value in self.tags.items() if key.startswith(PREFIX)}


def entry(row: Mapping[str, Any], region: str) -> Entry:
    """Parse an answer of DescribeSecret or a row of ListSecrets, which has another name for the labels."""
    labels = row.get("VersionIdsToStages") or row.get("SecretVersionsToStages") or {}
    blocked: Blocked | None = None
    if row.get("DeletedDate") is not None:
        blocked = "scheduled-deletion"
    elif row.get("PrimaryRegion") not in (None, region) or row.get("CrossAccountPrimary"):
        blocked = "replica"
    elif row.get("RotationEnabled"):
        blocked = "rotation-enabled"
    return Entry(
        name=str(row.get("Name", "")),
        arn=str(row.get("ARN", "")),
        tags={str(tag.get("Key", "")): str(tag.get("Value", "")) for tag in rows(row, "Tags")},
        labels={str(version): frozenset(map(str, stages or ())) for version, stages in labels.items()},
        blocked=blocked,
        replicas=replica_states(row),
    )


def rows(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the members of a list in an answer; boto3 checks that it is one, and not that each member is an object."""
    return [row for row in answer.get(name) or () if isinstance(row, dict)]


def replica_states(answer: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the replication status by Region in an answer of DescribeSecret or CreateSecret."""
    return {str(row.get("Region", "")): str(row.get("Status", "")) for row in rows(answer, "ReplicationStatus")}


def refused_name(key: Key) -> StoreError | None:
    """Return the error for a name that AWS would refuse or would not treat as a name."""
    if _NAME.fullmatch(key.path) and not {"", ".", ".."} & set(key.path.split("/")):
        return None
    return StoreError(
        "refused-path",
        f"{key.path!r} is not a valid secret name.",
        "Use at most 512 letters, digits and /_+=.@- without empty segments, '.' or '..'.",
    )
