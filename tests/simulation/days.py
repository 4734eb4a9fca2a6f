"""Days of the program: its own App and configuration, the sandbox's Graph under Meta's quota, stores in memory, a clock.

A seed of ``stage.py`` has a few Pages and faults between any two calls. A scenario here has many Pages and cycles, and one
thing that happens to them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from sync.app import App
from sync.app.graph import graph_source
from sync.config.load import load
from sync.core.memory.memory import Memory
from sync.core.model import Key, Stored, StoreError
from sync.core.payload import Payload
from sync.core.report.report import Report
from sync.graph.source import GraphSource
from sync.http import Http
from sync.runtime.threads import SystemClock
from sync.sandbox.world.business import TASKS, FakePage, FakeSystemUser
from sync.sandbox.world.quota import Rolling
from sync.sandbox.world.world import make_world
from tests.simulation.answers import Weather
from tests.simulation.days_checker import DaysChecker, unlike
from tests.simulation.days_graph import Answered, WorldHttp
from tests.simulation.time_and_turns import NOON
from tests.support.fakes import StoreInMemory

INSTANCE = "acme"
AWAY = StoreError("unreachable", "The store is away.", "Start it.", whole=True)
HOUR, DAY = 3600.0, 86_400.0
PLENTY = 50
"""The percentage of Meta's quota below which ``run`` says what ``once`` would say."""


class DaysClock(SystemClock):
    """A clock that only the simulation moves; ``set_by`` is the wall clock's offset from the true time."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.set_by = timedelta(0)

    def now(self) -> datetime:
        """Return the machine's wall clock time."""
        return NOON + timedelta(seconds=self.passed) + self.set_by

    def monotonic(self) -> float:
        """Return the seconds passed."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Move the time on at once."""
        self.passed += max(seconds, 0.0)

    def order(self, items: Sequence[Any]) -> Sequence[Any]:
        """Keep the order: nothing runs at the same time."""
        return items


class DaysApp(App):
    """The program's App over a simulated Graph and stores in memory."""

    def __init__(
        self, config: Path, *, clock: SystemClock, http: Callable[..., Http], stores: Mapping[str, StoreInMemory]
    ) -> None:
        self._made_http = http
        super().__init__(load(config), clock=clock)
        self._stores.update(stores)

    def _graph(self, memory: Memory, *, most: float | None = None) -> AbstractContextManager[GraphSource]:
        return graph_source(self._config, self._credentials, self._clock, memory, most=most, http=self._made_http)


class Days:
    """One configuration and its world. ``per_user`` is the number of Pages of each system user, in order.

    ``quota`` is Meta's for the app, in calls an hour. ``settings`` are further keys of the configuration. ``compared``: each
    cycle is compared with one of a fresh process, where Meta's quota is plentiful.
    """

    def __init__(
        self,
        folder: Path,
        per_user: Sequence[int] = (5,),
        *,
        quota: int | None = 200,
        stores: Sequence[str] = ("disk",),
        compared: bool = False,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.clock = DaysClock()
        self.world = make_world(pages=sum(per_user), seed=seed, now=lambda: NOON.timestamp() + self.clock.passed)
        self.world.quotas.app = Rolling(quota) if quota is not None else None
        self.weather = Weather()
        self.facts = Answered()
        self.stores = {name: StoreInMemory(name) for name in stores}
        self.cycles = self.throttles = 0
        self.compared = compared
        self.users = self._users(per_user)
        self.settings: dict[str, Any] = {
            "instance": INSTANCE,
            "schedule": {"every": "15m"},
            "graph": {"base_url": "https://graph.simulated"},
            "apps": {"messenger": {"id": self.world.app.id, "secret": {"file": "app"}}},
            "system_users": {name: {"token": {"file": name}} for name in self.users},
            "stores": {name: {"type": "file", "directory": name} for name in stores},
            "defaults": {"stores": list(stores)},
            "state": {"file": str(folder / "state.json")},
            "pages": [
                {"id": page_id, "name": self.world.pages[page_id].name, "system_user": name}
                for name, user in self.users.items()
                for page_id in user.assigned
            ],
            **settings,
        }
        (folder / "app").write_text(self.world.app.secret)
        for name in self.users:
            self.store_credential(name)
        self.every = {"20s": 20.0, "15m": 900.0, "1h": HOUR}[self.settings["schedule"]["every"]]
        self.checker = DaysChecker(self.world, self.facts, self.stored, self.every)
        random.seed(seed)
        self.configure()

    def _users(self, per_user: Sequence[int]) -> dict[str, FakeSystemUser]:
        users: dict[str, FakeSystemUser] = {}
        ids = iter(list(self.world.pages))
        for number, count in enumerate(per_user):
            user = self.world.user if number == 0 else self.world.add_user(f"user {number}", [])
            user.assigned = {page_id: TASKS for page_id, _ in zip(ids, range(count), strict=False)}
            users[f"user{number}"] = user
        return users

    def configure(self, **settings: Any) -> None:
        """Write the configuration with changed keys, and start the program with it; the state file stays."""
        self.settings |= settings
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        self.app = self._app(path, self.facts)

    def _app(self, path: Path, facts: Answered) -> DaysApp:
        def http(**_: Any) -> Http:
            return WorldHttp(self.world, self.clock, self.weather, facts)

        return DaysApp(path, clock=self.clock, http=http, stores=self.stores)

    def set_clock(self, offset: timedelta) -> None:
        """Set the machine's wall clock: so far ahead of the true time, or behind it."""
        self.checker.void_until = self.clock.passed
        self.clock.set_by = offset

    def store_credential(self, name: str) -> None:
        """Write a system user's present token to its file."""
        (self.folder / name).write_text(self.users[name].token)

    def page(self, number: int = 0, user: str = "user0") -> FakePage:
        """Return one of the Pages of a system user."""
        return self.world.pages[list(self.users[user].assigned)[number]]

    def unassign(self, *, cycles: int) -> None:
        """Unassign the first Page of the first system user for some cycles, and assign it again in the same order."""
        user, page_id = self.users["user0"], self.page().id
        tasks = user.assigned.pop(page_id)
        for _ in range(cycles):
            self.cycle()
        user.assigned = {page_id: tasks, **user.assigned}

    def key(self, page: FakePage, store: str | None = None) -> Key:
        """Return the target of a Page."""
        path = next(key.path for key in self.checker.served if key.path.removesuffix(".json") == page.name)
        return Key(store or next(iter(self.stores)), path)

    def stored(self, key: Key) -> tuple[Stored | None, str | None]:
        """Return what a store holds, and the text of its token."""
        held = self.stores[key.store].secrets.get(key)
        value = held.payload.reveal() if held is not None and held.payload is not None else None
        token = value.get("access_token") if isinstance(value, dict) else None
        return held, token if isinstance(token, str) else None

    def held(self) -> list[Mapping[str, Any]]:
        """Return what the stores hold for the Pages."""
        values = [self.stores[key.store].secrets[key].payload for key in self.checker.served]
        return [value for payload in values if payload is not None and isinstance(value := payload.reveal(), dict)]

    def keep_credential(self, store: str, path: str, value: Mapping[str, str]) -> None:
        """Write a credential into a store, for a reference to read."""
        self.stores[store].secrets[Key(store, path)] = Stored(Payload(dict(value)), "1", None)

    def put(self, key: Key, token: str) -> None:
        """Write a token over a secret as somebody else would: the marks stay as they are."""
        store = self.stores[key.store]
        held = store.secrets[key]
        assert held.payload is not None
        value = held.payload.reveal()
        assert isinstance(value, dict)
        store.payloads[key].append(payload := Payload({**value, "access_token": token}))
        store.secrets[key] = replace(held, payload=payload, version=str(len(store.payloads[key])), first=False)

    def put_older(self) -> None:
        """Write the first Page's token of before its system user's was replaced, an hour after that, as somebody else would."""
        user = self.users["user0"]
        older = self.world.page_token(self.page(), self.world.tokens[user.token])
        self.world.rotate(user)
        self.store_credential("user0")
        self.run(1)
        self.put(self.key(self.page()), older.value)

    def cycle(self) -> Report:
        """Run one cycle, check its report, and move on to the time of the next."""
        report = self.app.cycle(write=True, continuous=True)
        now = self.clock.passed
        self.cycles += 1
        troubled = self.weather.down or self.world.app.blocked
        self.checker.reported(report, now, troubled=troubled)
        if self.compared and not troubled and self._used() < PLENTY:
            for words in unlike(report, self._once()):
                self.checker.fail(now, "I8", words)
        self.clock.passed = (now // self.every + 1) * self.every
        return report

    def run(self, hours: float) -> Report:
        """Run cycles for so many hours; return the last report."""
        report = self.cycle()
        for _ in range(round(hours * HOUR / self.every) - 1):
            report = self.cycle()
        return report

    def served(self, report: Report) -> Mapping[str, str]:
        """Return what each Page serves, by its name."""
        return {page.name: page.served for page in report.pages}

    def refusals(self) -> int:
        """Return how many calls of the last hour Meta refused."""
        pool = self.world.quotas.app
        return max(len(pool.calls) - pool.limit, 0) if pool is not None else 0

    def _used(self) -> int:
        pool = self.world.quotas.app
        return pool.used(self.world.time()) if pool is not None else 0

    def _once(self) -> Report:
        """Run the cycle of a fresh process without a quota, a memory and a write; the world stays as it is."""
        pool, passed = self.world.quotas.app, self.clock.passed
        self.world.quotas.app = None
        path = self.folder / "once.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in self.settings.items() if key != "state"}))
        try:
            return self._app(path, Answered()).cycle(write=False)
        finally:
            self.world.quotas.app, self.clock.passed = pool, passed
