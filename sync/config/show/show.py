"""What applies after all defaults, key by key, and the file and line that each value comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync.config.errors import KeyPath
from sync.config.load import Config, Sources
from sync.config.parse.locations import Location, locations
from sync.config.resolve.pages import At
from sync.config.schema.types import duration_text
from sync.core.model import Checks, Page
from sync.core.secret import Secret

_REFERENCES: tuple[frozenset[str], ...] = tuple(map(frozenset, ({"env"}, {"file"}, {"store", "path", "key"})))
_FREE = ("payload", "labels", "tags", "header_value")
"""Keys whose values are anybody's texts; what could be a secret that stands there in the wrong place is not shown."""
_SECRET_LIKE = re.compile(r"[A-Za-z0-9]{25}")
_HIDDEN = "?"


@dataclass(frozen=True, slots=True)
class Shown:
    """One key with the value that applies, as JSON would hold it. ``file`` and ``line`` are None for a default."""

    key: str
    value: Any
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ShownPage:
    """One Page with all that applies to it."""

    name: str
    values: tuple[Shown, ...]


def shown_settings(config: Config, sources: Sources) -> list[Shown]:
    """Return every key but the Pages', in the order of the models; a reference is one value, and never what it refers to."""
    values = config.settings.model_dump(mode="json", exclude={"pages"})
    _choose_only(values)
    leaves = list(_leaves(values, ()))
    found = locations(sources.documents[0].text, {path for path, _ in leaves})
    return [_shown(_dotted(path), _safe(path, value), sources, 0, found.get(path)) for path, value in leaves]


def shown_pages(config: Config, sources: Sources) -> list[ShownPage]:
    """Return every Page with what applies to it: its own word, else that of the defaults, else of the program."""
    wanted: dict[int, set[KeyPath]] = {0: set()}
    origins = [list(_origins(page, at)) for page, at in zip(config.pages, sources.entries, strict=True)]
    for document, path in (at for of_page in origins for _, _, ats in of_page for at in ats):
        wanted.setdefault(document, set()).add(path)
    found = {document: locations(sources.documents[document].text, paths) for document, paths in wanted.items()}

    def told(key: str, value: Any, ats: Iterable[At]) -> Shown:
        for document, path in ats:
            if path in found[document]:
                return _shown(key, _safe((key,), value), sources, document, found[document][path])
        return Shown(key, _safe((key,), value))

    return [
        ShownPage(page.name, tuple(told(key, value, ats) for key, value, ats in of_page))
        for page, of_page in zip(config.pages, origins, strict=True)
    ]


def _origins(page: Page, at: At) -> Iterator[tuple[str, Any, list[At]]]:
    """Return each key of a Page with its value, and the places where it may stand, the first that is there counting."""
    document, path = at

    def either(*keys: str) -> list[At]:
        return [(document, (*path, *keys)), (0, ("defaults", *keys))]

    yield "id", page.id, [(document, (*path, "id"))]
    yield "name", page.name, [(document, (*path, "name")), (document, (*path, "id"))]
    yield "system_user", page.system_user, either("system_user")
    yield "app", page.app, [(0, ("system_users", page.system_user, "app"))]
    yield "stores", [f"{key.store}:{key.path}" for key in page.targets], either("stores")
    yield "checks.scopes", list(page.checks.scopes), either("checks", "scopes")
    yield "checks.expires", duration_text(page.checks.expires), either("checks", "expires")
    yield "hold", page.hold, either("hold")
    payload = page.payload.render(Secret("{token}")).reveal()
    if isinstance(payload, str):
        yield "payload", payload, either("payload")
    else:
        yield from ((f"payload.{name}", value, either("payload", name)) for name, value in payload.items())
    yield from ((f"labels.{label}", value, either("labels", label)) for label, value in page.labels.items())


def _choose_only(values: dict[str, Any]) -> None:
    """Put what is taken where nothing is said into the place of what is not said."""
    defaults = values["defaults"]
    for key, section in (("system_user", "system_users"), ("stores", "stores")):
        if defaults[key] is None and len(values[section]) == 1:
            (only,) = values[section]
            defaults[key] = [only] if key == "stores" else only
    usual = Checks()
    given = {"scopes": list(usual.scopes), "expires": duration_text(usual.expires)}
    defaults["checks"] = {key: given[key] if value is None else value for key, value in defaults["checks"].items()}


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value and not _is_reference(value):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _is_reference(value: Mapping[str, Any]) -> bool:
    return frozenset(value) in _REFERENCES and all(isinstance(inner, str) for inner in value.values())


def _safe(path: KeyPath, value: Any) -> Any:
    free = any(str(part).split(".")[0] in _FREE for part in path)
    return _HIDDEN if free and isinstance(value, str) and _SECRET_LIKE.search(value) else value


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _shown(key: str, value: Any, sources: Sources, document: int, location: tuple[Location, Location] | None) -> Shown:
    return Shown(key, value, sources.documents[document].file, location[1][0]) if location else Shown(key, value)
