"""Connections that are kept for later requests.

httpcore's own pool checks every connection before and after each request, under one lock. With eight threads that costs
as much as the requests (measured 2026-11-25), so here it only makes the connections.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import httpcore

from sync.http.sockets import SLICE, Attempt

T = TypeVar("T")


class HostPool:
    """The connections to one host, at most ``most`` at a time; the last one used is the first to be used again."""

    def __init__(self, make: Callable[[], Any], most: int) -> None:
        self._make = make
        self._slots = threading.Semaphore(most)
        self._idle: deque[Any] = deque()
        self._closed = False

    def send(self, request: httpcore.Request, attempt: Attempt, read: Callable[[httpcore.Response], T]) -> T:
        """Send over a free connection, and return what ``read`` makes of the answer."""
        while not self._slots.acquire(timeout=min(attempt.left(), SLICE)):
            pass
        try:
            connection = self._take()
            try:
                response = connection.handle_request(request)
                try:
                    return read(response)
                finally:
                    response.close()
            finally:
                # A connection that could not be made reports that it is idle as well as closed.
                if connection.is_idle() and not connection.is_closed() and not self._closed:
                    self._idle.append(connection)
                else:
                    connection.close()
        finally:
            self._slots.release()

    def close(self) -> None:
        """Close the idle connections now, and those in use as soon as they are idle."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Any:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._make()
            if not connection.has_expired():
                return connection
            connection.close()
