"""What Graph answered about tokens, read from its batches as a client sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sync.sandbox.replies import Request

_NEEDED = ("type", "app_id", "profile_id", "scopes", "expires_at")
"""The fields without which an answer about a valid Page token is partial, and so no answer."""
_OTHER_APP = "did not match the Viewing App"


@dataclass(frozen=True, slots=True)
class DebugAnswer:
    """What debug_token answered for a token, and when.

    ``page`` is the id of the Page that it is for; empty where it is of another type or app.
    """

    at: float
    valid: bool
    page: str

    def good(self, page_id: str) -> bool:
        """Check whether the answer is that the token is valid for this Page."""
        return self.valid and self.page == page_id


@dataclass(frozen=True, slots=True)
class Item:
    """One read of a batch, with its answer: ``path`` and ``params`` of its URL."""

    path: str
    params: Mapping[str, str]
    answer: Mapping[str, Any]

    @property
    def body(self) -> Any:
        """The answer's JSON; None where it has none."""
        try:
            return json.loads(self.answer["body"])
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def refuses_token(self) -> bool:
        """Whether Graph refused the token itself."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return self.answer.get("code") != 200 and isinstance(error, dict) and error.get("code") == 190

    def debugged(self, now: float, app_id: str) -> DebugAnswer | None:
        """Return what debug_token answered; None where that is not a whole answer."""
        body = self.body
        if not isinstance(body, dict):
            return None
        if _OTHER_APP in str(body.get("error")):
            # debug_token answers so for a token of another app, which is not valid for any Page here.
            return DebugAnswer(now, valid=False, page="")
        data = body.get("data")
        if self.answer.get("code") != 200 or not isinstance(data, dict) or not isinstance(data.get("is_valid"), bool):
            return None
        kind = data.get("type")
        if data["is_valid"] and (kind is None or (kind == "PAGE" and any(name not in data for name in _NEEDED))):
            return None
        own_page = kind == "PAGE" and str(data.get("app_id")) == app_id
        return DebugAnswer(now, data["is_valid"], str(data.get("profile_id", "")) if own_page else "")


def items_of(asked: Request, status: int, body: bytes) -> Iterator[Item]:
    """Yield the reads of a batch that were answered."""
    batch = asked.form.get("batch", "")
    if status != 200 or not batch:
        return
    items = json.loads(batch)
    answers = _json(body)
    if not isinstance(answers, list) or len(answers) != len(items):
        return
    for item, answer in zip(items, answers, strict=True):
        path, _, query = item["relative_url"].partition("?")
        if isinstance(answer, dict):
            yield Item(path, dict(parse_qsl(query)), answer)


def given(asked: Request, content: bytes) -> set[str]:
    """Return the tokens that reads of Pages returned: one by one, in a batch, or in a list."""
    if asked.form.get("batch"):
        bodies = [item.body for item in items_of(asked, 200, content) if item.path not in ("debug_token", "me")]
    else:
        bodies = [_json(content)]
    rows = [row for body in bodies if isinstance(body, dict) for row in (body, *_rows(body))]
    return {row["access_token"] for row in rows if isinstance(row.get("access_token"), str)}


def _rows(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = body.get("data")
    return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


Edit = Callable[[Item], Mapping[str, Any] | None]
"""Returns what a read of a batch is answered in place of Graph's own answer; None for Graph's own."""


@dataclass
class Weather:
    """What happens between Graph and every instance. ``down``: no answer arrives. ``edit`` changes single answers."""

    down: bool = False
    edit: Edit | None = None

    def edited(self, asked: Request, status: int, content: bytes) -> bytes:
        """Return a batch's answer with what is changed of it."""
        if self.edit is None:
            return content
        edits = [self.edit(item) for item in items_of(asked, status, content)]
        if not any(edit is not None for edit in edits):
            return content
        of_items = iter(edits)
        answers = [
            {**answer, **(next(of_items) or {})} if isinstance(answer, dict) else answer for answer in _json(content)
        ]
        return json.dumps(answers).encode()


def without(*names: str, times: int | None = None, chance: Callable[[], bool] = lambda: True) -> Edit:
    """Return an edit that leaves fields out of so many of debug_token's answers about Page tokens."""
    left = [times]

    def edit(item: Item) -> Mapping[str, Any] | None:
        data = item.body.get("data") if item.path == "debug_token" and isinstance(item.body, dict) else None
        if not isinstance(data, dict) or data.get("type") != "PAGE" or left[0] == 0 or not chance():
            return None
        left[0] = left[0] - 1 if left[0] is not None else None
        return {"body": json.dumps({"data": {name: value for name, value in data.items() if name not in names}})}

    return edit
