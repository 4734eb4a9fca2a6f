"""What stands at one name of a file store: the file, and beside it the hidden file with our marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.core.marks import from_map, patch
from sync.core.model import Marks, Stored, Version
from sync.core.payload import Payload, parse_text
from sync.stores.file.disk import Bytes, put, read

_SUFFIX = ".page-token-sync"


def sidecar_name(name: str) -> str:
    """Return the name of the marks' file."""
    return f".{name}{_SUFFIX}"


def marked_name(sidecar: str) -> str | None:
    """Return the name whose marks' file this is; None where it is none."""
    inner = sidecar.removeprefix(".").removesuffix(_SUFFIX)
    return inner if inner and sidecar == sidecar_name(inner) else None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a marks' file.

    ``creating`` is set from before a file is created until after it: the stamp of the content that is ours. A file of
    any other content that appears meanwhile is another's, so its marks do not count for it.
    """

    marks: Mapping[str, str] = field(default_factory=dict)
    creating: str | None = None

    def encode(self) -> bytes:
        """Return the JSON that is kept on disk."""
        return json.dumps({"marks": dict(self.marks), "creating": self.creating}, indent=1, sort_keys=True).encode()

    def wanted(self, marks: Marks, *, creating: str | None = None) -> Sidecar:
        """Put our marks in; keys that are not ours stay."""
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
    """A file and its marks as they were read together; ``file`` is None where there is no file."""

    file: Bytes | None
    sidecar: Sidecar | None

    @property
    def there(self) -> bool:
        """Whether anything of ours or another's is there: a file, or our marks alone."""
        return self.file is not None or self.marks is not None

    @property
    def marks(self) -> Marks | None:
        """Our marks, where they count for this file."""
        if self.sidecar is None:
            return None
        other = self.file is not None and self.sidecar.creating not in (None, self.file.stamp)
        return None if other else from_map(self.sidecar.marks)

    @property
    def version(self) -> Version:
        """A name for the content, which says nothing of it; marks change beside it, as in the other stores."""
        return self.file.stamp[:16] if self.file else "none"

    def payload(self, *, raw: bool) -> Payload | None:
        """Read the payload; None where the file has none of the wanted form."""
        if self.file is None or self.file.data is None:
            return None
        try:
            text = self.file.data.decode()
        except UnicodeDecodeError:
            return None
        return parse_text(text, raw=raw)

    def stored(self, *, raw: bool) -> Stored:
        """Return what the cycle judges.

        Marks without a file are a container without a value where our creation was cut off, else a deleted secret.
        """
        if self.file is None:
            begun = self.sidecar is not None and self.sidecar.creating is not None
            return Stored(None, self.version, self.marks, "empty" if begun else "deleted")
        return Stored(self.payload(raw=raw), self.version, self.marks)


def load(fd: int, name: str) -> State:
    """Read a file and its marks from an open folder."""
    return State(read(fd, name), _decode(read(fd, sidecar_name(name))))


def save_marks(fd: int, name: str, sidecar: Sidecar) -> None:
    """Replace the marks' file."""
    put(fd, sidecar_name(name), sidecar.encode())
