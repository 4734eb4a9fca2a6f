"""Nothing leaks where AWS Secrets Manager is the store: its keys and the tokens, under each fault, at log level debug."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.sandbox.server import Sandbox
from tests.e2e.rig import Rig
from tests.leaks.test_leaks import must_not_leak, secrets_of, seen
from tests.services.aws import ACCESS_KEY, REGION, SECRET_KEY, Aws, aws, aws_environment, aws_server
from tests.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "sandbox"]

_CODES = (
    "AccessDeniedException",
    "DecryptionFailure",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "LimitExceededException",
    "SomethingNewException",
)


@pytest.fixture
def rig(aws: Aws, sandbox: Sandbox, tmp_path: Path) -> Rig:
    """Give the program at log level debug, with Secrets Manager as its store, and a folder for temporary files."""
    (tmp_path / "tmp").mkdir()
    store = {
        "type": "aws-secrets-manager",
        "region": REGION,
        "endpoint_url": aws.url,
        "timeout": "2s",
        "auth": {"profile": "prod"},
    }
    rig = Rig(tmp_path, sandbox, store, environment={"TMPDIR": str(tmp_path / "tmp")})
    rig.write(log={"level": "debug"}, graph={"base_url": sandbox.url, "timeout": "2s"})
    return rig


@pytest.mark.parametrize("code", _CODES)
def test_no_error_of_aws_makes_a_secret_show(rig: Rig, aws: Aws, sandbox: Sandbox, code: str) -> None:
    """An error of each call whose text quotes the secrets brings none of them into what we print."""
    secrets = secrets_of(sandbox, ACCESS_KEY, SECRET_KEY)
    quoted = " ".join([*secrets[:5], ACCESS_KEY, SECRET_KEY])
    for operation in ("CreateSecret", "ListSecrets", ""):
        aws.heal()
        aws.refuse(operation, code, text=quoted)
        ran = rig.once()
        assert ran.code in (0, 1, 3), ran.stdout  # a list that is denied is done without
        must_not_leak(ran, secrets_of(sandbox, ACCESS_KEY, SECRET_KEY), seen(rig.folder / "tmp"))


def test_no_fault_of_the_wire_to_aws_makes_a_secret_show(rig: Rig, aws: Aws, sandbox: Sandbox) -> None:
    """Answers that are lost, cut or slow, before and after they took effect, show nothing either."""
    for make in (aws.lose, aws.cut, aws.drip):
        aws.heal()
        make("CreateSecret")
        must_not_leak(rig.once(), secrets_of(sandbox, ACCESS_KEY, SECRET_KEY), seen(rig.folder / "tmp"))
