"""A token never shows itself, whatever is done with the object that holds it."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import subprocess
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.judge.decide import Write
from sync.core.model import Fetched
from sync.core.payload import Payload
from sync.core.secret import Secret, fingerprint
from tests.support.values import fetched, marks

VALUE = "EAAcanary0123456789canary"


def _logged(secret: Secret) -> str:
    stream, log = io.StringIO(), logging.getLogger("test_secret")
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        log.warning("%s %r %s", secret, secret, {"token": secret})
    finally:
        log.removeHandler(handler)
    return stream.getvalue()


def _traced(secret: Secret) -> str:
    error = ValueError("refused", secret)
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(str, id="str"),
        pytest.param(repr, id="repr"),
        pytest.param(ascii, id="ascii"),
        pytest.param(lambda secret: f"{secret} {secret!r} {secret!s} {secret!a}", id="f-string"),
        pytest.param(lambda secret: "{} {!r}".format(secret, secret), id="format"),  # noqa: UP032 - the way that is tried
        pytest.param(lambda secret: "%s" % secret, id="percent"),  # noqa: UP031 - the way that is tried
        pytest.param(lambda secret: str([secret, {secret: secret}, (secret,)]), id="in collections"),
        pytest.param(lambda secret: pprint.pformat({"t": secret}), id="pprint"),
        pytest.param(_logged, id="logging"),
        pytest.param(_traced, id="traceback"),
        pytest.param(lambda secret: json.dumps({"t": secret}, default=str), id="json with default=str"),
        pytest.param(lambda secret: repr(Fetched(secret)), id="in a dataclass"),
        pytest.param(lambda secret: repr(fetched(secret)), id="in a candidate"),
        pytest.param(lambda s: repr(Write(s, Payload({"t": s.reveal()}), marks(s), None)), id="in a write"),
    ],
)
def test_every_way_of_printing_shows_the_fingerprint_alone(show: Callable[[Secret], str]) -> None:
    """Whatever prints a secret prints its fingerprint, and no part of the value."""
    secret = Secret(VALUE)
    text = show(secret)
    assert secret.fingerprint in text
    assert "canary" not in text


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(json.dumps, id="json"),
        pytest.param(lambda secret: json.dumps({"t": [secret]}), id="json, nested"),
        *(
            pytest.param(lambda secret, p=protocol: pickle.dumps(secret, p), id=f"pickle {protocol}")
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda secret: dataclasses.asdict(Fetched(secret)), id="asdict"),
        pytest.param(lambda secret: format(secret, ">40"), id="format with a width"),
        pytest.param(lambda secret: "x" + secret, id="concatenation"),
        pytest.param(vars, id="vars"),
        pytest.param(iter, id="iteration"),
        pytest.param(bytes, id="bytes"),
    ],
)
def test_every_way_of_serialising_is_refused(way: Callable[[Secret], Any]) -> None:
    """What would copy, serialise or unfold a secret raises TypeError, whose text shows nothing."""
    with pytest.raises(TypeError) as refused:
        way(Secret(VALUE))
    assert "canary" not in str(refused.value)


def test_only_reveal_gives_the_value() -> None:
    """The value is given to whom asks for it by name."""
    assert Secret(VALUE).reveal() == VALUE


@given(st.text(), st.text())
def test_equality_is_that_of_the_value(one: str, two: str) -> None:
    """Two secrets are equal, and one key of a mapping, exactly if their values are."""
    assert (Secret(one) == Secret(two)) == (one == two)
    assert len({Secret(one), Secret(one)}) == 1
    assert Secret(one) != one


def test_fingerprint_is_what_a_shell_prints() -> None:
    """The fingerprint is the first 12 digits that sha256sum prints, so that a person can compare."""
    line = 'printf %s "$TOKEN" | sha256sum | cut -c1-12'
    done = subprocess.run(
        ["/bin/sh", "-c", line], env={"TOKEN": VALUE, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    assert Secret(VALUE).fingerprint == done.stdout.decode().strip() == fingerprint(VALUE)


@given(st.text(st.characters()))
def test_any_string_has_a_fingerprint(value: str) -> None:
    """Even a lone surrogate, which no encoding allows, has 12 hex digits."""
    assert len(fingerprint(value)) == 12
    assert set(fingerprint(value)) <= set("0123456789abcdef")


@pytest.mark.parametrize("text", ["", "EAA", "EAAtokentoken ", "eaatokentoken", "\ud800", "ä" * 9])
def test_only_the_same_string_matches(text: str) -> None:
    """A secret matches its own string and no other, of any length and with any character."""
    assert Secret("EAAtokentoken").matches("EAAtokentoken")
    assert not Secret("EAAtokentoken").matches(text)
