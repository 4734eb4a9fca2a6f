"""Reports to systemd, over a real socket: the states of sd_notify(3), and nothing where systemd does not listen."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.ops.health import Health
from sync.ops.sd_notify import SystemdNotifier

WELL, STUCK = Health(True, "The scheduler waits."), Health(False, "The cycle is stuck.")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(5)
        yield server


def notifier(server: socket.socket, health: Health = WELL, **more: str) -> SystemdNotifier:
    """Return a notifier in the environment that systemd makes."""
    return SystemdNotifier(lambda: health, {"NOTIFY_SOCKET": server.getsockname(), **more})


def test_states(systemd: socket.socket) -> None:
    """Start, reload and end are reported as systemd expects them."""
    found = notifier(systemd)
    for report, expected in (
        (found.ready, "READY=1"),
        (found.reloading, r"RELOADING=1\nMONOTONIC_USEC=\d+"),
        (found.stopping, "STOPPING=1"),
    ):
        report()
        assert re.fullmatch(expected, systemd.recv(1000).decode())


@pytest.mark.parametrize(
    ("health", "more", "expected"),
    [
        (WELL, {"WATCHDOG_USEC": "60000000"}, "WATCHDOG=1\nSTATUS=The scheduler waits."),
        (
            WELL,
            {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())},
            "WATCHDOG=1\nSTATUS=The scheduler waits.",
        ),
        (WELL, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, "STATUS=The scheduler waits."),
        (WELL, {}, "STATUS=The scheduler waits."),
        (STUCK, {"WATCHDOG_USEC": "60000000"}, "STATUS=The cycle is stuck."),
    ],
)
def test_watchdog(systemd: socket.socket, health: Health, more: dict[str, str], expected: str) -> None:
    """The watchdog is fed while the daemon is alive, where systemd asks this process for it; its status says why not."""
    found = notifier(systemd, health, **more)
    for _ in range(3):
        found.beat()
    assert systemd.recv(1000).decode() == expected
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(1000)


def test_abstract_socket() -> None:
    """An address that begins with @ is one without a file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0pts-test-{os.getpid()}")
        server.settimeout(5)
        SystemdNotifier(lambda: WELL, {"NOTIFY_SOCKET": f"@pts-test-{os.getpid()}"}).ready()
        assert server.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/no/such/socket"}, {"NOTIFY_SOCKET": ""}])
def test_nobody_listens(environment: dict[str, str]) -> None:
    """Without systemd, or when it has gone away, a report costs nothing and raises nothing."""
    found = SystemdNotifier(lambda: WELL, environment)
    found.ready()
    found.beat()
    found.stopping()


def test_a_full_socket_delays_nothing(systemd: socket.socket) -> None:
    """Reports that nobody reads are dropped."""
    found = notifier(systemd)
    for _ in range(2000):
        found.ready()
