"""Answers of any form: an object, an error, or unusable."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.core.secret import Secret
from sync.graph.answers import Answer, read_answer, whole
from sync.graph.batch import read_batch
from sync.graph.fault import Fault

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (502, b"<!DOCTYPE html><html>Sorry, something went wrong.</html>"),
        (200, b"<html>"),
        (200, b""),
        (200, b"null"),
        (200, b"[]"),
        (200, b'"EAAB"'),
        (200, b"true"),
        (200, b'{"data":{"app_id":"1'),
        (500, b'{"error":{}}'),
        (400, b'{"error":null}'),
        (400, b'{"error":"denied"}'),
        (400, b'{"id":"1"}'),
        (302, b""),
        (200, b"[" * 100_000),
        (200, b'{"a":' * 100_000),
        (200, b'{"id":' + b"9" * 5_000 + b"}"),
        (200, b"\xff\xfe{}"),
        (200, b'{"id":"\x00'),
    ],
)
def test_anything_but_an_object_or_an_error_is_a_fault(status: int, text: bytes) -> None:
    """HTML, an empty body, half an answer and a huge one are bad answers, and nothing is raised."""
    fault = read_answer(status, text, secrets=())
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.status) == ("bad-answer", status)


def test_answer_of_too_many_values_is_a_fault() -> None:
    """An answer whose parsed form would fill the memory is none, alone and as the items of a batch together."""
    many = '{"data":[' + "[]," * 250_000 + "0]}"
    for text in (many, many.encode()):
        fault = read_answer(200, text, secrets=())
        assert isinstance(fault, Fault)
        assert fault.kind == "bad-answer"
    some = '{"data":[' + "[]," * 20_000 + "0]}"
    assert isinstance(read_answer(200, some, secrets=()), Answer)
    items = json.dumps([{"code": 200, "body": some}] * 50).encode()
    assert isinstance(read_batch(200, items, 50, secrets=()), Fault)


@pytest.mark.parametrize("text", [b'{"id":"1","n":NaN}', b'{"id":"2","id":"1"}', b'{"id":"1","x":"\\ud800"}'])
def test_unusual_json_is_read(text: bytes) -> None:
    """Constants, repeated keys and lone surrogates in JSON do no harm."""
    answer = read_answer(200, text, secrets=())
    assert isinstance(answer, Answer)
    assert answer.value["id"] == "1"


def test_an_error_is_read_whatever_the_status() -> None:
    """Code, subcode, text and trace are kept; a code may come as digits; the status does not hide an error."""
    body = {
        "error": {
            "message": "(#190) Bad",
            "type": "OAuthException",
            "code": "190",
            "error_subcode": 463,
            "is_transient": True,
            "fbtrace_id": "AbCdEf",
        }
    }
    fault = read_answer(200, json.dumps(body), secrets=(), retry_after="7")
    assert fault == Fault("error", 200, 190, 463, "OAuthException", "(#190) Bad", True, 7, "AbCdEf")


@pytest.mark.parametrize(
    ("trace", "kept"),
    [
        ("AQluxZkLwpcKix84870YVnH", "AQluxZkLwpcKix84870YVnH"),
        ("A" * 41, None),
        ("EAAlooksLikeAToken123456", None),
        ("own-secret", None),
        ("x-my-own-secret-word-y", None),
        ("two words", None),
        ("<b>", None),
        (7, None),
    ],
)
def test_a_trace_id_is_kept_as_it_is_or_not_at_all(trace: object, kept: str | None) -> None:
    """Meta's id of a call looks like a token; one that is, or holds, a part of a secret is dropped."""
    text = json.dumps({"error": {"code": 1, "message": "Oh.", "fbtrace_id": trace}})
    fault = read_answer(500, text, secrets=(Secret("my-own-secret-word"),))
    assert isinstance(fault, Fault)
    assert fault.fbtrace_id == kept


def test_an_error_never_keeps_a_token() -> None:
    """A token that Graph quotes is removed before anything else sees the error."""
    token = Secret("my-own-secret-word")
    text = json.dumps({"error": {"code": 190, "message": "Malformed access token my-own-secret-word"}})
    fault = read_answer(400, text, secrets=(token,))
    assert isinstance(fault, Fault)
    assert token.reveal() not in repr(fault)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        ("33", 33),
        ("-1", -1),
        (0, 0),
        *((value, None) for value in (True, "1.5", 1.5, None, "٣", 10**30, "9" * 5000, [], "", "-")),
    ],
)
def test_a_whole_number_is_read_from_a_number_or_digits(value: object, number: int | None) -> None:
    """Anything else is None."""
    assert whole(value) == number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ERROR = st.dictionaries(
    st.sampled_from(["code", "error_subcode", "message", "type", "is_transient", "fbtrace_id", "error_data"]), JSON
)


@calm
@given(st.integers(100, 599), st.one_of(JSON, st.fixed_dictionaries({"error": st.one_of(JSON, ERROR)})))
def test_no_json_value_raises(status: int, value: object) -> None:
    """Every value that JSON can hold is an answer or a fault."""
    assert isinstance(read_answer(status, json.dumps(value), secrets=()), Answer | Fault)


@calm
@given(st.binary())
def test_no_body_raises(body: bytes) -> None:
    """Every sequence of bytes is an answer or a fault."""
    assert isinstance(read_answer(200, body, secrets=()), Answer | Fault)
