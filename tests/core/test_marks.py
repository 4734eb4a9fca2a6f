"""Marks as a flat map of strings: written, read back and patched without touching the entries of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.judge.decide import Kind
from sync.core.marks import MANAGED_BY, from_map, patch, present, to_map
from sync.core.model import Marks
from tests.support.values import USER_TOKEN_FINGERPRINT, current, decided, fetched, judged, marks, stored

texts = st.text(min_size=1, max_size=6)
maybe = st.none() | texts
wholes = st.builds(
    Marks,
    instance=texts,
    page_id=texts,
    app_id=texts,
    fingerprint=texts,
    system_user_id=maybe,
    system_user_fingerprint=maybe,
    written_at=st.just("") | texts,
    reason=st.just("") | texts,
    hold=maybe,
    labels=st.dictionaries(texts, st.text(max_size=4), max_size=3),
)
foreign = st.dictionaries(texts.map("foreign-{}".format), texts, max_size=3)


def test_names_are_those_that_are_documented() -> None:
    """The names of the mark map are fixed, since people and policies read them."""
    assert present(marks(hold="2026-11-20", labels={"team": "crm"})) == {
        "managed-by": "page-token-sync",
        "instance": "acme-prod",
        "page-id": "101010101010101",
        "app-id": "123456789012345",
        "system-user-id": "777",
        "fingerprint": marks().fingerprint,
        "system-user-fingerprint": USER_TOKEN_FINGERPRINT,
        "written-at": "2026-11-24T00:00:00Z",
        "reason": "created",
        "hold": "2026-11-20",
        "label.team": "crm",
    }


@given(wholes, foreign)
def test_marks_are_read_back(whole: Marks, more: dict[str, str]) -> None:
    """What is written is read back, whatever else stands in the map."""
    assert from_map({**present(whole), **more}) == whole


def _merged(stored: dict[str, str], change: dict[str, str | None]) -> dict[str, str]:
    """Merge as RFC 7396 does: None removes."""
    both = {**stored, **change}
    return {key: value for key, value in both.items() if value is not None}


@given(wholes, wholes, foreign)
def test_patch_leads_from_any_marks_to_the_wanted_ones(old: Marks, new: Marks, more: dict[str, str]) -> None:
    """After a patch the map holds exactly the wanted marks, and the entries of others as they were."""
    stored = {**present(old), **more}
    after = _merged(stored, patch(new, stored))
    assert after == {**present(new), **more}
    assert patch(new, after) == {}


@given(wholes)
def test_patch_of_nothing_is_the_whole(whole: Marks) -> None:
    """Where no mark is, the patch writes all of them and removes nothing."""
    assert patch(whole, {}) == present(whole)


def test_patch_removes_a_label_that_is_left() -> None:
    """A label that is no longer configured is removed, and so is a hold that was released."""
    stored = present(marks(hold="x", labels={"a": "1", "b": "2"}))
    assert patch(marks(labels={"b": "2"}), stored) == {"hold": None, "label.a": None}


def test_marks_of_an_earlier_version_are_brought_up_to_date() -> None:
    """Marks with ``parent`` are the instance's, of unknown origin: only the marks are written, and ``parent`` is removed."""
    old = {**present(marks(system_user_fingerprint=None)), "parent": USER_TOKEN_FINGERPRINT}
    read = from_map(old)
    assert read == marks(system_user_fingerprint=None)
    action = decided(fetched(), current(stored(marks=read), judged()))
    assert (action.kind, action.reason) == (Kind.UPDATED, "marks")
    assert action.write is not None
    assert action.write.payload is None
    after = _merged(old, patch(action.write.marks, old))
    assert after == present(action.write.marks)
    assert after["system-user-fingerprint"] == USER_TOKEN_FINGERPRINT


@pytest.mark.parametrize(
    "found",
    [None, {}, {"managed-by": "terraform"}, {"instance": "acme-prod"}, {"managed-by": "Page-Token-Sync"}],
    ids=str,
)
def test_what_another_program_manages_has_no_marks(found: dict[str, str] | None) -> None:
    """Only this program's own name in managed-by makes a mark."""
    assert from_map(found) is None


def test_missing_marks_match_nothing() -> None:
    """A mark map that lost its keys is this program's, of no instance and of no Page."""
    found = from_map({"managed-by": MANAGED_BY})
    assert found == Marks("", "", "", "")


def test_removed_keys_are_named_as_such() -> None:
    """The whole map says None for what an earlier mark may hold and this one has not."""
    bare = to_map(Marks("i", "p", "a", "f"))
    assert {key for key, value in bare.items() if value is None} == {
        "system-user-id",
        "system-user-fingerprint",
        "written-at",
        "reason",
        "hold",
    }
