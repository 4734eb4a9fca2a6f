"""Reading from AWS Secrets Manager: in bulk by lists and batches, singly where these do not do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.core.marks import from_map
from sync.core.model import Absent, Blocked, Key, Marks, Stored, StoreError, Version
from sync.core.payload import parse_text
from sync.stores.aws_client import AwsClient
from sync.stores.aws_errors import Refused
from sync.threads import Clock, each

PREFIX = "page-token-sync:"
"""Stands before each mark's key, as a tag."""
NOTHING: Version = "none"
"""The version of a secret that has no value."""
CURRENT = "AWSCURRENT"
_PAGE, _BATCH = 100, 20
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What DescribeSecret, or a row of ListSecrets, says of one secret; ``labels`` are those of each version."""

    name: str
    arn: str
    tags: Mapping[str, str]
    labels: Mapping[str, frozenset[str]]
    blocked: Blocked | None

    @property
    def current(self) -> Version:
        """The version that is served, or NOTHING."""
        return self.holder(CURRENT) or NOTHING

    def holder(self, label: str) -> Version | None:
        """Give the version that has this label."""
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
    elif row.get("PrimaryRegion") not in (None, region):
        blocked = "replica"
    elif row.get("RotationEnabled"):
        blocked = "rotation-enabled"
    return Entry(
        name=str(row.get("Name", "")),
        arn=str(row.get("ARN", "")),
        tags={str(tag.get("Key", "")): str(tag.get("Value", "")) for tag in row.get("Tags") or []},
        labels={str(version): frozenset(stages) for version, stages in labels.items()},
        blocked=blocked,
    )


def refused_name(key: Key) -> StoreError | None:
    """Refuse a name that AWS would refuse, or take for something else than a name."""
    if _NAME.fullmatch(key.path) and not {"", ".", ".."} & set(key.path.split("/")):
        return None
    return StoreError(
        "refused-path",
        f"{key.path!r} is no name for a secret.",
        "Use letters, digits and /_+=.@- only, at most 512, without empty parts and dots alone.",
    )


class AwsReader:
    """Reads secrets; one listing serves a whole cycle."""

    def __init__(self, client: AwsClient, *, store: str, prefix: str, clock: Clock, workers: int) -> None:
        self._client = client
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._workers = workers
        self._listing: Mapping[str, Entry] | Refused | None = None
        self._no_batch = False

    def begin(self) -> None:
        """Forget the last cycle's listing."""
        self._listing = None
        self._no_batch = False

    def read(self, keys: Sequence[Key], raw: frozenset[Key]) -> Mapping[Key, Stored | Absent | StoreError]:
        """Read many: in bulk the first time in a cycle, after that each anew, since a listing may lag by minutes."""
        answers: dict[Key, Stored | Absent | StoreError] = {}
        for key in keys:
            refused = refused_name(key)
            if refused is not None:
                answers[key] = refused
        todo = [key for key in dict.fromkeys(keys) if key not in answers]
        if not todo:
            return answers
        if self._listing is not None:
            return {**answers, **self._singly(todo, raw)}
        match self._list():
            case Refused(error=StoreError(reason="denied", whole=False)):
                return {**answers, **self._singly(todo, raw)}
            case Refused(error=error):
                return {**answers, **dict.fromkeys(todo, error)}
            case listing:
                return {**answers, **self._bulk(todo, listing, raw)}

    def _singly(self, keys: Sequence[Key], raw: frozenset[Key]) -> Mapping[Key, Stored | Absent | StoreError]:
        return each(lambda key: self.one(key, raw=key in raw), keys, workers=self._workers, clock=self._clock)

    def describe(self, name: str) -> Entry | Absent | Refused:
        """Ask DescribeSecret, which decides whether a secret is there; another's secret is not taken for it."""
        answer = self._client.call("DescribeSecret", name, SecretId=name)
        if isinstance(answer, Refused):
            return Absent() if answer.code == "ResourceNotFoundException" else answer
        found = entry(answer, self._client.region)
        return found if name in (found.name, found.arn) else Absent()

    def one(self, key: Key, *, raw: bool) -> Stored | Absent | StoreError:
        """Read one secret by describing it and getting its value."""
        found = self.describe(key.path)
        match found:
            case Refused(error=error):
                return error
            case Absent():
                return found
            case Entry():
                return self._value(found, raw=raw)

    def _value(self, found: Entry, *, raw: bool) -> Stored | StoreError:
        if found.blocked == "scheduled-deletion":
            return Stored(None, found.current, found.marks, blocked=found.blocked)
        answer = self._client.call("GetSecretValue", found.name, SecretId=found.name, VersionStage=CURRENT)
        if isinstance(answer, Refused):
            if answer.code == "ResourceNotFoundException":
                return Stored(None, NOTHING, found.marks, "empty", blocked=found.blocked)
            return answer.error
        return _stored(answer, found, raw=raw)

    def _list(self) -> Mapping[str, Entry] | Refused:
        found: dict[str, Entry] = {}
        filters = [{"Key": "name", "Values": [self._prefix]}] if self._prefix else []
        token: dict[str, str] = {}
        while True:
            self._clock.check()
            answer = self._client.call(
                "ListSecrets", Filters=filters, MaxResults=_PAGE, IncludePlannedDeletion=True, **token
            )
            if isinstance(answer, Refused):
                self._listing = answer
                return answer
            rows = [entry(row, self._client.region) for row in answer.get("SecretList", [])]
            found.update({row.name: row for row in rows})
            if not answer.get("NextToken") or token.get("NextToken") == answer["NextToken"]:
                self._listing = found
                return found
            token = {"NextToken": answer["NextToken"]}

    def _bulk(
        self, keys: Sequence[Key], listing: Mapping[str, Entry], raw: frozenset[Key]
    ) -> Mapping[Key, Stored | Absent | StoreError]:
        answers: dict[Key, Stored | Absent | StoreError] = {}
        valued: list[Key] = []
        single: list[Key] = []
        for key in keys:
            found = listing.get(key.path)
            if found is None:
                answers[key] = Absent()
            elif found.blocked == "scheduled-deletion":
                answers[key] = Stored(None, found.current, found.marks, blocked=found.blocked)
            else:
                (single if found.current == NOTHING else valued).append(key)
        chunks = [tuple(valued[start : start + _BATCH]) for start in range(0, len(valued), _BATCH)]
        batches = each(lambda chunk: self._batch(chunk, listing, raw), chunks, workers=self._workers, clock=self._clock)
        for batch in batches.values():
            answers |= batch
        return {**answers, **self._singly([*single, *(key for key in valued if key not in answers)], raw)}

    def _batch(
        self, keys: Sequence[Key], listing: Mapping[str, Entry], raw: frozenset[Key]
    ) -> Mapping[Key, Stored | StoreError]:
        """Read up to 20 values; what is missing in the answer is to be read singly, which says why."""
        if self._no_batch:
            return {}
        answer = self._client.call("BatchGetSecretValue", SecretIdList=[key.path for key in keys])
        if isinstance(answer, Refused):
            if answer.error.reason != "denied" or answer.error.whole:
                return dict.fromkeys(keys, answer.error)
            self._no_batch = True
            return {}
        rows = {row.get("Name"): row for row in answer.get("SecretValues", [])}
        return {
            key: _stored(rows[key.path], listing[key.path], raw=key in raw)
            for key in keys
            # A version without this label is not the one that is served.
            if key.path in rows and CURRENT in rows[key.path].get("VersionStages", [])
        }

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List what is ours, has a value and is a primary; from this cycle's listing if there is one."""
        listing = self._listing if self._listing is not None else self._list()
        if isinstance(listing, Refused):
            return listing.error
        return [
            (Key(self._store, name), found.marks)
            for name, found in listing.items()
            if found.marks is not None
            and found.marks.instance == instance
            and found.current != NOTHING
            and found.blocked in (None, "rotation-enabled")
        ]


def _stored(row: Mapping[str, Any], found: Entry, *, raw: bool) -> Stored:
    text = row.get("SecretString")
    payload = parse_text(text, raw=raw) if isinstance(text, str) else None
    return Stored(payload, str(row.get("VersionId", "")), found.marks, blocked=found.blocked)
