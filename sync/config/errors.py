"""The closed list of codes of configuration errors, and errors with their locations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sync.core.redact import without_tokens

KeyPath = tuple[str | int, ...]
"""The path of a value: names of keys and indices of lists, from the top of its file."""

MAX_ERRORS = 1000
"""The maximum number of errors that are shown."""

CODES: dict[str, str] = {
    "internal-error": "A bug of this program keeps the edit from being in force; the message has its location.",
    "unreadable-file": "The file cannot be read.",
    "no-files": "A pattern of pages_from matches no file.",
    "empty-file": "The file is empty.",
    "not-utf8": "The file is not UTF-8 text.",
    "forbidden-character": "The file has a control character, a line break that most editors do not show, or a character that changes the direction of writing.",
    "too-large": "The files are larger than 16 MiB in total.",
    "too-deep": "Lists and mappings are nested too deeply.",
    "too-many-values": "The file has too many values.",
    "too-many-errors": "There are more errors than are shown.",
    "syntax": "The file is not valid YAML.",
    "second-document": "The file has more than one YAML document.",
    "alias": "Anchors and aliases are not allowed.",
    "tag": "YAML tags are not allowed.",
    "merge-key": "Merge keys are not allowed.",
    "bad-key": "A key is not a string.",
    "duplicate-key": "A key occurs twice in one mapping.",
    "unknown-key": "The key is unknown here in this version.",
    "missing-key": "A required key is missing.",
    "wrong-type": "The value has the wrong type.",
    "bad-value": "The value is not one of those that are allowed here.",
    "altered-id": "An id is written without quotes, so that YAML or a template changes it, or could change it.",
    "altered-value": "Text is written without quotes, so that YAML changes it, or could change it.",
    "bad-name": "A name has characters that are not allowed, or is too long.",
    "bad-duration": "The value is not a duration, or out of range.",
    "bad-share": "The value is not a percentage, or out of range.",
    "bad-schedule": "The keys of the schedule contradict each other.",
    "bad-cron": "The value is not a cron expression.",
    "bad-timezone": "The time zone is unknown.",
    "bad-address": "The value is not a usable http or https address.",
    "plain-http": "A secret would be sent over plain http.",
    "bad-template": "A template has an unknown placeholder or an unpaired brace, or lacks {token}.",
    "bad-path": "A path or name is not safe in the store, or not allowed by it.",
    "bad-reference": "The value is not a reference to a secret.",
    "secret-in-file": "The file contains a secret, or something that looks like one.",
    "reference-loop": "The credentials of a store are in the store itself.",
    "renewal-needs-store": "A token is to be renewed, but its reference names no store to write the new one to.",
    "bad-state-file": "The state file would overwrite another file, or is inside a store's directory.",
    "unknown-name": "No app, system user or store has this name.",
    "choice-needed": "A name is left out, and there are several to choose from.",
    "duplicate-name": "Two Pages have the same name.",
    "duplicate-page": "The same Page is listed twice for one system user.",
    "duplicate-target": "Two Pages or two stores lead to the same secret, or two receivers of notifications are the same.",
    "label-limit": "A label or tag exceeds a limit of the store.",
    "raw-payload": "A payload is one text, and the store holds JSON objects only.",
}
"""Every code of a configuration error, with its meaning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An error whose location is still to be looked up: the number of its file, and the key's path in it.

    ``key``: the error is about the key itself, not about its value. ``first`` is the location of the counterpart, such as the
    first of two equal names.
    """

    document: int
    path: KeyPath
    code: str
    message: str
    remedy: str
    key: bool = False
    first: tuple[int, KeyPath] | None = None


_LONG_RUN = re.compile(r"[A-Za-z0-9]{25}")
_SECRET = re.compile(
    r"[A-Za-z0-9]{32}"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # a UUID, such as the ids of an AppRole
    r"|(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{20}"
    r"|:[^/]*@|://"  # an address, perhaps with a password
)
_SHOWN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}|[A-Za-z0-9_][A-Za-z0-9_./:-]{0,29}")


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One error: its location, what is wrong, and what would be right.

    ``line`` and ``column`` count from 1. ``path`` is the path of the key, such as ``pages[1].id``; it is empty if the error is
    about the whole file. No text contains a value of the file that could be a secret.
    """

    file: str
    line: int
    column: int
    path: str
    code: str
    message: str
    remedy: str

    def __str__(self) -> str:
        at = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {at}{self.message} [{self.code}]\n    {self.remedy}"


class ConfigErrors(Exception):  # noqa: N818 - it has many errors
    """The configuration is not usable; ``errors`` are all errors, sorted by file and line.

    ``warnings`` are sentences about the main file, which is ``file``. ``patterns`` are those of its ``pages_from``, as far as
    they could be read.
    """

    def __init__(
        self, errors: Sequence[ConfigError], warnings: Sequence[str] = (), file: str = "", patterns: Sequence[str] = ()
    ) -> None:
        self.errors = tuple(errors)
        self.warnings = tuple(warnings)
        self.file = file
        self.patterns = tuple(patterns)
        super().__init__("\n".join(str(error) for error in self.errors))


def shown(name: str) -> str:
    """Return a key or name if it may be shown, or ``?`` if it could be a misplaced secret."""
    return name if _SHOWN.fullmatch(name) and not _LONG_RUN.search(name) else "?"


def looks_like_secret(text: str) -> bool:
    """Check whether text that should name a variable or a file could be the secret itself."""
    return bool(_SECRET.search(text)) or without_tokens(text) != text


def shown_path(path: str) -> str:
    """Return a path with ``?`` for each segment that could be a misplaced secret."""
    return "/".join("?" if looks_like_secret(segment) else segment for segment in path.split("/"))


def path_text(path: KeyPath) -> str:
    """Return a key path as ``pages[1].id``, with keys that could be secrets hidden."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{shown(part)}" if text else shown(part)
    return text
