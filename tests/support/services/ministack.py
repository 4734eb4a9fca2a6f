"""A second emulator of AWS for tests: ministack, which checks signatures and enforces IAM policies as AWS does.

It is installed into an environment of its own, since beside moto only an old version of it can be had, and kept in
``.tools``, so that the next run is quick.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.paths import ROOT
from tests.support.services.bao import free_port

VERSION = "1.5.33"
ACCOUNT = "000000000000"
REGION = "eu-central-1"
TOOLS = ROOT / ".tools"
_HOME = TOOLS / f"ministack-{VERSION}"


def _install() -> str | None:
    """Install ministack where it is missing; returns why that failed."""
    if (_HOME / "ready").exists():
        return None
    shutil.rmtree(_HOME, ignore_errors=True)
    python, wanted = _HOME / "bin" / "python", f"ministack=={VERSION}"
    uv = shutil.which("uv") or (str(TOOLS / "bin" / "uv") if (TOOLS / "bin" / "uv").exists() else None)
    make: Sequence[Sequence[str]] = (
        [
            [uv, "venv", "-q", "--python", sys.executable, str(_HOME)],
            [uv, "pip", "install", "-q", "--python", str(python), wanted],
        ]
        if uv
        else [[sys.executable, "-m", "venv", str(_HOME)], [str(python), "-m", "pip", "install", "-q", wanted]]
    )
    for command in make:
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=180, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command[0]}: {type(error).__name__}"
        if done.returncode != 0:
            return f"{' '.join(command[:3])} ended with {done.returncode}"
    (_HOME / "ready").touch()
    return None


def lacking() -> str | None:
    """Return why ministack is not available; None where it is."""
    try:
        TOOLS.mkdir(exist_ok=True)
        with (TOOLS / "ministack.lock").open("w") as lock:
            # Several test processes may want it at once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _install()
    except OSError as error:
        return f"{TOOLS}: {error.strerror}"


@dataclass(frozen=True)
class Keys:
    """The access keys of a user."""

    access_key: str
    secret_key: str

    def profile(self, name: str) -> str:
        """Return the keys as a section of a credentials file."""
        return f"[{name}]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret_key}\n"


ROOT = Keys("test", "test")
"""Whoever these belong to may do everything, as the root user of an account."""


@dataclass
class Ministack:
    """The emulator: its address, and what an administrator does in it."""

    url: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return an administrator's client."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id=ROOT.access_key,
                aws_secret_access_key=ROOT.secret_key,
            )
        return self._clients[service]

    def user(self, name: str, *policies: Mapping[str, Any]) -> Keys:
        """Create a user with these policies, and access keys."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for number, policy in enumerate(policies):
            self.grant(name, f"p{number}", policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(made["AccessKeyId"], made["SecretAccessKey"])

    def grant(self, user: str, name: str, policy: Mapping[str, Any]) -> None:
        """Set a user's policy of this name."""
        self.client("iam").put_user_policy(UserName=user, PolicyName=name, PolicyDocument=json.dumps(policy))

    def role(self, name: str, policy: Mapping[str, Any], trust: Mapping[str, Any]) -> str:
        """Create a role with this policy and trust policy; returns its ARN."""
        iam = self.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        return arn

    def reset(self) -> None:
        """Reset the emulator's state."""
        request = urllib.request.Request(f"{self.url}/_ministack/reset", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def answers(self) -> bool:
        """Check whether it is ready."""
        try:
            urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2).close()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
        return True


@contextmanager
def running(folder: Path) -> Iterator[Ministack]:
    """Run it, with IAM on, until the block ends."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "secretsmanager,sts,iam,kms",
        "AUTH": "true",
    }
    service, log = Ministack(f"http://127.0.0.1:{port}"), folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [_HOME / "bin" / "python", "-m", "ministack"], stdout=out, stderr=out, cwd=folder, env=environment
        )
    try:
        end = time.monotonic() + 60
        while not service.answers():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.05)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            # On a busy machine it may take longer to end, and there is nothing that it must save.
            process.kill()
            process.wait(10)


@pytest.fixture(scope="session")
def ministack_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """Start the emulator once; where it is not available the tests are skipped with a message."""
    if why := lacking():
        pytest.skip(f"AWS'S IAM IS NOT TESTED: ministack {VERSION} cannot be installed: {why}")
    with running(tmp_path_factory.mktemp("ministack")) as service:
        yield service


@pytest.fixture
def ministack(ministack_server: Ministack) -> Ministack:
    """Return an empty account."""
    ministack_server.reset()
    return ministack_server
