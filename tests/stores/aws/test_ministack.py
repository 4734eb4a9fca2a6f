"""The AWS store keeps the contract of all stores against a second emulator, which is accurate where the first is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rigs.ministack import MinistackRig
from tests.support.services.aws import aws_environment
from tests.support.services.ministack import Ministack, ministack, ministack_server
from tests.support.store_contract import MarkedAtCreation, RawTextContract

__all__ = ["aws_environment", "ministack", "ministack_server"]

pytestmark = [pytest.mark.xdist_group("ministack"), pytest.mark.timeout(900)]


@pytest.fixture
def rig(ministack: Ministack, aws_environment: Path) -> MinistackRig:
    """Return an empty account."""
    return MinistackRig(ministack, aws_environment)


class TestMinistack(MarkedAtCreation, RawTextContract):
    """Secrets Manager keeps the contract, except for a secret without a value, which ministack gives an empty version."""
