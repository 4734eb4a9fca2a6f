"""The keys of the three kinds of store."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Tag, ValidationInfo, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from sync.config.schema.durations import PositiveDuration
from sync.config.schema.logins import VaultAuth, tagged
from sync.config.schema.network import Wire
from sync.config.schema.values import (
    TAG,
    Address,
    FilePath,
    Part,
    PathTemplate,
    PlainPath,
    Reference,
    Text,
    wrong,
)

_PLACEHOLDERS = "Knows {name} {id} {app} {app_id} {system_user} {instance}; {{ is a brace."
Timeout = Annotated[
    PositiveDuration,
    Field(
        description="The longest that one call may take as a whole. A store that timed out is not asked again in that cycle."
    ),
]


class VaultStore(Wire):
    """HashiCorp Vault or OpenBao, a KV mount of version 2."""

    type: Annotated[Literal["vault"], Field(description="The kind of store: vault, aws-secrets-manager or file.")]
    address: Annotated[Address, Field(description="The server's address.")]
    namespace: Annotated[
        PlainPath | None, Field(description="The namespace that the mount is in.", examples=["team-a"])
    ] = None
    mount: Annotated[PlainPath, Field(description="Where the KV version 2 engine is mounted.")] = "secret"
    path: Annotated[PathTemplate, Field(description=f"The secret's path in the mount. {_PLACEHOLDERS}")] = (
        "meta/pages/{name}"
    )
    auth: Annotated[
        VaultAuth,
        Field(
            description="How to log in. token: with token, a reference. approle: with role_id and secret_id, references. "
            "kubernetes: with role, and jwt, a reference to the service account's token. jwt: with role and jwt, a reference. "
            "aws: with role, and region, header_value and profile, names. All but token take mount and namespace too."
        ),
    ]
    timeout: Timeout = timedelta(seconds=30)


def _with_role(value: Any, info: ValidationInfo) -> Any:
    """Refuse what only assuming a role would use, where no role is to be assumed."""
    if value is not None and "role_arn" in info.data and info.data["role_arn"] is None:
        wrong("missing-key", "an external id is given and no role to assume with it", "write role_arn, or take it away")
    return value


class AwsAuth(Part):
    """Which credentials are used."""

    profile: Annotated[
        Text | None, Field(description="A profile of AWS's shared configuration; else boto3's usual chain.")
    ] = None
    role_arn: Annotated[
        str | None,
        Field(
            pattern=r"^arn:aws[a-z-]*:iam::[0-9]{1,12}:role/[A-Za-z0-9_+=,.@/-]{1,576}$",
            description="A role to assume with these credentials, under the session name page-token-sync.",
            examples=["arn:aws:iam::123456789012:role/page-token-sync"],
        ),
    ] = None
    external_id: Annotated[
        Reference | None,
        AfterValidator(_with_role),
        Field(
            description="A reference to the external id that the role's trust policy demands.",
            examples=[{"env": "AWS_EXTERNAL_ID"}],
        ),
    ] = None


_REGION = r"^[a-z0-9-]{1,64}$"


class AwsReplica(Part):
    """One region that a secret is replicated to."""

    region: Annotated[str, Field(pattern=_REGION, description="The replica's region.")]
    kms_key: Annotated[
        Text | None, Field(description="The KMS key of that region for the replica; else Amazon's own.")
    ] = None


_REPLICA_SCHEMA: JsonSchemaValue = {"anyOf": [{"type": "string", "pattern": _REGION}, AwsReplica.model_json_schema()]}


def _replica(value: Any) -> Any:
    return {"region": value} if isinstance(value, str) else value


def _replicas(value: tuple[AwsReplica, ...], info: ValidationInfo) -> tuple[AwsReplica, ...]:
    regions = [replica.region for replica in value]
    if len(regions) != len(set(regions)):
        wrong("bad-value", "a region stands twice among the replicas", "name each region once")
    if info.data.get("region") in regions:
        wrong("bad-value", "the store's own region stands among its replicas", "name other regions only")
    return value


def _tag_key(value: str) -> str:
    if value.lower().startswith(("aws:", "page-token-sync:")):
        wrong(
            "label-limit", "a tag's name begins with a reserved prefix", "aws: is Amazon's and page-token-sync: is ours"
        )
    return value


class AwsStore(Wire):
    """AWS Secrets Manager in one region."""

    type: Annotated[
        Literal["aws-secrets-manager"], Field(description="The kind of store: vault, aws-secrets-manager or file.")
    ]
    region: Annotated[str, Field(pattern=_REGION, description="The region.", examples=["eu-central-1"])]
    name: Annotated[PathTemplate, Field(description=f"The secret's name. {_PLACEHOLDERS}")] = "meta/pages/{name}"
    kms_key: Annotated[
        Text | None,
        Field(description="The KMS key for secrets that are created; else Amazon's own. Nothing is re-encrypted."),
    ] = None
    replicas: Annotated[
        tuple[Annotated[AwsReplica, BeforeValidator(_replica), WithJsonSchema(_REPLICA_SCHEMA)], ...],
        Field(
            strict=False,
            max_length=64,
            description="Regions that a secret is replicated to when it is created: names, or {region: NAME, kms_key: KEY}. "
            "What differs later is warned about, and not changed.",
            examples=[["us-east-1"]],
        ),
        AfterValidator(_replicas),
    ] = ()
    tags: Annotated[
        dict[Annotated[str, AfterValidator(_tag_key)], str],
        Field(description="Tags beside our own, set when a secret is created or its marks are written."),
    ] = Field(default_factory=dict)
    endpoint_url: Annotated[
        Address | None,
        Field(description="Another address than Amazon's, for emulators.", examples=["http://127.0.0.1:5000"]),
    ] = None
    auth: Annotated[AwsAuth, Field(description="Which credentials are used; else boto3's usual chain.")] = AwsAuth()
    timeout: Timeout = timedelta(seconds=30)


class FileStore(Part):
    """A directory of this machine, for a laptop or a tmpfs; files are 0600 and replaced atomically."""

    type: Annotated[Literal["file"], Field(description="The kind of store: vault, aws-secrets-manager or file.")]
    directory: Annotated[FilePath, Field(description="The directory, from the folder of the configuration file.")]
    name: Annotated[PathTemplate, Field(description=f"The file's name in it. {_PLACEHOLDERS}")] = "{name}.json"
    timeout: Timeout = timedelta(seconds=30)


Store = Annotated[
    Annotated[VaultStore, Tag(TAG + "vault")]
    | Annotated[AwsStore, Tag(TAG + "aws-secrets-manager")]
    | Annotated[FileStore, Tag(TAG + "file")],
    tagged("type"),
]
AnyStore = VaultStore | AwsStore | FileStore


def template(store: AnyStore) -> str:
    """Return the template of a secret's path or name in a store."""
    return store.path if isinstance(store, VaultStore) else store.name
