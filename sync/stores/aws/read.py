"""Reading from AWS Secrets Manager: in bulk by lists and batches, singly where these do not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sync.core.model import Absent, Key, Marks, Stored, StoreError
from sync.core.payload import parse_text
from sync.runtime.threads import Clock, each
from sync.stores.aws.client import AwsClient
from sync.stores.aws.entry import CURRENT, NOTHING, Entry, entry, refused_name
from sync.stores.aws.errors import Refused
from sync.stores.aws.recent import Recent

_PAGE, _BATCH = 100, 20
_LISTS = 5_000
"""Pages of 100: as many secrets as AWS lets an account have in a region (its quotas, read 2026-11-25)."""
_FEW = 5
"""So many secrets of which a list says what is no reason to serve on are asked for one by one, since a list may be wrong."""
_PASSING = ("scheduled-deletion", "rotation-enabled")
"""What keeps a secret from being written until a person takes it back."""

_ENDLESS = Refused(
    "",
    StoreError(
        "unexpected",
        "The list of secrets has no end.",
        "Check `endpoint_url` and the proxy: what answers is not Secrets Manager.",
        whole=True,
    ),
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
        self.recent = Recent(clock)

    def begin(self) -> None:
        """Forget the last cycle's listing."""
        self._listing = None
        self._no_batch = False

    def read(self, keys: Sequence[Key], raw: frozenset[Key]) -> Mapping[Key, Stored | Absent | StoreError]:
        """Read many: in bulk the first time in a cycle, after that each again, since a listing may lag by minutes."""
        answers: dict[Key, Stored | Absent | StoreError] = {}
        for key in keys:
            refused = refused_name(key)
            if refused is not None:
                answers[key] = refused
        pending = [key for key in dict.fromkeys(keys) if key not in answers]
        if not pending:
            return answers
        if self._listing is not None:
            return {**answers, **self._singly(pending, raw)}
        match self._list():
            case Refused(error=StoreError(error_code="denied", whole=False)):
                return {**answers, **self._singly(pending, raw)}
            case Refused(error=error):
                return {**answers, **dict.fromkeys(pending, error)}
            case listing:
                return {**answers, **self._bulk(pending, listing, raw)}

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
        for _ in range(_LISTS):
            self._clock.check()
            answer = self._client.call(
                "ListSecrets", Filters=filters, MaxResults=_PAGE, IncludePlannedDeletion=True, **token
            )
            if isinstance(answer, Refused):
                self._listing = answer
                return answer
            rows = [entry(row, self._client.region) for row in answer.get("SecretList", [])]
            # AWS's filter is by the beginning, an emulator's may find the name anywhere.
            found.update({row.name: row for row in rows if row.name.startswith(self._prefix)})
            if not answer.get("NextToken") or token.get("NextToken") == answer["NextToken"]:
                self._listing = found
                return found
            token = {"NextToken": answer["NextToken"]}
        self._listing = _ENDLESS
        return _ENDLESS

    def _bulk(
        self, keys: Sequence[Key], listing: Mapping[str, Entry], raw: frozenset[Key]
    ) -> Mapping[Key, Stored | Absent | StoreError]:
        answers: dict[Key, Stored | Absent | StoreError] = {}
        valued: list[Key] = []
        single = self._unsure(keys, listing)
        for key in keys:
            found = listing.get(key.path)
            if key in single:
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
        return {**answers, **self._singly([*single, *(key for key in valued if key not in answers)], raw)}

    def _unsure(self, keys: Sequence[Key], listing: Mapping[str, Entry]) -> Mapping[Key, Entry | None]:
        """Return the keys for which the listing, which may be minutes old, does not do.

        That is what was just written and not seen there yet, and what it shows without a value. Where it shows nothing, a
        stranger's, or something that may not be written, it is doubted too, unless that is so of many: then it is a first
        run, or a mistake of the configuration, and a request for each would be no use.
        """
        rows = {key: listing.get(key.path) for key in keys}
        doubted = {key for key, row in rows.items() if row is None or row.marks is None or row.blocked in _PASSING}
        if len(doubted) > _FEW:
            doubted.clear()
        return {
            key: row
            for key, row in rows.items()
            if self.recent.hides(key.path, row) or key in doubted or _without_value(row)
        }

    def _batch(
        self, keys: Sequence[Key], listing: Mapping[str, Entry], raw: frozenset[Key]
    ) -> Mapping[Key, Stored | StoreError]:
        """Read up to 20 values; what is missing in the answer is to be read singly, which says why."""
        if self._no_batch:
            return {}
        answer = self._client.call("BatchGetSecretValue", SecretIdList=[key.path for key in keys])
        match answer:
            case Refused(error=StoreError(error_code="denied", whole=False)):
                self._no_batch = True
                return {}
            case Refused(error=StoreError(error_code="kms")):
                # One secret whose key cannot be used fails all that are asked for with it.
                return {key: self._value(listing[key.path], raw=key in raw) for key in keys}
            case Refused(error=error):
                return dict.fromkeys(keys, error)
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


def _without_value(row: Entry | None) -> bool:
    return row is not None and row.current == NOTHING and row.blocked != "scheduled-deletion"


def _stored(row: Mapping[str, Any], found: Entry, *, raw: bool) -> Stored:
    text = row.get("SecretString")
    payload = parse_text(text, raw=raw) if isinstance(text, str) else None
    return Stored(payload, str(row.get("VersionId", "")), found.marks, blocked=found.blocked)
