"""A daemon of the simulation: the program's own cycle, stores and Graph client, over several lives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sync import state
from sync.core.memory.memory import Memory
from sync.core.memory.renewal import RenewalRule
from sync.core.model import Key, Marks, Page, Stored, StoreError, Version, Written
from sync.core.payload import Payload
from sync.core.report.report import Report
from sync.core.secret import CredentialError, Secret
from sync.cycle import Task, run
from sync.graph.client import GraphSettings
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.source import GraphSource
from sync.sandbox.world.world import World
from sync.stores.interface import Store
from tests.simulation.answers import Weather
from tests.simulation.checker import Checker
from tests.simulation.process import CurrentWrite, Killed, Life, LifeClock, NetworkFaults
from tests.simulation.services import GraphHttp
from tests.simulation.time_and_turns import Participant, Simulation

EVERY = 900.0
RENEW_BEFORE = timedelta(days=14)
TOKEN = "token"
"""The key of a secret that holds a system user's token."""
GRAPH_TIMEOUT = 20.0
MakeStores = Callable[[Life, LifeClock], Mapping[str, Store]]


@dataclass(frozen=True)
class Site:
    """What all daemons of a simulation share."""

    simulation: Simulation
    world: World
    network_faults: Mapping[str, NetworkFaults]
    checker: Checker
    stores: MakeStores
    interfere: Callable[[Life], None]
    weather: Weather
    app_secret: str
    credentials: Mapping[str, str | Key]
    """The system users' tokens, as the files hold them now; or the target of the store's secret that holds one."""


@dataclass
class Habits:
    """How one daemon lives. ``kill_chance`` is the chance of a kill in each cycle; ``keeps`` is whether it has a state file."""

    instance: str
    starts: float = 0.0
    kill_chance: float = 0.0
    keeps: bool = True
    cycles: int | None = None
    ended: Callable[[Daemon, Report], bool] = lambda *_: False


@dataclass
class _Saved:
    """The state file's content, and what the simulation knows about it."""

    text: bytes
    debug_answers: dict[str, Any]
    refused: dict[str, float]


class CheckedStore:
    """A store with the checker beside it."""

    def __init__(self, store: Store, life: Life, checker: Checker) -> None:
        self._store = store
        self._life = life
        self._checker = checker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write payload and marks."""
        value = payload.reveal()
        token = value.get("access_token") if isinstance(value, dict) else None
        return self._watched(key, token, marks, lambda: self._store.write(key, payload, marks, replaces=replaces))

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Write the marks alone."""
        return self._watched(key, None, marks, lambda: self._store.mark(key, marks, version=version, read=read))

    def _watched(
        self, key: Key, token: str | None, marks: Marks, act: Callable[[], Written | StoreError]
    ) -> Written | StoreError:
        self._life.current_write = CurrentWrite(key.path, token, marks.reason, self._life.simulation.time)
        answer = act()
        if isinstance(answer, Written) and token is not None:
            self._life.see((key.store, key.path), token)
        self._checker.answered(self._life, key.store, key.path, answer)
        self._life.simulation.note(self._life, "wrote", key.store, key.path, marks.reason, answer)
        self._life.current_write = None
        return answer


@dataclass
class Daemon:
    """One daemon and its lives, one after the other."""

    name: str
    site: Site
    pages: Sequence[Page]
    habits: Habits
    done: int = 0
    lives: int = 0
    last: Report | None = None
    offset: timedelta = timedelta(0)
    """How far the wall clock of the daemon's machine is ahead of the true time."""
    doomed: bool = False
    """Whether the next cycle is killed at its first call."""
    _saved: _Saved | None = field(default=None, repr=False)

    def run(self, participant: Participant) -> None:
        """Run one life after the other until there is nothing more to do."""
        simulation = self.site.simulation
        while True:
            self.lives += 1
            life = Life(simulation, f"{self.name}.{self.lives}", self.habits.instance, self.site.network_faults)
            life.participant, life.interfere = participant, self.site.interfere
            life.offset = lambda: self.offset
            try:
                self._live(life)
            except Killed:
                simulation.wait(participant, simulation.random.choice((0.5, 5.0, 120.0)))
            else:
                return

    def _live(self, life: Life) -> None:
        clock = LifeClock(life, lambda: self.offset)
        stores = {
            name: CheckedStore(store, life, self.site.checker) for name, store in self.site.stores(life, clock).items()
        }
        memory = Memory()
        if self._saved is not None:
            memory, life.debug_answers, life.refused = (
                self._from_a_file(self._saved.text, clock.now()),
                {token: list(answers) for token, answers in self._saved.debug_answers.items()},
                dict(self._saved.refused),
            )
        while True:
            self._fate(life)
            life.begin()
            memory, report = self._cycle(life, clock, stores, memory)
            self.done += 1
            self.last = report
            self.site.checker.reported(life, report)
            if life.simulation.trace is not None:
                life.simulation.note(life, "cycle", report.result, *_summary(report))
            if self.habits.ended(self, report) or self.done == self.habits.cycles:
                for store in stores.values():
                    store.close()
                return
            if self.habits.keeps:
                debug_answers = {token: list(answers) for token, answers in life.debug_answers.items()}
                self._saved = _Saved(state.encode(memory, "acme"), debug_answers, dict(life.refused))
            life.wait(EVERY - (life.simulation.time - self.habits.starts) % EVERY)

    def _fate(self, life: Life) -> None:
        chance = life.simulation.random
        life.killed_at = None
        if self.doomed:
            self.doomed = False
            life.killed_at = (life.calls + 1, "before")
        elif chance.random() < self.habits.kill_chance:
            when: Literal["before", "after"] = chance.choice(("before", "after"))
            life.killed_at = (life.calls + chance.randint(1, 45), when)

    def _from_a_file(self, text: bytes, now: datetime) -> Memory:
        """Read the memory from the form of the state file; only a clock that was set may leave something out."""
        memory, dropped = state.decode(json.loads(text), now)
        if dropped and not self.site.checker.clocks_set:
            raise AssertionError("the state file does not hold what was saved")
        return memory

    def _cycle(self, life: Life, clock: LifeClock, stores: Mapping[str, Any], memory: Memory) -> tuple[Memory, Report]:
        site = self.site
        source = GraphSource(
            http=GraphHttp(life, site.world, site.weather, site.checker),
            settings=GraphSettings("https://graph.simulated", timeout=GRAPH_TIMEOUT),
            apps=[AppCredentials("messenger", site.world.app.id, Secret(site.app_secret))],
            system_users=[
                SystemUserCredentials(name, "messenger", _credential(stores, found))
                for name, found in site.credentials.items()
            ],
            clock=clock,
            pools=memory.pools,
            known={name: judged.facts for name, judged in memory.judged.items()},
        )
        task = Task(
            instance=self.habits.instance,
            pages=self.pages,
            source=source,
            stores=stores,
            clock=clock,
            memory=memory,
            confirm_mass_invalid=self.habits.cycles is not None,
            renewal_rules={
                name: RenewalRule(found, TOKEN, RENEW_BEFORE)
                for name, found in site.credentials.items()
                if isinstance(found, Key) and self.habits.instance == "acme"
            },
        )
        report, after = run(task, write=True, cycle=f"{self.name}-{self.done}")
        return after, report


def _credential(stores: Mapping[str, Store], found: str | Key) -> Secret | CredentialError:
    """Read a system user's token as the program does, which begins the store before the cycle does."""
    if isinstance(found, str):
        return Secret(found)
    stores[found.store].begin(writes=False)
    held = stores[found.store].read([found])[found]
    if isinstance(held, StoreError):
        return CredentialError(f"store {found.store}, path {found.path}: {held.message}")
    token = held.payload.secret(TOKEN) if isinstance(held, Stored) and held.payload is not None else None
    return token or CredentialError(f"store {found.store}, path {found.path}: there is no text under the key {TOKEN}")


def _summary(report: Report) -> list[str]:
    return [
        f"{page.name}={page.fetched.value}:"
        + ",".join(f"{entry.action.value}/{entry.reason or ''}/{entry.served}" for entry in page.stores)
        for page in report.pages
    ]
