"""The AWS store keeps the contract of all stores against a second emulator, which is right where the first is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.aws import aws_environment
from tests.services.ministack import Ministack, ministack, ministack_server
from tests.stores.contract import RawTextContract
from tests.stores.ministack_rig import MinistackRig
from tests.stores.whole import MarkedFromTheFirst

__all__ = ["aws_environment", "ministack", "ministack_server"]

pytestmark = pytest.mark.xdist_group("ministack")


@pytest.fixture
def rig(ministack: Ministack, aws_environment: Path) -> MinistackRig:
    """Give an empty account."""
    return MinistackRig(ministack, aws_environment)


class TestMinistack(MarkedFromTheFirst, RawTextContract):
    """Secrets Manager keeps the contract, but for a secret without a value: ministack gives it an empty version."""
