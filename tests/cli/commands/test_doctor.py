"""The remedies that ``doctor`` prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sync.app.app import App
from sync.cli.commands.doctor import doctor
from sync.cli.options import CycleOptions
from sync.cli.output.forms import Form
from sync.core.report.finding import Finding
from sync.runtime.threads import SystemClock
from tests.support.config_files import GOOD


def test_a_remedy_reads_the_same_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command in a remedy has the --config of doctor's own command line."""
    file = tmp_path / "my config.yaml"
    file.write_text(GOOD)
    found = Finding(
        "store-policy", "vault", "fail", "No.", "operator", "Write what `page-token-sync policy vault` prints."
    )
    monkeypatch.setattr(App, "examine", lambda *_: [found])
    monkeypatch.setattr("sync.cli.commands.doctor.begin", SystemClock)  # leaves this process's signals and log alone
    assert doctor(CycleOptions(file, Form.JSON), wait=0) == 3
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check["remedy"] == f"Write what `page-token-sync --config '{file}' policy vault` prints."
