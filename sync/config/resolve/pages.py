"""Resolve entries of the files into Pages: apply defaults, fill templates, refuse two Pages with the same secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync.config.errors import Finding, KeyPath, shown, shown_path
from sync.config.resolve.check import AllNames, Names, Report
from sync.config.schema.pages import ChecksConfig, FilePage, PageEntry
from sync.config.schema.references import StoreReference, models_in
from sync.config.schema.settings import Settings
from sync.config.schema.stores.store import below, leads_into, target
from sync.core.model import Checks, Key, Page
from sync.core.payload import PayloadTemplate, fill

Origin = tuple[int, KeyPath]
"""Where a value comes from: the number of a file, and the path of a key in it."""


@dataclass(slots=True)
class PageResolver:
    """Resolves entries one by one, and remembers names, ids and targets, to report duplicates."""

    settings: Settings
    names: AllNames
    report: Report
    pages: list[Page] = field(default_factory=list)
    entries: list[Origin] = field(default_factory=list)
    """The origin of each of ``pages``."""
    _names: dict[str, Origin] = field(default_factory=dict)
    _ids: dict[tuple[str, str | None], Origin] = field(default_factory=dict)
    _targets: dict[tuple[str, ...], tuple[Origin, str]] = field(default_factory=dict)
    _default_checks: Checks = field(init=False)
    _roots: dict[str, tuple[str, ...]] = field(init=False)
    _inner: dict[str, list[str]] = field(init=False)
    """The stores in a folder of each store, into which its template does not lead for every Page."""
    _only_app: str | None = field(init=False)
    _only_user: str | None = field(init=False)
    _only_store: str | None = field(init=False)

    def __post_init__(self) -> None:
        self._roots = {name: store.root() for name, store in self.settings.stores.items()}
        self._inner = {name: self._inside(name) for name in self._roots}
        self._only_app, self._only_user, self._only_store = (names.only() for names in self.names)
        self._default_checks = _checks(self.settings.defaults.checks, None)

    def add(self, origin: Origin, entry: FilePage) -> None:
        """Resolve one entry and append it to ``pages``; an invalid entry is reported and left out."""
        name = entry.name or entry.id
        user = self._user(origin, entry)
        stores = self._stores(origin, entry)
        if not self._unique(origin, entry, name, user) or user is None or stores is None:
            return
        app, app_id = self._app(user)
        values = {
            "name": name,
            "id": entry.id,
            "app": app,
            "app_id": app_id,
            "system_user": user,
            "instance": self.settings.instance,
        }
        defaults = self.settings.defaults
        checks, payload = self._default_checks, defaults.payload
        if isinstance(entry, PageEntry):
            checks = _checks(defaults.checks, entry.checks) if entry.checks else checks
            payload = entry.payload or payload
        labels = {**defaults.labels, **entry.labels} if entry.labels else defaults.labels
        for store in stores:
            self._fits(origin, entry, store, payload)
        self.entries.append(origin)
        self.pages.append(
            Page(
                id=entry.id,
                name=name,
                system_user=user,
                app=app,
                app_id=app_id,
                targets=tuple([self._target(origin, store, values) for store in stores]),
                payload=PayloadTemplate.parse(payload, values),
                checks=checks,
                labels=labels,
                hold=defaults.hold if entry.hold is None else entry.hold,
            )
        )

    def check_references(self) -> None:
        """Report credentials that are read from the secret of a Page; call it after all Pages are added."""
        for path, reference in models_in(self.settings, skip=("pages", "defaults")):
            if isinstance(reference, StoreReference) and reference.store in self._roots:
                page = self._targets.get(target(self._roots[reference.store], reference.path))
                if page is not None:
                    self._wrong((0, path), (), "duplicate-target", f"refers to the secret of a Page, {shown_path(reference.path)}",
                                "keep this credential in a separate secret", first=page[0])  # fmt: skip

    def _wrong(self, origin: Origin, key: KeyPath, code: str, *texts: str, first: Origin | None = None) -> None:
        message, remedy = texts
        self.report(Finding(origin[0], (*origin[1], *key), code, message, remedy, first=first))

    def _unique(self, origin: Origin, entry: FilePage, name: str, user: str | None) -> bool:
        first = self._ids.setdefault((entry.id, user), origin)
        if user is not None and first is not origin:
            message = f"the Page {entry.id} is listed twice for the system user {shown(user)}"
            self._wrong(origin, (), "duplicate-page", message, "remove one of the two", first=first)
            return False
        first = self._names.setdefault(name, origin)
        if first is not origin:
            key, remedy = ("name", "rename one of the two") if entry.name else ("id", "give one of the two a name")
            self._wrong(
                origin, (key,), "duplicate-name", f"another Page has the name {shown(name)}", remedy, first=first
            )
        return first is origin

    def _origin_of(self, origin: Origin, own: object, key: str) -> Origin:
        return (origin[0], (*origin[1], key)) if own else (0, ("defaults", key))

    def _user(self, origin: Origin, entry: FilePage) -> str | None:
        name = entry.system_user or self.settings.defaults.system_user or self._only_user
        if name is None:
            if self.names.users.known is not None:
                self._wrong(origin, (), "choice-needed", "several system users are configured, and none is chosen for this Page",
                            "write system_user here or under defaults")  # fmt: skip
            return None
        here = self._origin_of(origin, entry.system_user, "system_user")
        return name if self._exists(self.names.users, name, here) else None

    def _stores(self, origin: Origin, entry: FilePage) -> Sequence[str] | None:
        only = self._only_store
        names = entry.stores or self.settings.defaults.stores or ((only,) if only else None)
        if names is None:
            if self.names.stores.known is not None:
                self._wrong(origin, (), "choice-needed", "several stores are configured, and none is chosen for this Page",
                            "write stores here or under defaults")  # fmt: skip
            return None
        document, path = self._origin_of(origin, entry.stores, "stores")
        found: dict[str, Origin] = {}
        for index, name in enumerate(names):
            here = (document, (*path, index))
            first = found.setdefault(name, here)
            if first is not here:
                self._wrong(
                    here, (), "duplicate-target", "this store is listed twice", "remove one of the two", first=first
                )
        return [name for name, here in found.items() if self._exists(self.names.stores, name, here)]

    def _exists(self, names: Names, name: str, origin: Origin) -> bool:
        remedy = names.fault(name)
        if remedy:
            self._wrong(origin, (), "unknown-name", f"no {names.word} of this name", remedy)
        return remedy is None

    def _app(self, user: str) -> tuple[str, str]:
        found = self.settings.system_users.get(user)
        name = (found.app if found else None) or self._only_app or ""
        app = self.settings.apps.get(name)
        return name, app.id if app else ""

    def _fits(self, origin: Origin, entry: FilePage, name: str, payload: str | dict[str, str]) -> None:
        """Check payload and labels against the limits of a store."""
        store = self.settings.stores.get(name)
        if isinstance(payload, str) and store is not None and not store.holds_text:
            own = isinstance(entry, PageEntry) and entry.payload
            self._wrong(self._origin_of(origin, own, "payload"), (), "raw-payload",
                        f"raw text cannot be stored in {name}, which holds JSON objects only", "write a mapping of names to texts")  # fmt: skip
        defaults = self.settings.defaults.labels
        if store is None or not (defaults or entry.labels):
            return
        for key, fault in store.label_faults({**defaults, **(entry.labels or {})}):
            document, path = self._origin_of(
                origin, entry.labels if key is None else key in (entry.labels or {}), "labels"
            )
            remedy = f"change it, or remove {name} from the stores"
            self._wrong((document, path), () if key is None else (key,), "label-limit", fault, remedy)

    def _target(self, origin: Origin, name: str, values: Mapping[str, str]) -> Key:
        store = self.settings.stores.get(name)
        if store is None:
            return Key(name, "")
        path = fill(store.template, values)
        here = target(self._roots[name], path)
        first, other = self._targets.setdefault(here, (origin, name))
        if first is not origin:
            self._wrong(origin, (), "duplicate-target", f"leads to the same secret in {name} as another Page, {shown_path(path)}",
                        "use {name} in the store's path, or change this Page's stores", first=first)  # fmt: skip
        elif other != name and not self._same_templates(other, name):  # reported once, for the stores
            self._wrong(origin, (), "duplicate-target", f"leads to the same secret in the stores {other} and {name}, {shown_path(path)}",
                        "change the path of one of the two, or this Page's stores")  # fmt: skip
        for inner in self._inner[name]:
            if leads_into(self._roots[name], path, self._roots[inner]):
                self._wrong(origin, (), "bad-path",
                            f"its secret in {shown(name)} leads into the directory of the store {shown(inner)}, {shown_path(path)}",
                            f"change the name in {shown(name)}, or the directory of one of the two")  # fmt: skip
        fault = store.path_fault(path)
        if fault:
            self._wrong(origin, (), "bad-path", f"its name in {name} is {fault}", "shorten it")
        return Key(name, path)

    def _inside(self, name: str) -> list[str]:
        root, template = self._roots[name], self.settings.stores[name].template
        return [
            other
            for other, inner in self._roots.items()
            if below(root, inner) and not leads_into(root, template, inner)
        ]

    def _same_templates(self, one: str, other: str) -> bool:
        first, second = (target(self._roots[name], self.settings.stores[name].template) for name in (one, other))
        return first == second


def _checks(defaults: ChecksConfig, own: ChecksConfig | None) -> Checks:
    given = [checks for checks in (own, defaults) if checks is not None]
    usual = Checks()
    return Checks(
        scopes=next((checks.scopes for checks in given if checks.scopes is not None), usual.scopes),
        expires=next((checks.expires for checks in given if checks.expires is not None), usual.expires),
    )
