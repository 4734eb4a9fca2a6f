"""Read Graph's answers, whatever their form: a JSON object, or a Fault that says why there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sync.core.json_text import fits
from sync.core.redact import scrub_message
from sync.core.secret import Secret
from sync.graph.fault import Fault

_WIDEST = 12
_TRACE = re.compile(r"(?!EAA)[0-9A-Za-z_-]{1,40}")
_OK = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """Graph's answer to one call: a JSON object without an error."""

    value: Mapping[str, Any]


class NotJson(ValueError):  # noqa: N818 - the name states the finding
    """The text is not JSON. The exception holds none of the text."""


def read_json(text: bytes | str) -> Any:
    """Read JSON; raises NotJson for any text that the parser fails on, such as deep nesting, huge numbers and too many values."""
    try:
        if fits(text):
            return json.loads(text)
    except (ValueError, RecursionError):
        pass
    raise NotJson


def read_answer(
    status: int, text: bytes | str, *, secrets: Iterable[Secret], retry_after: str | None = None
) -> Answer | Fault:
    """Read the body of an answer: an object is an Answer, an error envelope and anything else a Fault.

    The status does not decide where the body does: Graph sends errors with 200, and HTML with 200 as well.
    """
    wait = whole(retry_after)
    try:
        value = read_json(text)
    except NotJson:
        return Fault("bad-answer", status, retry_after=wait)
    return judge(status, value, secrets=secrets, retry_after=wait)


def judge(status: int, value: Any, *, secrets: Iterable[Secret], retry_after: int | None = None) -> Answer | Fault:
    """Return the Answer or the Fault that a JSON value is."""
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
        type=message_text(error.get("type"), secrets),
        text=message_text(error.get("message"), secrets),
        user_text=user_text(error, secrets),
        transient=error.get("is_transient") is True,
        retry_after=retry_after,
        fbtrace_id=_trace(error.get("fbtrace_id"), secrets),
    )


def user_text(error: Mapping[str, Any], secrets: Iterable[Secret]) -> str:
    """Return what Graph wants a person to be shown, a title and a sentence, each once; empty where it says none."""
    title, text = (message_text(error.get(name), secrets) for name in ("error_user_title", "error_user_msg"))
    return text if not title or title in text else f"{title}: {text}" if text else title


def _trace(value: Any, secrets: Iterable[Secret]) -> str | None:
    """Return the id by which Meta finds a call again.

    Such an id looks like a token, so it is compared with the known secrets and not searched for patterns.
    """
    if not isinstance(value, str) or not _TRACE.fullmatch(value):
        return None
    return None if any(value in secret.reveal() or secret.reveal() in value for secret in secrets) else value


def whole(value: Any) -> int | None:
    """Read an integer that came as a number or as digits; None for anything else, booleans and very long numbers included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**_WIDEST else None
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= _WIDEST:
        return int(value)
    return None


def message_text(value: Any, secrets: Iterable[Secret]) -> str:
    """Read a text and remove tokens from it; empty where the value is not a text."""
    return scrub_message(value, secrets) if isinstance(value, str) else ""
