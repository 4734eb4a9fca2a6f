"""Completion in a real bash: what the shell offers as the reader presses the tabulator."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.config_files import GOOD
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

MORE = GOOD + '  - {id: "2", name: bern, labels: {team: crm}}\n'


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return the program under its own name, as a package installs it."""
    path = tmp_path / "page-token-sync"
    root = ROOT
    path.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(sys.executable)} -m sync "$@"\n')
    path.chmod(0o755)
    return path


def offered(program: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of the words, by the script that the program prints for bash."""
    line = shlex.join(words)
    script = f"""
set -e
source <(page-token-sync --show-completion)
COMP_WORDS=(page-token-sync {line})
COMP_CWORD={len(words)}
_page_token_sync_completion page-token-sync
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(program.parent)}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, env=env, cwd=program.parent
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["val"], {"validate"}),
        (["plan", "--ou"], {"--output"}),
        (["plan", "--output", ""], {"table", "json", "markdown"}),
        (["validate", "--output", "g"], {"github"}),
        (["explain", "brake"], {"brake", "brake_held"}),
        (["--config", "my.yaml", "once", "--page", "ber"], {"berlin", "bern"}),
        (["--config", "my.yaml", "once", "--label", ""], {"team=crm"}),
        (["once", "--config", "my.yaml", "--page", "ber"], {"berlin", "bern"}),
        (["--config", "my.yaml", "plan", "--store", ""], {"vault"}),
        (["--config", "wrong.yaml", "plan", "--page", ""], set()),
        (["plan", "--page", ""], set()),
    ],
)
def test_bash_completes(words: list[str], expected: set[str], program: Path) -> None:
    """Commands, options, their words, and names of the configuration are offered; a wrong one offers none and is silent."""
    (program.parent / "my.yaml").write_text(MORE)
    (program.parent / "wrong.yaml").write_text("instance: [")
    assert set(offered(program, *words)) == expected


def test_bash_takes_the_installed_script(program: Path) -> None:
    """What --install-completion leaves in a home is read by the next interactive bash, and twice changes nothing more."""
    env = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(program.parent)}
    for _ in range(2):
        # The shell is found by the program's ancestors; the second command keeps this one from becoming the program.
        install = ["bash", "-c", "page-token-sync --install-completion && true"]
        subprocess.run(install, check=True, env=env, capture_output=True)
    once = (program.parent / ".bashrc").read_text()
    shown = subprocess.run(
        ["bash", "-i", "-c", "complete -p page-token-sync"], capture_output=True, text=True, check=False, env=env
    )

    assert once.count("source ") == 1
    assert "_page_token_sync_completion" in shown.stdout
