"""Answers whose values are of any form: every read is an answer or an error, and nothing raises."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sync.core import marks as mark_map
from sync.core.model import Absent, Stored, StoreError
from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.store_contract import marks, payload, stored

__all__ = ["aws", "aws_environment", "aws_server"]

ODD = (
    "null",
    "true",
    "7",
    "1e400",
    "9" * 400,
    '"x"',
    "[]",
    "{}",
    "[null]",
    '[[{"a":1}]]',
    '{"a":null}',
    '{"a":{"b":[7]}}',
)


def variants(content: bytes) -> Iterator[str]:
    """Yield the answer with each of its values replaced by three of the odd ones, in turn."""
    odd = itertools.cycle(ODD)
    answer = json.loads(content)

    def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if above:
            yield above
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, one in items:
            yield from paths(one, (*above, name))

    for path in paths(answer):
        copy = json.loads(content)
        inner = copy
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = "\0odd\0"
        text = json.dumps(copy)
        # Of twelve, three and one more, so that the same value of two rows gets others.
        yield from (text.replace('"\\u0000odd\\u0000"', one) for one in itertools.islice(odd, 3))
        next(odd)


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["ListSecrets", "BatchGetSecretValue", "DescribeSecret", "GetSecretValue"])
def test_odd_value_raises_nothing(aws: Aws, operation: str) -> None:
    """Whatever one value of an answer is, reading, listing and writing end with a value, and the service goes on."""
    rig = AwsRig(aws)
    keys = [rig.key("a"), rig.key("b")]
    for key in keys:
        rig.plant(key, {"access_token": "x"}, mark_map.present(marks()))
    store, bodies = rig.make_store(), []

    def record(call: Any) -> bool:
        status, content = call.forward()
        bodies.append(content)
        call.handler.reply(status, content)
        return True

    aws.fault(operation, record, times=1)
    version = stored(store, keys[0]).version
    store.read(keys)
    aws.heal()
    for text in variants(bodies[0]):
        aws.fault(operation, lambda call, text=text: call.reply(text.encode()), times=9)  # type: ignore[misc]
        store.begin()
        found = store.read(keys)
        again = store.read(keys)
        assert all(isinstance(one, Stored | Absent | StoreError) for one in [*found.values(), *again.values()]), text
        assert isinstance(store.owned("acme"), list | tuple | StoreError)
        aws.faults.clear()
        if operation == "DescribeSecret":
            aws.fault(operation, lambda call, text=text: call.reply(text.encode()), times=1)  # type: ignore[misc]
            store.begin()
            store.mark(keys[0], marks(reason="labels"), version=version)
            store.write(keys[0], payload("x"), marks(), replaces="77")
            aws.faults.clear()
    store.begin()
    assert all(isinstance(one, Stored) for one in store.read(keys).values())
