"""One clock and one turn for everything that happens in a simulation: whatever the seed, it happens in one order.

An actor is a thread, of which exactly one runs at any time. It gives its turn away only where it waits, which is at each
simulated call and each sleep; who is next follows from the simulated time alone. Things that need no thread of their own,
such as a person who edits a secret or a fault that begins, are done by whoever waits when they are due.
"""

from __future__ import annotations

import heapq
import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""When every simulation begins."""
_UNIX_NOON = NOON.timestamp()


class Over(BaseException):
    """The simulation has ended; goes through everything up to the actor's end."""


@dataclass(order=True, slots=True)
class _Due:
    when: float
    number: int
    actor: Actor | None = field(compare=False)
    act: Callable[[], None] | None = field(compare=False)


class Actor:
    """One thread of the simulation; ``work`` begins when its time has come."""

    def __init__(self, name: str, work: Callable[[Actor], None]) -> None:
        self.name = name
        self.work = work
        self.turn = threading.Lock()
        self.turn.acquire()
        self.thread: threading.Thread | None = None


class Simulation:
    """The queue of what is to come. ``time`` is in seconds since NOON; ``random`` decides all that is left to chance."""

    def __init__(self, seed: int | str, *, traced: bool = False) -> None:
        self.random = random.Random(seed)
        self.time = 0.0
        self.steps = 0
        self.mistakes: list[str] = []
        self.trace: list[str] | None = [] if traced else None
        self.over = False
        self._queue: list[_Due] = []
        self._number = 0
        self._main = threading.Lock()
        self._main.acquire()

    def now(self) -> datetime:
        """Return the true wall clock's time."""
        return NOON + timedelta(seconds=self.time)

    def unix(self) -> float:
        """Return the true time in unix seconds."""
        return _UNIX_NOON + self.time

    def note(self, *words: object) -> None:
        """Write a line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.time:12.4f} " + " ".join(str(word) for word in words))

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have something done at this time, in one step."""
        self._push(when, None, act)

    def spawn(self, name: str, work: Callable[[Actor], None], *, at: float = 0.0) -> None:
        """Begin an actor at this time; ``work`` is given the actor, in whose name it waits."""
        self._push(at, Actor(name, work), None)

    def run(self) -> None:
        """Let everything happen until nothing is left to come; a mistake of the simulation's own is raised."""
        self._next()
        self._main.acquire()
        if self.mistakes:
            raise AssertionError("the simulation itself failed:\n" + "\n".join(self.mistakes))

    def wait(self, actor: Actor, seconds: float) -> None:
        """Let others have their turn until so much time has passed."""
        when = self.time + seconds
        while True:
            if self.over:
                raise Over
            if not self._queue or self._queue[0].when > when:
                self.time = when
                self.steps += 1
                return
            due = heapq.heappop(self._queue)
            self.time = due.when
            if due.actor is None:
                self._do(due)
                continue
            self._push(when, actor, None)
            self._hand_to(due.actor)
            actor.turn.acquire()
            if self.over:
                raise Over
            self.steps += 1
            return

    def end(self) -> None:
        """End everything: every actor is told at its next turn."""
        self.over = True

    def _push(self, when: float, actor: Actor | None, act: Callable[[], None] | None) -> None:
        self._number += 1
        heapq.heappush(self._queue, _Due(when, self._number, actor, act))

    def _do(self, due: _Due) -> None:
        if due.act is None or self.over:
            return
        try:
            due.act()
        except Exception:  # noqa: BLE001 - it would be caught by the daemon in whose thread it is done
            self._failed()

    def _failed(self) -> None:
        self.mistakes.append(traceback.format_exc())
        self.over = True

    def _next(self) -> None:
        """Return the turn away for good: to the next actor, or back to ``run`` where none is left."""
        while self._queue:
            due = heapq.heappop(self._queue)
            if not self.over:
                self.time = due.when
            if due.actor is not None:
                self._hand_to(due.actor)
                return
            self._do(due)
        self._main.release()

    def _hand_to(self, actor: Actor) -> None:
        if actor.thread is None:
            actor.thread = threading.Thread(target=self._live, args=(actor,), name=actor.name, daemon=True)
            actor.thread.start()
        else:
            actor.turn.release()

    def _live(self, actor: Actor) -> None:
        try:
            if not self.over:
                actor.work(actor)
        except Over:
            pass
        except BaseException:  # noqa: BLE001 - the turn must go on, and run() raises it
            self._failed()
        self._next()
