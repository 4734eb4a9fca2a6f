"""The secret that applications read: templates, text, and finding the token again."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.payload import Payload, PayloadTemplate, TemplateError, fill, fixed_part, parse_text
from sync.core.secret import Secret
from tests.support.values import FETCHED, OTHER

VALUES = {"name": "berlin", "id": "101"}
TOKEN = FETCHED.reveal()

tokens = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0{}"), max_size=8)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("meta/pages/{name}", "meta/pages/berlin"),
        ("{name}{id}", "berlin101"),
        ("{{{name}}}", "{berlin}"),
        ("{{name}}", "{name}"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_fill(template: str, text: str) -> None:
    """Placeholders are replaced, and a doubled brace is a brace."""
    assert fill(template, VALUES) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("a{b", "unpaired '{' at character 2"),
        ("a}b", "unpaired '}' at character 2"),
        ("{nope}", "unknown placeholder {nope}; known are {name} {id}"),
        ("{nmae}", "unknown placeholder {nmae}; did you mean {name}? Known are {name} {id}"),
        ("{}", "unknown placeholder {}"),
        ("{Name}", "unpaired '{'"),
        ("{name.upper}", "unpaired '{'"),
        ("{name!r}", "unpaired '{'"),
        ("{0}", "unpaired '{'"),
    ],
)
def test_template_that_is_refused(template: str, words: str) -> None:
    """A brace without its pair, an unknown name, and all of Python's format language are refused."""
    with pytest.raises(TemplateError) as refused:
        fill(template, VALUES)
    assert words in str(refused.value)


def test_value_with_braces_is_not_filled_again() -> None:
    """What is put in for a placeholder is text, whatever it looks like."""
    assert fill("{name}", {"name": "{id}", "id": "9"}) == "{id}"


@pytest.mark.parametrize(
    ("template", "fixed"),
    [("meta/pages/{name}", "meta/pages/"), ("{name}", ""), ("plain", "plain"), ("a{{b{name}", "a{b"), ("{{{id}", "{")],
)
def test_fixed_part(template: str, fixed: str) -> None:
    """What stands before the first placeholder is given as it will be written."""
    assert fixed_part(template) == fixed


@pytest.mark.parametrize(
    ("template", "fixed"),
    [
        ("meta/{instance}/{name}", "meta/acme/"),
        ("{instance}", "acme"),
        ("{name}/{instance}", ""),
        ("{{{instance}{id}", "{acme"),
    ],
)
def test_fixed_part_with_a_constant(template: str, fixed: str) -> None:
    """A placeholder that has one value in the whole configuration does not end the fixed part."""
    assert fixed_part(template, {"instance": "acme"}) == fixed


@pytest.mark.parametrize("template", [{"a": "{id}"}, {}, "raw", {"a": "{{token}}"}])
def test_template_without_a_token_is_refused(template: Any) -> None:
    """A payload in which an application could not read the token is refused."""
    with pytest.raises(TemplateError, match=r"no \{token\}"):
        PayloadTemplate.parse(template, VALUES)


@pytest.mark.parametrize(
    ("template", "stored"),
    [
        pytest.param({"t": "{token}"}, {"t": TOKEN}, id="alone"),
        pytest.param({"t": "Bearer {token}"}, {"t": f"Bearer {TOKEN}"}, id="after a prefix"),
        pytest.param({"t": "{token};"}, {"t": f"{TOKEN};"}, id="before a suffix"),
        pytest.param({"t": "<{token}|{token}>"}, {"t": f"<{TOKEN}|{TOKEN}>"}, id="twice in one text"),
        pytest.param({"a": "{token}", "b": "{token}"}, {"a": TOKEN, "b": "other"}, id="in two names: the first"),
        pytest.param({"a": "{token}", "b": "{token}"}, {"b": TOKEN}, id="in two names: the one that is there"),
        pytest.param({"i": "{id}", "t": "{token}"}, {"t": TOKEN}, id="beside a name that is missing"),
        pytest.param({"t": "{token}"}, {"t": TOKEN, "n": 1}, id="beside a name of somebody else"),
        pytest.param("{token}", TOKEN, id="raw text"),
        pytest.param("export T={token}\n", f"export T={TOKEN}\n", id="raw text with more"),
        pytest.param("{token} {token}", f"{TOKEN} {TOKEN}", id="raw text with the token twice"),
    ],
)
def test_token_is_found(template: Any, stored: Any) -> None:
    """The token is found where the template puts it."""
    assert PayloadTemplate.parse(template, VALUES).token_in(Payload(stored)) == FETCHED


@pytest.mark.parametrize(
    ("template", "stored"),
    [
        pytest.param({"t": "{token}"}, {}, id="the name is missing"),
        pytest.param({"t": "{token}"}, {"t": ""}, id="empty"),
        pytest.param({"t": "{token}"}, {"t": 7}, id="a number"),
        pytest.param({"t": "{token}"}, {"t": None}, id="null"),
        pytest.param({"t": "{token}"}, {"t": {"t": TOKEN}}, id="deeper"),
        pytest.param({"t": "Bearer {token}"}, {"t": TOKEN}, id="the prefix is missing"),
        pytest.param({"t": "Bearer {token}"}, {"t": "Bearer "}, id="nothing after the prefix"),
        pytest.param({"t": "aba{token}aba"}, {"t": "ababa"}, id="prefix and suffix overlap"),
        pytest.param({"t": "{token}|{token}"}, {"t": f"{TOKEN}|{OTHER.reveal()}"}, id="two tokens where one belongs"),
        pytest.param({"t": "{token}|{token}"}, {"t": "|"}, id="twice nothing"),
        pytest.param({"t": "{token}|{token}"}, {"t": ""}, id="twice, and the text is shorter than what is fixed"),
        pytest.param({"t": "{token}"}, TOKEN, id="raw text where an object is wanted"),
        pytest.param("{token}", {"t": TOKEN}, id="an object where raw text is wanted"),
    ],
)
def test_token_is_not_found(template: Any, stored: Any) -> None:
    """What is not where and how the template puts it is no token."""
    assert PayloadTemplate.parse(template, VALUES).token_in(Payload(stored)) is None


@pytest.mark.parametrize(
    ("template", "stored", "found"),
    [
        pytest.param({"new": "{token}"}, {"old": TOKEN}, True, id="under an earlier name"),
        pytest.param({"new": "{token}"}, {"old": f"Bearer {TOKEN}"}, False, id="inside a text"),
        pytest.param({"new": "{token}"}, {"n": 7, "old": TOKEN}, True, id="beside a number"),
        pytest.param({"new": "{token}"}, TOKEN, True, id="was raw text"),
        pytest.param("{token}\n", {"old": TOKEN}, True, id="is raw text now"),
        pytest.param({"new": "{token}"}, {"old": OTHER.reveal()}, False, id="another token"),
    ],
)
def test_moved_token_is_found_by_its_mark(template: Any, stored: Any, found: bool) -> None:
    """A changed template does not lose sight of the token whose fingerprint the mark holds."""
    wanted = PayloadTemplate.parse(template, VALUES)
    assert wanted.token_in(Payload(stored), marked=FETCHED.fingerprint) == (FETCHED if found else None)
    assert wanted.token_in(Payload(stored)) is None


def test_one_name_alone_is_changed() -> None:
    """A text under one name is read and put again; the others stay as they are, in their order."""
    before = Payload({"note": "theirs", "token": TOKEN, "retries": 3, "nested": {"token": "x"}})
    after = before.renewed("token", OTHER)
    assert (before.secret("token"), after.secret("token")) == (FETCHED, OTHER)
    assert after.text() == before.text().replace(TOKEN, OTHER.reveal())


@pytest.mark.parametrize("stored", [{}, {"t": ""}, {"t": 7}, {"t": None}, {"t": {"t": TOKEN}}, TOKEN])
def test_what_is_no_text_is_no_secret(stored: Any) -> None:
    """Where no text is under a name there is no secret."""
    assert Payload(stored).secret("t") is None


def test_no_payload_holds_no_token() -> None:
    """Where there is no readable value there is no token."""
    assert PayloadTemplate.parse({"t": "{token}"}, VALUES).token_in(None, marked=FETCHED.fingerprint) is None


@given(token=tokens, before=texts, between=texts, after=texts, holes=st.integers(1, 3), raw=st.booleans())
def test_what_is_put_in_is_found_again(
    token: str, before: str, between: str, after: str, holes: int, raw: bool
) -> None:
    """Whatever the texts around it, the token that was put in is the one that is found."""
    text = before + between.join(["{token}"] * holes) + after
    made = PayloadTemplate.parse(text if raw else {"t": text}, {})
    assert made.token_in(made.render(Secret(token))) == Secret(token)


def test_render_keeps_keys_that_are_not_in_the_template() -> None:
    """Keys of the stored payload that the template lacks stay; those that it has are its own."""
    wanted = PayloadTemplate.parse({"t": "{token}", "i": "{id}"}, VALUES)
    over = Payload({"mine": [1, None], "i": "old", "t": "old"})
    assert wanted.render(FETCHED, over=over) == Payload({"t": TOKEN, "i": "101", "mine": [1, None]})
    assert wanted.render(FETCHED, over=Payload("raw")) == wanted.render(FETCHED)
    assert PayloadTemplate.parse("{token}", VALUES).render(FETCHED, over=over) == Payload(TOKEN)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '"x"', "null", "[" * 100_000, '{"a":' * 100_000, '{"a":NaN}', '{"a":-Infinity}', "9" * 5000],
    ids=lambda text: f"{text[:8]}~{len(text)}",
)
def test_text_that_is_no_object_is_unreadable(text: str) -> None:
    """Whatever is no JSON object, hostile texts included, is unreadable where one is wanted, and never raises."""
    assert parse_text(text, raw=False) is None
    assert parse_text(text, raw=True) == Payload(text)


FOREIGN = [
    '{"price": 12345678901234567.123456789, "n": 1e400, "t": "old"}',
    '{"t":"old","a":-0.0,"b":-0,"c":1E5,"d":1.10,"e":123456789012345678901234567890}',
    '{"z":1,"t":"old","a":{"y":1.0,"x":[1e-400]}}',
    '{"dup":1,"dup":2,"t":"old","nested":{"a":1,"a":2}}',
    '{"t":"old","\\u00fc":"\\u00fc\\/","half":"\\ud800"}',
    '{\n  "t" : "old" ,\n  "a" : [ 1, 2 ]\n}\n',
    '{"deep":' + "[" * 20_000 + "]" * 20_000 + ',"t":"old"}',
    '{"long":' + "9" * 5000 + ',"t":"old"}',
]


@pytest.mark.parametrize("text", FOREIGN, ids=lambda text: text[:20])
def test_what_others_wrote_stays_byte_for_byte(text: str) -> None:
    """A write changes the named values of an object, and no other byte: numbers, escapes, duplicates, order and depth stay."""
    stored = parse_text(text, raw=False)
    assert stored is not None
    assert stored.text() == text
    wanted = PayloadTemplate.parse({"t": "{token}"}, {})
    assert (
        wanted.render(FETCHED, over=stored).text() == stored.renewed("t", FETCHED).text() == text.replace("old", TOKEN)
    )
    assert wanted.render(Secret("old"), over=stored) == stored
    assert wanted.render(FETCHED, over=stored) != stored
    assert parse_text(wanted.render(FETCHED, over=stored).text(), raw=False) == wanted.render(FETCHED, over=stored)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("{ }", f'{{"t":"{TOKEN}","i":"101" }}'),
        ('{"a": 1e400}', f'{{"a": 1e400,"t":"{TOKEN}","i":"101"}}'),
        ('{"i": 7.0, "a": 1}\n', f'{{"i": "101", "a": 1,"t":"{TOKEN}"}}\n'),
        ('{"t": "one", "t": "two"}', f'{{"t": "{TOKEN}", "t": "{TOKEN}","i":"101"}}'),
    ],
)
def test_names_of_the_template_are_set_in_the_text_of_others(text: str, after: str) -> None:
    """A name that is missing is appended, and one that is there is set, each time that it is there."""
    stored = parse_text(text, raw=False)
    rendered = PayloadTemplate.parse({"t": "{token}", "i": "{id}"}, VALUES).render(FETCHED, over=stored)
    assert rendered.text() == after
    assert rendered != stored


def test_true_is_not_one() -> None:
    """Values that are equal in Python alone make payloads different."""
    assert Payload({"a": 1}) != Payload({"a": True})
    assert Payload({"a": 1}) != Payload({"a": 1.0})


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none(), max_size=4))
def test_text_form_is_read_back(content: dict[str, Any]) -> None:
    """A payload's text is compact JSON that gives the same payload again."""
    text = Payload(content).text()
    assert parse_text(text, raw=False) == Payload(content)
    assert json.loads(text) == content


def test_text_is_compact_and_keeps_order_and_letters() -> None:
    """The text form is fixed, since versions of secrets are distinguished by it."""
    assert Payload({"b": "ü", "a": 1}).text() == '{"b":"ü","a":1}'
    assert Payload("a\nb").text() == "a\nb"


def test_equal_payloads_are_one_in_a_set() -> None:
    """Order of names does not count, so equal payloads have one hash."""
    one, two = Payload({"a": 1, "b": 2}), Payload({"b": 2, "a": 1})
    assert one == two
    assert len({one, two, Payload("x"), Payload("x")}) == 2
    assert Payload({}) != Payload("")


def test_names() -> None:
    """Keys are an object's; raw text has none."""
    assert Payload({"a": 1}).keys == PayloadTemplate.parse({"a": "{token}"}, {}).names == {"a"}
    assert Payload("a").keys == PayloadTemplate.parse("{token}", {}).names == frozenset()


def test_payload_shows_no_token() -> None:
    """A payload is printed as a fingerprint, and never copied or serialised."""
    whole = Payload({"t": TOKEN})
    assert TOKEN not in f"{whole} {whole!r} {[whole]}"
    for way in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as refused:
            way(whole)
        assert TOKEN not in str(refused.value)


def test_payload_is_not_changed_from_outside() -> None:
    """A payload keeps its own copy of what it was made of."""
    content = {"a": "1"}
    whole = Payload(content)
    content["a"] = "2"
    assert whole == Payload({"a": "1"})
