"""No secret leaks with AWS Secrets Manager as the store: keys and tokens, under each fault, at log level debug."""

from __future__ import annotations

import re
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.http.server import Sandbox
from tests.leaks.test_leaks import daemon, must_not_leak, secrets_of, texts_in, wait_for_cycles
from tests.support.echo import quoting, quoting_xml
from tests.support.rigs.e2e import Ran, Rig
from tests.support.services.aws import ACCESS_KEY, REGION, SECRET_KEY, Aws, Fault, aws, aws_environment, aws_server
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "sandbox"]

pytestmark = pytest.mark.slow

EXTERNAL, PROFILE_TOKEN = "canaryExternalId0123456789", "canaryProfileSessionToken/0123456789+abcdefghij=="
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
    """Return the program at log level debug, with Secrets Manager as its store, and a folder for temporary files."""
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
def test_no_error_of_aws_leaks_a_secret(rig: Rig, aws: Aws, sandbox: Sandbox, code: str) -> None:
    """An error of any call whose text quotes secrets does not make the program print them."""
    secrets = secrets_of(sandbox, ACCESS_KEY, SECRET_KEY)
    quoted = " ".join([*secrets[:5], ACCESS_KEY, SECRET_KEY])
    for operation in ("CreateSecret", "ListSecrets", ""):
        aws.heal()
        aws.refuse(operation, code, text=quoted)
        ran = rig.once()
        assert ran.code in (0, 1, 3), ran.stdout  # a list that is denied is done without
        must_not_leak(ran, secrets_of(sandbox, ACCESS_KEY, SECRET_KEY), texts_in(rig.folder / "tmp"))


def test_no_fault_of_the_connection_to_aws_leaks_a_secret(rig: Rig, aws: Aws, sandbox: Sandbox) -> None:
    """Answers that are lost, cut or slow leak no secret."""
    for make in (aws.lose, aws.cut, aws.drip):
        aws.heal()
        make("CreateSecret")
        must_not_leak(rig.once(), secrets_of(sandbox, ACCESS_KEY, SECRET_KEY), texts_in(rig.folder / "tmp"))


@pytest.fixture
def as_role(rig: Rig, aws_environment: Path) -> Rig:
    """Return the program with a profile that has a session token, and that assumes a role by an external id."""
    aws_environment.write_text(aws_environment.read_text() + f"aws_session_token = {PROFILE_TOKEN}\n")
    rig.secret("external_id", EXTERNAL)
    external = {"file": str(rig.folder / "external_id")}
    auth = {"profile": "prod", "role_arn": "arn:aws:iam::123456789012:role/pages", "external_id": external}
    rig.write(stores={"store": {**rig.store, "timeout": "20s", "auth": auth}})
    return rig


class Session:
    """The credentials that STS issued, each of which is a secret."""

    def __init__(self, aws: Aws) -> None:
        self.issued = [ACCESS_KEY, SECRET_KEY, EXTERNAL, PROFILE_TOKEN]
        self._aws = aws
        self.heal()

    def heal(self) -> None:
        """End all faults."""
        self._aws.heal()
        self._aws.fault("AssumeRole", self._note, times=999)

    def _note(self, call: Any) -> bool:
        status, content = call.forward()
        self.issued += re.findall(r"<(?:SecretAccessKey|SessionToken)>([^<]+)<", content.decode())
        call.handler.reply(status, content)
        return True


def quote_requests(aws: Aws, operation: str, status: int, code: str = "") -> list[str]:
    """Answer an operation with its own request; return a list of the operations that were answered so.

    ``code`` replaces the error code in the answer.
    """

    def make(call: Any) -> bool:
        headers, body = dict(call.handler.headers), call.handler.data.decode()
        answer = quoting_xml(headers, body) if call.operation == "AssumeRole" else quoting(headers, "", body)
        if code:
            answer = re.sub(rb'(?<="__type": ")\w+', code.encode(), answer)
        done.append(call.operation)
        call.handler.reply(status, answer)
        return True

    done: list[str] = []
    aws.faults.insert(0, Fault(operation, 0, 999, make))
    return done


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_an_aws_that_quotes_its_requests_is_not_repeated(as_role: Rig, aws: Aws, sandbox: Sandbox, status: int) -> None:
    """Headers, bodies, external id and session tokens that AWS or STS quote, even in an error code, are not printed."""
    session = Session(aws)
    for operation in ("AssumeRole", "CreateSecret", "ListSecrets"):
        session.heal()
        quoted = quote_requests(aws, operation, status)
        ran = as_role.once()
        assert ran.code in (0, 1, 3), ran.stdout  # a list without the program's secrets is accepted
        assert quoted
        must_not_leak(ran, secrets_of(sandbox, *session.issued), texts_in(as_role.folder / "tmp"))
    assert len(session.issued) > 4


def test_a_daemon_whose_aws_quotes_its_requests_shows_no_secret(as_role: Rig, aws: Aws, sandbox: Sandbox) -> None:
    """A ``run`` that replaces tokens, and whose role session is refused and created again, logs no secret."""
    session, world = Session(aws), sandbox.world
    with daemon(as_role) as (log, output):
        wait_for_cycles(log, 1)
        for status, operation in product(
            (400, 200), ("DescribeSecret", "PutSecretValue", "BatchGetSecretValue", "AssumeRole")
        ):
            session.heal()
            quoted = quote_requests(aws, operation, status)
            if operation == "AssumeRole":
                quote_requests(aws, "ListSecrets", 403, code="ExpiredTokenException")
            with world.lock:
                world.rotate(world.user)
            as_role.secret("system_user_token", world.user.token)
            _wait_for(quoted, log)
        _wait_for(quote_requests(aws, "", 403), log)
        wait_for_cycles(log, log.read_text().count('"event": "cycle_finished"') + 1)
    must_not_leak(
        Ran(0, *output[1:]), secrets_of(sandbox, *session.issued), output[0], texts_in(as_role.folder / "tmp")
    )


def _wait_for(quoted: list[str], log: Path) -> None:
    end = time.monotonic() + 60
    while not quoted:
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.05)
