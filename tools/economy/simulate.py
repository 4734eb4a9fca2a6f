"""Simulate the daemon's use of Meta's quota over weeks, cycle by cycle, without I/O and real time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sync.core.ask.due import verify_interval
from sync.core.ask.inputs import Inputs
from sync.core.memory.memory import Judged, Memory, Rhythm, token_id
from sync.core.memory.quota import Pool, allowance, calls_per_hour, freeze, record_asks, record_usage
from sync.core.model import Ask
from sync.core.secret import Secret
from tools.economy.account import APP_ID, START, Account, OnePage
from tools.economy.agenda import Agenda
from tools.economy.meta import HOUR, Meta

CYCLE = timedelta(minutes=15)
DAY = timedelta(days=1)
BUDGET = 0.75


@dataclass
class RunStats:
    """The result of a run. Waits and ages are the longest; ``per_hour`` counts calls by hour."""

    pages: int
    interval: timedelta = DAY
    per_hour: dict[int, int] = field(default_factory=dict)
    throttles: int = 0
    in_a_row: int = 0
    oldest: timedelta = timedelta(0)
    bound: timedelta = timedelta(0)
    past_bound: int = 0
    urgent_skipped: int = 0
    repaired: int = 0
    longest_repair: timedelta = timedelta(0)
    rotated: int = 0


class Simulation:
    """One account under one app's quota. ``revoked`` is the share of the Pages whose stored token is revoked each day.

    ``rotations`` are the days on which the system user token is replaced.
    """

    def __init__(
        self, pages: int, *, limit: int = 200, revoked: float = 0.01, rotations: Iterable[int] = (10,), seed: int = 0
    ) -> None:
        self.account = Account(pages)
        self.meta = Meta(limit)
        self.judged: dict[tuple[str, str], Judged] = {}
        self.tried: dict[str, datetime] = {}
        self.memory = Memory(judged=self.judged, tried=self.tried)
        self.pool = Pool()
        self.rhythm = Rhythm()
        self.now = START
        self.stats = RunStats(pages)
        self.agenda = Agenda(self.inputs, self.account.pages)
        self._random = random.Random(seed)
        self._revoked = revoked
        self._rotations = {START + day * DAY for day in rotations}
        self._invalid: dict[int, OnePage] = {}
        self._user_token_at: datetime | None = None
        self._throttles_in_a_row = 0
        self._numbers = itertools.count()
        self._answers = [(START, next(self._numbers), one) for one in self.account.pages]

    def inputs(self, chosen: list[OnePage], now: datetime) -> Inputs:
        """Return the inputs of the current cycle for some Pages."""
        return self.account.inputs(chosen, self.memory, self.rhythm, now)

    def run(self, length: timedelta) -> RunStats:
        """Run cycles, and apply events after each of them."""
        end = self.now + length
        while self.now < end:
            self.cycle()
            self._apply_events()
            self.now += CYCLE
        return self.stats

    def cycle(self) -> None:
        """Verify the system user token hourly, probe the stored tokens, call ``debug_token`` in order, and write what is confirmed."""
        self._stretch_interval()
        young = self._user_token_at is not None and self.now - self._user_token_at < HOUR
        if not young and self._ask([(Ask(self.account.user_token, urgent=True), None)]):
            self._user_token_at = self.now
        for one in self._invalid.values():
            self._probe(one)
        wanted = self.wanted()
        answered = self._ask([*wanted])
        self._write_confirmed(answered)
        self._measure(wanted, answered)

    def wanted(self) -> list[tuple[Ask, OnePage]]:
        """Return the tokens to call ``debug_token`` for in this cycle, in order."""
        return self.agenda.next(self.now)

    def _stretch_interval(self) -> None:
        every = verify_interval(DAY, tokens=len(self.account.pages), calls_per_hour=calls_per_hour(self.pool, BUDGET))
        if every != self.rhythm.verify_every:
            self.rhythm = Rhythm(every)
            for one in self.account.pages:
                self.agenda.change(one)
        self.stats.interval = every

    def _probe(self, one: OnePage) -> None:
        """Probe a token that was revoked: Graph refuses it, on its Page's own quota."""
        name = token_id(APP_ID, one.stored)
        known = self.judged.get(name)
        if known is not None and known.facts.is_valid and not known.refused:
            self.judged[name] = replace(known, probed_at=self.now, probe="refused")
            self.agenda.change(one)

    def _ask(self, wanted: Sequence[tuple[Ask, OnePage | None]]) -> dict[Secret, OnePage | None]:
        """Call ``debug_token`` as far as the quota allows, and return what was answered."""
        answered: dict[Secret, OnePage | None] = {}
        owner = {ask.token: one for ask, one in wanted}
        left = [ask for ask, _ in wanted]
        while left:
            chosen = allowance(self.pool, BUDGET, self.now).choose(left)
            if not chosen:
                break
            self.pool = record_asks(self.pool, chosen, BUDGET, self.now)
            if not all(self._call(ask.token, owner[ask.token], answered) for ask in chosen):
                break
            left = [ask for ask in left if ask.token not in answered]
        return answered

    def _call(self, token: Secret, one: OnePage | None, answered: dict[Secret, OnePage | None]) -> bool:
        accepted, used = self.meta.call(self.now)
        hour = int((self.now - START) / HOUR)
        self.stats.per_hour[hour] = self.stats.per_hour.get(hour, 0) + 1
        self.pool = record_usage(self.pool, used, 1, self.now)
        if not accepted:
            self.pool = freeze(self.pool, "backoff", None, self.now, self._random.random())
            self._count_throttle()
            return False
        self._throttles_in_a_row = 0
        answered[token] = one
        if one is not None:
            name, facts = token_id(APP_ID, token), self.account.facts(one, token, self.now)
            self.judged[name] = Judged(facts, self.account.user_token.fingerprint)
            if token == one.fetched != one.stored:
                self.tried[one.page.name] = self.now
            self._record_answer(one)
        return True

    def _count_throttle(self) -> None:
        self.stats.throttles += 1
        self._throttles_in_a_row += 1
        self.stats.in_a_row = max(self.stats.in_a_row, self._throttles_in_a_row)

    def _write_confirmed(self, answered: dict[Secret, OnePage | None]) -> None:
        """Write fetched tokens that are confirmed where the stored one is invalid or of an earlier system user token."""
        for token, one in answered.items():
            if one is None or token != one.fetched or token == one.stored:
                continue
            stored = self.judged.get(token_id(APP_ID, one.stored))
            if stored is None or (stored.refused and stored.facts.is_valid):
                continue
            if not stored.facts.is_valid or one.stored_user_token != self.account.user_token.fingerprint:
                self._write(one, repair=not stored.facts.is_valid)

    def _write(self, one: OnePage, *, repair: bool) -> None:
        if repair and one.invalid_since is not None:
            self.stats.repaired += 1
            self.stats.longest_repair = max(self.stats.longest_repair, self.now - one.invalid_since)
        if not repair:
            self.stats.rotated += 1
        self.judged.pop(token_id(APP_ID, one.stored), None)
        one.stored, one.stored_user_token, one.invalid_since = one.fetched, self.account.user_token.fingerprint, None
        self._invalid.pop(id(one), None)
        self._record_answer(one)

    def _record_answer(self, one: OnePage) -> None:
        heapq.heappush(self._answers, (self._answered_at(one), next(self._numbers), one))
        self.agenda.change(one)

    def _measure(self, wanted: list[tuple[Ask, OnePage]], answered: dict[Secret, OnePage | None]) -> None:
        waits = any(ask.urgent and ask.token not in answered for ask, _ in wanted)
        if waits and any(not ask.urgent and ask.token in answered for ask, _ in wanted):
            self.stats.urgent_skipped += 1
        self.stats.bound = max(self.stats.bound, self.rhythm.stale_after)
        age = self.now - self._oldest()
        self.stats.oldest = max(self.stats.oldest, age)
        self.stats.past_bound += age >= self.rhythm.stale_after

    def _answered_at(self, one: OnePage) -> datetime:
        """Return when Meta last answered about the stored token of a Page; the start where it never did."""
        judged = self.judged.get(token_id(APP_ID, one.stored))
        return START if judged is None else judged.facts.asked_at

    def _oldest(self) -> datetime:
        while True:
            when, _, one = self._answers[0]
            if when == self._answered_at(one):
                return when
            heapq.heappop(self._answers)

    def _apply_events(self) -> None:
        """Revoke tokens at random, and replace the system user token on its days."""
        share = len(self.account.pages) * self._revoked * (CYCLE / DAY)
        count = int(share) + (self._random.random() < share % 1)
        for one in self._random.sample(self.account.pages, count):
            self.account.revoke(one, self.now)
            self._invalid[id(one)] = one
            self.agenda.change(one)
        if self.now in self._rotations and self.now != START:
            self.account.rotate()
            self._user_token_at = None
            for one in self.account.pages:
                self.agenda.change(one)
