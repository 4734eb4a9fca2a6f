"""The command ``policy``: its output goes into the service's own command, and what it cannot answer is wrong usage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sync.cli.main import app
from tests.support.config_files import GOOD

TWO = GOOD.replace(
    "pages:",
    """\
  other:
    type: vault
    address: "https://other:8200"
    namespace: a
    mount: kv
    path: "{name}"
    auth: {method: token, token: {file: other}}
  disk: {type: file, directory: disk}
defaults: {stores: [vault, other]}
pages:""",
)


def ran(folder: Path, text: str, *arguments: str) -> tuple[int, str, str]:
    """Run ``policy`` in this process; returns the exit code, stdout and stderr."""
    file = folder / "config.yaml"
    file.write_text(text)
    done = CliRunner().invoke(app, ["policy", *arguments, "--config", str(file)])
    return done.exit_code, done.stdout, done.stderr


def test_stdout_is_the_policy_alone(tmp_path: Path) -> None:
    """Every line on stdout is a line of the policy or a comment in it, and stderr is empty."""
    code, out, err = ran(tmp_path, GOOD, "vault")
    assert (code, err) == (0, "")
    assert all(line.startswith(("path ", "# ")) for line in out.splitlines())
    assert 'path "secret/data/meta/pages/*"' in out


def test_json_has_the_policy_as_text(tmp_path: Path) -> None:
    """The JSON document has the text that the table form prints, and what it was made for."""
    _, plain, _ = ran(tmp_path, GOOD, "vault", "--for", "reader")
    _, out, _ = ran(tmp_path, GOOD, "vault", "--for", "reader", "--output", "json")
    wanted = {"format": 1, "store": "vault", "for": "reader", "scope": "exact", "policy": plain, "warnings": []}
    assert json.loads(out) == wanted


def test_a_store_of_several(tmp_path: Path) -> None:
    """Of several stores one must be chosen; its namespace is a comment, and a policy for a whole mount a warning."""
    code, out, err = ran(tmp_path, TWO, "vault")
    assert (code, out) == (2, "")
    assert "other, vault" in err or "vault, other" in err
    code, out, err = ran(tmp_path, TWO, "vault", "other")
    assert code == 0
    assert "# In the namespace a." in out
    assert 'path "kv/data/*"' in out
    assert "covers all secrets of the mount kv" in err
    assert ran(tmp_path, TWO, "vault", "other", "--scope", "exact")[2] == ""


def test_observe_mode_only_reads(tmp_path: Path) -> None:
    """Under `mode: observe` the policy for the daemon has the lines of the one for a plan."""
    observed = "mode: observe\n" + GOOD
    daemon = ran(tmp_path, observed, "vault")[1].splitlines()[1:]
    assert daemon == ran(tmp_path, GOOD, "vault", "--for", "plan")[1].splitlines()[1:]
    assert not any("create" in line for line in daemon)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vault", "nowhere"], "no store nowhere"),
        (["vault", "disk"], "no store disk"),
        (["vault", "--for", "prune", "--scope", "exact"], "only the scope prefix"),
        (["vault", "--for", "prune", "--page", "berlin"], "only the scope prefix"),
        (["vault", "--page", "berlin", "--scope", "prefix"], "need --scope exact"),
        (["vault", "vault", "--page", "berlino"], "berlin"),
        (["vault", "vault", "--for", "rollback"], "the policy for the daemon is enough"),
        (["consul"], "consul"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    """What does not exist is exit 2 with the way out, and nothing is printed that could be taken for a policy."""
    code, out, err = ran(tmp_path, TWO, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_aws(tmp_path: Path) -> None:
    """For AWS stdout is the IAM policy, a JSON document has it as an object, and a role to assume is a warning."""
    text = GOOD.replace(
        GOOD[GOOD.index("  vault:") : GOOD.index("pages:")],
        "  aws: {type: aws-secrets-manager, region: eu-central-1, auth: {role_arn: 'arn:aws:iam::123456789012:role/x'}}\n",
    )
    code, out, err = ran(tmp_path, text, "aws")
    policy = json.loads(out)
    assert (code, policy["Version"]) == (0, "2012-10-17")
    assert "arn:aws:secretsmanager:eu-central-1:123456789012:secret:meta/pages/*" in out
    assert "need sts:AssumeRole" in err
    assert json.loads(ran(tmp_path, text, "aws", "--output", "json")[1])["policy"] == policy
    text = text.replace(
        "  - {id", "".join(f'  - {{id: "{number}", name: p{number}}}\n' for number in range(1, 17)) + "  - {id"
    )
    assert "an inline policy only" in ran(tmp_path, text, "aws", "--scope", "exact")[2]
    text = text.replace(
        "  - {id", "".join(f'  - {{id: "{number}", name: p{number}}}\n' for number in range(17, 60)) + "  - {id", 1
    )
    code, out, err = ran(tmp_path, text, "aws", "--scope", "exact")
    assert (code, out, "--scope prefix" in err) == (2, "", True)


def test_a_configuration_without_vault(tmp_path: Path) -> None:
    """Without a store of the kind there is no policy."""
    text = GOOD.replace(GOOD[GOOD.index("  vault:") : GOOD.index("pages:")], "  disk: {type: file, directory: d}\n")
    code, out, err = ran(tmp_path, text, "vault")
    assert (code, out) == (2, "")
    assert "no store of the type vault" in err


def test_the_instance_is_known(tmp_path: Path) -> None:
    """A path that begins with the instance gives a policy for that instance's secrets alone, without a warning."""
    code, out, err = ran(tmp_path, TWO.replace('"{name}"', '"{instance}/{name}"'), "vault", "other")
    assert (code, err) == (0, "")
    assert ('path "kv/data/acme/*"' in out, '"kv/data/*"' in out) == (True, False)
