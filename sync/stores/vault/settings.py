"""What a Vault or OpenBao store needs to know, already validated."""

from __future__ import annotations

from dataclasses import dataclass

from sync.core.secret import SecretSource


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that somebody else keeps alive; it is read again each cycle, never renewed and never revoked."""

    token: SecretSource


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """AppRole at ``mount``. ``namespace`` is the login's own where it differs from the store's; "" is the root."""

    role_id: SecretSource
    secret_id: SecretSource
    mount: str = "approle"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class KubernetesLogin:
    """A service account's JWT, read again for each login; ``role`` is the role's name in Vault."""

    role: str
    jwt: SecretSource
    mount: str = "kubernetes"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JWT of any issuer that Vault's jwt method trusts, read again for each login; ``role`` is the role's name in Vault."""

    role: str
    jwt: SecretSource
    mount: str = "jwt"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class AwsIamLogin:
    """AWS credentials of boto3's chain, or of ``profile``, by Vault's aws method (type iam); they are looked up again for each login.

    ``region`` None signs for the global STS, which Vault asks unless its administrator has set another ``sts_endpoint``.
    ``header_value`` is what that administrator wants in X-Vault-AWS-IAM-Server-ID.
    """

    role: str
    region: str | None = None
    header_value: str | None = None
    profile: str | None = None
    mount: str = "aws"
    namespace: str | None = None


Login = TokenLogin | AppRoleLogin | KubernetesLogin | JwtLogin | AwsIamLogin


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """One store.

    ``address`` is scheme, host and port. ``list_prefix`` is the text of the path template before its first placeholder, to
    the letter: listings show what begins with it. ``timeout`` in seconds bounds the reading of one secret, and a whole
    write. ``ca_file`` replaces the public certificate authorities; it is read again when its content changes.
    """

    address: str
    mount: str
    list_prefix: str
    login: Login
    namespace: str | None = None
    timeout: float = 30.0
    ca_file: str | None = None
    proxy: SecretSource | None = None
    trust_env: bool = False
