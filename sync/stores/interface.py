"""What a cycle asks of a store, and what every store keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sync.core.model import Absent, Key, Marks, Stored, StoreError, Version, Written
from sync.core.payload import Payload


class Store(Protocol):
    """One configured store. Every method may be called from any thread, for different keys at once.

    No method raises for what a service does: every trouble is a StoreError value, whose text holds no secret and no
    library's words. Each call is bounded by the store's timeout as a whole; a store in which a call timed out is not
    asked again in that cycle (answers StoreError "timeout" at once until ``begin``).
    """

    @property
    def name(self) -> str:
        """The store's name in the configuration."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent to the service so far; a file store counts none."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences that an operator should see once per cycle, since the last ``begin``."""
        ...

    def begin(self, *, writes: bool = True) -> None:
        """Start a cycle: forget last cycle's timeouts and warnings, and read credential and CA files again.

        ``writes`` False: it ends with the plan, and so nothing may be changed, not even what a killed write has left.
        """
        ...

    def read(
        self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()
    ) -> Mapping[Key, Stored | Absent | StoreError]:
        """Read many secrets, newest versions, with their marks; every key asked for is in the answer.

        ``raw`` names the keys whose value is raw text and not a JSON object. A value that is not of the wanted form is
        Stored with ``payload`` None and state "live". Absent only where the service says that nothing is there at all.
        """
        ...

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write payload and marks by compare-and-set against ``replaces``, then read both back and compare.

        ``replaces`` is the Stored.version that was decided on, or None to create where nothing is. Where another writer was
        faster nothing is changed: StoreError "conflict". If our own payload is found there (an answer was lost after it
        took effect, or a second daemon wrote the same) that is success. A write whose read-back could not be had within the
        timeout is Written with ``confirmed`` False. A previous version stays recoverable where the store keeps history.
        """
        ...

    def mark(self, key: Key, marks: Marks, *, version: Version) -> Written | StoreError:
        """Write the marks alone, beside the payload as it was read at ``version``; no new version of the payload.

        Keys of the service's mark map that are not ours stay.
        """
        ...

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write a payload over a secret that need not be ours, by compare-and-set, then read it back; its marks stay.

        For a credential that a person has told this program to renew. Nothing is created, and what is gone, deleted or
        blocked is a "conflict", as is another version than ``replaces``; our own payload found there is success.
        """
        ...

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List what carries our mark and this instance in the part of the store that its path template can reach.

        What is soft-deleted, scheduled for deletion or without a value is left out. Called once per cycle, after ``read``, so that a listing
        already made can serve.
        """
        ...

    def close(self) -> None:
        """Return back connections and leases (revoke a login of our own). The store is not used afterwards."""
        ...
