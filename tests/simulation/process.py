"""One life of a daemon in the simulation: its clocks, its calls to the services, the answers it got, and its kill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from sync.core.secret import fingerprint
from sync.http import HttpError
from tests.simulation.answers import DebugAnswer
from tests.simulation.time_and_turns import Participant, Simulation

K = TypeVar("K")
T = TypeVar("T")
_HERE = threading.local()
"""The life that the running thread belongs to, for the one library that sleeps by itself."""


class Killed(BaseException):
    """The process is killed here; none of its code runs any more."""


@dataclass(slots=True)
class NetworkFaults:
    """The probabilities of each fault in one call to one service."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    hang: float = 0.0
    slow: float = 0.02

    @property
    def unreliable(self) -> bool:
        """Whether any fault is possible."""
        return bool(self.lost_request or self.lost_answer or self.hang)


@dataclass(slots=True)
class CurrentWrite:
    """A write that a store was asked for; ``token`` None writes marks alone. ``seen`` are the states read since."""

    path: str
    token: str | None
    reason: str
    began: float
    changes: int = 0
    seen: list[Any] = field(default_factory=list)


class Life:
    """One run of one daemon's process. ``killed_at`` is the number of the call at which it is killed, and whether before or after it.

    ``interfere`` is called just before each call of a write is carried out, so that another writer can come between.
    """

    def __init__(
        self, simulation: Simulation, name: str, instance: str, network_faults: Mapping[str, NetworkFaults]
    ) -> None:
        self.simulation = simulation
        self.name = name
        self.instance = instance
        self.network_faults = network_faults
        self.participant: Participant | None = None
        self.calls = 0
        self.killed_at: tuple[int, Literal["before", "after"]] | None = None
        self.killed = False
        self.debug_answers: dict[str, list[DebugAnswer]] = {}
        self.refused: dict[str, float] = {}
        self.shown: dict[tuple[str, str], Any] = {}
        self.begun = 0.0
        self.seen: dict[tuple[str, str], dict[str, str]] = {}
        self.states: dict[tuple[str, str], list[Any]] = {}
        self.disturbed: set[str] = set()
        self.current_write: CurrentWrite | None = None
        self.offset: Callable[[], timedelta] = timedelta
        self.began_with = timedelta(0)
        self.interfere: Callable[[Life], None] = lambda _: None
        self._pending: list[tuple[tuple[str, str], Any]] = []
        self._values: list[tuple[tuple[str, str], str]] = []

    def __str__(self) -> str:
        return self.name

    def show(self, store: str, key: str, state: Any) -> None:
        """Note what an answer shows of a secret; it counts once the answer has arrived."""
        self._pending.append(((store, key), state))

    def show_value(self, store: str, key: str, token: str | None) -> None:
        """Note that an answer shows a value without its owner."""
        if token:
            self._values.append(((store, key), token))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if self.killed:
            raise Killed
        if self.participant is None:
            raise AssertionError("a life without a thread cannot wait")
        self.simulation.wait(self.participant, seconds)

    def call(self, service: str, what: str, timeout: float, carry_out: Callable[[], T]) -> T:
        """Have a service carry out a call over a network; raises HttpError if no answer arrives."""
        _HERE.life = self
        chance, network_faults = self.simulation.random, self.network_faults[service]
        self.calls += 1
        self._kill_at("before", what)
        fate = chance.random() if network_faults.unreliable else 1.0
        self.wait(_latency(chance.random(), chance.random(), network_faults))
        if fate < network_faults.lost_request:
            self._disturb(service, what, "request lost")
            raise HttpError("reset", maybe_sent=True)
        fate -= network_faults.lost_request
        hangs = fate < network_faults.hang
        if hangs and chance.random() < 0.5:
            self._silence(service, what, timeout)
        if self.current_write is not None:
            self.interfere(self)
        self._pending, self._values = [], []
        answer = carry_out()
        self.simulation.note(self, what, _short(answer))
        self._kill_at("after", what)
        if hangs:
            self._silence(service, what, timeout)
        pending, values = self._pending, self._values
        self._pending, self._values = [], []
        self.wait(_latency(chance.random(), chance.random(), network_faults))
        if fate - network_faults.hang < network_faults.lost_answer:
            self._disturb(service, what, "answer lost")
            raise HttpError("reset", maybe_sent=True)
        for target, token in values:
            self.see(target, token)
        for target, state in pending:
            self.shown[target] = state
            self.states.setdefault(target, []).append(state)
            if self.current_write is not None and self.current_write.path == target[1]:
                self.current_write.seen.append(state)
            if state is not None and state.token is not None:
                self.see(target, state.token)
        return answer

    def see(self, target: tuple[str, str], token: str) -> None:
        """Note that a token was in this secret during this cycle."""
        self.seen.setdefault(target, {})[fingerprint(token)] = token

    def begin(self) -> None:
        """Start a cycle: clear what was seen in the last one."""
        self.begun = self.simulation.time
        self.began_with = self.offset()
        self.disturbed.clear()
        self.seen.clear()
        self.states.clear()

    def silence(self, service: str, what: str, timeout: float) -> None:
        """Send no answer until the timeout is over."""
        self._silence(service, what, timeout)

    def record_answer(self, token: str, debug_answers: DebugAnswer) -> None:
        """Record what debug_token answered for a token."""
        self.debug_answers.setdefault(token, []).append(debug_answers)

    def last_answer(self, token: str) -> DebugAnswer | None:
        """Return the last answer of debug_token for a token to this daemon."""
        answers = self.debug_answers.get(token)
        return answers[-1] if answers else None

    def _silence(self, service: str, what: str, timeout: float) -> None:
        self._disturb(service, what, "hangs")
        self.wait(timeout)
        raise HttpError("timeout", maybe_sent=True)

    def _disturb(self, service: str, what: str, how: str) -> None:
        self.disturbed.add(service)
        self.simulation.note(self, what, how)

    def _kill_at(self, when: Literal["before", "after"], what: str) -> None:
        if self.killed or self.killed_at == (self.calls, when):
            if not self.killed:
                self.simulation.note(self, "killed", when, what)
            self.killed = True
            raise Killed


def _latency(kind: float, length: float, network_faults: NetworkFaults) -> float:
    return 0.2 + 3 * length if kind < network_faults.slow else 0.002 + 0.03 * length


def _short(answer: object) -> object:
    status = getattr(answer, "status", None)
    return status if status is not None else answer if isinstance(answer, str) else ""


@dataclass
class LifeClock:
    """The clocks of one life; ``offset`` returns how far its machine's wall clock is ahead of the true time."""

    life: Life
    offset: Callable[[], timedelta] = timedelta
    stop: threading.Event = field(default_factory=threading.Event)

    def now(self) -> datetime:
        """Return this machine's wall clock time."""
        return self.life.simulation.now() + self.offset()

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return self.life.simulation.time

    def sleep(self, seconds: float) -> None:
        """Let other participants run meanwhile."""
        self.check()
        self.life.wait(max(seconds, 0.0))

    def check(self) -> None:
        """Raise Killed if this life has ended."""
        if self.life.killed:
            raise Killed

    def order(self, items: Sequence[K]) -> Sequence[K]:
        """Return the items in an order drawn from the seed."""
        mixed = list(items)
        self.life.simulation.random.shuffle(mixed)
        return mixed


class SimulatedTime:
    """Replaces the module ``time`` where botocore sleeps between its tries."""

    @staticmethod
    def sleep(seconds: float) -> None:
        """Sleep in simulated time."""
        _HERE.life.wait(seconds)
