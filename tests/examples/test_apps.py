"""The examples of apps call Graph, and recover from error 190 through a check.

Go, and what AWS's libraries for Node and PHP need, is tested only where it is installed, and no package of Debian has it all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sync.sandbox.api.states import switch_off, switch_on
from sync.sandbox.http.server import Sandbox
from tests.support.forkserver import shared
from tests.support.paths import ROOT
from tests.support.rigs.e2e import Rig
from tests.support.rigs.vault_program import VaultProgram
from tests.support.services.aws import ACCESS_KEY, SECRET_KEY, Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, free_port, mount
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
WEB_TOKEN = "a-token-for-apps"
HEALED_WITHIN = 5.0
GO_PACKAGES = Path("/usr/share/gocode")
"""Where Debian has the packages of Go: golang-github-aws-aws-sdk-go-v2-dev."""


def installed(**needed: Path | None) -> list[str]:
    """Return Python, and the languages that are installed here with the folders that their apps need."""
    return [
        "python",
        *(name for name, path in needed.items() if shutil.which(name) and (path is None or path.exists())),
    ]


GO_SDK = GO_PACKAGES / "src/github.com/aws/aws-sdk-go-v2"
READ_VAULT = ["node", "php", *installed(go=GO_SDK)]
# Debian's package of Go is older than AWS_ENDPOINT_URL, by which a test leads an app to the emulator.
READ_AWS = installed(node=EXAMPLES / "node" / "node_modules", php=EXAMPLES / "php" / "vendor")


@pytest.fixture(scope="session")
def go_app(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the app in Go, with the packages that Debian has."""
    app = tmp_path_factory.mktemp("go") / "page-app"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_PACKAGES)}
    subprocess.run(["go", "build", "-o", str(app), "."], cwd=EXAMPLES / "go", env=environment, check=True)
    return str(app)


class PageApp:
    """An example that runs; each call sends it a path, and reads what became of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, path: str = "me?fields=name") -> dict[str, Any]:
        """Have the app call Graph."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(path + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the app has ended"
        return dict(json.loads(line))


@contextmanager
def page_app(command: list[str], environment: Mapping[str, str]) -> Iterator[PageApp]:
    """Run an example."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
    ) as process:
        try:
            yield PageApp(process)
        finally:
            process.kill()


@contextmanager
def daemon(rig: Rig) -> Iterator[str]:
    """Run the daemon with its endpoint for checks, until its first cycle has ended; return its address."""
    address = f"127.0.0.1:{free_port()}"
    rig.secret("web_token", WEB_TOKEN)
    rig.write(web={"token": {"file": str(rig.folder / "web_token")}})
    command = ["--config", str(rig.file), "run", "--listen", address]
    with (rig.folder / "log").open("w") as log, shared().start(*command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 15
            while not _is_ready(address):
                assert time.monotonic() < deadline, (rig.folder / "log").read_text()
                time.sleep(0.05)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(15)


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def command(language: str, request: pytest.FixtureRequest) -> list[str]:
    """Return the command that runs the example in a language; skips the test where it is not installed."""
    if language in ("node", "php") and shutil.which(language) is None:
        pytest.skip(f"THE EXAMPLE IS NOT TESTED: {language} is not installed")
    match language:
        case "python":
            return [sys.executable, str(EXAMPLES / "python" / "page_app.py")]
        case "node":
            return ["node", str(EXAMPLES / "node" / "page-app.mjs")]
        case "php":
            return ["php", str(EXAMPLES / "php" / "page_app.php")]
        case _:
            return [request.getfixturevalue("go_app")]


def app_environment(sandbox: Sandbox, name: str, address: str, **more: str) -> dict[str, str]:
    """Return the settings of an example."""
    return {
        "GRAPH_URL": f"{sandbox.url}/v25.0",
        "PAGE": name,
        "CHECK_URL": address,
        "CHECK_TOKEN": WEB_TOKEN,
        **more,
    }


def revoke(sandbox: Sandbox, name: str) -> None:
    """Make a Page's tokens invalid; Graph returns a new one from now on."""
    page_id = next(page["id"] for page in sandbox.pages if page["name"] == name)
    sandbox.world.revoke_page(sandbox.world.pages[page_id])


def recovers(app: PageApp, sandbox: Sandbox, name: str) -> None:
    """Check that an app calls Graph, and that it goes on within seconds after its token was revoked."""
    assert app.call()["answer"]["name"]
    revoke(sandbox, name)
    began = time.monotonic()
    assert app.call()["answer"]["name"]
    took = time.monotonic() - began
    assert took < HEALED_WITHIN, took


@pytest.mark.parametrize("language", READ_VAULT)
def test_an_app_that_reads_vault_recovers_within_seconds(
    language: str, tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str, request: pytest.FixtureRequest
) -> None:
    """An app with the reader's policy alone recovers from a revoked token; on other errors it says what to do, once."""
    name = str(sandbox.pages[0]["name"])
    rig = VaultProgram(tmp_path, sandbox, bao, mount)
    policy = bao.policy(f'path "{mount}/data/meta/pages/{name}" {{ capabilities = ["read"] }}')
    with daemon(rig) as address:
        environment = app_environment(
            sandbox,
            name,
            address,
            VAULT_ADDR=bao.url,
            VAULT_TOKEN=bao.token(policy),
            VAULT_MOUNT=mount,
            VAULT_PATH=f"meta/pages/{name}",
        )
        with page_app(command(language, request), environment) as app:
            recovers(app, sandbox, name)
            for code in (10, 100, 200, 368):
                switch_on(sandbox.world, f"error={code}")
                before = sandbox.world.calls.requests
                found = app.call()
                assert (found["error"], sandbox.world.calls.requests - before) == (code, 1)
                assert found["advice"].endswith(".")
                switch_off(sandbox.world)
            assert app.call()["answer"]["name"]


@pytest.mark.parametrize("language", READ_AWS)
def test_an_app_that_reads_aws_recovers_within_seconds(
    language: str, tmp_path: Path, sandbox: Sandbox, aws: Aws, request: pytest.FixtureRequest, monkeypatch: Any
) -> None:
    """An app that reads AWS Secrets Manager recovers from a revoked token."""
    name = str(sandbox.pages[0]["name"])
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    for variable, value in credentials.items():
        monkeypatch.setenv(variable, value)
    rig = Rig(tmp_path, sandbox, {"type": "aws-secrets-manager", "region": "eu-central-1", "endpoint_url": aws.url})
    with daemon(rig) as address:
        environment = app_environment(
            sandbox,
            name,
            address,
            AWS_SECRET_ID=f"meta/pages/{name}",
            AWS_REGION="eu-central-1",
            AWS_DEFAULT_REGION="eu-central-1",
            AWS_ENDPOINT_URL=aws.url,
            **credentials,
        )
        with page_app(command(language, request), environment) as app:
            recovers(app, sandbox, name)


def test_an_app_without_a_valid_token_asks_once_and_says_so(
    tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str, request: pytest.FixtureRequest
) -> None:
    """While the system user cannot get a token, an app reports error 190, and asks for one check for all its calls."""
    name = str(sandbox.pages[0]["name"])
    rig = VaultProgram(tmp_path, sandbox, bao, mount)
    with daemon(rig) as address:
        environment = app_environment(
            sandbox,
            name,
            address,
            VAULT_ADDR=bao.url,
            VAULT_TOKEN=bao.root,
            VAULT_MOUNT=mount,
            VAULT_PATH=f"meta/pages/{name}",
        )
        with page_app(command("python", request), environment) as app:
            assert app.call()["answer"]["name"]
            switch_on(sandbox.world, f"unassigned@{name}")
            found = [app.call() for _ in range(3)]
    assert {one["error"] for one in found} == {190}
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(line["event"] == "page_checked" for line in log) == 1
    assert hashlib.sha256(WEB_TOKEN.encode()).hexdigest() not in str(log)
    assert WEB_TOKEN not in str(log)
