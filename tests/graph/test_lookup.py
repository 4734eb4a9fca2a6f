"""What an error of Graph's means, for a person who met it."""

from __future__ import annotations

import pytest

from sync.graph.errors import TABLE
from sync.graph.lookup import MEANINGS, Met, parse, readings


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("190", Met(190)),
        (" 190 ", Met(190)),
        ("#190", Met(190)),
        ("(#190)", Met(190)),
        ("190/492", Met(190, 492)),
        ("190:492", Met(190, 492)),
        ("code 190 subcode 492", Met(190, 492)),
        ("code=190, error_subcode=492", Met(190, 492)),
        ("error 190/492", Met(190, 492)),
        ("OAuthException 368", Met(368)),
        ("(#100) Object does not exist", Met(100, None, "(#100) Object does not exist")),
        (
            '{"message": "x", "code": 10, "error_subcode": 33}',
            Met(10, 33, '{"message": "x", "code": 10, "error_subcode": 33}'),
        ),
        ("no-access", None),
        ("kv-v1", None),
        ("exit", None),
        ("", None),
        ("9" * 40, None),
    ],
)
def test_an_error_is_read_as_people_write_it(text: str, met: Met | None) -> None:
    """Bare numbers, numbers with a subcode, sentences and JSON are errors of Graph's; codes of this program are not."""
    assert parse(text) == met


def test_every_row_with_a_code_is_found_by_it() -> None:
    """The table of errors is the one source: each row that a code can lead to is among the readings of that code."""
    for row in TABLE:
        for code in (number for number in (*range(3000), *range(80000, 80020)) if number in (row.codes or ())):
            # Code 283 always means that a permission is missing.
            if row.where != ("batch",) and code != 283:
                assert row.name in [one.row.name for one in readings(Met(code))], (row.name, code)
    assert [one.row.name for one in readings(Met(283))] == ["permission-missing"]


def test_a_subcode_leads_to_its_own_row_first() -> None:
    """What the subcode says comes before what its code says in general, and no other subcode's row is named."""
    found = [one.row.name for one in readings(Met(190, 492))]
    assert found[0] == "no-role-on-page"
    assert not {"person-blocked", "wrong-kind-of-token"} & set(found)


def test_a_code_without_a_subcode_names_the_subcodes_of_its_rows() -> None:
    """Where the subcode is not known, rows of subcodes are named with them, after those of the code alone."""
    found = {one.row.name: one.subcodes for one in readings(Met(190))}
    assert found["no-role-on-page"] == (492,)
    assert found["user-token-valid"] == ()
    assert list(found).index("user-token-valid") < list(found).index("no-role-on-page")


def test_a_message_decides_where_the_table_looks_at_it() -> None:
    """The same code is another problem by its message; without one, the condition is named."""
    (proof, *_) = readings(Met(100, None, "(#100) API calls require an appsecret_proof argument"))
    assert (proof.row.problem, proof.condition) == ("app-secret-invalid", "")
    conditions = {one.row.name: one.condition for one in readings(Met(100))}
    assert "appsecret_proof" in conditions["proof-refused"]
    assert "User" in conditions["person"]


def test_an_unknown_code_has_no_reading() -> None:
    """Rows that match every error say nothing of one."""
    assert list(readings(Met(424242))) == []


def test_each_meaning_is_a_sentence_about_a_code_of_the_table_or_its_subcode() -> None:
    """What Meta means by a code is one sentence, for codes that the table has."""
    for (code, _), meaning in MEANINGS.items():
        assert meaning.endswith("."), code
        assert readings(Met(code)), code
