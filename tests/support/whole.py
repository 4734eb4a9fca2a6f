"""The contract's claims on ``first``, for stores that never leave an unmarked secret of their own behind."""

from __future__ import annotations

from sync.stores.interface import Store
from tests.support.store_contract import Rig, StoreContract, marks, payload, stored, written


class MarkedFromTheFirst(StoreContract):
    """Stores whose creation is marked before anybody can see it: an unmarked secret is always a stranger's."""

    def test_unmarked(self, rig: Rig, store: Store) -> None:
        """A stranger's secret has no marks, and is never taken for a first version that a crash of ours left."""
        key = rig.key("a")
        rig.plant(key, {"access_token": "theirs"})
        found = stored(store, key)
        assert (found.marks, found.state, found.first) == (None, "live", False)

    def test_create(self, rig: Rig, store: Store) -> None:
        """A created secret is read back, by us and by the next daemon, with its marks."""
        key = rig.key("a")
        answer = written(store.write(key, payload(), marks(), replaces=None))
        for reader in (store, rig.make_store()):
            found = stored(reader, key)
            assert (found.payload, found.marks, found.version) == (payload(), marks(), answer.version)
            assert (found.state, found.first, found.blocked) == ("live", False, None)
