"""The units for systemd: known keys, a confinement that is measured, and a configuration that reads what they pass."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
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
