"""The pages that lead from nothing to a token: each step fits the files that it uses, and each foreign command exists."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name

from tests.support.manifests import CHART, EXAMPLE, KUSTOMIZE, files
from tests.support.markdown import blocks, name
from tests.support.paths import ROOT

HOWTO = ROOT / "docs" / "how-to"
KUBERNETES, SYSTEMD, ECS, CONTAINER = (HOWTO / f"{one}.md" for one in ("kubernetes", "systemd", "ecs", "container"))
RUN = HOWTO / "run-a-command.md"
PAGES = (KUBERNETES, SYSTEMD, ECS, CONTAINER, RUN)
AWS = botocore.session.get_session()

OF_THE_PROGRAM = {"logs tail", "ecs wait", "ecr get-login-password", "cli-input-json"}
"""What only the AWS command line has, and no operation of the API."""


def shell(page: Path) -> str:
    """Return the shell commands of a page, each on one line."""
    return "\n".join(block.text for block in blocks(page) if block.language == "sh").replace("\\\n", " ")


def lines(page: Path, program: str) -> Iterator[list[str]]:
    """Yield the words of each call of a program in a page."""
    for line in shell(page).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == [program]:
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_step_uses_exists(page: Path) -> None:
    """Each path below ``deploy`` in a command is in the repository."""
    used = set(re.findall(r"deploy/[\w./-]+[\w/]", shell(page))) - {"deploy/page-token-sync"}
    assert used
    assert [path for path in used if not (ROOT / path).exists()] == []


def test_the_secret_of_kubernetes_has_the_files_that_the_configuration_reads() -> None:
    """The keys that the page puts into the Secret are the files that the example's configuration reads from it."""
    folder = "/run/secrets/page-token-sync/"
    calls = [words for words in lines(KUBERNETES, "kubectl") if "secret" in words]
    keys, replaced = ({word.partition("=")[2] for word in words if "--from-file" in word} for words in calls)
    assert keys == replaced
    # What is in a comment of the example is read only by those who want it.
    assert "add the file `web_token`" in KUBERNETES.read_text()
    assert keys | {"web_token"} == {file.removeprefix(folder) for file in files(EXAMPLE) if file.startswith(folder)}


def test_the_role_of_vault_fits_the_pod() -> None:
    """The page's role names the audience, the service account and the namespace of the pod, and the example the role."""
    (words,) = (
        words for words in lines(KUBERNETES, "vault") if words[:2] == ["write", "auth/kubernetes/role/page-token-sync"]
    )
    role = dict(word.split("=", 1) for word in words[2:])
    component = (KUSTOMIZE / "components" / "vault-login" / "kustomization.yaml").read_text()
    assert f"audience: {role['audience']}\n" in component
    account = yaml.safe_load((KUSTOMIZE / "base" / "serviceaccount.yaml").read_text())
    assert role["bound_service_account_names"] == account["metadata"]["name"]
    overlay = yaml.safe_load((KUSTOMIZE / "example" / "kustomization.yaml").read_text())
    assert role["bound_service_account_namespaces"] == overlay["namespace"]
    assert yaml.safe_load(EXAMPLE)["stores"]["vault"]["auth"]["role"] == "page-token-sync"


def test_every_value_of_the_chart_exists() -> None:
    """Each value that the page sets, or names for Helm, is one of the chart's."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    text = KUBERNETES.read_text()
    named = re.findall(r"--set(?:-file)? '?([\w.]+)[=\\.]", text)
    named += [one for group in re.findall(r"\(Helm: ([^)]*)\)", text) for one in re.findall(r"`([\w.]+)`", group)]
    assert len(named) >= 8
    for path in named:
        found = values
        for part in path.split("."):
            # Annotations are the user's.
            if found == {}:
                break
            assert part in found, path
            found = found[part]


def test_the_credentials_of_systemd_are_those_of_the_units() -> None:
    """The files that the page installs are those that the unit passes, and the configuration reads."""
    (words,) = (words for words in lines(SYSTEMD, "install") if words[-1] == "/etc/page-token-sync/credentials/")
    unit = (ROOT / "deploy" / "systemd" / "page-token-sync.service").read_text()
    assert set(words[2:-1]) == set(re.findall(r"^LoadCredential=(\w+):", unit, re.MULTILINE))
    configuration = (ROOT / "deploy" / "systemd" / "config.yaml").read_text()
    assert all(f"/run/credentials/page-token-sync.service/{one}}}" in configuration for one in words[2:-1])
    installed = [
        word for words in lines(SYSTEMD, "install") for word in words[2:-1] if words[-1] == "/etc/page-token-sync/"
    ]
    assert installed == ["deploy/systemd/config.yaml", "vault_role_id"]
    assert "/etc/page-token-sync/vault_role_id" in configuration


def test_the_credentials_of_ecs_have_the_keys_that_the_configuration_reads() -> None:
    """The JSON that the page stores has exactly the keys which the configuration names, in the secret that it names."""
    (block,) = (block for block in blocks(ECS) if block.language == "json")
    configuration = (ROOT / "deploy" / "ecs" / "config.yaml").read_text()
    # The token for check calls is in a comment, and in a secret of its own.
    assert set(json.loads(block.text)) == set(re.findall(r"^[^#\n]*key: (\w+)", configuration, re.MULTILINE))
    created = {
        words[words.index("--name") + 1]
        for words in lines(ECS, "aws")
        if words[:2] == ["secretsmanager", "create-secret"]
    }
    assert created == set(re.findall(r"path: ([\w/-]+), key", configuration))


def test_every_command_of_aws_exists() -> None:
    """Each command of the AWS command line is an operation of the API, and its options are the operation's parameters."""
    for service, command, *options in (*lines(ECS, "aws"), *lines(RUN, "aws")):
        if f"{service} {command}" in OF_THE_PROGRAM or command == "wait":
            continue
        model = AWS.get_service_model(service)
        known = {xform_name(operation, "-"): operation for operation in model.operation_names}
        assert command in known, command
        members = model.operation_model(known[command]).input_shape.members
        taken = {xform_name(member, "-") for member in members} | OF_THE_PROGRAM
        assert [one for one in options if one.startswith("--") and one[2:] not in taken] == [], command


def test_another_task_overrides_the_container_of_the_definition() -> None:
    """The task that runs another command names the container, the definition and the network of the service."""
    (words,) = (words for words in lines(RUN, "aws") if words[1] == "run-task")
    options = dict(zip(words[2::2], words[3::2], strict=True))
    task = json.loads((ROOT / "deploy" / "ecs" / "task-definition.json").read_text())
    service = json.loads((ROOT / "deploy" / "ecs" / "service.json").read_text())
    (override,) = json.loads(options["--overrides"])["containerOverrides"]
    assert override == {"name": task["containerDefinitions"][0]["name"], "command": ["plan"]}
    assert (options["--cluster"], options["--launch-type"]) == (service["cluster"], service["launchType"])
    assert options["--task-definition"] == task["family"] == service["taskDefinition"]
    assert options["--network-configuration"] == "$(jq -c .networkConfiguration deploy/ecs/service.json)"


def test_the_roles_of_ecs_are_those_of_the_task() -> None:
    """The page makes the two roles that the task definition names, each with its own policy."""
    task = json.loads((ROOT / "deploy" / "ecs" / "task-definition.json").read_text())
    given = {
        words[words.index("--role-name") + 1]: words[words.index("--policy-document") + 1]
        for words in lines(ECS, "aws")
        if words[1] == "put-role-policy"
    }
    assert given == {
        task["taskRoleArn"].rpartition("/")[2]: "file://deploy/ecs/task-role-policy.json",
        task["executionRoleArn"].rpartition("/")[2]: "file://deploy/ecs/execution-role-policy.json",
    }


def test_a_container_is_run_as_confined_as_it_is_tested() -> None:
    """The page's container has a read-only root, no capability, and its port on loopback only."""
    (words,) = (words for words in lines(CONTAINER, "docker") if words[0] == "run")
    text = " ".join(words)
    for option in (
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--publish 127.0.0.1:8087:8087",
    ):
        assert option in text
