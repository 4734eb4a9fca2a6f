"""Facts of ``debug_token``, in every type that was seen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.core.model import NEVER, GraphErrorFacts, TokenFacts
from sync.graph.facts import read_facts

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def read(**data: object) -> TokenFacts:
    """Read an object ``data``."""
    return read_facts(data, NOW, secrets=())


def test_a_page_token_is_read_in_full() -> None:
    """All keys of a real answer about a Page token are read (published 2022-11)."""
    facts = read(
        app_id="138483919580948",
        type="PAGE",
        application="Social",
        data_access_expires_at=0,
        expires_at=0,
        is_valid=True,
        profile_id="1234567890",
        scopes=["pages_messaging", "public_profile"],
        granular_scopes=[{"scope": "pages_messaging", "target_ids": ["1234567890"]}],
        user_id="1068",
    )
    assert facts == TokenFacts(
        asked_at=NOW,
        is_valid=True,
        type="PAGE",
        app_id="138483919580948",
        profile_id="1234567890",
        user_id="1068",
        scopes=frozenset({"pages_messaging", "public_profile"}),
        granular_scopes={"pages_messaging": frozenset({"1234567890"})},
        expires_at=NEVER,
        data_access_expires_at=NEVER,
    )


def test_absent_fields_are_none() -> None:
    """A field that is absent is unknown, so it never counts as valid."""
    assert read() == TokenFacts(asked_at=NOW)


def test_an_invalid_token_keeps_metas_error() -> None:
    """The error inside the facts is kept, with its subcode under either name."""
    facts = read(is_valid=False, scopes=[], error={"code": 190, "message": "Session has expired", "subcode": 463})
    assert (facts.is_valid, facts.error) == (False, GraphErrorFacts(190, 463, "Session has expired"))
    assert read(error={"code": "190", "error_subcode": "460"}).error == GraphErrorFacts(190, 460, "")
    assert read(error="oops").error is None
    shown = {"code": 190, "message": "Session", "error_user_title": "Confirm", "error_user_msg": "Log in again."}
    assert read(error=shown).error == GraphErrorFacts(190, None, "Confirm: Log in again.")


@pytest.mark.parametrize(
    ("value", "expiry"),
    [
        (0, NEVER),
        ("0", NEVER),
        (1764028800, datetime(2025, 11, 25, tzinfo=UTC)),
        ("1764028800", datetime(2025, 11, 25, tzinfo=UTC)),
        (1764028800.0, datetime(2025, 11, 25, tzinfo=UTC)),
        (-1, None),
        (10**11, datetime(5138, 11, 16, 9, 46, 40, tzinfo=UTC)),
        (10**18, None),
        (253402300800, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (False, None),
        (None, None),
        ("soon", None),
        ([], None),
    ],
)
def test_an_expiry_is_a_time_or_never_or_unknown(value: object, expiry: object) -> None:
    """Numbers and digits are times, 0 means never, and anything else is unknown."""
    assert read(expires_at=value).expires_at == expiry
    assert read(data_access_expires_at=value).data_access_expires_at == expiry


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("12", "12"),
        (12, "12"),
        (True, None),
        (0, None),
        (-5, None),
        ("", None),
        ("9" * 99, None),
        (1.5, None),
        ([], None),
    ],
)
def test_an_id_is_digits_or_a_number(value: object, name: str | None) -> None:
    """Ids were numbers once; no other type is an id."""
    facts = read(app_id=value, profile_id=value, user_id=value)
    assert (facts.app_id, facts.profile_id, facts.user_id) == (name, name, name)


@pytest.mark.parametrize("value", ["true", 1, "", None, 0, []])
def test_only_a_boolean_says_valid(value: object) -> None:
    """A text or a number decides nothing."""
    assert read(is_valid=value).is_valid is None


@pytest.mark.parametrize(
    ("rows", "granular"),
    [
        ([{"scope": "a"}], {"a": None}),
        ([{"scope": "a", "target_ids": None}], {"a": None}),
        ([{"scope": "a", "target_ids": []}], {"a": frozenset()}),
        ([{"scope": "a", "target_ids": [1, "2", None, {}]}], {"a": frozenset({"1", "2"})}),
        ([{"scope": "a", "target_ids": 7}], {"a": frozenset({"7"})}),
        ([{"scope": "a", "target_ids": ["1"]}, {"scope": "a", "target_ids": ["2"]}], {"a": frozenset({"1", "2"})}),
        ([{"scope": "a"}, {"scope": "a", "target_ids": ["2"]}], {"a": None}),
        ([{"scope": "a", "target_ids": ["2"]}, {"scope": "a"}], {"a": None}),
        ([None, 1, "x", {"scope": 3}, {}], {}),
        ("rows", {}),
        (None, {}),
        ({}, {}),
    ],
)
def test_targets_restrict_a_scope_unless_they_are_left_out(rows: object, granular: object) -> None:
    """No targets means all of them, which is how a business's own system user looks; an empty list means none."""
    assert read(granular_scopes=rows).granular_scopes == granular


@pytest.mark.parametrize(
    ("value", "scopes"), [([], frozenset()), (["a", 1, None], frozenset("a")), ("a", None), (None, None)]
)
def test_scopes_are_a_list_of_names(value: object, scopes: object) -> None:
    """A list that is absent is not an empty one."""
    assert read(scopes=value).scopes == scopes


FIELDS = [
    "is_valid", "type", "app_id", "profile_id", "user_id", "scopes", "granular_scopes", "expires_at",
    "data_access_expires_at", "issued_at", "error",
]  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["scope", "target_ids", "code", "message"]), inner),
    max_leaves=10,
)


@calm
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_no_type_of_a_field_raises(data: dict[str, object]) -> None:
    """Whatever the fields hold, there are facts, and they are valid only where the answer says so."""
    facts = read_facts(data, NOW, secrets=())
    assert facts.is_valid is None or facts.is_valid is data.get("is_valid")
