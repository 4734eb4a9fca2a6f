"""The sandbox's Graph as one instance reaches it over days, and a record of what it was answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sync.http import HttpError, Response
from sync.runtime.threads import SystemClock
from sync.sandbox.api.graph import respond
from sync.sandbox.http.wire import make_request
from sync.sandbox.replies import Request
from sync.sandbox.world.world import World
from tests.simulation.answers import DebugAnswer, Item, Weather, given, items_of
from tests.support.memory_http import MemoryHttp, Sent

REQUEST_SECONDS = 0.05


@dataclass
class Answered:
    """What Graph answered to one instance: debug_token's answers, refusals, and the number of questions, by token.

    ``given`` are the tokens that a read of a Page returned, and ``read`` is when each Page was last asked for by its id.
    """

    answers: dict[str, list[DebugAnswer]] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    questions: Counter[str] = field(default_factory=Counter)
    given: set[str] = field(default_factory=set)
    read: dict[str, float] = field(default_factory=dict)

    def item(self, item: Item, now: float, app_id: str) -> None:
        """Record the answer to one read of a batch."""
        if item.path == "debug_token":
            token = item.params["input_token"]
            self.questions[token] += 1
            answer = item.debugged(now, app_id)
            if answer is not None:
                self.answers.setdefault(token, []).append(answer)
        elif item.path != "me":
            self.read[item.path] = now
        elif item.refuses_token:
            self.refused[item.params["access_token"]] = now


class WorldHttp(MemoryHttp):
    """Sends to a sandbox's world without a network; each request takes a moment of the clock."""

    def __init__(self, world: World, clock: SystemClock, weather: Weather, facts: Answered) -> None:
        super().__init__()
        self._world = world
        self._clock = clock
        self._weather = weather
        self._facts = facts

    def answer(self, sent: Sent) -> Response:
        """Send a request, and record the answer."""
        self._clock.sleep(REQUEST_SECONDS)
        if self._weather.down:
            raise HttpError("connect", maybe_sent=False)
        asked = make_request(sent.method, sent.target, sent.headers, sent.body)
        reply = respond(self._world, asked)
        content = self._weather.edited(asked, reply.status, reply.body)
        self._record(asked, reply.status, content)
        return Response(reply.status, {name.lower(): value for name, value in reply.headers}, content)

    def _record(self, asked: Request, status: int, content: bytes) -> None:
        now = self._clock.monotonic()
        self._facts.given.update(given(asked, content))
        for item in items_of(asked, status, content):
            self._facts.item(item, now, self._world.app.id)
        last = asked.path.rsplit("/", 1)[-1]
        if last.isdigit():
            self._facts.read[last] = now
