"""Batches: written as Graph accepts them, and split without relying on their order."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.graph.answers import Answer
from sync.graph.batch import by_id, chunks, form, read_batch
from sync.graph.fault import Fault

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

NULL = Fault("null")


def item(value: object, code: int = 200) -> dict[str, object]:
    """Return one item of an answer."""
    return {"code": code, "body": json.dumps(value)}


def read(value: object, count: int) -> list[Answer | Fault] | Fault:
    """Read a complete answer of status 200."""
    return read_batch(200, json.dumps(value).encode(), count, secrets=())


def test_a_batch_is_a_form_with_everything_in_the_body() -> None:
    """Token, proof and items are form fields, and no character of them is lost."""
    body = form(["1?fields=access_token", "debug_token?input_token=a%7Cb%2B"], {"access_token": "1|s&=+é"})
    fields = parse_qs(body.decode(), strict_parsing=True)
    assert fields["access_token"] == ["1|s&=+é"]
    assert fields["include_headers"] == ["false"]
    assert json.loads(fields["batch"][0]) == [
        {"method": "GET", "relative_url": "1?fields=access_token"},
        {"method": "GET", "relative_url": "debug_token?input_token=a%7Cb%2B"},
    ]


def test_answers_come_in_the_order_of_the_items() -> None:
    """Valid items, errors, items that ran out of time and items of HTML may be in one batch."""
    value = [
        item({"id": "1", "access_token": "t"}),
        item({"error": {"code": 100, "message": "no"}}, 400),
        None,
        {"code": 502, "body": "<html>"},
        {"code": 200, "body": None},
        {"body": "{}"},
        "text",
    ]
    got = read(value, 7)
    assert isinstance(got, list)
    assert got[0] == Answer({"id": "1", "access_token": "t"})
    assert [fault.kind for fault in got[1:] if isinstance(fault, Fault)] == [
        "error",
        "null",
        "bad-answer",
        "bad-answer",
        "bad-answer",
        "bad-answer",
    ]


@pytest.mark.parametrize("body", [b"", b"null", b" null\n"])
def test_an_empty_answer_counts_as_every_item_timed_out(body: bytes) -> None:
    """An empty body with status 200 means that all items ran out of time."""
    assert read_batch(200, body, 2, secrets=()) == NULL


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_answers_is_no_answer(count: int) -> None:
    """An array that is too short or too long cannot be matched to what was asked."""
    assert read([item({"id": "1"}), item({"id": "2"})], count) == Fault("bad-answer", 200)


def test_an_object_instead_of_the_array_is_the_error_of_the_batch() -> None:
    """An error of the envelope is read as such; an object without one is a bad answer."""
    fault = read({"error": {"message": "Too many requests in batch message", "type": "GraphBatchException"}}, 2)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.type) == ("error", "GraphBatchException")
    assert read({"id": "1"}, 2) == Fault("bad-answer", 200)


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, b"[1", b"[" + b"9" * 5_000 + b"]"])
def test_a_hostile_body_is_no_answer(body: bytes) -> None:
    """A body that cannot be read fails the batch as a whole, and raises nothing."""
    fault = read_batch(200, body, 1, secrets=())
    assert isinstance(fault, Fault)
    assert fault.kind == "bad-answer"


ONE, TWO, THREE = (Answer({"id": name}) for name in "123")
REFUSED = Fault("error", 400, 100)


@pytest.mark.parametrize(
    ("answers", "placed"),
    [
        ([ONE, TWO, THREE], [ONE, TWO, THREE]),
        ([ONE, REFUSED, THREE], [ONE, REFUSED, THREE]),
        ([ONE, NULL, THREE], [ONE, NULL, THREE]),
        ([THREE, ONE, TWO], [ONE, TWO, THREE]),
        ([THREE, REFUSED, ONE], [ONE, NULL, THREE]),
        ([ONE, ONE, THREE], [ONE, NULL, THREE]),
        ([ONE, Answer({"id": "9"}), THREE], [ONE, Answer({"id": "9"}), THREE]),
        ([Answer({"id": 1}), TWO, THREE], [Answer({"id": 1}), TWO, THREE]),
    ],
    ids=[
        "in order",
        "an error",
        "an item given up",
        "turned",
        "turned, with an error",
        "twice",
        "a stranger",
        "number",
    ],
)
def test_an_answer_belongs_to_the_id_that_it_names(answers: list[Answer | Fault], placed: list[Answer | Fault]) -> None:
    """No Page gets another's answer because of an odd order; an answer that cannot be matched is asked for again."""
    assert by_id(answers, ["1", "2", "3"]) == placed


@calm
@given(st.permutations([str(number) for number in range(10)]), st.sets(st.integers(0, 9)))
def test_no_order_gives_a_page_the_answer_of_another(order: list[str], refused: set[int]) -> None:
    """Whatever the order and however many errors, a matched answer is that of its id."""
    ids = [str(number) for number in range(10)]
    answers = [REFUSED if target in refused else Answer({"id": got}) for target, got in enumerate(order)]
    for wanted, answer in zip(ids, by_id(answers, ids), strict=True):
        assert not isinstance(answer, Answer) or answer.value["id"] == wanted


def test_chunks_hold_fifty_at_most() -> None:
    """No batch is larger than Meta accepts."""
    pieces = chunks(range(120))
    assert [len(piece) for piece in pieces] == [50, 50, 20]
    assert [item for piece in pieces for item in piece] == list(range(120))
