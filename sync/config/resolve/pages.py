"""From entries of the files to Pages: defaults applied, templates filled in, and no two in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync.config.errors import Finding, KeyPath
from sync.config.resolve.check import AllNames, Names, Report
from sync.config.schema.pages import ChecksConfig, FilePage, PageEntry
from sync.config.schema.references import StoreReference, models_in
from sync.config.schema.settings import Settings
from sync.config.schema.stores.store import target
from sync.core.model import Checks, Key, Page
from sync.core.payload import PayloadTemplate, fill

At = tuple[int, KeyPath]
"""The number of a file, and a key's path in it."""


@dataclass(slots=True)
class Resolver:
    """Resolves entries one by one, and remembers what must not come twice."""

    settings: Settings
    names: AllNames
    report: Report
    pages: list[Page] = field(default_factory=list)
    entries: list[At] = field(default_factory=list)
    """Where each of ``pages`` is listed."""
    _names: dict[str, At] = field(default_factory=dict)
    _ids: dict[tuple[str, str | None], At] = field(default_factory=dict)
    _targets: dict[tuple[str, ...], tuple[At, str]] = field(default_factory=dict)
    _default_checks: Checks = field(init=False)
    _roots: dict[str, tuple[str, ...]] = field(init=False)
    _only_app: str | None = field(init=False)
    _only_user: str | None = field(init=False)
    _only_store: str | None = field(init=False)

    def __post_init__(self) -> None:
        self._roots = {name: store.root() for name, store in self.settings.stores.items()}
        self._only_app, self._only_user, self._only_store = (names.only() for names in self.names)
        self._default_checks = _checks(self.settings.defaults.checks, None)

    def add(self, at: At, entry: FilePage) -> None:
        """Resolve one entry into ``pages``; what is wrong with it is reported and keeps only it out."""
        name = entry.name or entry.id
        user = self._user(at, entry)
        stores = self._stores(at, entry)
        if not self._unique(at, entry, name, user) or user is None or stores is None:
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
            self._fits(at, entry, store, payload)
        self.entries.append(at)
        self.pages.append(
            Page(
                id=entry.id,
                name=name,
                system_user=user,
                app=app,
                app_id=app_id,
                targets=tuple([self._target(at, store, values) for store in stores]),
                payload=PayloadTemplate.parse(payload, values),
                checks=checks,
                labels=labels,
                hold=defaults.hold if entry.hold is None else entry.hold,
            )
        )

    def check_references(self) -> None:
        """Report credentials that are read from a Page's own secret; to be called once all Pages are added."""
        for path, reference in models_in(self.settings, skip=("pages", "defaults")):
            if isinstance(reference, StoreReference) and reference.store in self._roots:
                page = self._targets.get(target(self._roots[reference.store], reference.path))
                if page is not None:
                    self._wrong((0, path), (), "duplicate-target", "refers to the secret of a Page",
                                "keep this credential in a separate secret", first=page[0])  # fmt: skip

    def _wrong(self, at: At, key: KeyPath, code: str, *texts: str, first: At | None = None) -> None:
        message, remedy = texts
        self.report(Finding(at[0], (*at[1], *key), code, message, remedy, first=first))

    def _unique(self, at: At, entry: FilePage, name: str, user: str | None) -> bool:
        first = self._ids.setdefault((entry.id, user), at)
        if user is not None and first is not at:
            message = "this Page is listed twice for its system user"
            self._wrong(at, (), "duplicate-page", message, "remove one of the two", first=first)
            return False
        first = self._names.setdefault(name, at)
        if first is not at:
            key, remedy = ("name", "rename one of the two") if entry.name else ("id", "give one of the two a name")
            self._wrong(at, (key,), "duplicate-name", "another Page has this name", remedy, first=first)
        return first is at

    def _origin(self, at: At, own: object, key: str) -> At:
        return (at[0], (*at[1], key)) if own else (0, ("defaults", key))

    def _user(self, at: At, entry: FilePage) -> str | None:
        name = entry.system_user or self.settings.defaults.system_user or self._only_user
        if name is None:
            if self.names.users.known is not None:
                self._wrong(at, (), "choice-needed", "several system users are configured, and none is chosen for this Page",
                            "write system_user here or under defaults")  # fmt: skip
            return None
        return (
            name if self._exists(self.names.users, name, self._origin(at, entry.system_user, "system_user")) else None
        )

    def _stores(self, at: At, entry: FilePage) -> Sequence[str] | None:
        only = self._only_store
        names = entry.stores or self.settings.defaults.stores or ((only,) if only else None)
        if names is None:
            if self.names.stores.known is not None:
                self._wrong(at, (), "choice-needed", "several stores are configured, and none is chosen for this Page",
                            "write stores here or under defaults")  # fmt: skip
            return None
        document, path = self._origin(at, entry.stores, "stores")
        found: dict[str, At] = {}
        for index, name in enumerate(names):
            here = (document, (*path, index))
            first = found.setdefault(name, here)
            if first is not here:
                self._wrong(
                    here, (), "duplicate-target", "this store is listed twice", "remove one of the two", first=first
                )
        return [name for name, here in found.items() if self._exists(self.names.stores, name, here)]

    def _exists(self, names: Names, name: str, at: At) -> bool:
        remedy = names.fault(name)
        if remedy:
            self._wrong(at, (), "unknown-name", f"no {names.word} of this name", remedy)
        return remedy is None

    def _app(self, user: str) -> tuple[str, str]:
        found = self.settings.system_users.get(user)
        name = (found.app if found else None) or self._only_app or ""
        app = self.settings.apps.get(name)
        return name, app.id if app else ""

    def _fits(self, at: At, entry: FilePage, name: str, payload: str | dict[str, str]) -> None:
        """Check payload and labels against the store; those of the defaults alone once and for all Pages."""
        store = self.settings.stores.get(name)
        if isinstance(payload, str) and store is not None and not store.holds_text:
            own = isinstance(entry, PageEntry) and entry.payload
            self._wrong(self._origin(at, own, "payload"), (), "raw-payload",
                        f"raw text cannot be stored in {name}: Vault holds JSON objects", "write a mapping of names to texts")  # fmt: skip
        defaults = self.settings.defaults.labels
        if store is None or not (defaults or entry.labels):
            return
        for key, fault in store.label_faults({**defaults, **(entry.labels or {})}):
            document, path = self._origin(at, entry.labels if key is None else key in (entry.labels or {}), "labels")
            self._wrong(
                (document, path),
                () if key is None else (key,),
                "label-limit",
                fault,
                f"change it, or remove {name} from the stores",
            )

    def _target(self, at: At, name: str, values: Mapping[str, str]) -> Key:
        store = self.settings.stores.get(name)
        if store is None:
            return Key(name, "")
        path = fill(store.template, values)
        here = target(self._roots[name], path)
        first, other = self._targets.setdefault(here, (at, name))
        if first is not at:
            self._wrong(at, (), "duplicate-target", f"leads to the same secret in {name} as another Page",
                        "use {name} in the store's path, or change this Page's stores", first=first)  # fmt: skip
        elif other != name and not self._same_templates(other, name):  # which is told of the stores themselves
            self._wrong(at, (), "duplicate-target", f"leads to the same secret in the stores {other} and {name}",
                        "change the path of one of the two, or this Page's stores")  # fmt: skip
        fault = store.path_fault(path)
        if fault:
            self._wrong(at, (), "bad-path", f"its name in {name} is {fault}", "shorten it")
        return Key(name, path)

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
