"""The content of the state file: a memory as JSON, and back. An entry that cannot be used is dropped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from sync.core.memory.access import Lost
from sync.core.memory.memory import Judged, Memory
from sync.core.memory.problems import BRAKED, HELD, REJECTED, WARNED, OpenProblem, ProblemKey, Reported
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Key
from sync.core.problems import CATALOGUE

T = TypeVar("T")

FORMAT = 3
"""Raised when a name in the file changes. A file of another format is not read."""

_FUTURE = timedelta(days=2)
"""How far in the future a moment may lie: a freeze lasts a day, and a clock may be set back by another."""
_NO_OFFSET = timedelta(0)
_COUNT = (0, 10**12)
"""The limits of a number that has none of its own: above every count and every size of a quota."""
_PERCENT = (0, 10_000)
_SIZE = (0.01, 10**12)
"""The least is below every size of a quota that can be learnt, of which a call is at most ten times the whole."""
_CODE = (-math.inf, math.inf)

_LIMITS: Mapping[str, tuple[float, float]] = {
    "used": _PERCENT,
    "base": _PERCENT,
    "ceiling": _SIZE,
    "steady": _SIZE,
    # Graph's own numbers, which nothing is computed with.
    "code": _CODE,
    "subcode": _CODE,
    "graph_code": _CODE,
    "graph_subcode": _CODE,
}
"""The limits of numbers, by the name of their field."""
_ANY_YEAR = frozenset({"expires_at", "data_access_expires_at", "issued_at", "last_seen", "probed_at"})
"""The moments that Meta names of a token, and those of which one in the future, after a clock was set back, counts as now."""
_LONGEST = timedelta(days=3660)
_CODES = frozenset({*CATALOGUE, HELD, BRAKED, REJECTED})
REQUIRED = frozenset({"tokens", "lost", "tried", "overwritten", "pools"})
"""The parts without which a file is not used."""


@dataclass(frozen=True, slots=True)
class _Token:
    app_id: str
    fingerprint: str
    judged: Judged


@dataclass(frozen=True, slots=True)
class _Target:
    store: str
    path: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _LetThrough:
    store: str
    path: str
    line: str


@dataclass(frozen=True, slots=True)
class _Problem:
    key: ProblemKey
    open: OpenProblem


def encode(memory: Memory, instance: str) -> bytes:
    """Return the text of the file for a memory. ``instance`` is whose it is: the memory of another concerns other Pages."""
    content = {
        "format": FORMAT,
        "instance": instance,
        "tokens": [_Token(app_id, fingerprint, judged) for (app_id, fingerprint), judged in memory.judged.items()],
        "lost": memory.lost,
        "tried": memory.tried,
        "overwritten": [_Target(key.store, key.path, at) for key, at in memory.overwritten.items()],
        "waiting": [_Target(key.store, key.path, at) for key, at in memory.waiting.items()],
        "let_through": [_LetThrough(key.store, key.path, line) for key, line in memory.let_through.items()],
        "pools": {str(key): pool for key, pool in memory.pools.items()},
        "renewals": memory.renewals,
        "warned_days": memory.warned_days,
        "short_lists": memory.short_lists,
        "read_at": memory.read_at,
        # Each start of the program warns again.
        "problems": [_Problem(key, known) for key, known in memory.reported.problems.items() if key.code != WARNED],
        "served": memory.reported.served,
    }
    try:
        return _adapter(Any).dump_json(content)
    except ValueError:
        # Half a surrogate in a text of somebody else's, which UTF-8 cannot hold: it costs that character, and no entry.
        text = json.dumps(_adapter(Any).dump_python(content, mode="json"), ensure_ascii=False)
        return text.encode("utf-8", "replace")


def decode(content: Mapping[str, Any], now: datetime) -> tuple[Memory, int]:
    """Return the memory that the content of a file holds, and the number of entries in it that were dropped.

    An alarmed Page is read at once, since much may have happened since the file was written.
    """
    entries = _Entries(content, now)
    memory = Memory(
        judged={
            (token.app_id, token.fingerprint): _sharing(token.judged) for token in entries.listed("tokens", _Token)
        },
        lost={name: replace(lost, left=0) for name, lost in entries.named("lost", Lost).items()},
        tried=entries.named("tried", datetime),
        overwritten={Key(one.store, one.path): one.at for one in entries.listed("overwritten", _Target)},
        let_through={Key(one.store, one.path): one.line for one in entries.listed("let_through", _LetThrough)},
        waiting={Key(one.store, one.path): one.at for one in entries.listed("waiting", _Target)},
        pools={
            key: pool
            for text, pool in entries.named("pools", Pool).items()
            if (key := QuotaKey.parse(text)) is not None
        },
        renewals=entries.named("renewals", Renewal),
        warned_days=entries.named("warned_days", int),
        short_lists=entries.named("short_lists", datetime),
        read_at=entries.one("read_at", datetime),
        reported=Reported(
            # Another version may know other codes.
            problems={one.key: one.open for one in entries.listed("problems", _Problem) if one.key.code in _CODES},
            served=entries.named("served", dict[str, tuple[str, ...]]),
        ),
    )
    return memory, entries.dropped


class _Entries:
    """The entries of a file that are of the right types and within their limits; ``dropped`` counts the others."""

    def __init__(self, content: Mapping[str, Any], now: datetime) -> None:
        self.dropped = 0
        self._content = content
        self._now = now

    def named(self, part: str, kind: type[T]) -> dict[str, T]:
        """Return the entries of a part that is an object."""
        raw = self._part(part, dict, {})
        return {name: entry for name, value in raw.items() if (entry := self._entry(kind, value)) is not None}

    def listed(self, part: str, kind: type[T]) -> Iterator[T]:
        """Yield the entries of a part that is a list."""
        raw = self._part(part, list, [])
        return (entry for value in raw if (entry := self._entry(kind, value)) is not None)

    def one(self, part: str, kind: type[T]) -> T | None:
        """Return the entry that is a part by itself; None where it is absent."""
        raw = self._content.get(part)
        return None if raw is None else self._entry(kind, raw)

    def _part(self, part: str, kind: type[T], absent: T) -> T:
        raw = self._content.get(part, absent)
        if isinstance(raw, kind):
            return raw
        self.dropped += 1
        return absent

    def _entry(self, kind: Any, raw: object) -> Any:
        try:
            entry = _adapter(kind).validate_python(raw)
        except (ValidationError, KeyError, OverflowError):  # a KeyError is a problem that this version does not know
            entry = None
        if entry is not None and _is_sound(entry, self._now):
            return entry
        self.dropped += 1
        return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_sound(value: Any, now: datetime, name: str = "") -> bool:
    """Check whether all that is computed with may be: moments in UTC and not in the far future, numbers within their limits.

    By the types of the values and not by those of the fields: the core's dataclasses carry no library's annotations.
    """
    if isinstance(value, datetime):
        return value.utcoffset() == _NO_OFFSET and (name in _ANY_YEAR or value <= now + _FUTURE)
    if isinstance(value, timedelta):
        return timedelta(0) <= value <= _LONGEST
    if isinstance(value, int | float):
        least, most = _LIMITS.get(name, _COUNT)
        return least <= value <= most
    if isinstance(value, Mapping):
        return all(_is_sound(each, now, name) for each in value.values())
    return all(_is_sound(getattr(value, field), now, field) for field in _fields(value.__class__))


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _sharing(judged: Judged) -> Judged:
    """Return the same, with its sets shared among tokens: nearly all have the same ones, and each was read for itself."""
    facts = judged.facts
    scopes = _scopes(facts.scopes) if facts.scopes is not None else None
    granular = _granular(frozenset(facts.granular_scopes.items()))
    return replace(judged, facts=replace(facts, scopes=scopes, granular_scopes=granular))


@lru_cache(maxsize=256)
def _scopes(scopes: frozenset[str]) -> frozenset[str]:
    return scopes


@lru_cache(maxsize=256)
def _granular(targets: frozenset[tuple[str, frozenset[str] | None]]) -> Mapping[str, frozenset[str] | None]:
    return dict(targets)
