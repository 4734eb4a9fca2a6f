"""The keys and limits of the store in AWS Secrets Manager."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from sync.config.schema.network import NetworkConfig, ServiceAddress
from sync.config.schema.references import Reference
from sync.config.schema.stores.store import MARKS, PLACEHOLDERS_TEXT, TYPE_TEXT, Fault, StoreConfig, Timeout
from sync.config.schema.types import REGION, ConfigModel, PathTemplate, Region, Text, wrong

# A secret has at most 50 tags, with keys of 1 to 128 and values of up to 256 characters (Secrets Manager's API reference
# of Tag, November 2026).
_TAGS, _KEY, _VALUE = 50, 128, 256
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_NAME_LENGTH = 512
_ARN_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


def _with_role(value: Any, info: ValidationInfo) -> Any:
    """Refuse a key that has no effect without role_arn."""
    if value is not None and "role_arn" in info.data and info.data["role_arn"] is None:
        wrong("missing-key", "external_id is set without role_arn", "add role_arn, or remove external_id")
    return value


class AwsAuth(ConfigModel):
    """The credentials."""

    profile: Text | None = None
    """A profile of the AWS configuration files. Default: the credentials chain of boto3."""
    role_arn: Annotated[
        str | None,
        Field(
            pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}$",
            examples=["arn:aws:iam::123456789012:role/page-token-sync"],
        ),
    ] = None
    """A role to assume with these credentials, under the session name page-token-sync."""
    external_id: Annotated[
        Reference | None, AfterValidator(_with_role), Field(examples=[{"env": "AWS_EXTERNAL_ID"}])
    ] = None
    """A reference to the external id that the role's trust policy requires."""


_KMS_ARN = re.compile(rf"arn:aws[a-z-]*:kms:({REGION}):[0-9]{{12}}:(?:key|alias)/[A-Za-z0-9/_-]{{1,256}}")
_KMS_NAME = re.compile(
    r"alias/[A-Za-z0-9/_-]{1,250}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|mrk-[0-9A-Fa-f]{32}"
)
_ALIAS = re.compile(r"(?!key/|alias/)[A-Za-z0-9/_-]{1,250}", re.IGNORECASE)
"""The name of an alias, without the alias/ before it."""


def _kms_key(value: str, info: ValidationInfo) -> str:
    if not value.startswith("arn:"):
        if _ALIAS.fullmatch(value) and not _KMS_NAME.fullmatch(value):
            wrong("bad-value", "not a KMS key: alias/ is missing, or it is no whole id of a key",
                  "write alias/ before the alias's name, or the key's id or ARN")  # fmt: skip
        if not _KMS_NAME.fullmatch(value):
            wrong("bad-value", "not a KMS key", "write alias/NAME, the key's id, or its ARN")
        return value
    found = _KMS_ARN.fullmatch(value)
    if found is None:
        wrong("bad-value", "not the ARN of a KMS key", "write arn:aws:kms:REGION:ACCOUNT:key/ID, or alias/NAME")
    if info.data.get("region") not in (None, found[1]):
        wrong("bad-value", "a KMS key of another region", "choose a key of the secret's own region")
    return value


KmsKey = Annotated[Text, AfterValidator(_kms_key)]


class ReplicaConfig(ConfigModel):
    """One region that a secret is replicated to."""

    # The schema below has the descriptions, and is made at import.
    region: Annotated[Region, Field(description="The replica's region.")]
    kms_key: Annotated[
        KmsKey | None, Field(description="The KMS key for the replica, in its region. Default: the key of AWS.")
    ] = None


_REPLICA_SCHEMA: JsonSchemaValue = {
    "anyOf": [{"type": "string", "pattern": f"^{REGION}$"}, ReplicaConfig.model_json_schema()]
}


def _replica(value: Any) -> Any:
    return {"region": value} if isinstance(value, str) else value


def _replicas(value: tuple[ReplicaConfig, ...], info: ValidationInfo) -> tuple[ReplicaConfig, ...]:
    regions = [replica.region for replica in value]
    if len(regions) != len(set(regions)):
        wrong("bad-value", "a region occurs twice in the replicas", "name each region once")
    if info.data.get("region") in regions:
        wrong("bad-value", "the store's own region is in its replicas", "name other regions only")
    return value


def _tag_key(value: str) -> str:
    if value.lower().startswith(("aws:", "page-token-sync:")):
        wrong(
            "label-limit",
            "the name of the tag begins with a reserved prefix",
            "aws: is reserved by AWS, and page-token-sync: by this program",
        )
    return value


class AwsConfig(StoreConfig, NetworkConfig):
    """AWS Secrets Manager in one region."""

    address_key: ClassVar[str] = "endpoint_url"
    example: ClassVar = (
        "aws",
        {
            "type": "aws-secrets-manager",
            "region": "eu-central-1",
            "name": "meta/pages/{name}",
            "kms_key": "alias/meta",
            "tags": {"CostCenter": "4711"},
            "auth": {"profile": "prod", "role_arn": "arn:aws:iam::123456789012:role/page-token-sync"},
        },
    )

    type: Annotated[Literal["aws-secrets-manager"], Field(description=TYPE_TEXT)]
    region: Annotated[Region, Field(examples=["eu-central-1"])]
    """The region of the secrets."""
    name: Annotated[PathTemplate, Field(description=f"The secret's name. {PLACEHOLDERS_TEXT}")] = "meta/pages/{name}"
    kms_key: Annotated[KmsKey | None, Field(examples=["alias/meta"])] = None
    """The KMS key for new secrets. Default: the key of AWS. Existing secrets are not encrypted again."""
    replicas: Annotated[
        tuple[Annotated[ReplicaConfig, BeforeValidator(_replica), WithJsonSchema(_REPLICA_SCHEMA)], ...],
        Field(strict=False, max_length=64, examples=[["us-east-1"]]),
        AfterValidator(_replicas),
    ] = ()
    """Regions to replicate a new secret to: names, or {region: NAME, kms_key: KEY}. A later difference is reported, and
    not changed."""
    tags: dict[Annotated[str, AfterValidator(_tag_key)], str] = Field(default_factory=dict)
    """Tags in addition to the marks, set when a secret is created or its marks are written."""
    endpoint_url: Annotated[ServiceAddress | None, Field(examples=["http://127.0.0.1:5000"])] = None
    """An address other than that of AWS, for emulators."""
    auth: AwsAuth = AwsAuth()
    """The credentials. Default: the credentials chain of boto3."""
    timeout: Timeout = timedelta(seconds=30)

    def root(self) -> tuple[str, ...]:
        """Return region, endpoint and credentials: another profile or role may be another account."""
        account = (self.auth.profile or "", self.auth.role_arn or "")
        return ("aws", self.region, self.endpoint_url or "", *account, "")

    def faults(self) -> Iterator[Fault]:
        """Return a name and tags that AWS would refuse."""
        fault = _name_fault(self.filled())
        if fault:
            yield Fault(("name",), "bad-path", f"not a name for a secret in AWS: {fault}",
                        "write it like meta/pages/{name}")  # fmt: skip
        for key, value in self.tags.items():
            fault = _tag_fault(key, value)
            if fault:
                yield Fault(("tags", key), "label-limit", f"not a tag in AWS: {fault}", "shorten or change it")

    def label_faults(self, labels: Mapping[str, str]) -> Iterator[tuple[str | None, str]]:
        """Return labels that cannot be tags, or are too many together with the tags of the store."""
        if len(labels) + len(self.tags) + MARKS > _TAGS:
            yield None, f"more than {_TAGS - MARKS} labels and tags together, which is the limit of AWS"
        for key, value in labels.items():
            fault = _tag_fault("page-token-sync:label." + key, value) if key else "its name is empty"
            if fault:
                yield key, f"not possible as a tag in AWS: {fault}"

    def path_fault(self, path: str) -> str | None:
        """Return that a name is too long."""
        return f"longer than {_NAME_LENGTH} characters" if len(path) > _NAME_LENGTH else None

    def warnings(self, paths: Sequence[str]) -> Iterator[str]:
        """Warn about names that end like the suffix of an ARN: a partial ARN would find the wrong secret."""
        names = [path for path in paths if _ARN_SUFFIX.search(path)]
        if names:
            yield (
                f"{len(names)} names end in a hyphen and six characters, like the suffix that AWS adds to an ARN "
                f"({names[0]}): use the full ARN in policies"
            )


def _tag_fault(key: str, value: str) -> str | None:
    if not 1 <= len(key) <= _KEY:
        return f"its name, including the prefix, is empty or longer than {_KEY} characters"
    if len(value) > _VALUE:
        return f"its value is longer than {_VALUE} characters"
    if not all(char in "_.:/=+-@" or unicodedata.category(char)[0] in "LZN" for char in key + value):
        return "it contains characters other than letters, digits, spaces and _ . : / = + - @"
    return None


def _name_fault(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return "it contains characters other than letters, digits and / _ + = . @ -"
    return f"it is longer than {_NAME_LENGTH} characters" if len(name) > _NAME_LENGTH else None
