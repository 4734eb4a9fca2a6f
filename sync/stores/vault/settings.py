"""The validated settings of a Vault or OpenBao store."""

from __future__ import annotations

from dataclasses import dataclass

from sync.core.secret import SecretSource


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that somebody else manages; it is read again in each cycle, never renewed and never revoked."""

    token: SecretSource


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """AppRole at ``mount``. ``namespace`` is the login's own if it differs from the store's; "" is the root namespace."""

    role_id: SecretSource
    secret_id: SecretSource
    mount: str = "approle"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JWT, read again for each login: of an issuer that the jwt method trusts, or of a service account for the kubernetes method.

    Both methods take the same request. ``role`` is the role's name in Vault.
    """

    role: str
    jwt: SecretSource
    mount: str = "jwt"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class AwsIamLogin:
    """AWS credentials from boto3's chain or ``profile``, for Vault's aws method (type iam); looked up again for each login.

    ``region`` None signs for the global STS, which Vault calls unless its ``sts_endpoint`` is set to another one.
    ``header_value`` is what Vault's ``iam_server_id_header_value`` requires in X-Vault-AWS-IAM-Server-ID.
    """

    role: str
    region: str | None = None
    header_value: str | None = None
    profile: str | None = None
    mount: str = "aws"
    namespace: str | None = None


Login = TokenLogin | AppRoleLogin | JwtLogin | AwsIamLogin


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """One store.

    ``address`` is scheme, host and port. ``list_prefix`` is the exact text of the path template before its first placeholder:
    listings are limited to paths that begin with it. ``timeout`` in seconds bounds the reading of one secret, and a whole
    write. ``ca_file`` replaces the public certificate authorities; ``client_cert`` and ``client_key`` are for a listener that
    requires a certificate. All three are read again when their content changes.
    """

    address: str
    mount: str
    list_prefix: str
    login: Login
    namespace: str | None = None
    timeout: float = 30.0
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: SecretSource | None = None
    trust_env: bool = False

    @property
    def renews(self) -> bool:
        """Whether the store logs in itself, in the namespace of its mount, and so renews and revokes its token there."""
        return not isinstance(self.login, TokenLogin) and self.login.namespace in (None, self.namespace or "")
