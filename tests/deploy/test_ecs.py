"""The files for Amazon ECS: valid for AWS's own model of the API, and with roles that are enough for a cycle."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

from sync.config.load import load
from sync.config.schema.references import StoreReference
from sync.sandbox.http.server import Sandbox
from tests.support.paths import ROOT
from tests.support.rigs.e2e import Ran, run
from tests.support.services.graph import sandbox as sandbox  # noqa: PLC0414 - a fixture, named for pytest
from tests.support.services.ministack import ACCOUNT, Keys, Ministack
from tests.support.services.ministack import ministack as ministack  # noqa: PLC0414
from tests.support.services.ministack import ministack_server as ministack_server  # noqa: PLC0414

pytestmark = pytest.mark.xdist_group("ministack")

FOLDER = ROOT / "deploy" / "ecs"
AWS = botocore.session.get_session()


def document(name: str) -> dict[str, Any]:
    """Return one of the files."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def wrong(operation: str, parameters: dict[str, Any]) -> list[str]:
    """Return what AWS's model of the API refuses in the parameters of an operation of ECS."""
    shape = AWS.get_service_model("ecs").operation_model(operation).input_shape
    report = ParamValidator().validate(parameters, shape)
    return [line for line in report.generate_report().splitlines() if line] + list(unknown_values(parameters, shape))


def unknown_values(value: Any, shape: Any) -> Iterator[str]:
    """Yield each text that is none of the values which its shape knows; botocore leaves that to the service."""
    if isinstance(value, dict) and shape.type_name == "structure":
        for name, inner in value.items():
            if name in shape.members:
                yield from unknown_values(inner, shape.members[name])
    elif isinstance(value, list) and shape.type_name == "list":
        for inner in value:
            yield from unknown_values(inner, shape.member)
    elif isinstance(value, str) and getattr(shape, "enum", []) and value not in shape.enum:
        yield f"{shape.name}: {value}"


@pytest.mark.parametrize(
    ("operation", "name"), [("RegisterTaskDefinition", "task-definition"), ("CreateService", "service")]
)
def test_the_api_takes_the_file(operation: str, name: str) -> None:
    """Each key of the file is one of the operation's parameters, of the right type, and each choice is a known one."""
    assert wrong(operation, document(name)) == []


@pytest.mark.parametrize(
    "mutate",
    [
        lambda task: task["containerDefinitions"][0].update(readOnlyRootFilesystem=True),
        lambda task: task["containerDefinitions"][0].update(stopTimeout="15"),
        lambda task: task["containerDefinitions"][0]["healthCheck"].pop("command"),
        lambda task: task["containerDefinitions"][0]["logConfiguration"].update(logDriver="cloudwatch"),
        lambda task: task.update(networkMode="vpc"),
        lambda task: task.pop("family"),
    ],
)
def test_a_wrong_key_is_refused(mutate: Callable[[dict[str, Any]], object]) -> None:
    """A misspelled, missing or mistyped key and an unknown choice do not pass the validation."""
    task = copy.deepcopy(document("task-definition"))
    mutate(task)
    assert wrong("RegisterTaskDefinition", task) != []


def test_the_container_is_confined_and_watched() -> None:
    """The container has a numeric user, a read-only root, no capability, no secret in a variable, and a health check."""
    (container,) = document("task-definition")["containerDefinitions"]
    assert (container["user"], container["readonlyRootFilesystem"]) == ("65532:65532", True)
    assert container["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    # What ECS injects by `secrets` changes with a new task only; the daemon reads the credentials itself.
    assert "secrets" not in container
    # ECS ignores the image's own health check, and so repeats it.
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert container["healthCheck"]["command"] == ["CMD", *json.loads(check)]


def test_one_task_ends_before_the_next_starts() -> None:
    """A deployment replaces the one task, and never runs two."""
    service = document("service")
    assert service["desiredCount"] == 1
    assert service["deploymentConfiguration"]["minimumHealthyPercent"] == 0
    assert service["deploymentConfiguration"]["maximumPercent"] == 100
    assert service["taskDefinition"] == document("task-definition")["family"]


def test_the_configuration_is_the_file_s(tmp_path: Path) -> None:
    """The variable in the task definition has the text of config.yaml, which loads without a warning."""
    text = (FOLDER / "config.yaml").read_text()
    assert configuration() == text
    (tmp_path / "config.yaml").write_text(text)
    assert load(tmp_path / "config.yaml").warnings == ()


def configuration() -> str:
    """Return the configuration in the task definition."""
    (container,) = document("task-definition")["containerDefinitions"]
    return {one["name"]: one["value"] for one in container["environment"]}["PAGE_TOKEN_SYNC_CONFIG_YAML"]


def test_the_check_call_is_off_until_its_line_is_used(tmp_path: Path) -> None:
    """The task has no token for check calls; with its line out of the comment daemon and app read the same secret."""
    assert "\nweb:" not in configuration()
    (tmp_path / "config.yaml").write_text(configuration().replace("# web:", "web:"))
    token = load(tmp_path / "config.yaml").settings.web.token
    (secret,) = json.loads((ROOT / "examples" / "ecs" / "container.json").read_text())["secrets"]
    assert isinstance(token, StoreReference)
    # An ARN has the secret's name with six characters behind it, then the key, the stage and the version.
    name, key, stage, version = secret["valueFrom"].partition(":secret:")[2].split(":")
    assert (name[:-7], key, stage, version) == (token.path, token.key, "", "")
    page = (ROOT / "docs" / "how-to" / "ecs.md").read_text()
    assert f"create-secret --name {token.path} " in page


@pytest.mark.parametrize("name", ["task-role-policy", "execution-role-policy", "trust-policy"])
def test_every_action_of_a_policy_exists(name: str) -> None:
    """Each action is an operation of a service, and none is a pattern."""
    for statement in document(name)["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            service, _, operation = action.partition(":")
            assert operation in AWS.get_service_model(service).operation_names, action


def test_the_roles_are_those_of_the_task() -> None:
    """The log group and the image that the execution role reaches are those which the task definition names."""
    task = document("task-definition")
    (container,) = task["containerDefinitions"]
    reached = {one["Sid"]: one["Resource"] for one in document("execution-role-policy")["Statement"]}
    assert reached["WriteLog"].endswith(f":log-group:{container['logConfiguration']['options']['awslogs-group']}:*")
    assert reached["PullImage"].endswith(f"/{container['image'].partition('/')[2].partition(':')[0]}")
    assert task["taskRoleArn"] != task["executionRoleArn"]


@pytest.mark.slow
def test_the_task_s_role_is_enough_for_a_cycle(ministack: Ministack, sandbox: Sandbox) -> None:
    """With the task role's policy alone, the configuration of the task definition reads its credentials and writes each Page."""
    policy = json.loads((FOLDER / "task-role-policy.json").read_text().replace("123456789012", ACCOUNT))
    credentials = json.dumps({"app_secret": sandbox.app_secret, "system_user_token": sandbox.system_user_token})
    ministack.client("secretsmanager").create_secret(Name="meta/credentials", SecretString=credentials)
    done = cycle(ministack, ministack.user("task", policy), sandbox)
    assert done.code == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["summary"]["created"], report["warnings"]) == (len(sandbox.pages), [])
    # What the policy does not name is refused: the test would see a policy that is too small.
    policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] != "ReadCredentials"]
    refused = cycle(ministack, ministack.user("less", policy), sandbox)
    assert refused.code == 3
    assert "credential-unavailable" in refused.stdout


def cycle(ministack: Ministack, keys: Keys, sandbox: Sandbox) -> Ran:
    """Run one cycle as the task would, but with the emulator, the sandbox and its Pages."""
    config = yaml.safe_load(configuration())
    config["graph"] = {"base_url": sandbox.url}
    config["apps"]["messenger"]["id"] = sandbox.app_id
    config["stores"]["aws"]["endpoint_url"] = ministack.url
    config["pages"] = [{"id": page["id"], "name": page["name"]} for page in sandbox.pages]
    environment = {
        "PAGE_TOKEN_SYNC_CONFIG_YAML": yaml.safe_dump(config),
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
    }
    return run("once", "--output", "json", environment=environment, timeout=120)
