"""One secret of AWS Secrets Manager as descriptions and lists show it, and the names that secrets can have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.core.marks import from_map
from sync.core.model import Blocked, Key, Marks, StoreError, Version

PREFIX = "page-token-sync:"
"""Stands before each mark's key, as a tag."""
NOTHING: Version = "none"
"""The version of a secret that has no value."""
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What DescribeSecret, or a row of ListSecrets, says of one secret.

    ``labels`` are those of each version, ``replicas`` AWS's word for the state of each region, which a list does not give.
    """

    name: str
    arn: str
    tags: Mapping[str, str]
    labels: Mapping[str, frozenset[str]]
    blocked: Blocked | None
    replicas: Mapping[str, str]

    @property
    def current(self) -> Version:
        """The version that is served, or NOTHING."""
        return self.holder(CURRENT) or NOTHING

    def holder(self, label: str) -> Version | None:
        """Return the version that has this label."""
        return next((version for version, labels in self.labels.items() if label in labels), None)

    @property
    def marks(self) -> Marks | None:
        """Our marks, if they are ours."""
        return from_map(self.mark_map)

    @property
    def mark_map(self) -> Mapping[str, str]:
        """The tags under our prefix, without it."""
        return {key.removeprefix(PREFIX): value for key, value in self.tags.items() if key.startswith(PREFIX)}


def entry(row: Mapping[str, Any], region: str) -> Entry:
    """Read a description; a list calls the labels by another name."""
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
        tags={str(tag.get("Key", "")): str(tag.get("Value", "")) for tag in row.get("Tags") or []},
        labels={str(version): frozenset(stages) for version, stages in labels.items()},
        blocked=blocked,
        replicas=replica_states(row),
    )


def same_marks(one: Marks | None, other: Marks | None) -> bool:
    """Compare marks but for when and why they were written."""
    if one is None or other is None:
        return one is other
    return replace(one, written_at="", reason="") == replace(other, written_at="", reason="")


def replica_states(answer: Mapping[str, Any]) -> Mapping[str, str]:
    """Read the state of each region's replica, as DescribeSecret and CreateSecret give it."""
    return {str(row.get("Region", "")): str(row.get("Status", "")) for row in answer.get("ReplicationStatus") or []}


def refused_name(key: Key) -> StoreError | None:
    """Refuse a name that AWS would refuse, or take for something else than a name."""
    if _NAME.fullmatch(key.path) and not {"", ".", ".."} & set(key.path.split("/")):
        return None
    return StoreError(
        "refused-path",
        f"{key.path!r} is no name for a secret.",
        "Use letters, digits and /_+=.@- only, at most 512, without empty parts and dots alone.",
    )
