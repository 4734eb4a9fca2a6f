"""Answers of Graph, of whatever form they come: a JSON object, or why there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sync.core.secret import Secret
from sync.graph.errors import Fault
from sync.graph.scrub import scrub

_WIDEST = 12
_TRACE = re.compile(r"(?!EAA)[0-9A-Za-z_-]{1,40}")
_OK = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What Graph answered to one call: a JSON object without an error."""

    value: Mapping[str, Any]


class NotJson(ValueError):  # noqa: N818 - named for what it says
    """The text is no JSON; holds none of it."""


def read_json(text: bytes | str) -> Any:
    """Read JSON; raises NotJson for everything that the parser can stumble over, deep nesting and huge numbers too."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    raise NotJson


def read_answer(
    status: int, text: bytes | str, *, secrets: Iterable[Secret], retry_after: str | None = None
) -> Answer | Fault:
    """Judge the form of an answer: an object is one, an error envelope or anything else is a Fault.

    The status decides nothing where the body says it: Graph sends errors with 200, and HTML with 200 as well.
    """
    wait = whole(retry_after)
    try:
        value = read_json(text)
    except NotJson:
        return Fault("bad-answer", status, retry_after=wait)
    return judge(status, value, secrets=secrets, retry_after=wait)


def judge(status: int, value: Any, *, secrets: Iterable[Secret], retry_after: int | None = None) -> Answer | Fault:
    """Judge the form of what was read as JSON."""
    if not isinstance(value, dict):
        return Fault("bad-answer", status, retry_after=retry_after)
    if "error" not in value:
        return Answer(value) if status < _OK else Fault("bad-answer", status, retry_after=retry_after)
    error = value["error"]
    if not isinstance(error, dict) or (whole(error.get("code")) is None and not error.get("message")):
        return Fault("bad-answer", status, retry_after=retry_after)
    secrets = tuple(secrets)
    return Fault(
        "error",
        status,
        code=whole(error.get("code")),
        subcode=whole(error.get("error_subcode")),
        type=words(error.get("type"), secrets),
        text=words(error.get("message"), secrets),
        transient=error.get("is_transient") is True,
        retry_after=retry_after,
        fbtrace_id=_trace(error.get("fbtrace_id"), secrets),
    )


def _trace(value: Any, secrets: Iterable[Secret]) -> str | None:
    """Take the id by which Meta finds a call again; it looks like a token, so that one that is one is told by what we know."""
    if not isinstance(value, str) or not _TRACE.fullmatch(value):
        return None
    return None if any(value in secret.reveal() or secret.reveal() in value for secret in secrets) else value


def whole(value: Any) -> int | None:
    """Read a whole number that came as a number or as digits; None for anything else, truth values and floods too."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**_WIDEST else None
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= _WIDEST:
        return int(value)
    return None


def words(value: Any, secrets: Iterable[Secret]) -> str:
    """Read a text, made fit to be shown; empty where it is none."""
    return scrub(value, secrets) if isinstance(value, str) else ""
