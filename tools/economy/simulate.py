"""Simulate the daemon's use of Meta's quota over weeks, cycle by cycle, without I/O and real time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from sync.core.ask.due import verify_interval
from sync.core.ask.inputs import Inputs
from sync.core.memory.memory import Judged, Memory, Rhythm, answered, token_id
from sync.core.memory.pace import allowance, calls_per_hour, is_plentiful, record_asks
from sync.core.memory.quota import Pool, QuotaKey, freeze, record_usage
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
    """The result of a run. Waits and ages are the longest; ``per_hour`` counts calls by hour.

    ``stale`` is the most Pages at a time whose stored token works and whose last answer counts no more.
    """

    pages: int
    interval: timedelta = DAY
    per_hour: dict[int, int] = field(default_factory=dict)
    throttles: int = 0
    in_a_row: int = 0
    oldest: timedelta = timedelta(0)
    bound: timedelta = timedelta(0)
    stale: int = 0
    urgent_skipped: int = 0
    repaired: int = 0
    longest_repair: timedelta = timedelta(0)
    rotated: int = 0


class Simulation:
    """One account under one app's quota. ``pages`` are the numbers of Pages of its system users, or that of its only one.

    ``revoked`` is the share of the Pages whose stored token is revoked each day, and ``partial`` the share of debug_token's
    answers that lack a field, which count as none. ``rotations`` are the days on which every system user's token is
    replaced, ``deaths`` those on which the first one's becomes invalid until the next rotation. ``limits`` are later sizes
    of the quota, by day.
    """

    def __init__(
        self,
        pages: int | Sequence[int],
        *,
        limit: int = 200,
        limits: Mapping[int, int] = MappingProxyType({}),
        revoked: float = 0.01,
        partial: float = 0.0,
        rotations: Iterable[int] = (10,),
        deaths: Iterable[int] = (),
        seed: int = 0,
    ) -> None:
        counts = [pages] if isinstance(pages, int) else list(pages)
        self.account = Account(counts)
        self.meta = Meta(limit)
        self.judged: dict[tuple[str, str], Judged] = {}
        self.tried: dict[str, datetime] = {}
        self.memory = Memory(judged=self.judged, tried=self.tried)
        self.pool = Pool()
        self.rhythm = Rhythm()
        self.now = START
        self.stats = RunStats(sum(counts))
        self.agenda = Agenda(self.inputs, self.account.pages)
        self._random = random.Random(seed)
        self._revoked = revoked
        self._partial = partial
        self._rotations = {START + day * DAY for day in rotations}
        self._deaths = {START + day * DAY for day in deaths}
        self._limits = {START + day * DAY: size for day, size in limits.items()}
        self._was_plentiful = True
        self._invalid: dict[int, OnePage] = {}
        self._user_tokens_at: dict[str, datetime] = {}
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
        """Verify the system user tokens hourly, probe the stored tokens, call ``debug_token`` in order, and write what is confirmed."""
        self.memory = replace(self.memory, pools={QuotaKey(APP_ID): self.pool})
        self._stretch_interval()
        self._notice_quota()
        for name, token in self.account.user_tokens.items():
            last = self._user_tokens_at.get(name)
            if (last is None or self.now - last >= HOUR) and self._ask([(Ask(token, urgent=True), None)]):
                self._user_tokens_at[name] = self.now
        for one in self._invalid.values():
            self._probe(one)
        wanted = self.wanted()
        got = self._ask([*wanted])
        self._write_confirmed(got)
        self._measure(wanted, got)

    def wanted(self) -> list[tuple[Ask, OnePage]]:
        """Return the tokens to call ``debug_token`` for in this cycle, in order."""
        return self.agenda.next(self.now)

    def _stretch_interval(self) -> None:
        every = verify_interval(DAY, tokens=len(self.account.pages), calls_per_hour=calls_per_hour(self.pool, BUDGET))
        if every != self.rhythm.verify_every:
            self.rhythm = Rhythm(every)
            self._lengthen()
            for one in self.account.pages:
                self.agenda.change(one)
        self.stats.interval = every

    def _lengthen(self) -> None:
        """Let every answer count at least as long as the present interval makes it, as the program does in each cycle."""
        longest = self.rhythm.stale_after
        for name, known in self.judged.items():
            if known.counts_for is None or known.counts_for < longest:
                self.judged[name] = replace(known, counts_for=longest)

    def _notice_quota(self) -> None:
        """Compute again what is asked in each cycle while the quota is plentiful, and hourly otherwise."""
        plentiful = is_plentiful(self.pool, self.now)
        if plentiful != self._was_plentiful:
            self._was_plentiful = plentiful
            for one in self.account.pages:
                if one.stored != one.fetched or one.page.system_user in self.account.invalid:
                    self.agenda.change(one)

    def _probe(self, one: OnePage) -> None:
        """Probe a token that was revoked: Graph refuses it, on its Page's own quota."""
        name = token_id(APP_ID, one.stored)
        known = self.judged.get(name)
        if known is not None and known.facts.is_valid and not known.refused:
            self.judged[name] = known.with_probe("refused", self.now)
            self.agenda.change(one)

    def _ask(self, wanted: Sequence[tuple[Ask, OnePage | None]]) -> dict[Secret, OnePage | None]:
        """Call ``debug_token`` as far as the quota allows, and return what was answered."""
        got: dict[Secret, OnePage | None] = {}
        owner = {ask.token: one for ask, one in wanted}
        left = [ask for ask, _ in wanted]
        while left:
            chosen = allowance(self.pool, BUDGET, self.now).choose(left)
            if not chosen:
                break
            self.pool = record_asks(self.pool, chosen, BUDGET, self.now)
            if not all(self._call(ask.token, owner[ask.token], got) for ask in chosen):
                break
            asked = {ask.token for ask in chosen}
            left = [ask for ask in left if ask.token not in asked]
        return got

    def _call(self, token: Secret, one: OnePage | None, got: dict[Secret, OnePage | None]) -> bool:
        accepted, used = self.meta.call(self.now)
        hour = int((self.now - START) / HOUR)
        self.stats.per_hour[hour] = self.stats.per_hour.get(hour, 0) + 1
        self.pool = record_usage(self.pool, used, 1, self.now)
        if not accepted:
            self.pool = freeze(self.pool, "backoff", None, self.now, self._random.random())
            self._count_throttle()
            return False
        self._throttles_in_a_row = 0
        if self._random.random() < self._partial:
            return True
        got[token] = one
        if one is not None:
            name, facts = token_id(APP_ID, token), self.account.facts(one, token, self.now)
            self.judged[name] = answered(
                self.judged.get(name),
                facts,
                system_user_fingerprint=self.account.fingerprint(one),
                stale_after=self.rhythm.stale_after,
            )
            if token == one.fetched != one.stored:
                self.tried[one.page.name] = self.now
            self._record_answer(one)
        return True

    def _count_throttle(self) -> None:
        self.stats.throttles += 1
        self._throttles_in_a_row += 1
        self.stats.in_a_row = max(self.stats.in_a_row, self._throttles_in_a_row)

    def _write_confirmed(self, got: dict[Secret, OnePage | None]) -> None:
        """Write fetched tokens that are confirmed where the stored one is invalid or of an earlier system user token."""
        for token, one in got.items():
            if one is None or token != one.fetched or token == one.stored:
                continue
            stored = self.judged.get(token_id(APP_ID, one.stored))
            if stored is None or (stored.refused and stored.facts.is_valid):
                continue
            if not stored.facts.is_valid or one.stored_user_token != self.account.fingerprint(one):
                self._write(one, repair=not stored.facts.is_valid)

    def _write(self, one: OnePage, *, repair: bool) -> None:
        if repair and one.invalid_since is not None:
            self.stats.repaired += 1
            self.stats.longest_repair = max(self.stats.longest_repair, self.now - one.invalid_since)
        if not repair:
            self.stats.rotated += 1
        self.judged.pop(token_id(APP_ID, one.stored), None)
        one.stored, one.stored_user_token, one.invalid_since = one.fetched, self.account.fingerprint(one), None
        self._invalid.pop(id(one), None)
        self._record_answer(one)

    def _record_answer(self, one: OnePage) -> None:
        heapq.heappush(self._answers, (self._answered_at(one), next(self._numbers), one))
        self.agenda.change(one)

    def _measure(self, wanted: list[tuple[Ask, OnePage]], got: dict[Secret, OnePage | None]) -> None:
        waits = not self._partial and any(ask.urgent and ask.token not in got for ask, _ in wanted)
        if waits and any(not ask.urgent and ask.token in got for ask, _ in wanted):
            self.stats.urgent_skipped += 1
        self.stats.bound = max(self.stats.bound, self.rhythm.stale_after)
        age = self.now - self._oldest()
        self.stats.oldest = max(self.stats.oldest, age)
        if (self.now - START) % HOUR < CYCLE:
            self.stats.stale = max(self.stats.stale, sum(map(self._is_stale, self.account.pages)))

    def _is_stale(self, one: OnePage) -> bool:
        """Check whether a stored token works, and the last answer for it counts no more."""
        if one.invalid_since is not None:
            return False
        judged = self.judged.get(token_id(APP_ID, one.stored))
        if judged is None:
            return self.now - START >= self.rhythm.stale_after
        return judged.counting(now=self.now, stale_after=self.rhythm.stale_after) is None

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
        """Revoke tokens at random; replace and invalidate system user tokens, and change the quota, on their days."""
        self.meta.limit = self._limits.get(self.now, self.meta.limit)
        share = len(self.account.pages) * self._revoked * (CYCLE / DAY)
        count = int(share) + (self._random.random() < share % 1)
        for one in self._random.sample(self.account.pages, count):
            self.account.revoke(one, self.now)
            self._invalid[id(one)] = one
            self.agenda.change(one)
        if self.now in self._deaths:
            self.account.invalid.add(next(iter(self.account.user_tokens)))
            self._change_all()
        if self.now in self._rotations and self.now != START:
            for name in self.account.user_tokens:
                self.account.rotate(name)
            self._user_tokens_at.clear()
            self._change_all()

    def _change_all(self) -> None:
        for one in self.account.pages:
            self.agenda.change(one)
