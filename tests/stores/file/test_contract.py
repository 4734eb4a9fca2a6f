"""The file store keeps the contract of all stores, on a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rigs.file import FileRig
from tests.support.store_contract import DeletedContract, MarkedAtCreation, RawTextContract


@pytest.fixture
def rig(tmp_path: Path) -> FileRig:
    """Return an empty directory."""
    return FileRig(tmp_path)


class TestFile(MarkedAtCreation, RawTextContract, DeletedContract):
    """A directory keeps the contract; a deletion is recoverable in so far as the marks remain."""
