"""Look at everything that the running daemon serves, and compare it with what it must show."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.soak import html, metrics, page
from tools.soak.cycles import Cycles
from tools.soak.records import Process, contradictions

PATHS = ("/healthz", "/readyz", "/status.json", "/metrics", "/", "/status.json")
_LATE = 3.0
"""Seconds after the end of a cycle within which it is shown: until then it is being logged, on a busy machine."""


@dataclass(frozen=True)
class Look:
    """The answers of one process to all paths, one after the other: each a status and a body."""

    process: int
    at: float
    answers: tuple[tuple[int, str], ...]

    @property
    def is_of_one_moment(self) -> bool:
        """Whether the status was the same before and after the page and the metrics."""
        return self.answers[2][0] == 200 and self.answers[2] == self.answers[-1]


class Watcher:
    """A thread that looks all the time. ``process`` numbers the processes, ``address`` is where the present one listens."""

    def __init__(self, pause: float = 0.4) -> None:
        self.process = 0
        self.address = ""
        self._looks: list[Look] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._pause = pause
        threading.Thread(target=self._run, daemon=True).start()

    def taken(self) -> list[Look]:
        """Return the looks since the last call."""
        with self._lock:
            looks, self._looks = self._looks, []
            return looks

    def close(self) -> None:
        """End the thread."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            process, address = self.process, self.address
            if not address:
                continue
            found = look(address, process)
            if found is not None and process == self.process:
                with self._lock:
                    self._looks.append(found)


def look(address: str, process: int) -> Look | None:
    """Return what a daemon answers; None where it does not: it starts, or was killed meanwhile."""
    at, answers = time.time(), []
    for path in PATHS:
        try:
            answers.append(fetched(address, "GET", path))
        except (OSError, http.client.HTTPException):
            return None
    return Look(process, at, tuple(answers))


def fetched(address: str, method: str, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return the status and the body of one answer."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@dataclass
class Looks:
    """Compares the looks at one process, in order. ``counts`` says how much of each kind was compared."""

    counts: dict[str, int] = field(default_factory=dict)
    _scrape: metrics.Scrape = field(default_factory=dict)

    def wrong(self, look: Look, process: Process, cycles: Cycles, rejected: bool | None) -> Iterator[str]:
        """Yield what is untrue of a look; ``rejected``: whether the newest edit is invalid, None where that is open."""
        refused = [
            f"{path} answers {status}: {text[:200]}"
            for path, (status, text) in zip(PATHS[3:5], look.answers[3:5], strict=True)
            if status != 200
        ]
        if refused:
            yield from refused
            return
        scrape = self._read(look.answers[3][1])
        yield from metrics.decreased(self._scrape, scrape)
        self._scrape = scrape
        yield from self._health(look, process)
        if rejected is not None and scrape["config_last_reload_successful"][frozenset()] == float(rejected):
            yield f"config_last_reload_successful is wrong: the newest edit is {'invalid' if rejected else 'valid'}"
        if not look.is_of_one_moment:
            return
        status = json.loads(look.answers[2][1])
        if rejected is not None and rejected != (status["config_error"] is not None):
            yield f"config_error is {status['config_error']}, and the newest edit is {'invalid' if rejected else 'valid'}"
        yield from self._status(look, status, process)
        for kind in ("/status.json", "/metrics", "/"):
            self.counts[kind] = self.counts.get(kind, 0) + 1
        states = process.shown(status)
        yield from (f"/metrics: {what}" for what in metrics.wrong(scrape, status, states))
        try:
            tree = html.read(look.answers[4][1])
            yield from (f"/: {what}" for what in page.wrong(tree, status))
            for card in page.cards(tree):
                names = () if card.scope or not card.all_named else card.names
                for what in cycles.wrong_since(card.code, names, card.since, status["started_at"]):
                    yield f"/: the card {card.code} {card.whose}: {what}"
        except (ValueError, StopIteration, KeyError, IndexError) as error:
            yield f"/ cannot be read: {type(error).__name__}: {error}"

    def _read(self, text: str) -> metrics.Scrape:
        self.counts["scrapes"] = self.counts.get("scrapes", 0) + 1
        return metrics.read(text)

    def _health(self, look: Look, process: Process) -> Iterator[str]:
        (alive, alive_text), (ready, ready_text) = look.answers[:2]
        self.counts["health"] = self.counts.get("health", 0) + 2
        if alive != 200:
            yield f"/healthz answers {alive}: {alive_text}"
        settled = [state for state in process.states if state.recorded_at < look.at - _LATE]
        if ready == 503 and settled:
            yield f"/readyz answers 503, and a cycle has ended: {ready_text}"
        recent = [state for state in process.states if abs(state.recorded_at - look.at) <= _LATE]
        results = {state.report["result"] or "" for state in (*settled[-1:], *recent)}
        if ready == 200 and not any(result in json.loads(ready_text)["reason"] for result in results):
            yield f"/readyz says {ready_text}, and the last cycles had other results"

    def _status(self, look: Look, status: Mapping[str, Any], process: Process) -> Iterator[str]:
        yield from (f"/status.json: {what}" for what in contradictions(status))
        states = process.shown(status)
        if not states:
            same = [one for one in process.states if one.report["cycle"] == status["cycle"]]
            names = [name for name in status if same and status[name] != same[-1].report.get(name)]
            yield f"/status.json shows cycle {status['cycle']} otherwise than its report: {names}"
            return
        settled = [one for one in process.states if one.recorded_at < look.at - _LATE]
        if settled and states[0].recorded_at < settled[-1].recorded_at:
            yield f"/status.json shows cycle {status['cycle']}, and {settled[-1].report['cycle']} had ended long before"
