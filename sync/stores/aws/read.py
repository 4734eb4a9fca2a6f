"""Read secrets from AWS Secrets Manager: in bulk by lists and batches, individually where those do not suffice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.core.marks import same_marks
from sync.core.model import Absent, Content, Key, Marks, Stored, StoreError, Version, Written
from sync.core.payload import parse_text
from sync.runtime.threads import Clock, each
from sync.stores.aws.client import AwsClient
from sync.stores.aws.entry import CURRENT, NOTHING, Entry, entry, refused_name, rows
from sync.stores.aws.errors import FailedCall

_PAGE, _BATCH = 100, 20
_LISTS = 5_000
"""Pages of 100: as many secrets as AWS lets an account have in a Region (its quotas, read 2026-11-25)."""
_FEW = 5
"""Up to so many secrets that a list shows as missing, foreign or blocked are read individually, since a list may lag."""
_REVERSIBLE = ("scheduled-deletion", "rotation-enabled")
"""What blocks writes to a secret until a person reverts it."""
_LAG = 15 * 60.0
"""Seconds after a write for which a list that does not show it is not trusted.

AWS documents that ListSecrets is eventually consistent and might not show changes of the last five minutes (API
reference, read 2026-11-25).
"""

_ENDLESS = FailedCall(
    "",
    StoreError(
        "unexpected",
        "ListSecrets has no last page.",
        "Check endpoint_url and the proxy: what answers is not Secrets Manager.",
        whole=True,
    ),
)


@dataclass(frozen=True, slots=True)
class _Write:
    """What a list should show; ``version`` is None where it is unknown whether the write took effect."""

    version: Version | None
    marks: Marks
    at: float


class RecentWrites:
    """Remembers each write of this process until a list shows it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writes: dict[str, _Write] = {}

    def record(self, name: str, answer: Written | StoreError, marks: Marks) -> None:
        """Remember how a write ended, unless it certainly changed nothing."""
        if isinstance(answer, Written):
            self._writes[name] = _Write(answer.version, marks, self._clock.monotonic())
        elif answer.maybe_written:
            self._writes[name] = _Write(None, marks, self._clock.monotonic())

    def row_is_stale(self, name: str, row: Entry | None) -> bool:
        """Check whether a list's row of a secret, or its absence, may be older than this process's write."""
        write = self._writes.get(name)
        if write is None:
            return False
        shown = row is not None and row.current == write.version and same_marks(row.marks, write.marks)
        if shown or self._clock.monotonic() - write.at > _LAG:
            self._writes.pop(name, None)
            return False
        return True


class AwsReader:
    """Reads secrets; one listing serves a whole cycle."""

    def __init__(self, client: AwsClient, *, store: str, prefix: str, clock: Clock, workers: int) -> None:
        self._client = client
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._workers = workers
        self._listing: Mapping[str, Entry] | FailedCall | None = None
        self._no_batch = False
        self.recent = RecentWrites(clock)

    def begin(self) -> None:
        """Forget the last cycle's listing."""
        self._listing = None
        self._no_batch = False

    def read(self, keys: Sequence[Key], raw: frozenset[Key]) -> Mapping[Key, Content]:
        """Read many secrets: in bulk the first time in a cycle, individually after that, since a list may lag by minutes."""
        answers: dict[Key, Content] = {}
        for key in keys:
            refused = refused_name(key)
            if refused is not None:
                answers[key] = refused
        pending = [key for key in dict.fromkeys(keys) if key not in answers]
        if not pending:
            return answers
        if self._listing is not None:
            return {**answers, **self._individually(pending, raw)}
        match self._list():
            case FailedCall(error=StoreError(error_code="denied", whole=False)):
                return {**answers, **self._individually(pending, raw)}
            case FailedCall(error=error):
                return {**answers, **dict.fromkeys(pending, error)}
            case listing:
                return {**answers, **self._bulk(pending, listing, raw)}

    def _individually(self, keys: Sequence[Key], raw: frozenset[Key]) -> Mapping[Key, Content]:
        return each(lambda key: self._one(key, raw=key in raw), keys, workers=self._workers, clock=self._clock)

    def describe(self, name: str) -> Entry | Absent | FailedCall:
        """Call DescribeSecret, which decides whether a secret exists; the answer must be about this name or ARN."""
        answer = self._client.call("DescribeSecret", name, SecretId=name)
        if isinstance(answer, FailedCall):
            return Absent() if answer.code == "ResourceNotFoundException" else answer
        found = entry(answer, self._client.region)
        return found if name in (found.name, found.arn) else Absent()

    def _one(self, key: Key, *, raw: bool) -> Content:
        found = self.describe(key.path)
        match found:
            case FailedCall(error=error):
                return error
            case Absent():
                return found
            case Entry():
                return self._value(found, raw=raw)

    def _value(self, found: Entry, *, raw: bool) -> Stored | StoreError:
        if found.blocked == "scheduled-deletion":
            return Stored(None, found.current, found.marks, blocked=found.blocked)
        answer = self._client.call("GetSecretValue", found.name, SecretId=found.name, VersionStage=CURRENT)
        if isinstance(answer, FailedCall):
            if answer.code == "ResourceNotFoundException":
                return Stored(None, NOTHING, found.marks, "empty", blocked=found.blocked)
            return answer.error
        return _stored(answer, found, raw=raw)

    def _list(self) -> Mapping[str, Entry] | FailedCall:
        found: dict[str, Entry] = {}
        filters = [{"Key": "name", "Values": [self._prefix]}] if self._prefix else []
        token: dict[str, str] = {}
        for _ in range(_LISTS):
            self._clock.check()
            answer = self._client.call(
                "ListSecrets", Filters=filters, MaxResults=_PAGE, IncludePlannedDeletion=True, **token
            )
            if isinstance(answer, FailedCall):
                self._listing = answer
                return answer
            entries = [entry(row, self._client.region) for row in rows(answer, "SecretList")]
            # AWS filters by the beginning of the name; an emulator may match it anywhere.
            found.update({one.name: one for one in entries if one.name.startswith(self._prefix)})
            if not answer.get("NextToken") or token.get("NextToken") == answer["NextToken"]:
                self._listing = found
                return found
            token = {"NextToken": answer["NextToken"]}
        self._listing = _ENDLESS
        return _ENDLESS

    def _bulk(self, keys: Sequence[Key], listing: Mapping[str, Entry], raw: frozenset[Key]) -> Mapping[Key, Content]:
        answers: dict[Key, Content] = {}
        valued: list[Key] = []
        individual = self._uncertain(keys, listing)
        for key in keys:
            found = listing.get(key.path)
            if key in individual:
                continue
            if found is None:
                answers[key] = Absent()
            elif found.blocked == "scheduled-deletion":
                answers[key] = Stored(None, found.current, found.marks, blocked=found.blocked)
            else:
                valued.append(key)
        chunks = [tuple(valued[start : start + _BATCH]) for start in range(0, len(valued), _BATCH)]
        batches = each(lambda chunk: self._batch(chunk, listing, raw), chunks, workers=self._workers, clock=self._clock)
        for batch in batches.values():
            answers |= batch
        return {**answers, **self._individually([*individual, *(key for key in valued if key not in answers)], raw)}

    def _uncertain(self, keys: Sequence[Key], listing: Mapping[str, Entry]) -> Mapping[Key, None]:
        """Return, in order, the keys for which the listing, which may lag by minutes, does not suffice.

        These are the secrets that this process just wrote and the listing does not show yet, and those that it shows
        without a value. Secrets that it shows as missing, foreign or blocked are included only while they are few: many of
        them are a first run or a wrong configuration, where a request for each would change nothing.
        """
        rows = {key: listing.get(key.path) for key in keys}
        doubted = {key for key, row in rows.items() if row is None or row.marks is None or row.blocked in _REVERSIBLE}
        if len(doubted) > _FEW:
            doubted.clear()
        return {
            key: None
            for key, row in rows.items()
            if self.recent.row_is_stale(key.path, row) or key in doubted or _without_value(row)
        }

    def _batch(
        self, keys: Sequence[Key], listing: Mapping[str, Entry], raw: frozenset[Key]
    ) -> Mapping[Key, Stored | StoreError]:
        """Read up to 20 values; a key that is not in the answer must be read individually, which returns the reason."""
        if self._no_batch:
            return {}
        answer = self._client.call("BatchGetSecretValue", SecretIdList=[key.path for key in keys])
        match answer:
            case FailedCall(error=StoreError(error_code="denied", whole=False)):
                self._no_batch = True
                return {}
            case FailedCall(error=StoreError(error_code="kms")):
                # One secret whose KMS key is unusable fails the whole batch.
                return {key: self._value(listing[key.path], raw=key in raw) for key in keys}
            case FailedCall(error=error):
                return dict.fromkeys(keys, error)
        values = {str(row.get("Name")): row for row in rows(answer, "SecretValues")}
        return {
            key: _stored(values[key.path], listing[key.path], raw=key in raw)
            for key in keys
            # A version without this label is not the one that applications read.
            if key.path in values and CURRENT in (values[key.path].get("VersionStages") or ())
        }

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List this instance's secrets that have a value and are primaries; from this cycle's listing if there is one."""
        listing = self._listing if self._listing is not None else self._list()
        if isinstance(listing, FailedCall):
            return listing.error
        return [
            (Key(self._store, name), found.marks)
            for name, found in listing.items()
            if found.marks is not None
            and found.marks.instance == instance
            and found.current != NOTHING
            and found.blocked in (None, "rotation-enabled")
        ]


def _without_value(row: Entry | None) -> bool:
    return row is not None and row.current == NOTHING and row.blocked != "scheduled-deletion"


def _stored(row: Mapping[str, Any], found: Entry, *, raw: bool) -> Stored:
    text = row.get("SecretString")
    payload = parse_text(text, raw=raw) if isinstance(text, str) else None
    version, replicas = str(row.get("VersionId", "")), tuple(sorted(found.replicas))
    return Stored(payload, version, found.marks, blocked=found.blocked, replicas=replicas)
