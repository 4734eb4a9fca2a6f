"""Blocks of text below a table."""

from __future__ import annotations

import pytest

from sync.cli.output.console import put_blocks


def test_blocks_of_one_kind_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    """Of forty blocks with one cause three are printed and the others counted; another cause is printed in full."""
    alike = [("failed, denied", f"failed: vault:{number}", [f"Path {number}."]) for number in range(40)]
    put_blocks([*alike, ("kept, replicated", "kept: aws:berlin", ["It has replicas."])])
    printed = capsys.readouterr().out.splitlines()
    assert printed[:6:2] == [f"failed: vault:{number}" for number in range(3)]
    assert printed[6:] == [
        *("kept: aws:berlin", "  It has replicas."),
        *("failed, denied: 37 more", "  --output json has them all."),
    ]
