"""Marks as tags of a secret in AWS Secrets Manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sync.core.marks import patch, present, same_marks
from sync.core.model import Marks, StoreError, Version, Written
from sync.stores.aws.client import AwsClient
from sync.stores.aws.confirm import AwsReadBack
from sync.stores.aws.entry import PREFIX, Entry
from sync.stores.aws.errors import FailedCall


@dataclass(frozen=True)
class AwsTags:
    """Sets the marks and the configured tags; all other tags stay."""

    client: AwsClient
    back: AwsReadBack
    configured: Mapping[str, str]

    def at_creation(self, marks: Marks) -> list[Mapping[str, str]]:
        """Return all tags of a new secret, in the form of the API."""
        return _pairs({**self.configured, **{PREFIX + key: value for key, value in present(marks).items()}})

    def settle(self, found: Entry, marks: Marks, version: Version, *, confirmed: bool) -> Written | StoreError:
        """Set the tags to the marks after ``version`` became current; ``confirmed`` says whether the value was read back.

        If the version is not new, tags that differ only in when and why they were written stay, since a list that lags
        makes them look outdated.
        """
        fresh = version != found.current
        if not fresh and same_marks(found.marks, marks):
            return Written(version, confirmed=confirmed)
        changed = fresh
        for operation, parameters in self._calls(found, marks):
            answer = self.client.call(operation, found.name, SecretId=found.arn, **parameters)
            if isinstance(answer, FailedCall):
                return replace(answer.error, maybe_written=changed or answer.maybe_done)
            changed = True
        return Written(version, confirmed=self.back.description(found, version, marks) and confirmed)

    def _calls(self, found: Entry, marks: Marks) -> list[tuple[str, Mapping[str, object]]]:
        """Return the calls that set the tags; the removal comes first.

        Marks that are not wanted any more state something of an earlier token, such as its origin. Beside the new fingerprint
        they would state it of the new token, and a kill between the two calls would leave that.
        """
        changes = patch(marks, found.mark_map)
        wanted = {PREFIX + key: value for key, value in changes.items() if value is not None}
        wanted |= {key: value for key, value in self.configured.items() if found.tags.get(key) != value}
        gone = [PREFIX + key for key, value in changes.items() if value is None and key in found.mark_map]
        calls: list[tuple[str, Mapping[str, object]]] = []
        if gone:
            calls.append(("UntagResource", {"TagKeys": gone}))
        if wanted:
            calls.append(("TagResource", {"Tags": _pairs(wanted)}))
        return calls


def _pairs(tags: Mapping[str, str]) -> list[Mapping[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
