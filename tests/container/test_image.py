"""The image, really built and run: a numeric user, a root that nobody can write to, no capability, no home."""

from __future__ import annotations

import importlib.metadata
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.sandbox.http.server import Sandbox
from tests.support.services.bao import Bao, free_port
from tests.support.services.bao import bao as bao  # noqa: PLC0414 - a fixture, named for pytest
from tests.support.services.container_engine import BUILD, Engine, built, lacking
from tests.support.services.graph import sandbox as sandbox  # noqa: PLC0414 - a fixture, named for pytest

# The first run on a machine makes the base image and builds on it.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("image"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Return the built image; without the means to build it the tests are skipped, loudly."""
    if why := lacking():
        pytest.skip(f"THE CONTAINER IMAGE IS NOT TESTED: {why}")
    with built() as engine:
        yield engine


def free() -> str:
    """Return an address at a free port: the tests' containers have this machine's network."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def mounted(tmp_path: Path, sandbox: Sandbox, bao: Bao) -> list[str]:
    """Return the options that mount a configuration and secrets for the sandbox and the OpenBao, as files."""
    described = sandbox.describe()
    secrets = {"app": described["app_secret"], "user": described["system_user_token"], "vault": bao.root}
    config = {
        "version": 1,
        "instance": "image",
        "schedule": {"every": "1h"},
        "graph": {"base_url": sandbox.url},
        "apps": {"messenger": {"id": described["app_id"], "secret": {"file": "/run/secrets/app"}}},
        "system_users": {"main": {"app": "messenger", "token": {"file": "/run/secrets/user"}}},
        "stores": {
            "vault": {
                "type": "vault",
                "address": bao.url,
                "mount": bao.mount(),
                "path": "meta/pages/{name}",
                "auth": {"method": "token", "token": {"file": "/run/secrets/vault"}},
            }
        },
        "pages": described["pages"],
    }
    for folder, files in (("config", {"config.yaml": yaml.safe_dump(config)}), ("secrets", secrets)):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(f"{text}\n")
    return [
        f"--env=PAGE_TOKEN_SYNC_LISTEN={free()}",
        f"--volume={tmp_path}/config:/etc/page-token-sync:ro",
        f"--volume={tmp_path}/secrets:/run/secrets:ro",
    ]


def until(text: str, printed: Callable[[], str], seconds: float = 60) -> None:
    """Wait until another process has printed something."""
    end = time.monotonic() + seconds
    while text not in printed():
        assert time.monotonic() < end, printed()
        time.sleep(0.1)


def test_the_image_says_its_version(engine: Engine):
    """Without configuration, home or a writable directory, the program starts and knows its version."""
    done = engine.run("--version")
    assert done.returncode == 0, done
    assert importlib.metadata.version("page-token-sync") in done.stdout


def test_the_image_declares_how_it_is_run(engine: Engine):
    """The user is numeric, so that a cluster can see that it is not root, and ``run`` is what is done unasked."""
    config: dict[str, Any] = json.loads(engine.podman("image", "inspect", engine.image).stdout)[0]["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["page-token-sync"]
    assert config["Cmd"] == ["run"]
    assert config.get("StopSignal", "SIGTERM") in ("", "SIGTERM")
    assert list(config["ExposedPorts"]) == ["8087/tcp"]
    labels = {name: config["Labels"][f"org.opencontainers.image.{name.lower()}"] for name in BUILD}
    assert labels == BUILD


def test_the_process_can_write_nothing_and_gain_nothing(engine: Engine):
    """Inside, the process is 65532 without a name, capability or writable path that an image could need."""
    code = """
import os, json, pathlib
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
def writable(path):
    try:
        pathlib.Path(path, "x").write_text("x")
    except OSError:
        return False
    return True
print(json.dumps({"uid": os.getuid(), "caps": status["CapEff"] + status["CapBnd"], "new": status["NoNewPrivs"],
                  "writable": [p for p in ("/", "/tmp", "/var/tmp", "/etc", "/opt/page-token-sync", os.environ["HOME"]) if writable(p)]}))
"""
    done = engine.run("-c", code, entrypoint="python")
    assert done.returncode == 0, done
    assert json.loads(done.stdout) == {"uid": 65532, "caps": "0" * 32, "new": "1", "writable": []}


def test_the_image_holds_the_program_compiled_and_no_build_tool(engine: Engine):
    """Every module has its byte code, since none could be kept later; neither uv, sources, nor what only tests use is there."""
    code = """
import importlib.util, json, pathlib, shutil, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
bare = [str(p) for p in site.rglob("*.py") if not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()]
print(json.dumps({"uncompiled": bare, "sync": (site / "sync" / "cli").is_dir(), "src": pathlib.Path("/src").exists(),
                  "tools": [name for name in ("uv", "pytest", "ruff", "bao", "moto_server") if shutil.which(name)]}))
"""
    done = engine.run("-c", code, entrypoint="python")
    assert done.returncode == 0, done
    assert json.loads(done.stdout) == {"uncompiled": [], "sync": True, "src": False, "tools": []}


def test_a_mounted_configuration_is_found_and_judged(engine: Engine, mounted: list[str], tmp_path: Path):
    """``validate`` reads the file at its usual place, and a mistake in it is exit 2."""
    done = engine.run("validate", options=mounted)
    assert done.returncode == 0, done
    (tmp_path / "config" / "config.yaml").write_text("version: 1\npaegs: []\n")
    done = engine.run("validate", options=mounted)
    assert done.returncode == 2, done
    assert "paegs" in done.stdout + done.stderr


def test_a_folder_without_the_configuration_is_reported_in_the_log(engine: Engine, mounted: list[str], tmp_path: Path):
    """Where a ConfigMap lacks its key, the daemon ends with exit 2, and its one JSON line names the file."""
    (tmp_path / "config" / "config.yaml").unlink()
    done = engine.run("run", options=mounted)
    assert done.returncode == 2, done
    (line,) = done.stdout.splitlines()
    assert "config.yaml" in json.loads(line)["message"]


def test_one_cycle_from_the_image_writes_every_page(engine: Engine, mounted: list[str]):
    """``once`` writes every Page's secret to a real OpenBao, and a second ``once`` has nothing to do."""
    for action in ("created", "unchanged"):
        done = engine.run("once", "--output", "json", options=mounted)
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["summary"][action] == 5, done


@pytest.mark.parametrize(
    ("user", "volume"),
    [("65532:65532", "named"), ("1000650000:0", "named"), ("1234:1234", "open")],
    ids=["the image's", "a platform's", "any"],
)
def test_the_memory_is_kept_whoever_runs_the_image(
    engine: Engine, mounted: list[str], tmp_path: Path, user: str, volume: str
):
    """A new volume is writable for the image's user and for one of the group 0, and an open folder for any."""
    (tmp_path / "state").mkdir()
    # As an emptyDir of Kubernetes.
    (tmp_path / "state").chmod(0o777)
    source = tmp_path / "state" if volume == "open" else f"state-{user.partition(':')[0]}"
    with (tmp_path / "config" / "config.yaml").open("a") as config:
        config.write("state: {file: /var/lib/page-token-sync/state.json}\n")
    options = [*mounted, f"--volume={source}:/var/lib/page-token-sync", f"--user={user}"]
    done = engine.run("once", "--output", "json", options=options)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["warnings"] == []
    kept = engine.run("-c", "cat /var/lib/page-token-sync/state.json", options=options, entrypoint="sh")
    assert json.loads(kept.stdout)["instance"] == "image"


def test_a_state_that_cannot_be_written_is_a_warning(engine: Engine, mounted: list[str], tmp_path: Path):
    """Where the folder of the state file is read-only, the cycle does its work, and its report names the file."""
    with (tmp_path / "config" / "config.yaml").open("a") as config:
        config.write("state: {file: /var/lib/page-token-sync/state.json}\n")
    done = engine.run("once", "--output", "json", options=mounted)
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    assert report["summary"]["verified"] == 5
    assert [warning for warning in report["warnings"] if "/var/lib/page-token-sync/state.json" in warning]


def test_a_credential_that_is_not_mounted_is_named(engine: Engine, mounted: list[str], tmp_path: Path):
    """Where a key of the Secret is missing, the program runs, and its report names the file that it lacks."""
    (tmp_path / "secrets" / "app").unlink()
    done = engine.run("once", "--output", "json", options=mounted)
    assert done.returncode == 3, done
    problems = [problem for page in json.loads(done.stdout)["pages"] for problem in page["problems"]]
    assert {problem["code"] for problem in problems} == {"credential-unavailable"}
    assert all("/run/secrets/app" in problem["message"] for problem in problems)


def logs(engine: Engine, name: str) -> str:
    """Return what a container has printed."""
    done = engine.podman("logs", name)
    return done.stdout + done.stderr


def test_the_health_check_asks_the_daemon(engine: Engine, mounted: list[str]):
    """The image's health check is healthy while the daemon runs, and not where none does."""
    engine.start("healthy", options=mounted)
    until("cycle_finished", lambda: logs(engine, "healthy"))
    done = engine.podman("healthcheck", "run", "healthy")
    assert done.returncode == 0, done
    state = engine.podman("inspect", "--format={{.State.Health.Status}}", "healthy")
    assert state.stdout.strip() == "healthy"
    engine.start("other", "sandbox", "--listen", "127.0.0.1:0", options=[f"--env=PAGE_TOKEN_SYNC_LISTEN={free()}"])
    done = engine.podman("healthcheck", "run", "other")
    assert done.returncode == 1, done


def test_process_1_takes_signals(engine: Engine, mounted: list[str]):
    """The daemon is process 1 and ready: SIGUSR1 from inside starts a cycle, and ``podman stop`` ends it with exit 0 in time."""
    engine.start("daemon", options=mounted)
    until("cycle_finished", lambda: logs(engine, "daemon"))
    address = mounted[0].rpartition("=")[2]
    for probe in ("healthz", "readyz"):
        with urllib.request.urlopen(f"http://{address}/{probe}", timeout=5) as answer:
            assert answer.status == 200
    done = engine.podman("exec", "daemon", "sh", "-c", "kill -USR1 1")
    assert done.returncode == 0, done
    until("cycle_finished", lambda: logs(engine, "daemon").partition("cycle_finished")[2])
    begun = time.monotonic()
    assert engine.podman("stop", "--time=20", "daemon").returncode == 0
    assert time.monotonic() - begun < 15
    state = engine.podman("inspect", "--format={{.State.ExitCode}}", "daemon")
    assert state.stdout.strip() == "0", logs(engine, "daemon")
