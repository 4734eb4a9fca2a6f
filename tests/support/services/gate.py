"""A gate that makes two processes send the same write at the same moment."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from tests.support.services.fault_proxy import Fault, Reply, Request

_AWS_WRITES = ("CreateSecret", "PutSecretValue", "UpdateSecretVersionStage")


def subject(request: Request) -> str | None:
    """Return what a request writes; None if it writes no value."""
    if request.method in ("POST", "PUT") and "/data/" in request.path:
        return request.path
    operation = request.headers.get("x-amz-target", "").partition(".")[2]
    if operation in _AWS_WRITES:
        body = json.loads(request.body)
        return f"{operation} {body.get('Name') or body.get('SecretId')}"
    return None


@dataclass
class Gate:
    """Holds each write until another process sends the same one, or until ``patience`` seconds are over.

    ``met`` holds the writes at which two have met.
    """

    patience: float = 2.0
    met: set[str] = field(default_factory=set)
    _waiting: dict[str, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Reply | Fault | None:
        """Delay a request until another process makes the same one."""
        name = subject(request)
        if name is None or name in self.met:
            return None
        with self._lock:
            first = self._waiting.get(name)
            if first is not None:
                self.met.add(name)
                first.set()
                return None
            mine = self._waiting[name] = threading.Event()
        mine.wait(self.patience)
        return None
