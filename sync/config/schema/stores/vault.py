"""The keys and limits of the store in Vault or OpenBao, and the keys of each way to log in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo

from sync.config.schema.choices import ChosenBy
from sync.config.schema.network import NetworkConfig, ServiceAddress
from sync.config.schema.references import Reference
from sync.config.schema.stores.store import MARKS, PLACEHOLDERS_TEXT, TYPE_TEXT, StoreConfig, Timeout
from sync.config.schema.types import (
    ConfigModel,
    FilePath,
    LoginMount,
    LoginNamespace,
    MountPath,
    Namespace,
    PathTemplate,
    Region,
    Text,
    wrong,
)
from sync.core.payload import fixed_part

# custom_metadata has at most 64 keys of 1 to 128 bytes, with printable values of 1 to 512 bytes (Vault's API documentation
# of KV version 2, measured on OpenBao 2.7, November 2026).
_KEYS, _KEY, _VALUE = 64, 128, 512

_LoginNamespace = Annotated[
    LoginNamespace | None,
    Field(
        description="The namespace of the login, if it is not that of the store; empty for the root.",
        examples=["admin"],
    ),
]


def _method_mount(value: str) -> str:
    if value.startswith("auth/"):
        wrong("bad-path", "it begins with auth/, which Vault's API adds to the path itself", "remove auth/")
    return value


_LoginMount = Annotated[LoginMount, AfterValidator(_method_mount)]


def _origin(address: str) -> str:
    if urlsplit(address).path:
        wrong(
            "bad-address",
            "an address with a path",
            "end it after the host or the port, such as https://vault.internal:8200; the API's /v1 is added",
        )
    return address


def _with_certificate(key: Path | None, info: ValidationInfo) -> Path | None:
    """Refuse a certificate without its key, and a key without its certificate."""
    if "client_cert" in info.data and (info.data["client_cert"] is None) != (key is None):
        there, missing = ("client_cert", "client_key") if key is None else ("client_key", "client_cert")
        wrong("missing-key", f"{there} is set without {missing}", f"add {missing}, or remove {there}")
    return key


class TokenAuth(ConfigModel):
    """Log in with a token that something else renews."""

    method: Literal["token"]
    """How to log in."""
    token: Reference
    """A reference to the Vault token."""


class AppRoleAuth(ConfigModel):
    """Log in with AppRole."""

    method: Literal["approle"]
    """How to log in."""
    role_id: Reference
    """A reference to the role id."""
    secret_id: Reference
    """A reference to the secret id."""
    mount: _LoginMount = "approle"
    """Where the AppRole method is mounted."""
    namespace: _LoginNamespace = None


class KubernetesAuth(ConfigModel):
    """Log in with the service account of the pod."""

    method: Literal["kubernetes"]
    """How to log in."""
    role: Text
    """The role's name in Vault."""
    jwt: Reference = Field(
        default={"file": "/var/run/secrets/kubernetes.io/serviceaccount/token"}, validate_default=True
    )
    """A reference to the service account's token."""
    mount: _LoginMount = "kubernetes"
    """Where the Kubernetes method is mounted."""
    namespace: _LoginNamespace = None


class JwtAuth(ConfigModel):
    """Log in with a JWT of an issuer that Vault's jwt method trusts."""

    method: Literal["jwt"]
    """How to log in."""
    role: Text
    """The role's name in Vault."""
    jwt: Reference
    """A reference to the JWT, read again for each login."""
    mount: _LoginMount = "jwt"
    """Where the JWT method is mounted."""
    namespace: _LoginNamespace = None


class AwsIamAuth(ConfigModel):
    """Log in with AWS credentials, by Vault's aws method of type iam; OpenBao does not have it."""

    method: Literal["aws"]
    """How to log in."""
    role: Text
    """The role's name in Vault."""
    region: Annotated[Region | None, Field(examples=["eu-central-1"])] = None
    """The region of STS, if Vault's sts_endpoint is not the global one."""
    header_value: Annotated[
        Annotated[str, Field(pattern=r"^[!-~]{1,512}$")] | None, Field(examples=["vault.internal"])
    ] = None
    """The value of X-Vault-AWS-IAM-Server-ID that Vault requires."""
    profile: Text | None = None
    """A profile of the AWS configuration files. Default: the credentials chain of boto3."""
    mount: _LoginMount = "aws"
    """Where the AWS method is mounted."""
    namespace: _LoginNamespace = None


AnyAuth = TokenAuth | AppRoleAuth | KubernetesAuth | JwtAuth | AwsIamAuth
VaultAuth = Annotated[AnyAuth, ChosenBy("method")]


def _in_mount(value: str, info: ValidationInfo) -> str:
    """Refuse a path that begins like Vault's own addresses, which repeat the mount and put data/ after it."""
    mount, prefix = f"{info.data.get('mount', '')}/", fixed_part(value)
    for part in ("data/", "metadata/"):
        if value.startswith(part):
            wrong("bad-path", f"it begins with {part}, which Vault's API adds to the path itself", f"remove {part}")
    if mount != "/" and value.startswith(mount):
        wrong("bad-path", "it begins with the mount, which is a key of its own", "write the path inside the mount")
    if prefix and f"/{mount}".endswith(f"/{prefix}"):
        wrong("bad-path", "the mount ends with this path already", "write the mount and the path inside it")
    return value


_RESERVED = ("sys", "cubbyhole", "identity", "auth")


def _mount(value: str) -> str:
    first = value.partition("/")[0]
    if value.startswith("data/"):
        wrong("bad-path", "it begins with data/, which Vault's API adds to the path itself", "remove data/")
    if first in _RESERVED:
        wrong(
            "bad-path",
            f"a part of Vault's own API, {first}, where no KV engine can be mounted",
            "write it like secret or kv/meta",
        )
    return value


class VaultConfig(StoreConfig, NetworkConfig):
    """HashiCorp Vault or OpenBao, a KV mount of version 2."""

    address_key: ClassVar[str] = "address"
    template_key: ClassVar[str] = "path"
    holds_text: ClassVar[bool] = False
    example: ClassVar = (
        "vault",
        {
            "type": "vault",
            "address": "https://vault.internal:8200",
            "path": "meta/pages/{name}",
            "auth": {
                "method": "approle",
                "role_id": {"env": "VAULT_ROLE_ID"},
                "secret_id": {"file": "/run/secrets/vault_secret_id"},
            },
        },
    )

    type: Annotated[Literal["vault"], Field(description=TYPE_TEXT)]
    address: Annotated[ServiceAddress, AfterValidator(_origin)]
    """The server's address: scheme, host and port."""
    namespace: Annotated[Namespace | None, Field(examples=["team-a"])] = None
    """The namespace of the mount."""
    mount: Annotated[MountPath, AfterValidator(_mount)] = "secret"
    """Where the KV version 2 engine is mounted."""
    path: Annotated[
        PathTemplate,
        AfterValidator(_in_mount),
        Field(description=f"The secret's path in the mount. {PLACEHOLDERS_TEXT}"),
    ] = "meta/pages/{name}"
    auth: VaultAuth
    """How to log in. token: with token, a reference. approle: with role_id and secret_id, references. kubernetes: with
    role, and jwt, a reference to the service account's token. jwt: with role and jwt, a reference. aws: with role, and
    region, header_value and profile, names. All but token take mount and namespace too."""
    timeout: Timeout = timedelta(seconds=30)
    client_cert: Annotated[FilePath | None, Field(examples=["/etc/ssl/page-token-sync.pem"])] = None
    """A PEM file of a certificate for a listener that requires one. Read again in each cycle."""
    client_key: Annotated[
        FilePath | None,
        AfterValidator(_with_certificate),
        Field(validate_default=True, examples=["/etc/ssl/page-token-sync.key"]),
    ] = None
    """A PEM file of the private key of client_cert, not encrypted. Read again in each cycle."""

    @property
    def renews(self) -> bool:
        """Whether the store logs in itself, in the namespace of its mount, and so renews and revokes its token there."""
        return not isinstance(self.auth, TokenAuth) and self.auth.namespace in (None, self.namespace or "")

    def certificate_files(self) -> Iterator[Path]:
        """Yield the files of certificates and keys that the connection reads."""
        yield from super().certificate_files()
        yield from (file for file in (self.client_cert, self.client_key) if file is not None)

    def root(self) -> tuple[str, ...]:
        """Return address, namespace and mount."""
        return ("vault", self.address.lower(), self.namespace or "", self.mount, "")

    def label_faults(self, labels: Mapping[str, str]) -> Iterator[tuple[str | None, str]]:
        """Return labels that are not possible in custom_metadata, or are too many."""
        if len(labels) + MARKS > _KEYS:
            yield None, f"more than {_KEYS - MARKS} labels, which is the limit of Vault's custom_metadata"
        for key, value in labels.items():
            fault = _label_fault("label." + key, value) if key else "its name is empty"
            if fault:
                yield key, f"not possible in Vault's custom_metadata: {fault}"


def _label_fault(key: str, value: str) -> str | None:
    if len(key.encode()) > _KEY:
        return f"its name is longer than {_KEY - len('label.')} bytes"
    if not value:
        return "its value is empty"
    if len(value.encode()) > _VALUE:
        return f"its value is longer than {_VALUE} bytes"
    return None if (key + value).isprintable() else "it contains a character that cannot be printed"
