"""The printed IAM policy and what happens without each of its actions, on an emulator that enforces policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.core import marks as mark_map
from sync.core.model import Absent, Key, Stored, Use, Written
from sync.core.payload import Payload
from sync.core.secret import Secret
from sync.sandbox.http.server import Sandbox
from sync.stores.aws.policy import Grants, document
from sync.stores.aws.store import AwsRole
from tests.support.rigs.e2e import INSTANCE, Rig
from tests.support.rigs.ministack import ANYTHING, MinistackRig, arn
from tests.support.services.aws import aws_environment
from tests.support.services.graph import sandbox
from tests.support.services.ministack import ACCOUNT, REGION, Ministack, ministack, ministack_server
from tests.support.store_contract import failed, marks, one, payload, stored, written
from tests.support.values import page

__all__ = ["aws_environment", "ministack", "ministack_server", "sandbox"]

pytestmark = [pytest.mark.xdist_group("ministack"), pytest.mark.timeout(900)]

UPDATED = marks(fingerprint="0123456789ab", reason="rotate", system_user_fingerprint=None)
"""Marks that need one tag set and one taken away."""


def printed(instance: str = "acme") -> dict[str, Any]:
    """Return the policy for the daemon of this instance, as the command `policy aws` prints it."""
    key = Key("aws", "meta/pages/berlin")
    grants = Grants(REGION, "meta/pages/", instance)
    text = json.dumps(document(grants.daemon({key: Use("write", page(targets=(key,)))}, exact=False)))
    policy: dict[str, Any] = json.loads(text)
    return policy


def without(action: str) -> dict[str, Any]:
    """Return the printed policy without one action."""
    policy = printed()
    for statement in policy["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != f"secretsmanager:{action}"]
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
    return policy


@pytest.fixture
def rig(ministack: Ministack, aws_environment: Path) -> MinistackRig:
    """Return an empty account, and a user with the printed policy."""
    return MinistackRig(ministack, aws_environment, printed())


def narrowed(rig: MinistackRig, policy: Mapping[str, Any]) -> None:
    """Replace the user's printed policy by this one."""
    rig.allow(*policy["Statement"])


def test_the_documented_policy_is_enough_for_all_cycles(
    ministack: Ministack, aws_environment: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With the printed policy, and no other, secrets are created, idle, labelled, unlabelled and healed."""
    aws_environment.write_text(ministack.user("pages", printed(INSTANCE)).profile("prod"))
    store = {
        "type": "aws-secrets-manager",
        "region": REGION,
        "endpoint_url": ministack.url,
        "auth": {"profile": "prod"},
    }
    rig = Rig(tmp_path, sandbox, store)
    paris = sandbox.world.pages[rig.sandbox.pages[1]["id"]]
    actions = []
    for change in ("nothing", "nothing", "label", "no label", "revoke"):
        if change == "label":
            rig.write(defaults={"labels": {"team": "crm"}})
        elif change == "no label":
            rig.write(defaults={})
        elif change == "revoke":
            with sandbox.world.lock:
                sandbox.world.revoke_page(paris)
        ran = rig.once()
        assert (ran.code, ran.report["warnings"]) == (0, []), ran.stdout
        actions.append(ran.target(paris.name)["action"])
    assert actions == ["created", "unchanged", "updated", "updated", "replaced"]


def test_the_program_assumes_a_role(
    ministack: Ministack, aws_environment: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With a role and its external id cycles have the role's permissions; missing replicas are in the report's warnings."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/pages"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "canaryExternalId"}},
    }
    keys = ministack.user("pages")
    role = ministack.role("pages-role", printed(INSTANCE), trust)
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
    ministack.grant("pages", "p0", {"Version": "2012-10-17", "Statement": [allow]})
    aws_environment.write_text(keys.profile("prod"))
    auth = {"profile": "prod", "role_arn": role, "external_id": {"file": str(tmp_path / "external_id")}}
    store = {"type": "aws-secrets-manager", "region": REGION, "endpoint_url": ministack.url, "auth": auth}
    rig = Rig(tmp_path, sandbox, {**store, "replicas": ["us-east-1"]})
    rig.secret("external_id", "canaryWrongId")
    ran = rig.once()
    assert (ran.code, ran.report["pages"][0]["stores"][0]["action"]) == (3, "failed")
    assert role in ran.stdout
    assert "canaryWrongId" not in ran.stdout + ran.stderr
    rig.secret("external_id", "canaryExternalId")
    ran = rig.once()
    assert ran.code == 0, ran.stdout
    assert {page["stores"][0]["action"] for page in ran.report["pages"]} == {"created"}
    (warning,) = ran.report["warnings"]
    assert "missing: us-east-1" in warning
    assert "canaryExternalId" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("action", ["ListSecrets", "BatchGetSecretValue"])
def test_denied_bulk_reads_become_individual_reads(rig: MinistackRig, action: str) -> None:
    """Without permission for lists and batches secrets are read individually, and all else works."""
    narrowed(rig, without(action))
    store = rig.make_store()
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    first = written(store.write(rig.key("a"), payload("one"), marks(), replaces=None))
    store.begin()
    found = store.read([rig.key("a"), *(rig.key(f"p{number}") for number in range(9))])[rig.key("a")]
    assert isinstance(found, Stored)
    assert found.payload == payload("one")
    written(store.write(rig.key("a"), payload("two"), UPDATED, replaces=first.version))
    if action == "ListSecrets":
        assert f"secretsmanager:{action}" in failed(store.owned("acme"), "denied").message


@pytest.mark.parametrize("action", ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"])
def test_action_without_which_nothing_is_rotated(rig: MinistackRig, action: str) -> None:
    """Without one action a rotation is ``denied`` with the name of that action, and applications keep the old version."""
    first = written(rig.make_store().write(rig.key("a"), payload("one"), marks(), replaces=None))
    narrowed(rig, without(action))
    error = failed(rig.make_store().write(rig.key("a"), payload("two"), UPDATED, replaces=first.version), "denied")
    assert f"secretsmanager:{action}" in error.message
    assert not error.whole
    assert not error.maybe_written
    described = rig.client.describe_secret(SecretId=rig.key("a").path)["VersionIdsToStages"]
    assert described[first.version] == ["AWSCURRENT"]
    narrowed(rig, printed())
    written(rig.make_store().write(rig.key("a"), payload("two"), UPDATED, replaces=first.version))
    assert len(rig.versions(rig.key("a"))) == 2


def test_nothing_is_written_where_the_marks_cannot_be_read(rig: MinistackRig) -> None:
    """Where DescribeSecret is denied nothing is written, since the instance in the marks is unknown, and no other call is made."""
    rig.plant(rig.key("a"), {"access_token": "theirs"}, mark_map.present(marks()))
    before = rig.versions(rig.key("a"))
    narrowed(rig, without("DescribeSecret"))
    for replaces in (None, before[0]):
        failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=replaces), "denied")
    failed(rig.make_store().mark(rig.key("a"), UPDATED, version=before[0]), "denied")
    failed(rig.make_store().write(rig.key("b"), payload(), marks(), replaces=None), "denied")
    assert rig.versions(rig.key("a")) == before
    assert [row["Name"] for row in rig.client.list_secrets()["SecretList"]] == [rig.key("a").path]
    tags = {tag["Key"]: tag["Value"] for tag in rig.client.describe_secret(SecretId=rig.key("a").path)["Tags"]}
    assert tags["page-token-sync:fingerprint"] == marks().fingerprint


def test_denied_creation(rig: MinistackRig) -> None:
    """Without CreateSecret nothing is created, and the action is named."""
    narrowed(rig, without("CreateSecret"))
    error = failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None), "denied")
    assert "secretsmanager:CreateSecret" in error.message
    assert rig.client.list_secrets()["SecretList"] == []


@pytest.mark.parametrize("action", ["TagResource", "UntagResource"])
def test_denied_tags_are_reported_and_set_later(rig: MinistackRig, action: str) -> None:
    """A value whose tags may not be changed is written and reported as written, and is marked once that is allowed."""
    first = written(rig.make_store().write(rig.key("a"), payload("one"), marks(), replaces=None))
    narrowed(rig, without(action))
    error = failed(rig.make_store().write(rig.key("a"), payload("two"), UPDATED, replaces=first.version), "denied")
    assert f"secretsmanager:{action}" in error.message
    assert error.maybe_written
    found = stored(rig.make_store(), rig.key("a"))
    assert found.payload == payload("two")
    narrowed(rig, printed())
    written(rig.make_store().mark(rig.key("a"), UPDATED, version=found.version))
    assert stored(rig.make_store(), rig.key("a")).marks == UPDATED


def test_explicit_deny_of_a_secrets_own_policy(rig: MinistackRig) -> None:
    """A deny in a secret's resource policy is ``denied`` for that secret alone."""
    keys = [rig.key(name) for name in ("a", "b")]
    for key in keys:
        written(rig.make_store().write(key, payload(key.path), marks(), replaces=None))
    user = f"arn:aws:iam::{ACCOUNT}:user/pages"
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": user},
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    rig.client.put_resource_policy(SecretId=keys[0].path, ResourcePolicy=policy)
    found = rig.make_store().read(keys)
    error = failed(found[keys[0]], "denied")
    assert "resource policy" in error.remedy
    assert not error.whole
    assert isinstance(found[keys[1]], Stored)


def test_secret_outside_the_policy(rig: MinistackRig) -> None:
    """A name that the policy does not cover is denied for that name alone."""
    rig.client.create_secret(Name="else/a", SecretString="{}")
    store, elsewhere = rig.make_store(name_prefix=""), Key(rig.name, "else/a")
    found = store.read([elsewhere, rig.key("a")])
    failed(found[elsewhere], "denied")
    assert isinstance(found[rig.key("a")], Absent)
    failed(store.write(elsewhere, payload(), marks(), replaces=None), "denied")


def test_condition_on_tags_makes_an_absent_secret_a_denied_one(rig: MinistackRig) -> None:
    """Where DescribeSecret requires a tag an absent secret is denied: nothing is created, and the action is named."""
    policy = printed()
    policy["Statement"][1]["Condition"] = {"StringEquals": {"aws:ResourceTag/page-token-sync:instance": "acme"}}
    narrowed(rig, policy)
    error = failed(one(rig.make_store(), rig.key("a")), "denied")
    assert "secretsmanager:DescribeSecret" in error.message
    failed(rig.make_store().write(rig.key("a"), payload(), marks(), replaces=None), "denied")
    assert rig.client.list_secrets()["SecretList"] == []


def test_conditions_on_marks_protect_foreign_secrets(rig: MinistackRig) -> None:
    """With the printed conditions on tags this instance's secrets are created and rotated, and no foreign one can be written."""
    narrowed(rig, printed())
    store = rig.make_store()
    assert isinstance(one(store, rig.key("a")), Absent)
    first = written(store.write(rig.key("a"), payload("one"), marks(), replaces=None))
    second = marks(system_user_fingerprint=None, fingerprint="0123456789ab")
    written(store.write(rig.key("a"), payload("two"), second, replaces=first.version))
    assert stored(rig.make_store(), rig.key("a")).payload == payload("two")
    failed(store.write(rig.key("b"), payload(), marks(instance="other"), replaces=None), "denied")
    rig.plant(rig.key("c"), {"access_token": "x"}, mark_map.present(marks(instance="other")))
    found = stored(rig.make_store(), rig.key("c"))
    assert found.payload == Payload({"access_token": "x"})
    failed(store.write(rig.key("c"), payload(), marks(instance="other"), replaces=found.version), "denied")


def test_adoption_under_the_printed_policy(rig: MinistackRig) -> None:
    """An unmarked secret can be adopted with the policy alone; another instance's needs the right to take its marks away."""
    adopted = marks(system_user_id=None, system_user_fingerprint=None)
    rig.plant(rig.key("bare"), {"access_token": "x"})
    rig.plant(rig.key("theirs"), {"access_token": "x"}, mark_map.present(marks(instance="other")))
    store = rig.make_store()
    bare, theirs = (stored(store, rig.key(name)) for name in ("bare", "theirs"))
    written(store.mark(rig.key("bare"), adopted, version=bare.version, read=bare))
    error = failed(store.mark(rig.key("theirs"), adopted, version=theirs.version, read=theirs), "denied")
    assert "secretsmanager:UntagResource" in error.message
    untag = {"Effect": "Allow", "Action": "secretsmanager:UntagResource", "Resource": arn(rig.key("theirs").path)}
    rig.allow(*printed()["Statement"], untag)
    written(store.mark(rig.key("theirs"), adopted, version=theirs.version, read=theirs))
    assert stored(rig.make_store(), rig.key("theirs")).marks == adopted


def test_rights_that_go_with_a_tag_are_lost_after_the_value_is_written(rig: MinistackRig) -> None:
    """Where a new tag revokes the permissions, value and tags are written, which is unconfirmed, and then denied."""
    first = written(rig.make_store().write(rig.key("a"), payload("one"), marks(), replaces=None))
    policy = printed()
    policy["Statement"][1]["Condition"] = {"StringEquals": {"aws:ResourceTag/page-token-sync:label.team": "crm"}}
    narrowed(rig, policy)
    sales = marks(labels={"team": "sales"})
    answer = rig.make_store().write(rig.key("a"), payload("two"), sales, replaces=first.version)
    assert isinstance(answer, Written)
    assert not answer.confirmed
    failed(one(rig.make_store(), rig.key("a")), "denied")
    narrowed(rig, printed())
    assert (stored(rig.make_store(), rig.key("a")).payload, stored(rig.make_store(), rig.key("a")).marks) == (
        payload("two"),
        sales,
    )


def test_role_that_requires_an_external_id(rig: MinistackRig, ministack: Ministack) -> None:
    """A role is assumed only with the external id that its trust policy requires, and has its own permissions."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/pages"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "canaryRight"}},
    }
    role = ministack.role("pages-role", printed(), trust)
    rig.allow({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role})
    for wrong in (AwsRole(role), AwsRole(role, lambda: Secret("canaryWrong")), AwsRole(f"{role}-absent")):
        error = failed(one(rig.make_store(role=wrong), rig.key("a")), "denied")
        assert error.whole
        assert wrong.arn in error.message
        assert "canary" not in repr(error)
    store = rig.make_store(role=AwsRole(role, lambda: Secret("canaryRight")))
    first = written(store.write(rig.key("a"), payload("one"), marks(), replaces=None))
    written(store.write(rig.key("a"), payload("two"), UPDATED, replaces=first.version))
    assert stored(store, rig.key("a")).payload == payload("two")
    failed(one(rig.make_store(), rig.key("a")), "denied")


def test_role_that_may_not_be_assumed(rig: MinistackRig, ministack: Ministack) -> None:
    """Without sts:AssumeRole a role is denied by its name, although its trust policy names the user."""
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    role = ministack.role("pages-role", ANYTHING, trust)
    error = failed(one(rig.make_store(role=AwsRole(role)), rig.key("a")), "denied")
    assert role in error.message


@pytest.mark.parametrize("part", ["access", "secret"])
def test_wrong_keys(rig: MinistackRig, aws_environment: Path, part: str) -> None:
    """Unknown access keys and wrong signatures are errors of credentials for the whole store."""
    wrong = rig.keys.access_key if part == "access" else rig.keys.secret_key
    aws_environment.write_text(aws_environment.read_text().replace(wrong, wrong[:-4] + "AAAA"))
    error = failed(one(rig.make_store(), rig.key("a")), "credentials")
    assert error.whole


@pytest.mark.parametrize("minutes", [-20, 20])
def test_clock_skew(rig: MinistackRig, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """A request signed with a clock skew of 20 minutes is refused and reported as ``clock``; nothing is written."""
    store = rig.make_store()
    assert isinstance(one(store, rig.key("a")), Absent)
    with monkeypatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: _wrong_by(minutes))
        for answer in (store.write(rig.key("a"), payload(), marks(), replaces=None), one(store, rig.key("b"))):
            assert not failed(answer, "clock").maybe_written
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


def _wrong_by(minutes: int) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=minutes)
