"""Changing secrets for a person: several at once, until shutdown is asked for, and with a result for each that was begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from sync.core.model import Key, StoreError
from sync.cycle.task import attempt, store_bug
from sync.runtime.threads import Clock, Stopping, each

T = TypeVar("T")

_WORKERS = 8
_PATIENCE = 6.5
"""Seconds that shutdown waits for changes that have begun."""

_UNANSWERED = StoreError(
    "timeout",
    "The store had not answered when shutdown left no more time; the change may have been made.",
    "Run the command again: it shows what is left.",
    maybe_written=True,
)


def change(work: Callable[[Key], T], keys: Iterable[Key], clock: Clock) -> dict[Key, T | StoreError]:
    """Change secrets; what shutdown leaves undone has no result, and a bug of this program is an error of its secret alone."""
    done: dict[Key, T | StoreError] = {}

    def one(key: Key) -> None:
        def failed(where: str) -> T | StoreError:
            return replace(store_bug(key.store, where), maybe_written=True)

        done[key] = _UNANSWERED
        try:
            done[key] = attempt(lambda: work(key), failed)
        except Stopping:
            del done[key]
            raise

    with suppress(Stopping):
        each(one, keys, workers=_WORKERS, clock=clock, patience=_PATIENCE)
    return done
