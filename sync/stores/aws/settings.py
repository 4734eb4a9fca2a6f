"""Settings of one Region's Secrets Manager: how to reach it, and the properties of new secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.core.secret import SecretSource


@dataclass(frozen=True, slots=True)
class AwsRole:
    """An IAM role to assume with the credentials that were found.

    ``external_id`` is required where the role's trust policy has a condition on it.
    """

    arn: str
    external_id: SecretSource | None = None


@dataclass(frozen=True, slots=True)
class AwsReplica:
    """A Region that new secrets are replicated to; ``kms_key`` None is the AWS managed key there."""

    region: str
    kms_key: str | None = None


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How to reach one Region's Secrets Manager.

    Where ``region`` or ``profile`` is None boto3's default chain decides, as it does for credentials. ``tags`` are set
    beside the marks. ``timeout`` bounds a call together with its retries and its search for credentials, in seconds.
    ``name_prefix`` is the fixed beginning of all names, by which listings are filtered; if empty the whole account is
    listed. Proxies of the environment are used only with ``trust_env``. Empty ``replicas`` disable the check of replicas.
    """

    region: str | None = None
    kms_key: str | None = None
    replicas: tuple[AwsReplica, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    endpoint_url: str | None = None
    profile: str | None = None
    role: AwsRole | None = None
    timeout: float = 30.0
    ca_file: str | None = None
    proxy: SecretSource | None = None
    trust_env: bool = False
    name_prefix: str = ""
