"""The policies that the documentation gives for AWS are enough for what they are for, and no more, on an emulator with IAM on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sync.sandbox.http.server import Sandbox
from tests.support.paths import ROOT
from tests.support.rigs.e2e import INSTANCE, Rig
from tests.support.services.aws import aws_environment
from tests.support.services.graph import sandbox
from tests.support.services.ministack import REGION, Keys, Ministack, ministack, ministack_server

__all__ = ["aws_environment", "ministack", "ministack_server", "sandbox"]

pytestmark = [pytest.mark.xdist_group("ministack"), pytest.mark.timeout(900)]

PAGE = ROOT / "docs" / "how-to" / "aws.md"


def policy(heading: str) -> dict[str, Any]:
    """Return the first policy below a heading of docs/how-to/aws.md, for the instance of the tests."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    text = re.findall(r"```json\n(.*?)```", section, re.DOTALL)[0]
    first: dict[str, Any] = json.loads(text.replace("acme-prod", INSTANCE))
    return first


def rig(ministack: Ministack, sandbox: Sandbox, folder: Path) -> Rig:
    """Return a program whose store takes the credentials of the profile ``prod``."""
    reach = {"region": REGION, "endpoint_url": ministack.url, "auth": {"profile": "prod"}}
    return Rig(folder, sandbox, {"type": "aws-secrets-manager", **reach})


def client(ministack: Ministack, keys: Keys) -> Any:
    """Return a client of Secrets Manager for a user."""
    return boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=ministack.url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
    )


def test_the_documented_policy_for_a_plan_is_enough(
    ministack: Ministack, aws_environment: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With the policy for a plan, and no other, a plan finds everything as the daemon left it, and nothing can be written."""
    program = rig(ministack, sandbox, tmp_path)
    aws_environment.write_text(ministack.user("daemon", policy("Policy for the daemon")).profile("prod"))
    assert program.once().code == 0
    aws_environment.write_text(ministack.user("planner", policy("Policy for a plan")).profile("prod"))
    planned = program.run("plan", "--output", "json")
    assert (planned.code, planned.report["warnings"]) == (0, []), planned.stdout
    assert {page["stores"][0]["action"] for page in planned.report["pages"]} == {"unchanged"}
    program.write(defaults={"labels": {"team": "crm"}})
    assert program.once().report["summary"]["failed"] == len(sandbox.pages)


def test_the_documented_policy_for_the_reader_is_enough(
    ministack: Ministack, aws_environment: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With the policy for the reader a Page's token can be read, and neither written nor another Page's read."""
    program = rig(ministack, sandbox, tmp_path)
    aws_environment.write_text(ministack.user("daemon", policy("Policy for the daemon")).profile("prod"))
    assert program.once().code == 0
    reader = client(ministack, ministack.user("reader", policy("Policy for the reader")))
    read = json.loads(reader.get_secret_value(SecretId="meta/pages/berlin")["SecretString"])
    assert set(read) == {"access_token", "page_id", "app_id"}
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_secret_value(SecretId="meta/pages/paris")
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.put_secret_value(SecretId="meta/pages/berlin", SecretString="{}")
