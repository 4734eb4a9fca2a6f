"""The IAM policies for Secrets Manager: what each configuration needs, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from sync.core.model import Key, Use
from sync.stores.aws.policy import INLINE, Grants, Statement, document, size
from sync.stores.aws.settings import AwsReplica
from sync.stores.policy import PolicyError
from tests.support.values import page

WRITE, WATCH = Use("write", page()), Use("read", page())
NAMES = "arn:aws:secretsmanager:eu-central-1:*:secret:"
KEYS = "arn:aws:kms:eu-central-1:*:key/"


def grants(**changes: Any) -> Grants:
    """Return what a policy of the store is made from."""
    return Grants(**{"region": "eu-central-1", "prefix": "meta/pages/", "instance": "acme", **changes})


def uses(**paths: Use) -> Mapping[Key, Use]:
    """Return what is done with secrets, by their last names."""
    return {Key("aws", f"meta/{'pages/' if use.page else ''}{name}"): use for name, use in paths.items()}


def allowed(statements: Iterable[Statement]) -> dict[str, Any]:
    """Return the resources of each statement by its name."""
    return {statement["Sid"]: statement["Resource"] for statement in statements}


def test_one_resource_for_all_pages() -> None:
    """With the scope prefix each statement has one resource, and writing is tied to this instance's mark."""
    policy = list(grants().daemon(uses(berlin=WRITE, paris=WRITE), exact=False))
    names = f"{NAMES}meta/pages/*"
    assert allowed(policy) == {"List": "*", "Read": names, "Create": names, "Change": names}
    conditions = {one["Sid"]: one["Condition"]["StringEquals"] for one in policy if "Condition" in one}
    assert conditions == {
        "Create": {"aws:RequestTag/page-token-sync:instance": "acme"},
        "Change": {"aws:ResourceTag/page-token-sync:instance": "acme"},
    }


def test_a_resource_for_each_page() -> None:
    """With the scope exact each secret is named, with the six characters that AWS adds, and without where it may be absent."""
    policy = allowed(grants().daemon(uses(berlin=WRITE, paris=WRITE), exact=True))
    there = [f"{NAMES}meta/pages/berlin-??????", f"{NAMES}meta/pages/paris-??????"]
    assert policy["Change"] == there
    assert policy["Read"] == policy["Create"] == [*there, f"{NAMES}meta/pages/berlin", f"{NAMES}meta/pages/paris"]


def test_what_is_only_read() -> None:
    """A plan and the mode observe get no right to write, and a KMS key only to decrypt."""
    policy = list(grants(kms_key="alias/meta").daemon(uses(berlin=WATCH), exact=False))
    assert set(allowed(policy)) == {"List", "Read", "UseKey"}
    assert policy[-1]["Action"] == ["kms:Decrypt"]


def test_credentials() -> None:
    """A credential is read by a statement of its own, and written only where it is renewed; its marks are not needed."""
    policy = allowed(grants().daemon(uses(app=Use("read"), user=Use("renew")), exact=False))
    assert policy == {
        "ReadCredentials": [f"{NAMES}meta/app-??????", f"{NAMES}meta/user-??????"],
        "RenewCredentials": f"{NAMES}meta/user-??????",
    }


def test_replicas_and_their_keys() -> None:
    """Replicas need the right to replicate, and the key of each replica in its own region."""
    replicas = [AwsReplica("us-east-1"), AwsReplica("eu-west-1", "alias/there")]
    policy = {one["Sid"]: one for one in grants(replicas=replicas).daemon(uses(berlin=WRITE), exact=False)}
    assert policy["Replicate"]["Action"] == ["secretsmanager:ReplicateSecretToRegions"]
    assert policy["UseKeyInEuWest1"]["Action"] == ["kms:Encrypt", "kms:GenerateDataKey"]
    assert policy["UseKeyInEuWest1"]["Resource"] == "arn:aws:kms:eu-west-1:*:key/*"


@pytest.mark.parametrize(
    ("key", "resource", "alias"),
    [
        ("alias/meta", f"{KEYS}*", "alias/meta"),
        ("12345678-1234-1234-1234-123456789012", f"{KEYS}12345678-1234-1234-1234-123456789012", None),
        ("arn:aws:kms:eu-central-1:111122223333:key/mrk-1", "arn:aws:kms:eu-central-1:111122223333:key/mrk-1", None),
        ("arn:aws:kms:eu-central-1:111122223333:alias/m", "arn:aws:kms:eu-central-1:111122223333:key/*", "alias/m"),
    ],
)
def test_forms_of_a_kms_key(key: str, resource: str, alias: str | None) -> None:
    """A key is named as a resource, and an alias by a condition; both only for calls by Secrets Manager."""
    statement = list(grants(kms_key=key).daemon(uses(berlin=WRITE), exact=False))[-1]
    condition = statement["Condition"]
    assert statement["Resource"] == resource
    assert condition.get("ForAnyValue:StringEquals", {}).get("kms:ResourceAliases") == alias
    assert condition["StringEquals"] == {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_partitions(region: str, partition: str) -> None:
    """In China and in GovCloud ARNs begin with another partition."""
    made = grants(region=region, account="111122223333")
    assert allowed(made.readers(uses(berlin=WRITE), exact=True)) == {
        "Read": f"arn:{partition}:secretsmanager:{region}:111122223333:secret:meta/pages/berlin-??????"
    }


def test_the_reader_and_what_single_commands_need() -> None:
    """A reader gets the values of Pages and no credential, rollback lists versions, and prune deletes only what is marked as this instance's."""
    made = grants(kms_key="alias/meta")
    reader = list(made.readers(uses(berlin=WRITE, app=Use("read")), exact=True))
    assert [statement["Action"] for statement in reader] == [["secretsmanager:GetSecretValue"], ["kms:Decrypt"]]
    assert reader[0]["Resource"] == f"{NAMES}meta/pages/berlin-??????"
    (rollback,) = made.rollback(uses(berlin=WRITE), exact=False)
    assert (rollback["Action"], rollback["Resource"]) == (
        ["secretsmanager:ListSecretVersionIds"],
        f"{NAMES}meta/pages/*",
    )
    (prune,) = made.prune()
    assert (prune["Action"], prune["Resource"]) == (["secretsmanager:DeleteSecret"], f"{NAMES}meta/pages/*")
    assert prune["Condition"] == {"StringEquals": {"aws:ResourceTag/page-token-sync:instance": "acme"}}


def test_a_policy_that_is_too_large() -> None:
    """A policy above IAM's quotas is refused with the way out; blanks do not count."""
    many = uses(**{f"page-number-{number:04}": WRITE for number in range(100)})
    with pytest.raises(PolicyError, match="--scope prefix"):
        document(grants().daemon(many, exact=True))
    few = document(grants().daemon(many, exact=False))
    assert size(few) < INLINE < 10_241
    assert size(few) == len(json.dumps(few, separators=(",", ":")))
