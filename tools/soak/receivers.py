"""Receivers of notifications and of the heartbeat for the soak test, which fail at random."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON, SLACK, HEARTBEAT = "/json", "/slack", "/heartbeat"
_SILENT_SECONDS = 11.0
"""Longer than the daemon waits for an answer."""
_FAILURES = ("500", "503", "429", "reset", "slow", "silent")
_WEIGHTS = (4, 2, 3, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request. ``taken``: it was answered with 200, so that it is not to be sent again."""

    at: float
    path: str
    body: str
    taken: bool


@dataclass
class Receivers:
    """What arrived so far, and the share of requests that fail."""

    random: random.Random
    url: str = ""
    failing: float = 0.0
    arrivals: list[Arrival] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self) -> str:
        """Return how the next request is answered."""
        with self.lock:
            how = "200" if self.random.random() >= self.failing else self.random.choices(_FAILURES, _WEIGHTS)[0]
            self.counts[how] = self.counts.get(how, 0) + 1
            return how

    def add(self, arrival: Arrival) -> None:
        """Record a request."""
        with self.lock:
            self.arrivals.append(arrival)

    def so_far(self, start: int) -> list[Arrival]:
        """Return what arrived, from a number on."""
        with self.lock:
            return self.arrivals[start:]


class _Handler(BaseHTTPRequestHandler):
    receivers: Receivers

    def do_GET(self) -> None:
        """Answer a heartbeat."""
        self._take("")

    def do_POST(self) -> None:
        """Answer a message."""
        self._take(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())

    def _take(self, body: str) -> None:
        how = self.receivers.answer()
        # Recorded before the answer, so that it is there when the daemon logs or does what follows from it.
        self.receivers.add(Arrival(time.time(), self.path, body, how in ("200", "slow")))
        self.close_connection = True
        if how == "silent":
            time.sleep(_SILENT_SECONDS)
        if how in ("silent", "reset"):
            return
        if how == "slow":
            time.sleep(2.0)
        self.send_response(200 if how == "slow" else int(how))
        if how == "429":
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Print nothing: a killed daemon leaves its connections."""


@contextmanager
def receivers(seed: int) -> Iterator[Receivers]:
    """Run the server until the block ends."""
    found = Receivers(random.Random(seed))
    handler = type("Handler", (_Handler,), {"receivers": found})
    with _Server(("127.0.0.1", 0), handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()
