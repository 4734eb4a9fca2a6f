"""One life of a daemon in the simulation: its clocks, its way to the services, what it was told, and how it dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from sync.core.secret import fingerprint
from sync.http import HttpError
from tests.simulation.time_and_turns import Actor, Simulation

K = TypeVar("K")
T = TypeVar("T")
_HERE = threading.local()
"""The life that the running thread belongs to, for the one library that sleeps by itself."""


class Killed(BaseException):
    """The process dies here; nothing of it runs any more."""


@dataclass(slots=True)
class Weather:
    """How likely each thing is to go wrong with one call to one service."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    hang: float = 0.0
    slow: float = 0.02

    @property
    def foul(self) -> bool:
        """Whether anything can go wrong."""
        return bool(self.lost_request or self.lost_answer or self.hang)


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer of debug_token said of a token, when it came.

    ``page`` is the id of the Page that it is for; empty where it is of another type or app.
    """

    at: float
    valid: bool
    page: str

    def good(self, page_id: str) -> bool:
        """Whether it said that the token works for this Page."""
        return self.valid and self.page == page_id


@dataclass(slots=True)
class Doing:
    """A write that a store was asked for; ``token`` None writes marks alone. ``seen`` are the states it was shown since."""

    path: str
    token: str | None
    reason: str
    began: float
    changes: int = 0
    seen: list[Any] = field(default_factory=list)


class Life:
    """One incarnation of one daemon. ``dies_at`` is the number of the call at which it dies, and whether before or after it.

    ``lurks`` is told of each call of a write, just before it is carried out: where somebody else comes between.
    """

    def __init__(self, simulation: Simulation, name: str, instance: str, weather: Mapping[str, Weather]) -> None:
        self.simulation = simulation
        self.name = name
        self.instance = instance
        self.weather = weather
        self.actor: Actor | None = None
        self.calls = 0
        self.dies_at: tuple[int, Literal["before", "after"]] | None = None
        self.dead = False
        self.heard: dict[str, list[Heard]] = {}
        self.refused: dict[str, float] = {}
        self.shown: dict[tuple[str, str], Any] = {}
        self.begun = 0.0
        self.seen: dict[tuple[str, str], dict[str, str]] = {}
        self.states: dict[tuple[str, str], list[Any]] = {}
        self.disturbed: set[str] = set()
        self.doing: Doing | None = None
        self.lurks: Callable[[Life], None] = lambda _: None
        self._pending: list[tuple[tuple[str, str], Any]] = []
        self._values: list[tuple[tuple[str, str], str]] = []

    def __str__(self) -> str:
        return self.name

    def show(self, store: str, key: str, state: Any) -> None:
        """Note what an answer shows of a secret; it counts once the answer has come."""
        self._pending.append(((store, key), state))

    def show_value(self, store: str, key: str, token: str | None) -> None:
        """Note that an answer shows a value without saying whose it is."""
        if token:
            self._values.append(((store, key), token))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if self.dead:
            raise Killed
        if self.actor is None:
            raise AssertionError("a life without a thread cannot wait")
        self.simulation.wait(self.actor, seconds)

    def call(self, service: str, what: str, timeout: float, carry_out: Callable[[], T]) -> T:
        """Have a service carry something out, by way of a network; raises HttpError where no answer comes back."""
        _HERE.life = self
        chance, weather = self.simulation.random, self.weather[service]
        self.calls += 1
        self._die("before", what)
        fate = chance.random() if weather.foul else 1.0
        self.wait(_latency(chance.random(), chance.random(), weather))
        if fate < weather.lost_request:
            self._disturb(service, what, "request lost")
            raise HttpError("reset", maybe_sent=True)
        fate -= weather.lost_request
        hangs = fate < weather.hang
        if hangs and chance.random() < 0.5:
            self._silence(service, what, timeout)
        if self.doing is not None:
            self.lurks(self)
        self._pending, self._values = [], []
        answer = carry_out()
        self.simulation.note(self, what, _short(answer))
        self._die("after", what)
        if hangs:
            self._silence(service, what, timeout)
        pending, values = self._pending, self._values
        self._pending, self._values = [], []
        self.wait(_latency(chance.random(), chance.random(), weather))
        if fate - weather.hang < weather.lost_answer:
            self._disturb(service, what, "answer lost")
            raise HttpError("reset", maybe_sent=True)
        for target, token in values:
            self.see(target, token)
        for target, state in pending:
            self.shown[target] = state
            self.states.setdefault(target, []).append(state)
            if self.doing is not None and self.doing.path == target[1]:
                self.doing.seen.append(state)
            if state is not None and state.token is not None:
                self.see(target, state.token)
        return answer

    def see(self, target: tuple[str, str], token: str) -> None:
        """Note that a token is known to have been at a place in this cycle."""
        self.seen.setdefault(target, {})[fingerprint(token)] = token

    def begin(self) -> None:
        """Start a cycle: what was seen in the last one is no longer what is there."""
        self.begun = self.simulation.time
        self.disturbed.clear()
        self.seen.clear()
        self.states.clear()

    def silence(self, service: str, what: str, timeout: float) -> None:
        """Let nothing come until the time is out."""
        self._silence(service, what, timeout)

    def hear(self, token: str, heard: Heard) -> None:
        """Take down what Meta said of a token."""
        self.heard.setdefault(token, []).append(heard)

    def last_heard(self, token: str) -> Heard | None:
        """Return Meta's last word on a token to this daemon."""
        words = self.heard.get(token)
        return words[-1] if words else None

    def _silence(self, service: str, what: str, timeout: float) -> None:
        self._disturb(service, what, "hangs")
        self.wait(timeout)
        raise HttpError("timeout", maybe_sent=True)

    def _disturb(self, service: str, what: str, how: str) -> None:
        self.disturbed.add(service)
        self.simulation.note(self, what, how)

    def _die(self, when: Literal["before", "after"], what: str) -> None:
        if self.dead or self.dies_at == (self.calls, when):
            if not self.dead:
                self.simulation.note(self, "dies", when, what)
            self.dead = True
            raise Killed


def _latency(kind: float, length: float, weather: Weather) -> float:
    return 0.2 + 3 * length if kind < weather.slow else 0.002 + 0.03 * length


def _short(answer: object) -> object:
    status = getattr(answer, "status", None)
    return status if status is not None else answer if isinstance(answer, str) else ""


@dataclass
class LifeClock:
    """The clocks of one life. ``set_by`` is how far its wall clock is from the true one."""

    life: Life
    set_by: timedelta = field(default_factory=timedelta)
    stop: threading.Event = field(default_factory=threading.Event)

    def now(self) -> datetime:
        """Return this machine's wall clock's time."""
        return self.life.simulation.now() + self.set_by

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return self.life.simulation.time

    def sleep(self, seconds: float) -> None:
        """Let others have their turn meanwhile."""
        self.check()
        self.life.wait(max(seconds, 0.0))

    def check(self) -> None:
        """Go on unless this life has ended."""
        if self.life.dead:
            raise Killed

    def order(self, items: Sequence[K]) -> Sequence[K]:
        """Do things one after the other, in an order of the seed."""
        mixed = list(items)
        self.life.simulation.random.shuffle(mixed)
        return mixed


class TimeOfLives:
    """What botocore takes for the module ``time`` where it sleeps between its tries."""

    @staticmethod
    def sleep(seconds: float) -> None:
        """Sleep in simulated time."""
        _HERE.life.wait(seconds)
