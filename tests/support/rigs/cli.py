"""A configured program with a file store, a sandbox of any size, and a terminal of any width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

from sync.sandbox.http.server import Sandbox
from tests.support.rigs.e2e import PROGRAM, Rig


def file_rig(folder: Path, sandbox: Sandbox) -> Rig:
    """Return a configuration with a file store."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    return Rig(folder, sandbox, {"type": "file", "directory": str(secrets)})


def on_a_terminal(*arguments: str, columns: int = 80, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command with a terminal for its output; gives the exit code, and what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **(env or {})}
    process = subprocess.Popen([*PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(30), shown.decode().replace("\r\n", "\n")
