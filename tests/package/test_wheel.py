"""The built wheel: what is in it, and that it runs where nothing else is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import pytest
import uv

from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


def run(*command: str | Path, cwd: Path = ROOT, network: bool = False) -> str:
    """Run a command that has to succeed, and return its output; skip where the package index is not reached."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if network and done.returncode != 0 and "error sending request" in done.stderr:
        pytest.skip(f"THE WHEEL IS NOT TESTED: no package index is reached: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the source distribution, as a release does."""
    folder = tmp_path_factory.mktemp("dist")
    run(uv.find_uv_bin(), "build", "--quiet", "--out-dir", folder, network=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty virtual environment, with the locked versions of what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    tool = uv.find_uv_bin()
    locked = folder / "locked.txt"
    run(tool, "export", "--quiet", "--locked", "--no-dev", "--no-emit-project", "--no-hashes", "-o", locked)
    run(tool, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(tool, "pip", "install", "--quiet", "--python", python, "--constraint", locked, wheel, network=True)
    return folder / "venv" / "bin" / "page-token-sync"


def test_the_wheel_has_the_package_and_its_metadata_only(wheel: Path) -> None:
    """Neither tests nor tools are installed; the license and the mark of a typed package are."""
    names = zipfile.ZipFile(wheel).namelist()
    metadata = f"page_token_sync-{version('page-token-sync')}.dist-info"
    assert {name.split("/")[0] for name in names} == {"sync", metadata}
    assert {"sync/py.typed", f"{metadata}/licenses/LICENSE", f"{metadata}/entry_points.txt"} <= set(names)
    source = {str(file.relative_to(ROOT)) for file in (ROOT / "sync").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == source


def test_the_metadata_says_what_the_project_says(wheel: Path) -> None:
    """The license, the oldest Python and the version are those of pyproject.toml, and no extra is promised."""
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    fields = Parser().parsestr(archive.read(name).decode())
    assert fields["Name"] == "page-token-sync"
    assert fields["Version"] == version("page-token-sync")
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.11"
    assert fields["Provides-Extra"] is None


def test_the_installed_program_says_its_version(installed: Path, tmp_path: Path) -> None:
    """The command runs outside of the repository and prints the version."""
    assert run(installed, "--version", cwd=tmp_path).split()[-1] == version("page-token-sync")


def test_the_installed_program_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    """The demo runs to its end with only what the wheel depends on."""
    assert "berlin" in run(installed, "demo", cwd=tmp_path)


def test_the_installed_program_has_its_schema(installed: Path, tmp_path: Path) -> None:
    """The data that the program reads at run time is in the wheel."""
    assert "pages" in json.loads(run(installed, "schema", cwd=tmp_path))["properties"]
