"""One clock and one turn for everything in a simulation, so that a seed always gives the same order.

A participant is a thread, of which exactly one runs at any time. It passes its turn on only where it waits, which is at each
simulated call and each sleep; the next one follows from the simulated time alone. Steps that need no thread of their own,
such as an edit by a person or the start of a fault, are carried out by the participant that waits when they are due.
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


class SimulationEnded(BaseException):
    """The simulation has ended; propagates up to the participant's end."""


@dataclass(order=True, slots=True)
class _Due:
    when: float
    number: int
    participant: Participant | None = field(compare=False)
    act: Callable[[], None] | None = field(compare=False)


class Participant:
    """One thread of the simulation; ``work`` begins when its time has come."""

    def __init__(self, name: str, work: Callable[[Participant], None]) -> None:
        self.name = name
        self.work = work
        self.turn = threading.Lock()
        self.turn.acquire()
        self.thread: threading.Thread | None = None


class Simulation:
    """The queue of future steps. ``time`` is in seconds since NOON; ``random`` makes every random choice."""

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
        """Return the true wall clock time."""
        return NOON + timedelta(seconds=self.time)

    def unix(self) -> float:
        """Return the true time in unix seconds."""
        return _UNIX_NOON + self.time

    def note(self, *answers: object) -> None:
        """Write a line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.time:12.4f} " + " ".join(str(word) for word in answers))

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Call ``act`` at this time, in one step."""
        self._push(when, None, act)

    def spawn(self, name: str, work: Callable[[Participant], None], *, at: float = 0.0) -> None:
        """Start a participant at this time; ``work`` gets the participant, with which it waits."""
        self._push(at, Participant(name, work), None)

    def run(self) -> None:
        """Run until no step is left; a failure of the simulation itself is raised."""
        self._next()
        self._main.acquire()
        if self.mistakes:
            raise AssertionError("the simulation itself failed:\n" + "\n".join(self.mistakes))

    def wait(self, participant: Participant, seconds: float) -> None:
        """Let other participants run until this time has passed."""
        when = self.time + seconds
        while True:
            if self.over:
                raise SimulationEnded
            if not self._queue or self._queue[0].when > when:
                self.time = when
                self.steps += 1
                return
            due = heapq.heappop(self._queue)
            self.time = due.when
            if due.participant is None:
                self._do(due)
                continue
            self._push(when, participant, None)
            self._hand_to(due.participant)
            participant.turn.acquire()
            if self.over:
                raise SimulationEnded
            self.steps += 1
            return

    def end(self) -> None:
        """End the simulation: every participant learns of it at its next turn."""
        self.over = True

    def _push(self, when: float, participant: Participant | None, act: Callable[[], None] | None) -> None:
        self._number += 1
        heapq.heappush(self._queue, _Due(when, self._number, participant, act))

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
        """Pass the turn on for good: to the next participant, or back to ``run`` if none is left."""
        while self._queue:
            due = heapq.heappop(self._queue)
            if not self.over:
                self.time = due.when
            if due.participant is not None:
                self._hand_to(due.participant)
                return
            self._do(due)
        self._main.release()

    def _hand_to(self, participant: Participant) -> None:
        if participant.thread is None:
            participant.thread = threading.Thread(
                target=self._live, args=(participant,), name=participant.name, daemon=True
            )
            participant.thread.start()
        else:
            participant.turn.release()

    def _live(self, participant: Participant) -> None:
        try:
            if not self.over:
                participant.work(participant)
        except SimulationEnded:
            pass
        except BaseException:  # noqa: BLE001 - the turn must go on, and run() raises it
            self._failed()
        self._next()
