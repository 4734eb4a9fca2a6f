"""A mount of the server that a test module starts, and the proxy in front of that server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.rigs.vault import VaultRig
from tests.support.services.bao import Bao
from tests.support.services.fault_proxy import FaultProxy, fault_proxy


@pytest.fixture
def rig(bao: Bao) -> VaultRig:
    """Return a fresh mount."""
    return VaultRig(bao)


@pytest.fixture
def proxy(bao: Bao) -> Iterator[FaultProxy]:
    """Return the proxy in front of the server."""
    with fault_proxy(bao.url) as proxy:
        yield proxy
