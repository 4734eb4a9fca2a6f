"""How one region's Secrets Manager is reached, and what its new secrets are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.core.secret import SecretSource


@dataclass(frozen=True, slots=True)
class AwsRole:
    """A role to assume, as who the credentials that were found may not act themselves.

    ``external_id`` is what the role's trust policy demands; None sends none.
    """

    arn: str
    external_id: SecretSource | None = None


@dataclass(frozen=True, slots=True)
class AwsReplica:
    """A region that new secrets are replicated to; ``kms_key`` None is Amazon's own key there."""

    region: str
    kms_key: str | None = None


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How to reach one region's Secrets Manager.

    ``region`` and ``profile`` None leave it to boto3's chain; so are credentials. ``tags`` are put on what is created,
    beside our marks. ``timeout`` bounds a call with its retries and the finding of credentials, in seconds. ``name_prefix``
    is the fixed beginning of all names, which listings are filtered by; empty lists the whole account. Proxies of the
    environment count only with ``trust_env``. ``replicas`` empty leaves replication to others.
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
