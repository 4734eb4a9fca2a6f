"""The IAM policies that a configuration needs in AWS Secrets Manager; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.core.model import Key, Use
from sync.stores.aws.entry import PREFIX
from sync.stores.aws.settings import AwsReplica
from sync.stores.policy import PolicyError

Statement = Mapping[str, Any]

MANAGED, INLINE = 6_144, 10_240
"""Characters without blanks of a managed policy, and of all inline policies of a role (IAM's quotas, read 2026-12-02)."""

_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-isob-", "aws-iso-b"), ("us-iso-", "aws-iso"))


@dataclass(frozen=True, slots=True)
class Grants:
    """What a policy for one store is made from. ``prefix`` is the fixed part of its name template; ``account`` may be ``*``."""

    region: str
    prefix: str
    instance: str
    account: str = "*"
    kms_key: str | None = None
    replicas: Sequence[AwsReplica] = ()

    def daemon(self, uses: Mapping[Key, Use], *, exact: bool) -> Iterator[Statement]:
        """Yield what the configuration needs; where secrets of Pages are only read, nothing is written.

        A secret that does not exist has its name alone where it has no ARN yet: AWS documents the six characters for it too
        (its guide on limiting access to specific secrets, read 2026-12-02), and ministack 1.5 asks for the name.
        """
        pages = {key: use for key, use in uses.items() if use.page is not None}
        names = self._names(pages, exact=exact)
        absent = [*names, *(self._arn(key.path) for key in pages)] if exact else names
        if names:
            yield _allow("List", ["ListSecrets", "BatchGetSecretValue"], ["*"])
            yield _allow("Read", ["DescribeSecret", "GetSecretValue"], absent)
        writes = any(use.access == "write" for use in pages.values())
        if writes:
            mark = f"{PREFIX}instance"
            create = {"StringEquals": {f"aws:RequestTag/{mark}": self.instance}}
            change = {"StringEquals": {f"aws:ResourceTag/{mark}": self.instance}}
            yield _allow("Create", ["CreateSecret", "TagResource"], absent, create)
            changes = ["PutSecretValue", "UpdateSecretVersionStage", "TagResource", "UntagResource"]
            yield _allow("Change", changes, names, change)
            if self.replicas:
                yield _allow("Replicate", ["ReplicateSecretToRegions"], names)
        credentials = {key: use for key, use in uses.items() if use.page is None}
        if credentials:
            yield _allow("ReadCredentials", ["DescribeSecret", "GetSecretValue"], self._single(credentials))
        renewed = [key for key, use in credentials.items() if use.access == "renew"]
        if renewed:
            yield _allow("RenewCredentials", ["PutSecretValue", "UpdateSecretVersionStage"], self._single(renewed))
        yield from self._keys(writes=writes)

    def readers(self, uses: Mapping[Key, Use], *, exact: bool) -> Iterator[Statement]:
        """Yield what apps need to read the secrets of Pages."""
        names = self._names([key for key, use in uses.items() if use.page is not None], exact=exact)
        if names:
            yield _allow("Read", ["GetSecretValue"], names)
        yield from self._keys(writes=False)

    def prune(self) -> Iterator[Statement]:
        """Yield what ``prune`` needs beyond what the daemon has: to delete what is marked as this instance's."""
        condition = {"StringEquals": {f"aws:ResourceTag/{PREFIX}instance": self.instance}}
        yield _allow("Delete", ["DeleteSecret"], [self._arn(f"{self.prefix}*")], condition)

    def rollback(self, uses: Mapping[Key, Use], *, exact: bool) -> Iterator[Statement]:
        """Yield what ``rollback`` needs beyond what the daemon has: to list the versions of a secret."""
        names = self._names([key for key, use in uses.items() if use.page is not None], exact=exact)
        if names:
            yield _allow("ListVersions", ["ListSecretVersionIds"], names)

    def _names(self, keys: Iterable[Key], *, exact: bool) -> Sequence[str]:
        single = self._single(keys)
        return single if exact or not single else [self._arn(f"{self.prefix}*")]

    def _single(self, keys: Iterable[Key]) -> Sequence[str]:
        # AWS adds a hyphen and six characters to the name.
        return [self._arn(f"{key.path}-??????") for key in keys]

    def _arn(self, name: str) -> str:
        return f"arn:{_partition(self.region)}:secretsmanager:{self.region}:{self.account}:secret:{name}"

    def _keys(self, *, writes: bool) -> Iterator[Statement]:
        """Yield the rights on KMS keys: of this store's secrets, and of their replicas."""
        if self.kms_key:
            through = {}
            if _partition(self.region) == "aws":
                through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{self.region}.amazonaws.com"}}
            actions = ["kms:Decrypt", "kms:GenerateDataKey"] if writes else ["kms:Decrypt"]
            yield self._key("UseKey", actions, self.kms_key, self.region, through)
        for replica in self.replicas if writes else ():
            if replica.kms_key:
                name = "UseKeyIn" + replica.region.title().replace("-", "")
                yield self._key(name, ["kms:Encrypt", "kms:GenerateDataKey"], replica.kms_key, replica.region, {})

    def _key(self, name: str, actions: Sequence[str], key: str, region: str, condition: Mapping[str, Any]) -> Statement:
        """Return a statement about one key. A policy names no alias as a resource, but a condition can."""
        account = self.account
        if key.startswith("arn:"):
            account, key = key.split(":", 5)[4:]
        resource, named = key.removeprefix("key/"), {}
        if key.startswith("alias/"):
            resource, named = "*", {"ForAnyValue:StringEquals": {"kms:ResourceAliases": key}}
        arn = f"arn:{_partition(region)}:kms:{region}:{account}:key/{resource}"
        return _allow(name, actions, [arn], {**condition, **named})


def document(statements: Iterable[Statement]) -> Mapping[str, Any]:
    """Return a policy of these statements. Raises PolicyError where no quota of IAM allows it."""
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    if size(policy) > INLINE:
        raise PolicyError(
            f"The policy has {size(policy):,} characters. IAM allows {MANAGED:,} in a managed policy and {INLINE:,} in all inline "
            "policies of a role. Use --scope prefix, or select Pages and attach several managed policies."
        )
    return policy


def size(policy: Mapping[str, Any]) -> int:
    """Return the number of characters that IAM counts, which are those without blanks."""
    return len(json.dumps(policy, separators=(",", ":")))


def _partition(region: str) -> str:
    return next((partition for start, partition in _PARTITIONS if region.startswith(start)), "aws")


def _allow(
    name: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any] | None = None
) -> Statement:
    return {
        "Sid": name,
        "Effect": "Allow",
        "Action": [action if ":" in action else f"secretsmanager:{action}" for action in actions],
        "Resource": resources[0] if len(resources) == 1 else list(resources),
        **({"Condition": condition} if condition else {}),
    }
