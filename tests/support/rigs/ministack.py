"""An account of ministack for tests of the store: users with policies, and what an administrator does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sync.core.model import Key
from sync.stores.aws.store import AwsSettings
from tests.support.rigs.aws import AwsRig
from tests.support.services.ministack import ACCOUNT, REGION, Keys, Ministack

ANYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}],
}
"""A policy that is not the least."""


def arn(name: str) -> str:
    """Return the ARN of a secret for a policy; its last six characters are random."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-??????"


class MinistackRig(AwsRig):
    """The rig of moto, for an IAM user whose profile is ``prod``."""

    canaries: tuple[str, ...] = ()

    def __init__(self, service: Ministack, credentials: Path, *policies: Mapping[str, Any]) -> None:
        self.ministack = service
        self.client = service.client("secretsmanager")
        self.keys = service.user("pages", *(policies or (ANYTHING,)))
        self.canaries = (self.keys.access_key, self.keys.secret_key)
        credentials.write_text(self.keys.profile("prod"))

    def settings(self, **changes: Any) -> AwsSettings:
        """Return the settings that reach the account."""
        reach = {
            "region": REGION,
            "endpoint_url": self.ministack.url,
            "profile": "prod",
            "timeout": 10.0,
            "name_prefix": "meta/pages/",
            "tags": {"Cost": "1"},
        }
        return AwsSettings(**{**reach, **changes})

    def allow(self, *statements: Mapping[str, Any]) -> None:
        """Replace the user's first policy."""
        self.ministack.grant("pages", "p0", {"Version": "2012-10-17", "Statement": list(statements)})

    def bad_key(self) -> Key:
        """Deny one secret's value explicitly."""
        key = self.key("bad")
        self.plant(key, {"access_token": "x"})
        deny = {"Effect": "Deny", "Action": "secretsmanager:GetSecretValue", "Resource": arn(key.path)}
        self.ministack.grant("pages", "deny", {"Version": "2012-10-17", "Statement": [deny]})
        return key

    def other(self, name: str, policy: Mapping[str, Any]) -> Keys:
        """Make another user."""
        return self.ministack.user(name, policy)
