"""A configured program with a file store, a sandbox of any size, and a terminal of any width."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
from pathlib import Path

from sync.sandbox.http.server import Sandbox
from tests.support.forkserver import shared
from tests.support.rigs.e2e import Rig


def file_rig(folder: Path, sandbox: Sandbox) -> Rig:
    """Return a configuration with a file store."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    return Rig(folder, sandbox, {"type": "file", "directory": str(secrets)})


def on_a_terminal(
    *arguments: str, columns: int = 80, env: dict[str, str] | None = None, typed: str = "", interrupt: str = ""
) -> tuple[int, str]:
    """Run a command on a terminal, where a person has typed something ahead; returns the exit code and the terminal's output.

    ``interrupt`` is a text after which the process gets a SIGINT, and another one for each second in which it shows nothing:
    the first is without effect where it comes just before Python's ``input`` begins to wait.
    """
    terminal, process_end = pty.openpty()
    fcntl.ioctl(process_end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {"TERM": "xterm-256color", "COLUMNS": str(columns), **(env or {})}
    process = shared().start(
        *arguments, stdin=process_end, stdout=process_end, stderr=process_end, environment=environment
    )
    os.close(process_end)
    os.write(terminal, typed.encode())
    shown, interrupted = b"", False
    while True:
        if interrupted and not select.select([terminal], [], [], 1.0)[0]:
            process.send_signal(signal.SIGINT)
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if interrupt and not interrupted and interrupt.encode() in shown:
            process.send_signal(signal.SIGINT)
            interrupted = True
    os.close(terminal)
    return process.wait(30), shown.decode().replace("\r\n", "\n")
