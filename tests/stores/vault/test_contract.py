"""The store contract over a real OpenBao: with its detailed listing, without it, and on raft with TLS."""

from __future__ import annotations

import pytest

from tests.support.rigs.vault import VaultRig
from tests.support.services.bao import Bao, bao, raft
from tests.support.store_contract import DeletedContract, EmptyContract, StoreContract

__all__ = ["bao", "raft"]


class TestDetailed(StoreContract, EmptyContract, DeletedContract):
    """OpenBao, where the policy allows the detailed listing."""

    @pytest.fixture
    def rig(self, bao: Bao) -> VaultRig:
        """Return a fresh mount of the dev server."""
        return VaultRig(bao)


class TestPlain(StoreContract, EmptyContract, DeletedContract):
    """What HashiCorp Vault offers, and OpenBao under a policy without scan."""

    @pytest.fixture
    def rig(self, bao: Bao) -> VaultRig:
        """Return a fresh mount of the dev server."""
        return VaultRig(bao, detailed=False)


class TestRaft(StoreContract, EmptyContract, DeletedContract):
    """A raft node with TLS, which sends and obeys X-Vault-Index."""

    @pytest.fixture
    def rig(self, raft: Bao) -> VaultRig:
        """Return a fresh mount of the raft node."""
        return VaultRig(raft)
