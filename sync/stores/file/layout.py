"""The files of a file store: each secret, the hidden marks file beside it, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sync.core.marks import from_map, patch
from sync.core.model import Marks, Stored, Version
from sync.core.payload import Payload, parse_text
from sync.runtime.threads import Clock
from sync.stores.file import disk
from sync.stores.file.disk import Bytes

_SUFFIX = ".page-token-sync"


def sidecar_name(name: str) -> str:
    """Return the name of a secret's marks file."""
    return f".{name}{_SUFFIX}"


def marked_name(sidecar: str) -> str | None:
    """Return the secret's name that a marks file belongs to; None if this is not a marks file."""
    inner = sidecar.removeprefix(".").removesuffix(_SUFFIX)
    return inner if inner and sidecar == sidecar_name(inner) else None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a marks file.

    ``creating`` is set while a secret is being created: the stamp of the content that this program writes. A file with
    other content that appears in the meantime is someone else's, so the marks do not apply to it.
    """

    marks: Mapping[str, str] = field(default_factory=dict)
    creating: str | None = None

    def encode(self) -> bytes:
        """Return the JSON to store."""
        return json.dumps({"marks": dict(self.marks), "creating": self.creating}, indent=1, sort_keys=True).encode()

    def wanted(self, marks: Marks, *, creating: str | None = None) -> Sidecar:
        """Return a copy with these marks; keys of other tools stay."""
        changed = {**self.marks, **patch(marks, self.marks)}
        return Sidecar({key: value for key, value in changed.items() if value is not None}, creating)


def _decode(content: Bytes | None) -> Sidecar | None:
    if content is None or content.data is None:
        return None
    try:
        value = json.loads(content.data)
    except (ValueError, RecursionError):
        return None
    marks = value.get("marks") if isinstance(value, dict) else None
    if not isinstance(marks, dict):
        return None
    creating = value.get("creating")
    texts = {key: text for key, text in marks.items() if isinstance(text, str)}
    return Sidecar(texts, creating if isinstance(creating, str) else None)


@dataclass(frozen=True, slots=True)
class State:
    """A secret's file and its marks as they were read together; ``file`` is None where there is no file."""

    file: Bytes | None
    sidecar: Sidecar | None

    @property
    def there(self) -> bool:
        """Whether there is a file, or marks of page-token-sync without one."""
        return self.file is not None or self.marks is not None

    @property
    def marks(self) -> Marks | None:
        """The marks, if they apply to this file."""
        if self.sidecar is None:
            return None
        other = self.file is not None and self.sidecar.creating not in (None, self.file.stamp)
        return None if other else from_map(self.sidecar.marks)

    @property
    def version(self) -> Version:
        """A hash of the content; as in the other stores, a change of the marks does not change it."""
        return self.file.stamp[:16] if self.file else "none"

    def payload(self, *, raw: bool) -> Payload | None:
        """Return the payload; None where the file has none of the wanted form."""
        if self.file is None or self.file.data is None:
            return None
        try:
            text = self.file.data.decode()
        except UnicodeDecodeError:
            return None
        return parse_text(text, raw=raw)

    def stored(self, *, raw: bool) -> Stored:
        """Return the secret as a cycle judges it.

        Marks without a file are an empty secret if its creation was interrupted, else a deleted one.
        """
        if self.file is None:
            begun = self.sidecar is not None and self.sidecar.creating is not None
            return Stored(None, self.version, self.marks, "empty" if begun else "deleted")
        return Stored(self.payload(raw=raw), self.version, self.marks)


def load(fd: int, name: str) -> State:
    """Read a file and its marks from an open folder."""
    return State(disk.read(fd, name), _decode(disk.read(fd, sidecar_name(name))))


def save_marks(fd: int, name: str, sidecar: Sidecar) -> None:
    """Replace the marks file."""
    disk.put(fd, sidecar_name(name), sidecar.encode())


def set_aside(fd: int, name: str, time: str) -> list[tuple[str, str]]:
    """Rename a secret and its marks to hidden names that no secret has; return the old and the new names.

    The marks get their new name first and lose the old one last. So a kill leaves the secret as it was, or complete under the new
    names, with marks at the old one, which alone are a deleted secret.
    """
    marks, suffix = sidecar_name(name), f".pruned-{time}"
    moved = [(name, f".{name}{suffix}"), (marks, f"{marks}{suffix}")]
    (_, hidden), (_, hidden_marks) = moved
    for new in (hidden, hidden_marks):
        if os.access(new, os.F_OK, dir_fd=fd, follow_symlinks=False):
            raise disk.RefusedError(f"{new}, its name after the deletion, exists already")
    os.link(marks, hidden_marks, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
    os.rename(name, hidden, src_dir_fd=fd, dst_dir_fd=fd)
    try:
        os.unlink(marks, dir_fd=fd)
        os.fsync(fd)
    except OSError as error:
        raise disk.UnsyncedError(error.errno, "") from None
    return moved


@dataclass(frozen=True, slots=True)
class Found:
    """A secret with marks: the open folder that it is in, the path of that folder, its name, and its marks."""

    fd: int
    above: tuple[str, ...]
    name: str
    marks: Marks

    @property
    def path(self) -> str:
        """The path of the secret in the store."""
        return "/".join((*self.above, self.name))


def marked(root: int) -> Iterator[Found]:
    """Yield every secret that has marks, whatever instance they name."""
    for fd, above, names in disk.walk(root):
        for name in filter(None, map(marked_name, names)):
            state = _load_or_none(fd, name)
            if state is not None and state.file is not None and state.marks is not None:
                yield Found(fd, above, name, state.marks)


def loose_modes(found: Found, folders: set[tuple[str, ...]], *, fix: bool) -> Iterator[tuple[str, int]]:
    """Yield path and mode of a secret, its marks and its folder where other users may use them; each of ``folders`` once.

    With ``fix`` the modes are corrected.
    """
    names = [*([] if found.above in folders else ["."]), found.name, sidecar_name(found.name)]
    folders.add(found.above)
    for name in names:
        mode = disk.tighten(found.fd, name, fix=fix)
        if mode is not None:
            yield "/".join(found.above if name == "." else (*found.above, name)), mode


def sweep(root: int, clock: Clock) -> None:
    """Remove temporary files, and finish creations that were interrupted after the content was written.

    Where there are none nothing is written, not even the lock file.
    """
    if not any(True for _ in _leftovers(root)):
        return
    with disk.locked(root, timeout=0, clock=clock):
        for fd, name, sidecar in _leftovers(root):
            if sidecar is None:
                os.unlink(name, dir_fd=fd)
            else:
                save_marks(fd, name, Sidecar(sidecar.marks))


def _leftovers(root: int) -> Iterator[tuple[int, str, Sidecar | None]]:
    """Yield temporary files, without marks, and secrets whose creation was interrupted, with theirs."""
    for fd, _, names in disk.walk(root):
        for name in filter(disk.is_temporary, names):
            yield fd, name, None
        for name in filter(None, map(marked_name, names)):
            state = _load_or_none(fd, name)
            if state and state.sidecar and state.file and state.sidecar.creating == state.file.stamp:
                yield fd, name, state.sidecar


def _load_or_none(fd: int, name: str) -> State | None:
    try:
        return load(fd, name)
    except (OSError, disk.RefusedError):
        return None
