"""Which orphans may be deleted."""

from __future__ import annotations

from typing import Any

import pytest

from sync.core.model import Absent, Content, Key, Removed, Stored, StoreError
from sync.core.payload import Payload
from sync.core.plan.guards import Brake
from sync.core.plan.prune import Pruned, Removal, orphans, removals, successors
from tests.support.values import INSTANCE, KEY, OTHER, marks, page, payload

BRAKE = Brake(0.3, 3)
DENIED = StoreError("denied", "It is denied.", "Allow it.")


def key(number: int, store: str = "vault") -> Key:
    """Return the target of a Page that has left the configuration."""
    return Key(store, f"meta/pages/gone{number:02}")


def content(**changes: Any) -> Stored:
    """Return a secret of this instance."""
    return Stored(**{"payload": payload(), "version": "3", "marks": marks(), **changes})


def decided(found: Content, **changes: Any) -> tuple[Removal, ...]:
    """Decide about one orphan."""
    options = {"instance": INSTANCE, "brake": BRAKE, "observe": False, **changes}
    return removals({"vault": [(key(1), marks())]}, {key(1): found}, {}, **options)


def test_only_secrets_of_the_instance_that_nobody_names_are_orphans() -> None:
    """A secret of another instance, one that a Page names and one of a store that cannot be listed are no orphans."""
    owned = {
        "vault": [(key(2), marks()), (key(1), marks()), (key(3), marks(instance="other"))],
        "aws": DENIED,
        "disk": [(key(4, "disk"), marks())],
    }
    assert orphans(owned, marks().instance, {key(2)}) == [key(4, "disk"), key(1)]


@pytest.mark.parametrize(
    ("found", "action", "reason"),
    [
        (content(), "delete", None),
        (content(payload=None), "delete", None),
        (DENIED, "failed", None),
        (content(blocked="rotation-enabled"), "kept", "rotation-enabled"),
        (content(blocked="replica"), "kept", "secret-foreign"),
        (content(replicas=("us-east-1", "us-west-2")), "kept", "replicated"),
    ],
)
def test_what_is_done_with_an_orphan(found: Stored, action: str, reason: str | None) -> None:
    """What can be read and is not blocked is deleted, by its version and marks; all else is listed with its reason and remedy."""
    (one,) = decided(found)
    assert (one.action, one.reason) == (action, reason)
    if action == "delete":
        assert (one.version, one.marks) == ("3", marks())
    else:
        assert one.message
        assert one.remedy


@pytest.mark.parametrize(
    "found",
    [
        Absent(),
        content(state="deleted", payload=None),
        content(state="empty", payload=None),
        content(blocked="scheduled-deletion"),
        content(marks=None),
        content(marks=marks(instance="other")),
        content(marks=marks(page_id="202")),
    ],
)
def test_what_is_no_orphan_any_more(found: Stored | Absent) -> None:
    """A secret that was deleted, taken or unmarked since it was listed is none."""
    assert decided(found) == ()


@pytest.mark.parametrize(
    ("new", "lack"),
    [
        (content(), None),
        (content(payload=payload(OTHER)), None),
        (Absent(), "does not exist yet"),
        (content(state="deleted", payload=None), "does not exist yet"),
        (content(state="empty", payload=None), "does not exist yet"),
        (content(blocked="scheduled-deletion"), "scheduled for deletion"),
        (content(payload=None), "holds no token"),
        (content(payload=Payload({"access_token": ""})), "holds no token"),
        (content(marks=None), "no mark"),
        (content(marks=marks(instance="other")), "'other'"),
        (content(marks=marks(page_id="202")), "Page 202"),
        (DENIED, "could not be read: It is denied."),
    ],
)
def test_an_orphan_is_kept_until_its_page_has_a_new_secret(new: Content, lack: str | None) -> None:
    """As long as the secret that the configuration names now holds no token of this instance, or is unknown, all old ones stay."""
    owned = {"vault": [(key(1), marks()), (key(2), marks()), (KEY, marks())]}
    named = successors(owned, [key(1), key(2)], [page()])
    current = {key(1): content(), key(2): content(replicas=("us-east-1",)), KEY: new}
    found = removals(owned, current, named, instance=INSTANCE, brake=BRAKE, observe=False)
    assert [one.key for one in found] == [key(1), key(2)]
    if lack is None:
        assert [(one.action, one.reason) for one in found] == [("delete", None), ("kept", "replicated")]
        return
    assert [(one.action, one.reason) for one in found] == [("kept", "not-replaced")] * 2
    for one in found:
        assert lack in one.message
        assert "Page berlin" in one.message
        assert "vault:meta/pages/berlin" in one.message
        assert one.remedy == ("Allow it. Then run prune again." if new is DENIED else one.remedy)


def test_what_replaces_an_orphan() -> None:
    """The Page's secrets in the orphan's own store count, those in other stores where it has none there, and none for other Pages."""
    aws, disk = Key("aws", "berlin"), Key("disk", "berlin.json")
    of = {
        "vault": [(key(1), marks()), (KEY, marks()), (key(2), marks(page_id="202"))],
        "aws": [(key(3, "aws"), marks())],
        "disk": DENIED,
    }
    found = [key(1), key(2), key(3, "aws")]
    one = page(targets=(aws, disk))
    assert successors(of, found, [one]) == {
        key(1): [(one, aws), (one, disk)],
        key(3, "aws"): [(one, aws)],
    }
    both = [page(), page(name="berlin-2", system_user="second", targets=(Key("vault", "berlin-2"),))]
    assert successors(of, [key(1)], both) == {key(1): [(both[0], KEY), (both[1], Key("vault", "berlin-2"))]}


def test_nothing_is_deleted_in_mode_observe() -> None:
    """Under mode: observe every deletion is held."""
    (one,) = decided(content(), observe=True)
    assert (one.action, one.reason) == ("held", "observe")


@pytest.mark.parametrize(("secrets", "lost", "deleted"), [(3, 3, 2), (10, 4, 3), (10, 2, 2), (40, 13, 12), (1, 1, 1)])
def test_the_brake_bounds_each_store(secrets: int, lost: int, deleted: int) -> None:
    """As many are deleted as the brake would let change of all secrets in the store, and the others are held for the next time."""
    owned = {"vault": [(key(number), marks()) for number in range(secrets)], "disk": [(key(1, "disk"), marks())]}
    current = {key(number): content() for number in range(lost)}
    found = removals(owned, {**current, key(1, "disk"): content()}, {}, instance=INSTANCE, brake=BRAKE, observe=False)
    actions = [one.action for one in found if one.key.store == "vault"]
    assert actions == ["delete"] * deleted + ["held"] * (lost - deleted)
    assert [one.action for one in found if one.key.store == "disk"] == ["delete"]
    assert {one.reason for one in found if one.action == "held"} <= {"brake"}


def test_what_cannot_be_deleted_takes_no_share() -> None:
    """An orphan that fails or is kept leaves its share of the brake to the others."""
    owned = {"vault": [(key(number), marks()) for number in range(4)]}
    current = {key(0): DENIED, key(1): content(replicas=("us-east-1",)), key(2): content(), key(3): content()}
    found = removals(owned, current, {}, instance=INSTANCE, brake=BRAKE, observe=False)
    assert [one.action for one in found] == ["failed", "kept", "delete", "delete"]


def test_exit_codes() -> None:
    """0 means that no orphan is left, 3 that no store could be listed, and 1 anything else."""
    gone = Removal(key(1), marks(), "deleted", removed=Removed("restore"))
    left = Removal(key(1), marks(), "delete")
    assert Pruned((), {}, 2).exit_code == 0
    assert Pruned((gone,), {}, 2).exit_code == 0
    assert Pruned((gone, left), {}, 2).exit_code == 1
    assert Pruned((gone,), {"aws": DENIED}, 2).exit_code == 1
    assert Pruned((), {"aws": DENIED, "vault": DENIED}, 2).exit_code == 3
