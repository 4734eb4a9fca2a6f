"""Load a configuration: from the path of a file to a checked configuration, or to all its errors at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sync.config.errors import Finding, KeyPath
from sync.config.parse.reader import Document, FileReader, further
from sync.config.parse.translate import details_of, finding
from sync.config.parse.yaml import Unreadable
from sync.config.resolve.check import check_settings, check_state, names_of
from sync.config.resolve.pages import Origin, PageResolver
from sync.config.schema.pages import FilePage
from sync.config.schema.settings import Settings
from sync.core.model import Page
from sync.runtime.garbage import uncollected


@dataclass(frozen=True, slots=True)
class Config:
    """A complete and valid configuration.

    In ``settings`` every system user has its app, and paths of files are absolute. Its ``pages`` are empty: the Pages here have
    every default applied, and every placeholder but the token filled in. ``warnings`` are sentences to show at each start.
    ``base`` is the folder that references to files are relative to. ``files`` are all files that were read, the main one first.
    """

    base: Path
    files: tuple[Path, ...]
    settings: Settings
    pages: tuple[Page, ...]
    warnings: tuple[str, ...]


_FILE_PAGES: TypeAdapter[tuple[FilePage, ...]] = TypeAdapter(tuple[FilePage, ...])
# Replaces invalid sections, so that the rest can be checked; the result is discarded.
_STAND_IN: Mapping[str, Any] = {
    "instance": "unknown",
    "apps": {"unknown": {"id": "0", "secret": {"env": "UNKNOWN"}}},
    "system_users": {"unknown": {"token": {"env": "UNKNOWN"}}},
    "stores": {"unknown": {"type": "file", "directory": "unknown"}},
}


_BY_ENTRY = ("apps", "system_users", "stores", "pages", "graph", "defaults", "log", "brake", "schedule")
"""Sections of which one invalid entry can be left out, so that the rest can still be checked."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a configuration: its files, the main one first, and the location of each Page in them."""

    documents: tuple[Document, ...]
    entries: tuple[Origin, ...]


def load(path: Path) -> Config:
    """Read the file and all files that it names; raises ConfigErrors with every error of all files."""
    return load_with_sources(path)[0]


def load_with_sources(path: Path) -> tuple[Config, Sources]:
    """Read as ``load`` does, and return the sources too."""
    with uncollected():
        return _load(path)


def _load(path: Path) -> tuple[Config, Sources]:
    reader = FileReader()
    reader.read(path)
    raw = reader.documents[0].value
    base = path.parent.absolute()
    if isinstance(raw, Unreadable):
        reader.finish()
    settings, listed = _settings(raw, base, reader)
    raw = raw if isinstance(raw, dict) else {}
    names = names_of(raw)
    reader.warnings += check_settings(settings, raw, listed, names, reader.report)
    resolver = PageResolver(settings, names, reader.report)
    for index, entry in zip(listed, settings.pages, strict=True):
        resolver.add((0, ("pages", index)), entry)
    files = [path, *_further(settings, path, reader, resolver)]
    if files[1:] and not (resolver.entries or reader.errors or reader.findings):
        reader.report(Finding(0, ("pages_from",), "no-files", "the files list no Page", "list at least one Page"))
    resolver.check_references()
    check_state(settings, base, files, reader.report)
    for name, store in settings.stores.items():
        paths = [key.path for page in resolver.pages for key in page.targets if key.store == name]
        reader.warnings.extend(f"stores.{name}: {sentence}" for sentence in store.warnings(paths))
    reader.finish()
    config = Config(
        base=base,
        files=tuple(files),
        settings=_completed(settings),
        pages=tuple(resolver.pages),
        warnings=tuple(reader.warnings),
    )
    return config, Sources(tuple(reader.documents), tuple(resolver.entries))


def _completed(settings: Settings) -> Settings:
    """Return the settings with the app of each system user filled in, and without the Pages."""
    only = next(iter(settings.apps))
    users = {
        name: user if user.app else user.model_copy(update={"app": only})
        for name, user in settings.system_users.items()
    }
    return settings.model_copy(update={"system_users": users, "pages": ()})


def _settings(raw: Any, base: Path, reader: FileReader) -> tuple[Settings, list[int]]:
    """Validate the main file; if parts of it are invalid, return the rest, with the indices of the Pages that are left."""
    context = {"base": base}
    try:
        settings = Settings.model_validate(raw, context=context)
    except ValidationError as error:
        details = details_of(error, raw, lambda part: Settings.model_validate(part, context=context))
    else:
        return settings, list(range(len(settings.pages)))
    wrong: set[KeyPath] = set()
    for detail in details:
        reader.report(finding(detail, raw, Settings, 0))
        wrong.add(_entry(detail))
    while True:
        rest, listed = _without(raw if isinstance(raw, dict) else {}, wrong)
        try:
            return Settings.model_validate(rest, context=context), listed
        except ValidationError as error:
            # What was only valid together with an entry that is left out is left out too.
            follows = {_entry(detail) for detail in error.errors(include_url=False, include_input=False)}
            if follows <= wrong:
                raise
            wrong |= follows


def _entry(detail: ErrorDetails) -> KeyPath:
    """Return the path of what is left out because of an error."""
    loc = detail["loc"]
    return loc[: 2 if loc and loc[0] in _BY_ENTRY else 1]


def _without(raw: Mapping[str, Any], wrong: set[KeyPath]) -> tuple[dict[str, Any], list[int]]:
    rest = {key: value for key, value in raw.items() if (key,) not in wrong}
    for section in _BY_ENTRY:
        entries = rest.get(section)
        if isinstance(entries, dict):
            rest[section] = {name: entry for name, entry in entries.items() if (section, name) not in wrong}
    if not wrong.isdisjoint([("schedule", "every"), ("schedule", "cron")]):
        # The default interval now stands in for this one, and says nothing about the jitter.
        rest.get("schedule", {}).pop("jitter", None)
    schedule = rest.get("schedule")
    if ("graph", "timeout") in wrong and isinstance(schedule, dict):
        schedule.pop("deadline", None)
    # An invalid choice in defaults is replaced by any valid one, so that no error asks each Page to make it.
    for key, section in (("system_user", "system_users"), ("stores", "stores")):
        chosen = wrong.isdisjoint([("defaults",), ("defaults", key)])
        if not chosen and isinstance(raw.get(section), dict) and raw[section]:
            name = next(iter(raw[section]))
            rest.setdefault("defaults", {})[key] = [name] if key == "stores" else name
    for key, value in _STAND_IN.items():
        if not rest.get(key):
            rest[key] = value
    pages = rest.get("pages", [])
    listed = [index for index in range(len(pages)) if ("pages", index) not in wrong]
    return {**rest, "pages": [pages[index] for index in listed]}, listed


def _further(settings: Settings, main: Path, reader: FileReader, resolver: PageResolver) -> list[Path]:
    read: list[Path] = []
    reader.patterns = settings.pages_from
    for index, (_, files) in enumerate(further(settings.pages_from, main)):
        if not files:
            remedy = "check the pattern, and that the folder is mounted"
            reader.report(Finding(0, ("pages_from", index), "no-files", "no file matches", remedy))
        for file in files:
            document = reader.read(file)
            read.append(file)
            for at, entry in _file_pages(reader, document):
                resolver.add(at, entry)
    return read


def _file_pages(reader: FileReader, document: int) -> list[tuple[Origin, FilePage]]:
    raw = reader.documents[document].value
    if isinstance(raw, Unreadable):
        return []
    wrong: set[str | int] = set()
    try:
        entries = _FILE_PAGES.validate_python(raw, strict=False)
    except ValidationError as error:
        for detail in details_of(error, raw, _FILE_PAGES.validate_python):
            reader.report(finding(detail, raw, tuple[FilePage, ...], document))
            wrong.update(detail["loc"][:1])
        left = [index for index in range(len(raw)) if index not in wrong] if isinstance(raw, list) else []
        return [((document, (index,)), _FILE_PAGES.validate_python([raw[index]])[0]) for index in left]
    return [((document, (index,)), entry) for index, entry in enumerate(entries)]
