"""Batches: up to fifty reads in one POST, and their answers taken apart again.

Meta's page on batch requests, read 2026-11-24: the answers come as an array in the order of the requests, one that ran
out of time is ``null``, and the status of the whole is 200 whatever became of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode

from sync.core.secret import Secret
from sync.graph.answers import Answer, NotJson, read_answer, read_json
from sync.graph.errors import Fault
from sync.graph.quota import APP, BUSINESS, regain_minutes

T = TypeVar("T")
Hear = Callable[[Mapping[str, str]], None]
"""Takes the usage headers of one item, by their names in lower case; none where it had none."""

SIZE = 50
"""What Meta takes at most."""
_NULL = Fault("null")
_REFUSED = 400
_QUOTED = {code: quote_plus(chr(code)) for code in range(128)}
"""How a form writes each character of JSON; many times faster over a whole batch than character by character."""


def form(relative_urls: Sequence[str], auth: Mapping[str, str], *, headers: bool = False) -> bytes:
    """Write the body of a batch of GETs; ``auth`` holds the token and its proof, for every item that names none itself.

    ``headers`` asks for those of each item, which tell what is used.
    """
    items = [{"method": "GET", "relative_url": url} for url in relative_urls]
    batch = json.dumps(items, separators=(",", ":"))
    fields = urlencode({**auth, "include_headers": "true" if headers else "false"}, errors="replace")
    return f"{fields}&batch={batch.translate(_QUOTED)}".encode("ascii")


def chunks(items: Sequence[T], size: int = SIZE) -> list[tuple[T, ...]]:
    """Cut a list into pieces of at most ``size``."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def read_batch(
    status: int,
    body: bytes,
    count: int,
    *,
    secrets: Iterable[Secret],
    retry_after: str | None = None,
    hear: Hear | None = None,
) -> list[Answer | Fault] | Fault:
    """Take the answers of a batch of ``count`` items apart, in their order; a Fault where the batch failed as a whole.

    An object in place of the array is the error of the whole. An array of another length cannot be matched to what was
    asked, so it is none.
    """
    secrets = tuple(secrets)
    if body.strip() in (b"", b"null") and status < _REFUSED and retry_after is None:
        return _NULL
    try:
        value = read_json(body)
    except NotJson:
        value = None
    if not isinstance(value, list):
        whole = read_answer(status, body, secrets=secrets, retry_after=retry_after)
        return whole if isinstance(whole, Fault) else Fault("bad-answer", status)
    if len(value) != count:
        return Fault("bad-answer", status)
    return [_item(item, secrets, hear) for item in value]


def by_id(answers: Sequence[Answer | Fault], ids: Sequence[str]) -> list[Answer | Fault]:
    """Return each id its answer by the ``id`` in the answer, where the order turns out not to be that of the requests.

    What cannot be placed then, errors among it, counts as not answered.
    """
    found = [str(answer.value.get("id")) if isinstance(answer, Answer) else None for answer in answers]
    known = set(ids)
    if all(got is None or got == wanted or got not in known for got, wanted in zip(found, ids, strict=True)):
        return list(answers)
    placed = {got: answer for got, answer in zip(found, answers, strict=True) if got is not None}
    return [placed.get(wanted, _NULL) for wanted in ids]


def _item(item: Any, secrets: Iterable[Secret], hear: Hear | None) -> Answer | Fault:
    headers = _usage(item) if hear is not None else {}
    if hear is not None:
        hear(headers)
    if item is None:
        return _NULL
    if not isinstance(item, dict) or not isinstance(item.get("code"), int) or not isinstance(item.get("body"), str):
        return Fault("bad-answer")
    answer = read_answer(item["code"], item["body"], secrets=secrets)
    if isinstance(answer, Fault) and BUSINESS in headers:
        return replace(answer, regain=regain_minutes(headers[BUSINESS]))
    return answer


def _usage(item: Any) -> dict[str, str]:
    rows = item.get("headers") if isinstance(item, dict) else None
    found: dict[str, str] = {}
    for row in rows if isinstance(rows, list) else ():
        name, value = (row.get("name"), row.get("value")) if isinstance(row, dict) else (None, None)
        if isinstance(name, str) and (lower := name.lower()) in (APP, BUSINESS) and isinstance(value, str):
            found[lower] = value
    return found
