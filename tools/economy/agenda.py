"""The result of ``due.asks`` for all Pages, computed only for the Pages that have changed."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from sync.core.ask.due import URGENT, Rank, ranks
from sync.core.ask.inputs import Inputs
from sync.core.model import Ask
from sync.core.secret import Secret
from tools.economy.account import OnePage

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MAX = 400
"""More than any cycle can ask."""
Priority = tuple[Rank, datetime, str, str]
_Entry = tuple[Priority, int, int, Secret, OnePage]


class Agenda:
    """The tokens to call ``debug_token`` for, in the order of ``due.asks``.

    A Page is computed again when it was changed, when an answer about it arrived, and when its own time in the interval comes.
    """

    def __init__(self, inputs_of: Callable[[list[OnePage], datetime], Inputs], pages: Iterable[OnePage]) -> None:
        self._inputs_of = inputs_of
        self._changed = {id(one): one for one in pages}
        self._queues: dict[str, list[_Entry]] = {}
        self._due_times: list[tuple[datetime, int, int, OnePage]] = []
        self._versions: dict[int, int] = {}
        self._count = 0

    def change(self, one: OnePage) -> None:
        """Mark a Page to be computed again."""
        self._changed[id(one)] = one

    def next(self, now: datetime) -> list[tuple[Ask, OnePage]]:
        """Return the first tokens to ask about, more than one cycle can ask."""
        while self._due_times and self._due_times[0][0] <= now:
            _, _, version, one = heapq.heappop(self._due_times)
            if self._versions[id(one)] == version:
                self.change(one)
        for one in self._changed.values():
            self._queue_page(one, now)
        self._changed.clear()
        found = [entry for user in sorted(self._queues) for entry in self._first(self._queues[user])]
        turns: Counter[tuple[int, str]] = Counter()
        ordered: list[tuple[int, int, Priority, Secret, OnePage]] = []
        for priority, _, _, token, one in sorted(found, key=lambda entry: entry[0]):
            rank, user = priority[0], one.page.system_user
            stage = max(rank, Rank.KNOWN_BAD) if rank <= Rank.RUNS_OUT else Rank.REFUSED
            ordered.append((stage, turns[stage, user], priority, token, one))
            turns[stage, user] += 1
        ordered.sort(key=lambda entry: (entry[0], entry[1], entry[2]))
        return [(Ask(token, urgent=priority[0] in URGENT), one) for _, _, priority, token, one in ordered[:_MAX]]

    def _first(self, queue: list[_Entry]) -> list[_Entry]:
        """Return the first entries of a system user's Pages, each token once."""
        found: dict[Secret, _Entry] = {}
        while queue and len(found) < _MAX:
            entry = heapq.heappop(queue)
            if self._versions[id(entry[-1])] == entry[2]:
                found[entry[3]] = entry
        for entry in found.values():
            heapq.heappush(queue, entry)
        return list(found.values())

    def _queue_page(self, one: OnePage, now: datetime) -> None:
        inputs = self._inputs_of([one], now)
        version = self._versions[id(one)] = self._versions.get(id(one), 0) + 1
        best: dict[Secret, Priority] = {}
        for token, rank in ranks(inputs, one.page):
            judged = inputs.judged(one.page, token)
            asked_at = judged.facts.asked_at if judged else _EPOCH
            priority = (rank, asked_at, one.page.system_user, token.fingerprint)
            best[token] = min(best.get(token, priority), priority)
        for token, priority in best.items():
            self._count += 1
            heapq.heappush(
                self._queues.setdefault(one.page.system_user, []), (priority, self._count, version, token, one)
            )
        self._count += 1
        heapq.heappush(self._due_times, (_next_due(inputs, one), self._count, version, one))


def _next_due(inputs: Inputs, one: OnePage) -> datetime:
    """Return when time alone changes the result for a Page: its time in the interval, or an hour after an answer about its tokens."""
    every = inputs.rhythm.verify_every.total_seconds()
    phase = int(hashlib.sha256(one.page.id.encode()).hexdigest(), 16) % max(int(every), 1)
    turn = ((inputs.now - _EPOCH).total_seconds() - phase) // every + 1
    due = _EPOCH + timedelta(seconds=phase + turn * every)
    if one.stored == one.fetched:
        return due
    judged, tried = inputs.judged(one.page, one.stored), inputs.memory.tried.get(one.page.name)
    hours = [when + timedelta(hours=1) for when in (judged and judged.facts.asked_at, tried) if when is not None]
    return min([due, *(hour for hour in hours if hour > inputs.now)])
