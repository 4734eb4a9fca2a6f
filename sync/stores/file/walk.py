"""What is found by walking a file store: secrets of ours, and what a kill has left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sync.core.model import Marks
from sync.runtime.threads import Clock
from sync.stores.file import disk
from sync.stores.file.layout import Sidecar, State, load, marked_name, save_marks


def marked(root: int) -> Iterator[tuple[str, Marks]]:
    """Find the files that have our marks beside them, whatever instance they name."""
    for fd, above, names in disk.walk(root):
        for name in filter(None, map(marked_name, names)):
            state = _loaded(fd, name)
            if state is not None and state.file is not None and state.marks is not None:
                yield "/".join((*above, name)), state.marks


def sweep(root: int, clock: Clock) -> None:
    """Remove temporary files, and end creations that were cut off after the content was there.

    Where there is nothing of the kind nothing is written, so not the lock file either.
    """
    if not any(True for _ in _leftovers(root)):
        return
    with disk.locked(root, timeout=0, clock=clock):
        for fd, name, state in _leftovers(root):
            if state is None:
                os.unlink(name, dir_fd=fd)
            elif state.sidecar is not None:
                save_marks(fd, name, Sidecar(state.sidecar.marks))


def _leftovers(root: int) -> Iterator[tuple[int, str, State | None]]:
    """Find temporary files, which have no state, and secrets whose creation was not ended."""
    for fd, _, names in disk.walk(root):
        for name in filter(disk.is_temporary, names):
            yield fd, name, None
        for name in filter(None, map(marked_name, names)):
            state = _loaded(fd, name)
            if state and state.sidecar and state.file and state.sidecar.creating == state.file.stamp:
                yield fd, name, state


def _loaded(fd: int, name: str) -> State | None:
    try:
        return load(fd, name)
    except (OSError, disk.RefusedError):
        return None
