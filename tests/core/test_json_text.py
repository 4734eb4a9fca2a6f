"""JSON of others: texts that survive, and answers that are not parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.json_text import MOST_ELEMENTS, JsonText, dump, fits, load, members, same

NUMBERS = (
    "0", "-0", "-0.0", "1.0", "1.10", "1E5", "1e400", "-1e-400", "12345678901234567.123456789", "123456789012345678901", "9" * 5000,
)  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
def test_number_keeps_its_text(number: str) -> None:
    """A number is written as it was read, whatever Python would make of it."""
    text = f'{{"a":{number},"b":[{number},{{"c":{number}}}]}}'
    assert dump(load(text)) == text


def test_small_integers_are_integers() -> None:
    """Versions and times are numbers of Python, and what it would round is a JsonText."""
    assert load("[7, -3, 999999999999999999]") == [7, -3, 999999999999999999]
    assert load("[1.5, 1000000000000000000]") == [JsonText("1.5"), JsonText("1000000000000000000")]


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "{", ""])
def test_constants_are_not_json(text: str) -> None:
    """What only some parsers accept is refused."""
    with pytest.raises(ValueError, match=r".*"):
        load(text)


def test_half_a_surrogate_pair_is_escaped() -> None:
    """The compact form can always be encoded, and reads back as the same value."""
    text = dump({"a": "\ud800", "b": "\U0001f3d9ü"})
    assert text.encode() == '{"a":"\\ud800","b":"\U0001f3d9ü"}'.encode()
    assert load(text) == {"a": "\ud800", "b": "\U0001f3d9ü"}


@given(st.dictionaries(st.text(max_size=5), values, max_size=5), st.sampled_from([None, 1]))
def test_members_of_any_object(content: dict[str, object], indent: int | None) -> None:
    """Each member's text is the JSON of its value, with white space and without."""
    text = json.dumps(content, indent=indent)
    found = members(text)
    assert found is not None
    assert {one.name: json.loads(text[one.start : one.end]) for one in found} == content


@given(st.text(alphabet='{}[]",:0.eE-1\\tnu \n', max_size=14))
def test_members_accept_what_the_parser_accepts(text: str) -> None:
    """A text has members exactly where Python's parser finds an object."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    assert (members(text) is not None) is isinstance(value, dict)


def test_members_of_any_depth() -> None:
    """A value that is nested deeper than any parser goes is found in full, and half of one is not."""
    deep = "[" * 50_000 + "]" * 50_000
    (found,) = members(f' {{"a" : {deep}\n}} ') or ()
    assert (found.name, found.end - found.start) == ("a", len(deep))
    assert members('{"a":' + deep[:-1] + "}") is None


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ('{"a":1,"b":[2]}', '{ "b": [2], "a": 1 }', True),
        ('{"a":"\\u00fc"}', '{"a":"ü"}', True),
        ('{"a":1}', '{"a":1.0}', False),
        ('{"a":1}', '{"a":true}', False),
        ('{"a":1e2}', '{"a":1E2}', False),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":1,"a":2}', '{"a":2}', False),
        ('{"a":{"b":1}}', '{"a":[["b",1]]}', False),
        ("[" * 50_000, "[" * 50_001, False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_same(one: str, other: str, equal: bool) -> None:
    """Order of names, white space and escapes do not count; everything else does."""
    assert same(one, other) is equal


@pytest.mark.parametrize("element", ["[]", "{}", '"x"', "0", "null", '{"":0}', "[[]]"])
def test_answer_with_too_many_values(element: str) -> None:
    """An answer of many small values is refused before it is parsed, whatever the values are."""
    assert not fits(("[" + f"{element}," * MOST_ELEMENTS + element + "]").encode())
    assert fits(("[" + f"{element}," * 1000 + element + "]").encode())


def test_what_stands_in_texts_is_not_counted() -> None:
    """A text full of brackets and commas is one value."""
    assert fits(json.dumps({"a": '[{,"\\' * MOST_ELEMENTS}).encode())
