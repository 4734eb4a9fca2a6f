"""The protocol of a store: what a cycle asks of it, and what every store guarantees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sync.core.model import (
    Absent,
    Content,
    Key,
    Marks,
    PastVersion,
    Removed,
    Stored,
    StoreError,
    Use,
    Version,
    WriteKind,
    Written,
)
from sync.core.payload import Payload
from sync.core.report.finding import Finding
from sync.core.report.report import Counts


class Store(Protocol):
    """One configured store. Every method may be called from any thread, for different keys at once.

    No method raises for what a service does: every failure is a StoreError value, whose text holds no secret, and no text of a
    library but OpenSSL's reason of a failed handshake. It says what was asked for: address or region, mount, path. The store's
    timeout bounds each call as a whole. A store in which a call timed out gets no further request in that cycle: it answers
    StoreError "timeout" at once until ``begin``.
    """

    @property
    def name(self) -> str:
        """The store's name in the configuration."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent to the service so far; 0 for a file store."""
        ...

    @property
    def outcomes(self) -> Counts:
        """Ended requests to the service so far, by operation and outcome; a login is the operation "login"."""
        ...

    @property
    def credential_expires_at(self) -> datetime | None:
        """When the credential of the present login expires; None where there is none or it is not known."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings for the operator since the last ``begin``, each shown once per cycle."""
        ...

    def begin(self, *, writes: bool = True) -> None:
        """Start a cycle: clear the last cycle's timeouts and warnings, and read credential and CA files again.

        With ``writes`` False the cycle ends with its plan: nothing may be changed, not even the remains of a killed write.
        """
        ...

    def read(self, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Content]:
        """Read the newest versions of many secrets with their marks; the answer has every key that was asked for.

        ``raw`` names the keys whose value is raw text and not a JSON object. A value of the other form is Stored with
        ``payload`` None and state "live". Absent means that the service said that no such secret exists.
        """
        ...

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write payload and marks by compare-and-set against ``replaces``, then read both back and compare.

        ``replaces`` is the Stored.version that the decision is based on, or None to create a secret. If another writer changed
        it first, nothing is changed: StoreError "conflict". If the payload is stored already (an answer was lost after the
        write took effect, or a second daemon wrote the same), that is success. A write that could not be read back within
        the timeout is Written with ``confirmed`` False. A previous version stays recoverable where the store keeps history.
        A hold that a rollback has set since the decision does not end: the write keeps it, or is a "conflict".
        """
        ...

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Write the marks alone, beside the payload that was read at ``version``; this makes no new version of the payload.

        A secret without a value has marks too: they are written where ``read`` shows it as deleted or empty.
        ``read`` is the secret that the decision is based on. If somebody else has removed or replaced its marks since, set or
        ended the hold of a rollback, or replaced its payload under the same version, nothing is changed: StoreError
        "conflict". So is a secret of another instance, unless
        ``read`` shows it as that instance's, which a person has decided to take over.
        Entries of the service's mark map that this program does not own stay as they are.
        """
        ...

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write a payload by compare-and-set over a secret that another tool may own, then read it back; its marks stay.

        This is for a credential that the configuration says to renew. It creates nothing: a secret that is absent, deleted,
        blocked, or at another version than ``replaces`` is a "conflict". If the payload is stored already, that is success.
        """
        ...

    def remove(self, key: Key, *, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Delete a secret so that it can be restored, if it still has the version and the marks that were read.

        Both are read again just before. If either has changed, nothing is deleted: StoreError "conflict". A newer version that
        another writer adds at the same time is never deleted. If this version is deleted already (an answer was lost after the
        deletion took effect, or a second process deleted it), that is success. Absent means that no such secret exists.
        """
        ...

    def versions(self, key: Key, *, raw: bool = False) -> Sequence[PastVersion] | StoreError:
        """Return the versions of a secret that the store keeps, the newest first, each with its payload; empty where there is none.

        ``raw``: the value is raw text. A store without history returns the current version alone.
        """
        ...

    def would_refuse(self, writes: Mapping[Key, WriteKind]) -> Mapping[Key, StoreError]:
        """Return which of these writes the store would refuse for want of a right, found out without a write.

        A key that is not in the answer may be refused all the same: the answer is empty where the store cannot find out, and
        where it could not be asked. A cycle calls this at most once, after ``read``, for a plan that a person looks at.
        """
        ...

    def examine(self, uses: Mapping[Key, Use], instance: str) -> Sequence[Finding]:
        """Find out, without a write, whether the store can do what the configuration needs of it, for each of these secrets.

        The ids of the findings are keys of STORE_CHECKS, in its order. The examination goes on after a failure; what cannot be
        found out because of it is "skipped". Call ``begin`` before, and examine outside of a cycle.
        """
        ...

    def owned(self, instance: str) -> Sequence[tuple[Key, Marks]] | StoreError:
        """List the secrets that this instance has marked, in the part of the store that its path template can reach.

        Secrets that are deleted, scheduled for deletion or without a value are left out. A cycle calls this once, after
        ``read``, so that the store can use a listing that it has already made.
        """
        ...

    def close(self) -> None:
        """Close connections and revoke the token of the store's own login. The store is not used afterwards."""
        ...
