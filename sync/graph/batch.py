"""Batches: write up to fifty reads as one POST, and split its answer into theirs.

Meta's page on batch requests, read 2026-11-24: the answers come as an array in the order of the requests, a request that
ran out of time is ``null``, and the status of the whole is 200 in any case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode

from sync.core.json_text import elements
from sync.core.secret import Secret
from sync.graph.answers import Answer, NotJson, read_answer, read_json
from sync.graph.fault import Fault
from sync.graph.usage import APP, BUSINESS, regain_minutes

T = TypeVar("T")
RecordHeaders = Callable[[Mapping[str, str]], None]
"""Is called with the usage headers of one item, by their names in lower case; with none where it had none."""

SIZE = 50
"""The most items that Meta accepts."""
LONGEST_TOKEN = 2048
"""Characters above which a token shares no batch: Graph may refuse that batch, and the other tokens with it."""
_MOST_ELEMENTS = 500_000
"""Most values in all answers of a batch together: more ids do not fit into the longest batch that is read."""
_NULL = Fault("null")
_REFUSED = 400
_QUOTED = {code: quote_plus(chr(code)) for code in range(128)}
"""How a form encodes each ASCII character; many times faster for a whole batch than ``quote_plus``."""


def form(relative_urls: Sequence[str], auth: Mapping[str, str], *, headers: bool = False) -> bytes:
    """Write the body of a batch of GETs; ``auth`` holds the token and proof of every item that has none of its own.

    ``headers`` requests the headers of each item, which report what is used.
    """
    items = [{"method": "GET", "relative_url": url} for url in relative_urls]
    batch = json.dumps(items, separators=(",", ":"))
    fields = urlencode({**auth, "include_headers": "true" if headers else "false"}, errors="replace")
    return f"{fields}&batch={batch.translate(_QUOTED)}".encode("ascii")


def chunks(items: Sequence[T], size: int = SIZE) -> list[tuple[T, ...]]:
    """Split a list into parts of at most ``size`` items."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def read_batch(
    status: int,
    body: bytes,
    count: int,
    *,
    secrets: Iterable[Secret],
    retry_after: str | None = None,
    record: RecordHeaders | None = None,
) -> list[Answer | Fault] | Fault:
    """Return the answers of a batch of ``count`` items, in their order; a Fault where the whole batch failed.

    An object instead of the array is the error of the whole batch. An array of another length cannot be matched to the
    requests, so it counts as no answer.
    """
    secrets = tuple(secrets)
    if body.strip() in (b"", b"null") and status < _REFUSED and retry_after is None:
        return _NULL
    try:
        value = read_json(body) if elements(body) <= _MOST_ELEMENTS else None
    except NotJson:
        value = None
    if not isinstance(value, list):
        whole = read_answer(status, body, secrets=secrets, retry_after=retry_after)
        return whole if isinstance(whole, Fault) else Fault("bad-answer", status)
    if len(value) != count:
        return Fault("bad-answer", status)
    return [_item(item, secrets, record) for item in value]


def by_id(answers: Sequence[Answer | Fault], ids: Sequence[str]) -> list[Answer | Fault]:
    """Match answers to ids by the ``id`` in each answer, where their order is not that of the requests.

    An answer that cannot be matched then, such as an error, counts as not given.
    """
    found = [str(answer.value.get("id")) if isinstance(answer, Answer) else None for answer in answers]
    known = set(ids)
    if all(got is None or got == wanted or got not in known for got, wanted in zip(found, ids, strict=True)):
        return list(answers)
    placed = {got: answer for got, answer in zip(found, answers, strict=True) if got is not None}
    return [placed.get(wanted, _NULL) for wanted in ids]


def _item(item: Any, secrets: Iterable[Secret], record: RecordHeaders | None) -> Answer | Fault:
    headers = _usage(item) if record is not None else {}
    if record is not None:
        record(headers)
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
