"""The commands for trying the program: the demo's story, and the sandbox that stays."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from tests.support.forkserver import Process, shared
from tests.support.rigs.cli import file_rig, on_a_terminal
from tests.support.rigs.e2e import Ran, run
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def start(*arguments: str) -> Process:
    """Start a sandbox on a free port."""
    return shared().start("sandbox", "--listen", "127.0.0.1:0", *arguments)


def demo(folder: Path, *arguments: str) -> Ran:
    """Run the demo with nothing but a folder for temporary files."""
    env = {"TMPDIR": str(folder), "HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    return run("demo", *arguments, environment=env, cwd=folder)


def test_the_demo_shows_each_decision_and_leaves_nothing(tmp_path: Path) -> None:
    """The demo shows each decision with its reason, ends well, prints no token, and leaves no file."""
    begun = time.monotonic()
    done = demo(tmp_path)

    assert (done.code, done.stderr) == (0, "")
    assert time.monotonic() - begun < 15
    for decided in ("nothing was stored", "the same token", "rotate: ", "heal: ", "no-access", "throttled", "refused"):
        assert decided in done.stdout
    assert [int(code) for code in re.findall(r"^exit code (\d)", done.stdout, re.MULTILINE)] == [
        1,
        0,
        0,
        0,
        0,
        1,
        3,
        1,
        0,
    ]
    assert [
        one for one in ("init", "doctor", "plan", "once", "run") if f"page-token-sync {one} " not in done.stdout
    ] == []
    assert not re.search(r"EAA[A-Za-z0-9]{8}", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_can_be_kept(tmp_path: Path) -> None:
    """With --keep the folder stays, its secrets readable by their owner only."""
    done = demo(tmp_path, "--keep")
    (folder,) = tmp_path.iterdir()

    assert str(folder) in done.stdout
    assert yaml.safe_load((folder / "config.yaml").read_text())["instance"] == "demo"
    for path in [folder / "app_secret", folder / "system_user_token", *(folder / "secrets").glob("*.json")]:
        assert path.stat().st_mode & 0o077 == 0


def test_the_demo_fits_80_columns(tmp_path: Path) -> None:
    """On a terminal of 80 columns no line of the demo is wider."""
    code, shown = on_a_terminal("demo", env={"TMPDIR": str(tmp_path)})

    assert code == 0
    assert max(map(len, CODES.sub("", shown).splitlines())) <= 80


def test_a_demo_without_a_folder_says_so(tmp_path: Path) -> None:
    """Where no temporary folder can be made, the demo says that it needs one and ends with 3."""
    script = "import tempfile; tempfile.tempdir = '/proc/none'; from sync.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script, "demo"], capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "needs a folder" in done.stderr


def test_the_sandbox_prints_how_to_reach_it() -> None:
    """With --output json one line has all that a client needs; SIGTERM stops the sandbox with 0."""
    with start("--pages", "7", "--output", "json") as process:
        assert process.stdout is not None
        described = json.loads(process.stdout.readline())
        page = described["pages"][6]["id"]
        request = urllib.request.Request(f"{described['url']}/v25.0/{page}?fields=name,access_token")
        request.add_header("Authorization", f"Bearer {described['system_user_token']}")
        with urllib.request.urlopen(request) as answer:
            assert "access_token" in json.load(answer)
        process.terminate()
        assert process.wait(10) == 0

    assert set(described) == {"url", "app_id", "app_secret", "system_user_token", "pages"}


def test_the_sandboxs_configuration_works(tmp_path: Path) -> None:
    """The configuration that the sandbox prints is one that `once` runs with."""
    with start() as process:
        assert process.stdout is not None
        printed = ""
        while "pages:" not in printed or printed.count("- {id") < 5:
            printed += process.stdout.readline()
        variables = dict(re.findall(r"export (\w+)=(\S+)", printed))
        (tmp_path / "config.yaml").write_text(printed.partition("config.yaml:\n")[2])
        done = run("once", cwd=tmp_path, environment=variables)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0

    assert done.code == 0, done.stdout + done.stderr
    assert "curl -H" in printed


def test_the_sandbox_prints_a_configuration_of_all_its_pages() -> None:
    """The configuration that the sandbox prints has every Page, however many there are."""
    with start("--pages", "40") as process:
        assert process.stdout is not None
        printed = ""
        while printed.count("- {id") < 40 and "more" not in printed:
            printed += process.stdout.readline()
        process.terminate()
    assert len(yaml.safe_load(printed.partition("config.yaml:\n")[2])["pages"]) == 40


def test_faults_can_be_on_from_the_start() -> None:
    """A fault that is named on the command line affects the first call."""
    with start("--output", "json", "--fault", "throttled-app", "--fault", "unassigned@berlin") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/_sandbox/truth") as answer:
            assert json.load(answer)["faults"] == ["throttled-app", "unassigned"]
        process.terminate()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fault", "nonsense"], "throttled-app"),
        (["--fault", "invalid@nobody"], "nobody"),
        (["--listen", "x"], "HOST:PORT"),
    ],
)
def test_a_wrong_sandbox_is_wrong_usage(arguments: list[str], says: str) -> None:
    """An unknown fault or Page, or a wrong address, is wrong usage, and the known names are printed."""
    with start(*arguments) as process:
        _, error = process.communicate(timeout=20)

    assert process.returncode == 2
    assert says in error


def test_a_port_that_is_taken_is_named() -> None:
    """An address that is in use is named, and the command ends with 3."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with start("--output", "json", "--listen", address) as process:
            document, error = process.communicate(timeout=20)

    assert process.returncode == 3
    assert address in error
    assert json.loads(document)["errors"][0]["code"] == "address"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_cycle_is_130(number: signal.Signals, tmp_path: Path, sandbox: Sandbox) -> None:
    """Ctrl-C in the middle of a cycle that hangs ends it soon with 130, and with one JSON document."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(graph={"base_url": sandbox.url, "timeout": "60s"})
    switch_on(sandbox.world, "hang")
    with shared().start("--config", str(rig.file), "once", "--output", "json") as process:
        while sandbox.world.calls.requests == 0:
            time.sleep(0.01)
        process.send_signal(number)
        document, error = process.communicate(timeout=12)

    assert process.returncode == 130
    assert json.loads(document)["errors"][0]["code"] == "interrupted"
    assert "Traceback" not in error
    assert list((tmp_path / "secrets").glob("*.json")) == []
