"""The command ``init``: the file and the policy that it writes, what it asks, and what it never does."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sync.app.policy import aws_policy, vault_policy
from sync.cli.command import UsageError
from sync.cli.commands.init import _check_free, _commands, _policy
from sync.config.load import load
from sync.config.new_file import load_draft
from sync.config.show.starter import Kind, draft, text
from sync.ops.process import GRACE_SECONDS
from sync.sandbox.http.server import Sandbox, start
from tests.support.rigs.cli import on_a_terminal
from tests.support.rigs.e2e import PROGRAM, Ran

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Start a Graph API with three Pages."""
    with start(pages=3) as sandbox:
        yield sandbox


def environment(sandbox: Sandbox) -> Mapping[str, str]:
    """Return the credentials of the sandbox as ``init`` looks for them."""
    return {
        "META_APP_ID": sandbox.app_id,
        "META_APP_SECRET": sandbox.app_secret,
        "META_SYSTEM_USER_TOKEN": sandbox.system_user_token,
    }


def init(*arguments: str, env: Mapping[str, str] | None = None) -> Ran:
    """Run the command without a terminal."""
    done = subprocess.run(
        [*PROGRAM, "init", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_pages_that_are_found(tmp_path: Path, sandbox: Sandbox) -> None:
    """With credentials in the environment the file has the Pages, the policy is that of the command, and the next command is named."""
    file = tmp_path / "config.yaml"
    ran = init("--for", "vault", "--base-url", sandbox.url, "-o", "json", str(file), env=environment(sandbox))
    assert (ran.code, ran.stderr) == (0, "")
    policy = tmp_path / "policy.hcl"
    assert ran.report == {
        "format": 1,
        "file": str(file),
        "policy": str(policy),
        "pages": 3,
        "unknown": [],
        "next": [f"vault policy write page-token-sync {policy}", f"page-token-sync --config {file} doctor"],
    }
    config = load(file)
    assert sorted(page.name for page in config.pages) == sorted(page["name"] for page in sandbox.pages)
    assert policy.read_text() == vault_policy(config, "vault", "daemon", config.pages, exact=False).text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "policy.hcl"]
    assert not any(secret in file.read_text() for secret in (sandbox.app_secret, sandbox.system_user_token))


def test_the_policy_for_aws(tmp_path: Path) -> None:
    """For AWS the policy is an IAM policy, and the command that attaches it to a role is named."""
    file = tmp_path / "prod.yaml"
    ran = init("--for", "aws", "-o", "json", str(file), env={"AWS_REGION": "eu-central-1"})
    policy = tmp_path / "prod.policy.json"
    assert (ran.code, ran.report["policy"]) == (0, str(policy))
    config = load(file)
    (store,) = config.settings.stores
    assert policy.read_text() == aws_policy(config, store, "daemon", config.pages, exact=False).text
    assert ran.report["next"][0] == (
        "aws iam put-role-policy --role-name page-token-sync --policy-name page-token-sync "
        f"--policy-document file://{policy}"
    )


def test_the_policy_of_each_kind(tmp_path: Path) -> None:
    """Vault and AWS have a policy beside the configuration, named after it, and the command that installs it; files have none."""
    names: dict[Kind, str | None] = {"vault": "policy.hcl", "aws": "policy.json", "file": None}
    for kind, name in names.items():
        for target in ("config.yaml", "staging.yaml"):
            found = _policy(tmp_path / target, kind, load_draft(tmp_path / target, text(draft(kind, {}))))
            prefix = "" if target == "config.yaml" else "staging."
            assert (found and found[0].name) == (name and f"{prefix}{name}")
    assert list(_commands(Path("staging.yaml"), Path("staging.policy.json"))) == [
        (
            "aws iam put-role-policy --role-name page-token-sync --policy-name page-token-sync "
            "--policy-document file://staging.policy.json"
        ),
        "page-token-sync --config staging.yaml doctor",
    ]


def test_files_that_exist(tmp_path: Path) -> None:
    """Neither a configuration nor a policy is written over; a policy that is the same is no obstacle, as after a kill."""
    file, policy = tmp_path / "config.yaml", tmp_path / "policy.hcl"
    assert init("--for", "vault", str(file)).code == 0
    again = init("--for", "vault", str(file), "--output", "json")
    assert (again.code, again.report["errors"][0]["code"]) == (2, "usage")
    assert again.stderr.startswith(f"{file} exists already, and is not changed.")
    same = policy.read_text()
    _check_free(policy, same)
    binary, folder = tmp_path / "binary.hcl", tmp_path / "folder.hcl"
    binary.write_bytes(b"\xff\xfe")
    folder.mkdir()
    for path, content in ((file, None), (policy, f"{same}#"), (binary, same), (folder, same)):
        with pytest.raises(UsageError, match="exists already"):
            _check_free(path, content)


def test_interrupted_at_a_question(tmp_path: Path) -> None:
    """Ctrl-C at a question ends the command at once, says so, and leaves no file."""
    begin = time.monotonic()
    code, shown = on_a_terminal("init", str(tmp_path / "config.yaml"), interrupt="Store the tokens in")
    assert (code, list(tmp_path.iterdir())) == (130, [])
    assert "Interrupted. Nothing was written." in shown
    assert time.monotonic() - begin < GRACE_SECONDS


def test_what_it_asks_on_a_terminal(tmp_path: Path, sandbox: Sandbox) -> None:
    """Each answer is checked at once, a secret as an answer is refused, and everything is examined before the file is written."""
    file, secret = tmp_path / "config.yaml", tmp_path / "app_secret"
    secret.write_text(sandbox.app_secret)
    directory = tmp_path / "secrets"
    directory.mkdir(mode=0o700)
    answers = [
        "paper",
        "file",
        "Acme Prod",
        "acme",
        "abc",
        sandbox.app_id,
        sandbox.app_secret,
        str(secret),
        "",
        str(directory),
    ]
    env = {"META_SYSTEM_USER_TOKEN": sandbox.system_user_token}
    typed = "".join(f"{answer}\n" for answer in answers)
    code, shown = on_a_terminal("init", "--base-url", sandbox.url, str(file), env=env, typed=typed)
    assert code == 0, shown
    config = load(file)
    assert (config.settings.instance, len(config.pages)) == ("acme", 3)
    assert str(secret) in str(config.settings.apps["messenger"].secret)
    for part in ("not a name", "This looks like a secret", "Nothing failed.", "Next:"):
        assert part in shown


def test_a_wrong_variable_on_a_terminal(tmp_path: Path) -> None:
    """A variable with a wrong value concerns its own question only, and a wrong option ends the command before the first one."""
    file = tmp_path / "config.yaml"
    wrong = {"VAULT_ADDR": "http://vault.example:8200"}
    code, shown = on_a_terminal("init", "--for", "vault", str(file), env=wrong, typed="acme\n1\n\n\n\nhttps://v:8200\n")
    assert (code, shown.count("plain http to another machine")) == (0, 1), shown
    assert load(file).settings.stores["vault"].address == "https://v:8200"  # type: ignore[union-attr]
    code, shown = on_a_terminal("init", "--for", "file", "--instance", "A", str(tmp_path / "b.yaml"))
    assert (code, "[prod]" in shown) == (2, False), shown


def test_wrong_usage(tmp_path: Path) -> None:
    """A folder that does not exist, a value that no configuration has, and a folder without the right to write change nothing."""
    with pytest.raises(UsageError, match="The folder of"):
        _check_free(tmp_path / "no" / "config.yaml")
    with pytest.raises(UsageError, match="not standard output"):
        _check_free(Path("-"))
    ran = init("--instance", "Acme Prod", str(tmp_path / "config.yaml"), "--output", "json")
    assert (ran.code, json.loads(ran.stdout)["errors"][0]["path"]) == (2, "instance")
    ran = init("--for", "vault", str(tmp_path / "config.yaml"), env={"VAULT_ADDR": "http://vault.example:8200"})
    assert ran.code == 2
    assert "come from the environment" in ran.stderr
    assert list(tmp_path.iterdir()) == []
    assert init("/proc/config.yaml").code == 3
