"""A daemon of the simulation: the program's own cycle, stores and Graph client, over several lives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sync import state
from sync.core.memory.memory import Memory
from sync.core.model import Key, Marks, Page, StoreError, Version, Written
from sync.core.payload import Payload
from sync.core.report.report import Report
from sync.core.secret import Secret
from sync.cycle import Task, run
from sync.graph.client import GraphSettings
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.source import GraphSource
from sync.sandbox.world.world import World
from sync.stores.interface import Store
from tests.simulation.checker import Checker
from tests.simulation.process import CurrentWrite, Killed, Life, LifeClock, NetworkFaults
from tests.simulation.services import GraphHttp
from tests.simulation.time_and_turns import Participant, Simulation

EVERY = 900.0
DAYS = timedelta(days=3)
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
    credentials: Callable[[], tuple[str, Mapping[str, str]]]
    """Return the app's secret and the system users' tokens, as the files hold them now."""


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

    memory: Memory
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

    def mark(self, key: Key, marks: Marks, *, version: Version) -> Written | StoreError:
        """Write the marks alone."""
        return self._watched(key, None, marks, lambda: self._store.mark(key, marks, version=version))

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
    _saved: _Saved | None = field(default=None, repr=False)

    def run(self, participant: Participant) -> None:
        """Run one life after the other until there is nothing more to do."""
        simulation = self.site.simulation
        while True:
            self.lives += 1
            life = Life(simulation, f"{self.name}.{self.lives}", self.habits.instance, self.site.network_faults)
            life.participant, life.interfere = participant, self.site.interfere
            try:
                self._live(life)
            except Killed:
                simulation.wait(participant, simulation.random.choice((0.5, 5.0, 120.0)))
            else:
                return

    def _live(self, life: Life) -> None:
        clock = LifeClock(life)
        stores = {
            name: CheckedStore(store, life, self.site.checker) for name, store in self.site.stores(life, clock).items()
        }
        memory = Memory()
        if self._saved is not None:
            memory, life.debug_answers, life.refused = (
                self._saved.memory,
                dict(self._saved.debug_answers),
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
                self._saved = _Saved(_through_a_file(memory), debug_answers, dict(life.refused))
            life.wait(EVERY - (life.simulation.time - self.habits.starts) % EVERY)

    def _fate(self, life: Life) -> None:
        chance = life.simulation.random
        life.killed_at = None
        if chance.random() < self.habits.kill_chance:
            when: Literal["before", "after"] = chance.choice(("before", "after"))
            life.killed_at = (life.calls + chance.randint(1, 45), when)

    def _cycle(self, life: Life, clock: LifeClock, stores: Mapping[str, Any], memory: Memory) -> tuple[Memory, Report]:
        secret, users = self.site.credentials()
        source = GraphSource(
            http=GraphHttp(life, self.site.world, self.site.checker.url),
            settings=GraphSettings("https://graph.simulated", timeout=GRAPH_TIMEOUT),
            apps=[AppCredentials("messenger", self.site.world.app.id, Secret(secret))],
            system_users=[SystemUserCredentials(name, "messenger", Secret(token)) for name, token in users.items()],
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
        )
        report, after = run(task, write=True, cycle=f"{self.name}-{self.done}")
        return after, report


def _through_a_file(memory: Memory) -> Memory:
    """Write and read the memory in the form of the state file."""
    after, dropped = state.decode(json.loads(state.encode(memory, "acme")), datetime.max.replace(tzinfo=UTC) - DAYS)
    if dropped:
        raise AssertionError("the state file does not hold what was saved")
    return after


def _summary(report: Report) -> list[str]:
    return [
        f"{page.name}={page.fetched.value}:"
        + ",".join(f"{entry.action.value}/{entry.reason or ''}/{entry.served}" for entry in page.stores)
        for page in report.pages
    ]
