"""Read the files of a configuration, and look up the locations of their errors."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.config.errors import MAX_ERRORS, ConfigError, ConfigErrors, Finding, KeyPath, path_text
from sync.config.listen import host_and_port
from sync.config.parse.locations import Location, locations
from sync.config.parse.yaml import Flaw, Unreadable, parse, position, without_forbidden
from sync.config.source import STDIN, read

MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its name in errors, its text, and the plain values in it."""

    file: str
    text: str
    value: Any


class FileReader:
    """Reads files up to a limit of bytes in total, the main one first, and collects their errors and warnings."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.errors: list[ConfigError] = []
        self.findings: dict[Finding, None] = {}
        self.warnings: list[str] = []
        self.patterns: Sequence[str] = ()
        self._left = MAX_BYTES
        self._skipped: set[tuple[str, int]] = set()

    def read(self, path: Path) -> int:
        """Read one file and return its number; its value is Unreadable if nothing of the file can be used."""
        file = str(path)
        text = self._text(path, file)
        value: Any = Unreadable()
        flaws: list[Flaw] = []
        if text is not None:
            text, forbidden = without_forbidden(text)
            value, flaws = parse(text)
            # What else is wrong with such a line is a consequence of the character.
            lines = {flaw.line for flaw in forbidden}
            self._skipped |= {(file, line) for line in lines}
            flaws = [*forbidden, *(flaw for flaw in flaws if flaw.line not in lines)]
        twice = {flaw.path for flaw in flaws if flaw.code == "duplicate-key"}
        # Only text that was read to its end can be read again.
        firsts = locations(text, twice) if text is not None and twice and not isinstance(value, Unreadable) else {}
        for flaw in flaws:
            first = firsts.get(flaw.path) if flaw.code == "duplicate-key" else None
            message = flaw.message + (_first_at(file, first[0]) if first else "")
            self.errors.append(
                ConfigError(file, flaw.line, flaw.column, path_text(flaw.path), flaw.code, message, flaw.remedy)
            )
        self.documents.append(Document(file, text or "", value))
        return len(self.documents) - 1

    def _text(self, path: Path, file: str) -> str | None:
        try:
            data = read(path, self._left + 1)
        except (OSError, ValueError) as error:
            cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            self._refuse(file, "unreadable-file", f"cannot be read: {cause}", "check the path and its permissions")
            return None
        if len(data) > self._left:
            self._refuse(file, "too-large", "the files are larger than 16 MiB in total", "use several instances")
            return None
        self._left -= len(data)
        try:
            text = data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8")
            at = position(before, len(before))
            self._refuse(file, "not-utf8", "not UTF-8", "save the file as UTF-8", at=at)
            return None
        if "\0" in text:  # UTF-16, of which nothing else can be said
            at = position(text, text.index("\0"))
            message = "the character U+0000 is not allowed here"
            self._refuse(file, "forbidden-character", message, "remove it, or save the file as UTF-8", at=at)
            return None
        return text

    def _refuse(self, file: str, code: str, message: str, remedy: str, *, at: Location = (1, 1)) -> None:
        self.errors.append(ConfigError(file, *at, "", code, message, remedy))

    def report(self, finding: Finding | None) -> None:
        """Add an error, the same one only once. Raises ConfigErrors when there are MAX_ERRORS."""
        if finding is not None and finding not in self.findings:
            if len(self.findings) + len(self.errors) >= MAX_ERRORS:
                self.finish(more=True)
            self.findings[finding] = None

    def finish(self, *, more: bool = False) -> None:
        """Raise ConfigErrors if there are errors; ``more``: there may be more of them."""
        order = {document.file: number for number, document in enumerate(self.documents)}
        located = (one for one in _placed(self.documents, self.findings) if (one.file, one.line) not in self._skipped)
        errors = sorted([*self.errors, *located], key=lambda error: (order[error.file], error.line, error.column))
        if more or len(errors) > MAX_ERRORS:
            del errors[MAX_ERRORS:]
            last, message = errors[-1], "there are more errors than are shown"
            errors.append(
                ConfigError(last.file, last.line, last.column, "", "too-many-errors", message, "fix these first")
            )
        if errors:
            raise ConfigErrors(errors, self.warnings, self.documents[0].file, self.patterns)


def written_listen(main: Path) -> str | None:
    """Return ``web.listen`` of a configuration that has errors elsewhere; None where it cannot be known."""
    if main == STDIN:
        return None
    reader = FileReader()
    reader.read(main)
    raw = reader.documents[0].value
    web = raw.get("web") if isinstance(raw, dict) else None
    listen = web.get("listen") if isinstance(web, dict) else None
    try:
        host_and_port(str(listen))
    except ValueError:
        return None
    return str(listen)


def further(patterns: Sequence[str], main: Path) -> list[tuple[str, list[Path]]]:
    """Return the files that each pattern matches, sorted, each file once and without the main file."""
    seen = {main.resolve()}
    found = []
    for pattern in patterns:
        files = []
        for name in sorted(glob.glob(pattern, root_dir=main.parent, recursive=True)):  # noqa: PTH207 - a pattern may be absolute
            path = main.parent / name
            if path.is_file() and path.resolve() not in seen:
                seen.add(path.resolve())
                files.append(path)
        found.append((pattern, files))
    return found


def _first_at(file: str, location: Location) -> str:
    return f" (the first is at {file}:{location[0]}:{location[1]})"


def _placed(documents: Sequence[Document], findings: Iterable[Finding]) -> list[ConfigError]:
    wanted: dict[int, set[KeyPath]] = {}
    for found in findings:
        for document, path in [(found.document, found.path), *([found.first] if found.first else [])]:
            wanted.setdefault(document, set()).update(path[:length] for length in range(len(path) + 1))
    known = {document: locations(documents[document].text, paths) for document, paths in wanted.items()}

    def at(document: int, path: KeyPath, *, key: bool) -> Location:
        while path and path not in known[document]:
            path, key = path[:-1], False
        location = known[document].get(path, ((1, 1), (1, 1)))
        return location[0] if key else location[1]

    errors = []
    for found in findings:
        line, column = at(found.document, found.path, key=found.key)
        message = found.message
        if found.first:
            other = at(*found.first, key=False)
            message += _first_at(documents[found.first[0]].file, other)
        file = documents[found.document].file
        errors.append(ConfigError(file, line, column, path_text(found.path), found.code, message, found.remedy))
    return errors
