"""How to log in to Vault: the keys of each method."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from sync.config.schema.values import TAG, Namespace, Part, PlainPath, Reference, Text

_LoginNamespace = Annotated[
    Namespace | None,
    Field(
        description="The namespace of the login, where it is not the store's; empty for the root.",
        examples=["admin"],
    ),
]


class TokenAuth(Part):
    """Log in with a token that something else renews."""

    method: Annotated[Literal["token"], Field(description="How to log in.")]
    token: Annotated[Reference, Field(description="A reference to the Vault token.")]


class AppRoleAuth(Part):
    """Log in with AppRole."""

    method: Annotated[Literal["approle"], Field(description="How to log in.")]
    role_id: Annotated[Reference, Field(description="A reference to the role id.")]
    secret_id: Annotated[Reference, Field(description="A reference to the secret id.")]
    mount: Annotated[PlainPath, Field(description="Where the AppRole method is mounted.")] = "approle"
    namespace: _LoginNamespace = None


class KubernetesAuth(Part):
    """Log in with the service account of the pod."""

    method: Annotated[Literal["kubernetes"], Field(description="How to log in.")]
    role: Annotated[Text, Field(description="The role's name in Vault.")]
    jwt: Annotated[Reference, Field(description="A reference to the service account's token.")] = Field(
        default={"file": "/var/run/secrets/kubernetes.io/serviceaccount/token"}, validate_default=True
    )
    mount: Annotated[PlainPath, Field(description="Where the Kubernetes method is mounted.")] = "kubernetes"
    namespace: _LoginNamespace = None


class JwtAuth(Part):
    """Log in with a JWT of an issuer that Vault's jwt method trusts."""

    method: Annotated[Literal["jwt"], Field(description="How to log in.")]
    role: Annotated[Text, Field(description="The role's name in Vault.")]
    jwt: Annotated[Reference, Field(description="A reference to the JWT, read again for each login.")]
    mount: Annotated[PlainPath, Field(description="Where the JWT method is mounted.")] = "jwt"
    namespace: _LoginNamespace = None


class AwsIamAuth(Part):
    """Log in with AWS credentials, by Vault's aws method of type iam; OpenBao does not have it."""

    method: Annotated[Literal["aws"], Field(description="How to log in.")]
    role: Annotated[Text, Field(description="The role's name in Vault.")]
    region: Annotated[
        Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None,
        Field(
            description="The region whose STS is asked, where Vault's sts_endpoint is not the global one.",
            examples=["eu-central-1"],
        ),
    ] = None
    header_value: Annotated[
        Annotated[str, Field(pattern=r"^[!-~]{1,512}$")] | None,
        Field(description="What Vault wants in X-Vault-AWS-IAM-Server-ID.", examples=["vault.internal"]),
    ] = None
    profile: Annotated[
        Text | None, Field(description="A profile of AWS's shared configuration; else boto3's usual chain.")
    ] = None
    mount: Annotated[PlainPath, Field(description="Where the AWS method is mounted.")] = "aws"
    namespace: _LoginNamespace = None


def tagged(key: str) -> Any:
    """Choose a model of a union by the value of one key; None where that key is missing or no text."""

    def choose(value: Any) -> str | None:
        chosen = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        return TAG + chosen if isinstance(chosen, str) else None

    choose.__name__ = key
    return Discriminator(choose)


VaultAuth = Annotated[
    Annotated[TokenAuth, Tag(TAG + "token")]
    | Annotated[AppRoleAuth, Tag(TAG + "approle")]
    | Annotated[KubernetesAuth, Tag(TAG + "kubernetes")]
    | Annotated[JwtAuth, Tag(TAG + "jwt")]
    | Annotated[AwsIamAuth, Tag(TAG + "aws")],
    tagged("method"),
]
AnyAuth = TokenAuth | AppRoleAuth | KubernetesAuth | JwtAuth | AwsIamAuth
