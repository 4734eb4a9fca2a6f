"""The printed IAM policies are enough on an emulator that enforces IAM, and without any of their actions something fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from sync.app import build
from sync.app.credentials import Credentials
from sync.app.policy import Holder, aws_policy
from sync.app.stores import build_store
from sync.config.load import Config, load
from sync.config.resolve.uses import uses
from sync.core.model import StoreError
from sync.core.report.finding import Finding
from sync.core.report.report import Report
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.world import World
from tests.support.services.aws import aws_environment
from tests.support.services.graph import sandbox
from tests.support.services.ministack import REGION, Keys, Ministack, ministack, ministack_server

__all__ = ["aws_environment", "ministack", "ministack_server", "sandbox"]

pytestmark = [pytest.mark.xdist_group("ministack"), pytest.mark.timeout(900)]

READS = ("ListSecrets", "BatchGetSecretValue", "DescribeSecret", "GetSecretValue")


@dataclass(frozen=True)
class Rig:
    """A configuration of two Pages in this process, whose system user token is in the same account."""

    ministack: Ministack
    config: Config
    keys: Keys
    world: World

    def expire_soon(self) -> None:
        """Let the system user token expire in ten days, so that a cycle renews it."""
        with self.world.lock:
            self.world.tokens[self.world.user.token].expires_at = int(self.world.time()) + 10 * 86400

    def policy(self, holder: Holder, *, exact: bool) -> dict[str, Any]:
        """Return a policy as the command prints it."""
        made: dict[str, Any] = json.loads(aws_policy(self.config, "aws", holder, self.config.pages, exact=exact).text)
        return made

    def allow(self, policy: Mapping[str, Any]) -> None:
        """Have the program's user have this policy and no other."""
        self.ministack.grant("pages", "p0", policy)

    def cycle(self, *, write: bool = True) -> Report:
        """Run one cycle, or its plan."""
        with build(self.config, clock=SystemClock()) as app:
            return app.cycle(write=write)

    def examine(self) -> Mapping[str, Finding]:
        """Return what the store finds out about itself, by check; of several findings the first, which is the worst."""
        settings = self.config.settings
        store = build_store("aws", settings, Credentials(self.config, {}), SystemClock())
        store.begin(writes=False)
        found = store.examine(uses(settings, self.config.pages)["aws"], settings.instance)
        store.close()
        return {finding.id: finding for finding in reversed(found)}

    def client(self) -> Any:
        """Return a client of Secrets Manager with the program's keys."""
        keys = {"aws_access_key_id": self.keys.access_key, "aws_secret_access_key": self.keys.secret_key}
        return boto3.client("secretsmanager", region_name=REGION, endpoint_url=self.ministack.url, **keys)


@pytest.fixture
def rig(ministack: Ministack, aws_environment: Path, sandbox: Sandbox, tmp_path: Path) -> Rig:
    """Return a configuration whose system user token is in the account and is to be renewed."""
    admin = ministack.client("secretsmanager")
    admin.create_secret(Name="meta/user", SecretString=json.dumps({"token": sandbox.system_user_token, "note": "keep"}))
    (tmp_path / "app").write_text(sandbox.app_secret)
    reach = {"region": REGION, "endpoint_url": ministack.url, "auth": {"profile": "prod"}}
    config = {
        "instance": "acme-test",
        "graph": {"base_url": sandbox.url, "timeout": "10s"},
        "apps": {"messenger": {"id": sandbox.app_id, "secret": {"file": "app"}}},
        "system_users": {
            "main": {"token": {"store": "aws", "path": "meta/user", "key": "token"}, "renew_before": "14d"}
        },
        "stores": {"aws": {"type": "aws-secrets-manager", **reach}},
        "pages": [{"id": page["id"], "name": page["name"]} for page in sandbox.pages[:2]],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    keys = ministack.user("pages")
    aws_environment.write_text(keys.profile("prod"))
    made = Rig(ministack, load(tmp_path / "config.yaml"), keys, sandbox.world)
    made.expire_soon()
    return made


def actions(report: Report) -> Sequence[str]:
    """Return what was done with each secret, or would be."""
    return [entry.action.value for page in report.pages for entry in page.stores]


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "prefix"])
def test_the_policy_is_enough(rig: Rig, *, exact: bool) -> None:
    """With the policy secrets are created and idle, the system user token is renewed, and nothing is found to be wrong."""
    rig.allow(rig.policy("daemon", exact=exact))
    assert actions(rig.cycle(write=False)) == ["created", "created"]
    admin = rig.ministack.client("secretsmanager")
    before = admin.get_secret_value(SecretId="meta/user")["SecretString"]
    report = rig.cycle()
    assert (report.exit_code, report.frame.warnings, actions(report)) == (0, (), ["created", "created"])
    after = json.loads(admin.get_secret_value(SecretId="meta/user")["SecretString"])
    assert (after["token"] in before, after["note"]) == (False, "keep")
    assert [actions(rig.cycle())[0] for _ in range(2)] == ["replaced", "unchanged"], "after the renewal"
    found = rig.examine()
    assert {check for check, finding in found.items() if finding.status != "ok"} == {"store-policy"}
    assert found["store-policy"].status == "unknown", "writes cannot be tried"
    assert "user/pages" in found["store-login"].message


def test_without_any_statement_something_fails(rig: Rig) -> None:
    """Without any one statement a cycle does not do what it should, and what reading shows is named by an examination."""
    policy = rig.policy("daemon", exact=False)
    admin = rig.ministack.client("secretsmanager")
    for left_out in policy["Statement"]:
        rig.allow({**policy, "Statement": [one for one in policy["Statement"] if one != left_out]})
        found = rig.examine()
        for action in (action.partition(":")[2] for action in left_out["Action"]):
            if left_out["Sid"] in ("List", "Read"):
                assert f'"Action": "secretsmanager:{action}"' in found["store-policy"].remedy, left_out
        if left_out["Sid"] == "ReadCredentials":
            assert found["store-secrets"].status == "fail"
        rig.expire_soon()
        report = rig.cycle()
        if left_out["Sid"] == "Change":
            # Creating does not need it.
            for page in rig.config.pages:
                admin.put_secret_value(SecretId=page.targets[0].path, SecretString="{}")
            report = rig.cycle()
        problems = [problem.code for user in report.user_tokens for problem in user.verdict.notices]
        wrong = report.exit_code != 0 or report.frame.warnings or "renewal-failed" in problems
        assert wrong, (left_out["Sid"], report)
        for row in admin.list_secrets(Filters=[{"Key": "name", "Values": ["meta/pages/"]}])["SecretList"]:
            admin.delete_secret(SecretId=row["ARN"], ForceDeleteWithoutRecovery=True)


@pytest.mark.parametrize("action", READS)
def test_an_examination_names_what_cannot_be_read(rig: Rig, action: str) -> None:
    """Without one reading action the policy fails, and the remedy has the statement with it alone."""
    policy = rig.policy("daemon", exact=False)
    for statement in policy["Statement"][:2]:
        statement["Action"] = [one for one in statement["Action"] if not one.endswith(f":{action}")]
    rig.allow(policy)
    found = rig.examine()["store-policy"]
    assert (found.status, found.message) == ("fail", f"The policy does not allow secretsmanager:{action}.")


def test_rollback_lists_versions(rig: Rig) -> None:
    """With the policies for the daemon and for rollback the versions of a secret are read, and without the second they are not."""
    daemon, rollback = rig.policy("daemon", exact=False), rig.policy("rollback", exact=True)
    rig.allow(daemon)
    assert rig.cycle().exit_code == 0
    settings, key = rig.config.settings, rig.config.pages[0].targets[0]
    for policy, allowed in (
        (daemon, False),
        ({**daemon, "Statement": daemon["Statement"] + rollback["Statement"]}, True),
    ):
        rig.allow(policy)
        store = build_store("aws", settings, Credentials(rig.config, {}), SystemClock())
        store.begin()
        assert isinstance(store.versions(key), StoreError) != allowed
        store.close()


def test_the_plan_the_reader_and_prune(rig: Rig) -> None:
    """A plan's policy writes nothing, a reader reads values and nothing else, and prune deletes what is this instance's."""
    rig.allow(rig.policy("daemon", exact=False))
    assert [rig.cycle().exit_code for _ in range(2)] == [0, 0]
    rig.allow(rig.policy("plan", exact=True))
    assert actions(rig.cycle(write=False)) == ["unchanged", "unchanged"]
    name, client = rig.config.pages[0].targets[0].path, rig.client()
    rig.ministack.client("secretsmanager").create_secret(Name="meta/pages/theirs", SecretString="{}")
    calls = {
        "read": lambda: client.get_secret_value(SecretId=name),
        "describe": lambda: client.describe_secret(SecretId=name),
        "list": client.list_secrets,
        "credential": lambda: client.get_secret_value(SecretId="meta/user"),
        "write": lambda: client.put_secret_value(SecretId=name, SecretString="{}"),
        "delete theirs": lambda: client.delete_secret(SecretId="meta/pages/theirs"),
        "delete": lambda: client.delete_secret(SecretId=name),
    }

    def denied(call: Callable[[], object]) -> bool:
        with suppress(client.exceptions.ClientError):
            call()
            return False
        return True

    rig.allow(rig.policy("reader", exact=True))
    assert [what for what, call in calls.items() if not denied(call)] == ["read"]
    rig.allow(rig.policy("prune", exact=False))
    assert [what for what, call in calls.items() if not denied(call)] == ["delete"]
