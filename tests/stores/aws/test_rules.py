"""The shim before moto refuses what AWS refuses, so that a test that passes against it is significant."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.aws_rules import CREATE_OVER_DELETED

__all__ = ["aws", "aws_environment", "aws_server"]

TOKEN = "0123456789012345678901234567890123"


def code(call: Any, **parameters: Any) -> str:
    """Return the code with which a call fails; AWS's status for it is always 400."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Code"])


def tag(key: str, value: str = "x") -> list[dict[str, str]]:
    """Return one tag."""
    return [{"Key": key, "Value": value}]


def test_what_is_scheduled_for_deletion_is_not_touched(aws: Aws) -> None:
    """A secret that is scheduled for deletion refuses every write and a creation of its name."""
    client = aws.client
    client.create_secret(Name="a", SecretString="1")
    client.delete_secret(SecretId="a")
    for call, parameters in (
        (client.put_secret_value, {"SecretString": "2"}),
        (client.tag_resource, {"Tags": tag("k")}),
        (client.untag_resource, {"TagKeys": ["k"]}),
        (client.update_secret_version_stage, {"VersionStage": "x"}),
        (client.get_secret_value, {}),
    ):
        assert code(call, SecretId="a", **parameters) == "InvalidRequestException"
    with pytest.raises(ClientError, match="already scheduled for deletion") as caught:
        client.create_secret(Name="a", SecretString="1")
    assert caught.value.response["Error"]["Message"] == CREATE_OVER_DELETED


def test_one_token_is_one_content(aws: Aws) -> None:
    """The same ClientRequestToken is accepted with the same content, and refused with another."""
    client = aws.client
    client.create_secret(Name="a", SecretString="1", ClientRequestToken=TOKEN)
    client.put_secret_value(SecretId="a", SecretString="1", ClientRequestToken=TOKEN)
    assert code(client.put_secret_value, SecretId="a", SecretString="2", ClientRequestToken=TOKEN) == (
        "ResourceExistsException"
    )
    assert client.get_secret_value(SecretId="a")["SecretString"] == "1"


@pytest.mark.parametrize(
    "tags", [tag("a*"), tag("<a>"), tag("aws:x"), tag("AWS:x"), tag("k", "*"), tag("k" * 129), tag("k", "v" * 257)]
)
def test_tags(aws: Aws, tags: list[dict[str, str]]) -> None:
    """Tags with invalid characters, lengths or AWS's own prefix are refused, at creation and later."""
    client = aws.client
    assert code(client.create_secret, Name="a", SecretString="1", Tags=tags) == "InvalidParameterException"
    client.create_secret(Name="a", SecretString="1", Tags=tag("Ort", "Köln 1+2=3 a_b-c.d:e/f@g"))
    assert code(client.tag_resource, SecretId="a", Tags=tags) == "InvalidParameterException"


def test_fifty_tags(aws: Aws) -> None:
    """A secret has at most 50 tags, including existing ones."""
    client = aws.client
    client.create_secret(Name="a", SecretString="1", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    client.tag_resource(SecretId="a", Tags=tag("k0"))
    assert code(client.tag_resource, SecretId="a", Tags=tag("one-more")) == "InvalidParameterException"


def test_forms(aws: Aws) -> None:
    """Names, sizes, batches and page tokens beyond AWS's limits are refused; what is absent has status 400."""
    client = aws.client
    assert code(client.create_secret, Name="a b", SecretString="1") == "ValidationException"
    client.create_secret(Name="a", SecretString="x" * 65_536)
    assert code(client.put_secret_value, SecretId="a", SecretString="x" * 65_537) == "ValidationException"
    assert code(client.batch_get_secret_value, SecretIdList=["a"] * 21) == "ValidationException"
    assert code(client.list_secrets, NextToken="made-up") == "InvalidNextTokenException"
    assert code(client.list_secrets, MaxResults=101) == "ValidationException"
    assert code(client.get_secret_value, SecretId="absent") == "ResourceNotFoundException"


def test_current_is_served_after_a_move(aws: Aws) -> None:
    """After AWSCURRENT has moved, a read and a batch without a label return the new value."""
    client = aws.client
    first = client.create_secret(Name="a", SecretString="1")["VersionId"]
    second = client.put_secret_value(SecretId="a", SecretString="2", VersionStages=["mine"])["VersionId"]
    client.update_secret_version_stage(
        SecretId="a", VersionStage="AWSCURRENT", MoveToVersionId=second, RemoveFromVersionId=first
    )
    assert client.get_secret_value(SecretId="a")["SecretString"] == "2"
    assert client.batch_get_secret_value(SecretIdList=["a"])["SecretValues"][0]["SecretString"] == "2"
    assert (
        code(
            client.update_secret_version_stage,
            SecretId="a",
            VersionStage="AWSCURRENT",
            MoveToVersionId=first,
            RemoveFromVersionId=first,
        )
        == "InvalidParameterException"
    )
