"""Report to systemd what the daemon does, where it runs as a unit with ``Type=notify``.

The protocol is sd_notify(3) of systemd 257: a datagram of assignments, one a line, to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from sync.ops.health import Health

_SECONDS = 5.0
"""Seconds between two reports; half of the watchdog's time where that is shorter."""


class SystemdNotifier:
    """Sends states to systemd; where nothing listens, nothing happens.

    ``health`` returns whether the daemon is alive: while it is not, the watchdog is not fed, and systemd restarts the daemon.
    ``environment`` is that of the process.
    """

    def __init__(self, health: Callable[[], Health], environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._health = health
        address = environment.get("NOTIFY_SOCKET", "")
        # An address that begins with @ is in the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        limit = environment.get("WATCHDOG_USEC", "")
        is_for_this = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self._has_watchdog = limit.isdigit() and is_for_this
        self._every = min(_SECONDS, int(limit) / 2_000_000) if self._has_watchdog else _SECONDS
        self._next = 0.0

    def ready(self) -> None:
        """Report that the daemon runs."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the daemon ends."""
        self._send("STOPPING=1")

    def beat(self) -> None:
        """Report whether the daemon is alive, and what it does; to be called each second, and sent less often."""
        now = time.monotonic()
        if not self._address or now < self._next:
            return
        self._next = now + self._every
        health = self._health()
        watchdog = "WATCHDOG=1\n" if health.ok and self._has_watchdog else ""
        self._send(f"{watchdog}STATUS={health.reason}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A full or closed socket costs this report, and delays nothing.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto(state.encode(), self._address)
