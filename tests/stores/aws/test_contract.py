"""The AWS store keeps the contract of all stores, against moto behind the strict shim."""

from __future__ import annotations

import pytest

from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.store_contract import EmptyContract, MarkedAtCreation, RawTextContract

__all__ = ["aws", "aws_environment", "aws_server"]


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


class TestAws(MarkedAtCreation, RawTextContract, EmptyContract):
    """Secrets Manager keeps the contract."""
