"""What ``due.asks`` would answer over all Pages, found by looking only at those for which something has changed."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from sync.core.ask.due import URGENT, Rank, ranks
from sync.core.ask.inputs import Inputs
from sync.core.model import Ask
from sync.core.secret import Secret
from tools.economy.account import OnePage

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MOST = 400
"""More than any cycle asks."""
Line = tuple[Rank, datetime, str]


class Agenda:
    """The tokens that Meta is to be asked about, in the order of ``due.asks``.

    A Page is looked at when it was changed, when something was said of it, and when its own moment of the interval comes.
    """

    def __init__(self, look: Callable[[list[OnePage], datetime], Inputs], pages: Iterable[OnePage]) -> None:
        self._look = look
        self._changed = {id(one): one for one in pages}
        self._lines: list[tuple[Line, int, int, Secret, OnePage]] = []
        self._turns: list[tuple[datetime, int, int, OnePage]] = []
        self._versions: dict[int, int] = {}
        self._count = 0

    def change(self, one: OnePage) -> None:
        """Have a Page looked at again."""
        self._changed[id(one)] = one

    def next(self, now: datetime) -> list[tuple[Ask, OnePage]]:
        """Return the first of what is to be asked, more than can be asked in one cycle."""
        while self._turns and self._turns[0][0] <= now:
            _, _, version, one = heapq.heappop(self._turns)
            if self._versions[id(one)] == version:
                self.change(one)
        for one in self._changed.values():
            self._enter(one, now)
        self._changed.clear()
        found: dict[Secret, tuple[Line, int, int, Secret, OnePage]] = {}
        while self._lines and len(found) < _MOST:
            entry = heapq.heappop(self._lines)
            if self._versions[id(entry[-1])] == entry[2]:
                found[entry[3]] = entry
        for entry in found.values():
            heapq.heappush(self._lines, entry)
        return [(Ask(token, urgent=line[0] in URGENT), one) for line, _, _, token, one in found.values()]

    def _enter(self, one: OnePage, now: datetime) -> None:
        inputs = self._look([one], now)
        version = self._versions[id(one)] = self._versions.get(id(one), 0) + 1
        best: dict[Secret, Line] = {}
        for token, rank in ranks(inputs, one.page):
            judged = inputs.judged(one.page, token)
            line = (rank, judged.facts.asked_at if judged else _EPOCH, token.fingerprint)
            best[token] = min(best.get(token, line), line)
        for token, line in best.items():
            self._count += 1
            heapq.heappush(self._lines, (line, self._count, version, token, one))
        self._count += 1
        heapq.heappush(self._turns, (_next_look(inputs, one), self._count, version, one))


def _next_look(inputs: Inputs, one: OnePage) -> datetime:
    """Return when time alone changes something for a Page: its moment of the interval, or an hour after a word on its strings."""
    every = inputs.rhythm.verify_every.total_seconds()
    phase = int(hashlib.sha256(one.page.id.encode()).hexdigest(), 16) % max(int(every), 1)
    turn = ((inputs.now - _EPOCH).total_seconds() - phase) // every + 1
    moment = _EPOCH + timedelta(seconds=phase + turn * every)
    if one.stored == one.fetched:
        return moment
    judged, tried = inputs.judged(one.page, one.stored), inputs.memory.tried.get(one.page.name)
    hours = [when + timedelta(hours=1) for when in (judged and judged.facts.asked_at, tried) if when is not None]
    return min([moment, *(hour for hour in hours if hour > inputs.now)])
