"""The memory between two runs of the program: one file, without a secret in it. What cannot be used is not used."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from sync.core.memory.access import Lost
from sync.core.memory.memory import Judged, Memory
from sync.core.memory.problems import OpenProblem, ProblemKey
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Key, TokenFacts
from sync.core.problems import CATALOGUE
from sync.runtime.threads import Clock
from sync.stores.file import disk

_CAP = 256 << 20
_LOCK_SECONDS = 5.0
_AHEAD = timedelta(days=2)
"""So far ahead a moment may lie: a freeze lasts a day, and a clock may be set back by another."""
_NOUGHT = timedelta(0)
_MOST = 10**12
"""Above every count and every size of a quota."""
_PER_CENT = 10_000.0
_LEAST_SIZE = 0.01
"""Below every size of a quota that can be learnt, of which a call is at most ten times the whole."""


@dataclass(frozen=True, slots=True)
class _Token:
    app_id: str
    fingerprint: str
    judged: Judged


@dataclass(frozen=True, slots=True)
class _Overwritten:
    store: str
    path: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _Problem:
    key: ProblemKey
    open: OpenProblem


@dataclass(frozen=True, slots=True)
class _File:
    """The file's form. ``instance`` is whose it is; another's says nothing of our Pages."""

    format: Literal[1]
    instance: str
    tokens: tuple[_Token, ...]
    lost: Mapping[str, Lost]
    tried: Mapping[str, datetime]
    overwritten: tuple[_Overwritten, ...]
    pools: Mapping[str, Pool]
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    warned_days: Mapping[str, int] = field(default_factory=dict)
    short_lists: Mapping[str, datetime] = field(default_factory=dict)
    read_at: datetime | None = None
    problems: tuple[_Problem, ...] = ()


class StateFile:
    """One state file of one instance. ``warning`` says why the last reading or writing did not work; empty where it did.

    Another process of the instance may use it as well: each keeps its own memory, and the file has that of the last one.
    """

    def __init__(self, path: Path, instance: str, *, clock: Clock) -> None:
        self.warning = ""
        self._path = path
        self._instance = instance
        self._clock = clock
        self._foreign = False

    def load(self) -> Memory:
        """Read the memory; an empty one where there is none, or where it cannot be used."""
        self.warning = ""
        try:
            found = self._read()
        except (OSError, disk.RefusedError, disk.LockedError) as error:
            return self._unused(_words(error))
        if found is None:
            return Memory()
        if found.data is None:
            return self._unused("it is larger than any state of ours")
        return self._parsed(found.data)

    def save(self, memory: Memory) -> None:
        """Put the memory in place of the one before, whole or not at all; somebody else's file is left alone."""
        if self._foreign:
            return
        data = _adapter().dump_json(_file(memory, self._instance))
        try:
            with _locked(self._path.parent, self._clock) as folder:
                disk.put(folder, self._path.name, data)
        except (OSError, disk.RefusedError, disk.LockedError) as error:
            self.warning = f"The state file {self._path} is not written: {_words(error)}."
        else:
            self.warning = ""

    def _read(self) -> disk.Bytes | None:
        if not self._path.parent.is_dir():
            return None
        with disk.root(str(self._path.parent)) as folder:
            return disk.read(folder, self._path.name, cap=_CAP)

    def _parsed(self, data: bytes) -> Memory:
        try:
            whose = _whose(data)
        except (ValueError, RecursionError):
            return self._unused("it is not whole")
        if whose is None:
            return self._unused("it has the form of another version")
        if whose != self._instance:
            self._foreign = True
            return self._unused("it is another instance's, and is left alone")
        try:
            file = _adapter().validate_json(data)
        except (ValidationError, RecursionError, KeyError):  # a KeyError is a problem that this version does not know
            file = None
        if file is not None and _is_sound(file, self._clock.now()):
            return _memory(file)
        return self._unused("something in it is not as it should be")

    def _unused(self, why: str) -> Memory:
        self.warning = f"The state file {self._path} is not used: {why}. What it would say is asked of Meta again."
        return Memory()


@contextmanager
def _locked(folder: Path, clock: Clock) -> Iterator[int]:
    with disk.root(str(folder), create=True) as fd, disk.locked(fd, timeout=_LOCK_SECONDS, clock=clock):
        yield fd


@cache
def _adapter() -> TypeAdapter[_File]:
    return TypeAdapter(_File)


def _file(memory: Memory, instance: str) -> _File:
    return _File(
        format=1,
        instance=instance,
        tokens=tuple(_Token(app_id, fingerprint, told) for (app_id, fingerprint), told in memory.judged.items()),
        lost=memory.lost,
        tried=memory.tried,
        overwritten=tuple(_Overwritten(key.store, key.path, at) for key, at in memory.overwritten.items()),
        pools={str(key): pool for key, pool in memory.pools.items()},
        renewals=memory.renewals,
        warned_days=memory.warned_days,
        short_lists=memory.short_lists,
        read_at=memory.read_at,
        problems=tuple(_Problem(key, lasting) for key, lasting in memory.problems.items()),
    )


def _memory(file: _File) -> Memory:
    """Return the memory that a file holds. An alarmed Page is asked again at once: much may have happened meanwhile."""
    return Memory(
        judged={(token.app_id, token.fingerprint): _sharing(token.judged) for token in file.tokens},
        lost={name: replace(lost, left=0) for name, lost in file.lost.items()},
        tried=file.tried,
        overwritten={Key(target.store, target.path): target.at for target in file.overwritten},
        pools={key: pool for text, pool in file.pools.items() if (key := QuotaKey.parse(text)) is not None},
        renewals=file.renewals,
        warned_days=file.warned_days,
        short_lists=file.short_lists,
        read_at=file.read_at,
        # Another version may know other codes.
        problems={one.key: one.open for one in file.problems if one.key.code in CATALOGUE},
    )


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


def _is_sound(file: _File, now: datetime) -> bool:
    """Check whether all that is computed with may be: moments in UTC and none of a time to come, numbers within bounds."""
    return (
        all(_is_utc(moment) and moment <= now + _AHEAD for moment in _moments(file) if moment is not None)
        and all(_is_utc(end) for token in file.tokens for end in _ends(token.judged.facts))
        and all(0 <= number <= _MOST for number in _counts(file))
        and all(_is_sound_pool(pool) for pool in file.pools.values())
    )


def _is_utc(moment: datetime) -> bool:
    return moment.utcoffset() == _NOUGHT


def _moments(file: _File) -> Iterator[datetime | None]:
    for token in file.tokens:
        yield from (token.judged.facts.asked_at, token.judged.probed_at)
    for lost in file.lost.values():
        yield from (lost.since, lost.asked_at, lost.alarm)
    for pool in file.pools.values():
        yield from (pool.reported_at, pool.busy_from, pool.busy_at, pool.frozen_until, pool.thawed_at, pool.spent_at)
    yield from file.tried.values()
    yield from (target.at for target in file.overwritten)
    yield from (last.at for last in file.renewals.values())
    yield from (*file.short_lists.values(), file.read_at)
    for problem in file.problems:
        yield from (problem.open.since, problem.open.reported_at)


def _ends(facts: TokenFacts) -> Iterator[datetime]:
    """Return the moments that Meta names of a token, which may lie in any year."""
    named = (facts.expires_at, facts.data_access_expires_at, facts.issued_at)
    return (moment for moment in named if isinstance(moment, datetime))


def _counts(file: _File) -> Iterator[int]:
    for lost in file.lost.values():
        yield from (lost.cycles, lost.waits, lost.left)
    for pool in file.pools.values():
        yield from (pool.counted, pool.freezes)
    yield from file.warned_days.values()


def _is_sound_pool(pool: Pool) -> bool:
    """Check whether a quota's numbers are such as can be learnt; one that is no number is within no bounds."""
    return all(0 <= used <= _PER_CENT for used in (pool.used, pool.base) if used is not None) and all(
        _LEAST_SIZE <= size <= _MOST for size in (pool.ceiling, pool.steady) if size is not None
    )


def _whose(data: bytes) -> str | None:
    """Return the instance of a file of this form; None for one of another form. Raises ValueError and RecursionError."""
    raw: Any = json.loads(data)
    if not isinstance(raw, dict) or raw.get("format") != 1:
        return None
    return str(raw.get("instance"))


def _words(error: Exception) -> str:
    """Return what happened, without a library's text."""
    if isinstance(error, disk.RefusedError):
        return str(error)
    if isinstance(error, disk.LockedError):
        return "another process has held the folder's lock all the time"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return type(error).__name__
