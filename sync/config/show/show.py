"""The values in force after all defaults, key by key, each with the file and line that it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync.config.errors import KeyPath, shown_path
from sync.config.load import Config, Sources
from sync.config.parse.locations import Location, locations
from sync.config.resolve.pages import Origin
from sync.config.schema.types import duration_text
from sync.core.model import Checks, Page
from sync.core.secret import Secret

_REFERENCES: tuple[frozenset[str], ...] = tuple(map(frozenset, ({"env"}, {"file"}, {"store", "path", "key"})))
_FREE = ("payload", "labels", "tags", "header_value")
"""Keys with free text; a value that could be a misplaced secret is not shown."""
_SECRET_LIKE = re.compile(r"[A-Za-z0-9]{25}")
_HIDDEN = "?"


@dataclass(frozen=True, slots=True)
class Shown:
    """One key with the value in force, as in JSON. ``file`` and ``line`` are None for a default."""

    key: str
    value: Any
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ShownPage:
    """One Page with all its values."""

    name: str
    values: tuple[Shown, ...]


def shown_settings(config: Config, sources: Sources) -> list[Shown]:
    """Return every key except those of Pages, in the order of the models; a reference is one value, and not resolved."""
    values = config.settings.model_dump(mode="json", exclude={"pages"})
    _choose_only(values)
    leaves = list(_leaves(values, ()))
    found = locations(sources.documents[0].text, {path for path, _ in leaves})
    return [_shown(".".join(map(str, path)), _safe(path, value), sources, 0, found.get(path)) for path, value in leaves]


def shown_pages(config: Config, sources: Sources) -> list[ShownPage]:
    """Return every Page with its values: its own, else those of defaults, else those of the program."""
    wanted: dict[int, set[KeyPath]] = {0: set()}
    origins = [list(_origins(page, origin)) for page, origin in zip(config.pages, sources.entries, strict=True)]
    for document, path in (one for of_page in origins for _, _, possible in of_page for one in possible):
        wanted.setdefault(document, set()).add(path)
    found = {document: locations(sources.documents[document].text, paths) for document, paths in wanted.items()}

    def located(key: str, value: Any, origins: Iterable[Origin]) -> Shown:
        for document, path in origins:
            if path in found[document]:
                return _shown(key, _safe((key,), value), sources, document, found[document][path])
        return Shown(key, _safe((key,), value))

    return [
        ShownPage(page.name, tuple(located(key, value, possible) for key, value, possible in of_page))
        for page, of_page in zip(config.pages, origins, strict=True)
    ]


def _origins(page: Page, origin: Origin) -> Iterator[tuple[str, Any, list[Origin]]]:
    """Yield each key of a Page with its value, and its possible origins; the first that exists counts."""
    document, path = origin

    def either(*keys: str) -> list[Origin]:
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
    """Replace values that are not configured by those that apply then."""
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
    if isinstance(value, Mapping) and _is_reference(value):
        return {key: shown_path(part) for key, part in value.items()}
    free = any(str(part).split(".")[0] in _FREE for part in path)
    return _HIDDEN if free and isinstance(value, str) and _SECRET_LIKE.search(value) else value


def _shown(key: str, value: Any, sources: Sources, document: int, location: tuple[Location, Location] | None) -> Shown:
    return Shown(key, value, sources.documents[document].file, location[1][0]) if location else Shown(key, value)
