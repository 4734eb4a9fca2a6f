"""The units for systemd: known keys, a confinement that is measured, and a configuration that reads what they pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sync.config.load import load
from tests.support.manifests import files
from tests.support.paths import ROOT

FOLDER = ROOT / "deploy" / "systemd"
DAEMON = FOLDER / "page-token-sync.service"
CYCLE = FOLDER / "timer" / "page-token-sync.service"
TIMER = FOLDER / "timer" / "page-token-sync.timer"
PROGRAM = "/opt/page-token-sync/bin/page-token-sync"
MAX_EXPOSURE = 15
"""Of 100. What is left is the network, which the daemon is for."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None, reason="not installed: systemd (apt-get install systemd)"
    ),
]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``systemd-analyze``."""
    argv = ["systemd-analyze", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def verified(folder: Path, *units: Path, old: str = "", new: str = "") -> str:
    """Return what systemd reports about units, of which a text is replaced first; empty where all is well."""
    for unit in units:
        text = unit.read_text()
        assert old in text
        # The program has to be there for the verification.
        changed = text.replace(old, new).replace(PROGRAM, str(Path(sys.executable).parent / "page-token-sync"))
        (folder / unit.name).write_text(changed)
    done = analyze("verify", "--man=no", *(str(folder / unit.name) for unit in units))
    return done.stdout + done.stderr


@pytest.mark.parametrize("units", [[DAEMON], [CYCLE, TIMER]], ids=["daemon", "timer"])
def test_systemd_reports_nothing(units: list[Path], tmp_path: Path) -> None:
    """Each unit loads, and systemd ignores no key and no value of it."""
    assert verified(tmp_path, *units) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WatchdogSec=60", "WatchDogSec=60"),
        ("ProtectSystem=strict", "ProtectSystem=very"),
        ("@system-service", "@system-services"),
        ("RestrictNamespaces=yes", "RestrictNamespaces=perhaps"),
    ],
)
def test_a_wrong_key_or_value_is_reported(old: str, new: str, tmp_path: Path) -> None:
    """What systemd would ignore at run time, with exit code 0, does not pass the verification."""
    assert verified(tmp_path, DAEMON, old=old, new=new) != ""


@pytest.mark.parametrize("unit", [DAEMON, CYCLE], ids=["daemon", "timer"])
def test_the_exposure_is_low(unit: Path, tmp_path: Path) -> None:
    """Systemd rates the confinement of each service as safe, and worse where a line of it is gone."""

    def exposed(text: str, threshold: int) -> bool:
        (tmp_path / unit.name).write_text(text)
        done = analyze("security", "--offline=true", f"--threshold={threshold}", str(tmp_path / unit.name))
        assert "Overall exposure level" in done.stdout, done.stderr
        return done.returncode != 0

    text = unit.read_text()
    assert not exposed(text, MAX_EXPOSURE)
    assert exposed(text.replace("CapabilityBoundingSet=\n", ""), MAX_EXPOSURE)
    assert exposed(text.replace("SystemCallFilter=@system-service\n", ""), MAX_EXPOSURE)


def test_both_services_are_confined_alike() -> None:
    """The daemon and the single cycle have the same credentials, the same state and the same confinement."""

    def shared(unit: Path) -> str:
        return unit.read_text().partition("LoadCredential=")[2].partition("\n[Install]")[0]

    assert shared(DAEMON) == shared(CYCLE)
    assert "DynamicUser=yes" in shared(DAEMON)


def test_the_daemon_is_watched() -> None:
    """Systemd waits for the daemon's own report that it is ready, restarts one that is silent, and none that is wrong."""
    text = DAEMON.read_text()
    for line in ("Type=notify", "WatchdogSec=60", "Restart=on-failure", "RestartPreventExitStatus=2"):
        assert f"\n{line}\n" in text
    # SIGHUP makes the daemon read its configuration again.
    assert "\nExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n" in text


def test_one_run_of_the_timer_can_be_another_command() -> None:
    """The command of a file replaces the cycle in one run, and the file is removed after it, whatever its result."""
    text = CYCLE.read_text()
    assert "\nEnvironment=COMMAND=once\n" in text
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert start.endswith(" $COMMAND")
    (file,) = re.findall(r"^EnvironmentFile=-(.*)$", text, re.MULTILINE)
    # Also after a failure, and as root: the unit's own user may not remove it.
    assert f"\nExecStopPost=+/bin/rm -f {file}\n" in text
    page = (ROOT / "docs" / "how-to" / "run-a-command.md").read_text()
    assert f"echo 'COMMAND=plan' > {file}\n" in page


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: another process's view of the disk needs root")
def test_a_command_runs_as_the_daemon_does() -> None:
    """A command beside the daemon has its user, sees its credentials, which root's shell does not, and keeps its exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        hidden = folder / "hidden"
        hidden.mkdir()
        # As systemd starts a unit with a dynamic user, credentials and PrivateUsers=.
        unit = (
            f"mount -t tmpfs -o mode=0755 none {hidden} && install -m 0400 -o 64999 /dev/null {hidden}/credential && "
            "exec setpriv --reuid 64999 --regid 64998 --clear-groups unshare --user --map-current-user "
            "sh -c 'echo ready; exec cat'"
        )
        program = f'test -r {hidden}/credential && echo "$(id -u):$(id -g) $*" && exit 4'
        script = (FOLDER / "page-token-sync-exec").read_text()
        assert PROGRAM in script
        with subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", unit], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as daemon:
            assert daemon.stdin
            assert daemon.stdout
            assert daemon.stdout.readline() == "ready\n"
            assert not (hidden / "credential").exists()
            for file, text in (
                ("program", f"#!/bin/sh\n{program}\n"),
                ("systemctl", f"#!/bin/sh\necho {daemon.pid}\n"),
                ("exec", script.replace(PROGRAM, str(folder / "program"))),
            ):
                (folder / file).write_text(text)
                (folder / file).chmod(0o755)
            done = executed(folder, "plan", "--page", "b*")
            expected = "64999:64998 --config /etc/page-token-sync/config.yaml plan --page b*\n"
            assert (done.stdout, done.returncode) == (expected, 4), done.stderr
            daemon.stdin.close()
        (folder / "systemctl").write_text("#!/bin/sh\necho 0\n")
        done = executed(folder, "plan")
        assert (done.stdout, done.returncode) == ("", 3)
        assert "does not run" in done.stderr


def executed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script beside the programs in a folder."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    argv = [str(folder / "exec"), *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_timer_is_of_a_known_schedule() -> None:
    """The timer's schedule is one that systemd understands, four times an hour."""
    (schedule,) = re.findall(r"^OnCalendar=(.*)$", TIMER.read_text(), re.MULTILINE)
    done = analyze("calendar", "--iterations=2", schedule)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Normalized form: .*:00/15:00", done.stdout)


def test_the_configuration_reads_what_the_units_pass() -> None:
    """The example loads without a warning, and each of its files is a credential, the state or in the folder of the configuration."""
    file = FOLDER / "config.yaml"
    config = load(file)
    assert config.warnings == ()
    passed = re.findall(r"^LoadCredential=(\w+):/etc/page-token-sync/credentials/\1$", DAEMON.read_text(), re.MULTILINE)
    credentials = {f"/run/credentials/{DAEMON.name}/{name}" for name in passed}
    read = files(file.read_text())
    assert credentials <= read
    others = {"/etc/page-token-sync/vault_role_id", "/var/lib/page-token-sync/state.json"}
    assert read - credentials == others
    assert "\nStateDirectory=page-token-sync\n" in DAEMON.read_text()
