"""Measure how long 10,000 Pages take to load, relative to PyYAML alone; ``python -m tools.config_speed`` prints it."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from sync.config.load import load

_HEAD = """\
version: 1
instance: acme-prod
apps: {messenger: {id: "123456789012345", secret: {file: /run/secrets/app}}}
system_users: {main: {token: {file: /run/secrets/token}}}
stores:
  vault: {type: vault, address: "https://vault.internal:8200", auth: {method: token, token: {env: VAULT_TOKEN}}}
pages:
"""


def text(pages: int) -> str:
    """Return a configuration of so many Pages."""
    return _HEAD + "".join(f'  - {{id: "{10**14 + number}", name: page-{number}}}\n' for number in range(pages))


def ratio(*, pages: int = 10_000, rounds: int = 5) -> float:
    """Return the time of ``load`` as a multiple of ``yaml.load`` with CSafeLoader, each the best of several alternating rounds.

    It is CPU time, so other processes on the machine have little influence.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text(pages), encoding="utf-8")
        plain = path.read_text(encoding="utf-8")
        baseline, loaded = [], []
        for _ in range(rounds):
            baseline.append(_seconds(lambda: yaml.load(plain, Loader=yaml.CSafeLoader)))
            loaded.append(_seconds(lambda: load(path)))
        return min(loaded) / min(baseline)


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    kept = work()
    seconds = time.process_time() - begin
    del kept
    return seconds


if __name__ == "__main__":
    print(f"{ratio():.2f} times yaml.load with CSafeLoader")
