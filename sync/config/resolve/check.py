"""What the settings must fulfil together: names that exist, no plain http, no loops, no two stores in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, assert_never

from sync.config.errors import Finding, KeyPath
from sync.config.parse.translate import nearest
from sync.config.resolve.limits import aws_name_fault, aws_tag_fault
from sync.config.schedule import interval_seconds
from sync.config.schema.durations import duration_text
from sync.config.schema.settings import Schedule, Settings
from sync.config.schema.stores import AnyStore, AwsStore, FileStore, VaultStore, template
from sync.config.schema.values import StoreReference, is_plain_http, parts_in
from sync.core.model import Never
from sync.core.payload import PLACEHOLDERS, fill

Report = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one kind that the file gives, whether or not what stands under them is right.

    ``known`` is None where the whole section is unusable, so that nothing is said of names at all.
    """

    word: str
    known: Collection[str] | None

    def only(self) -> str | None:
        """Return the one name where there is just one."""
        return next(iter(self.known)) if self.known is not None and len(self.known) == 1 else None

    def fault(self, name: str) -> str | None:
        """Return what may be meant by a name that is not known; None where it is known."""
        return None if self.known is None or name in self.known else nearest(name, self.known)


class AllNames(NamedTuple):
    """The names of the three kinds."""

    apps: Names
    users: Names
    stores: Names


def target_root(store: AnyStore) -> tuple[str, ...]:
    """Return what, with a path, makes a place: the same for two stores that lead to the same places.

    A file store ends in its directory and a slash, for a path to be joined to it.
    """
    match store:
        case VaultStore():
            return ("vault", store.address.lower(), store.namespace or "", store.mount, "")
        case AwsStore():
            account = (store.auth.profile or "", store.auth.role_arn or "")
            return ("aws", store.region, store.endpoint_url or "", *account, "")
        case FileStore():
            return ("file", f"{os.path.realpath(store.directory)}/")
        case _:
            assert_never(store)


def target(inside: tuple[str, ...], path: str) -> tuple[str, ...]:
    """Return the place of a path inside ``places_in`` a store."""
    return (*inside[:-1], inside[-1] + path)


def check_settings(settings: Settings, given: Collection[str], names: AllNames, report: Report) -> list[str]:
    """Report what is wrong between the parts of the main file; give warnings."""
    if "pages" not in given and "pages_from" not in given:
        remedy = "list the Pages here, or name further files in pages_from"
        report(Finding(0, ("pages",), "missing-key", "pages is missing", remedy))
    warnings = [*_jitter(settings.schedule, report), *_plain_http(settings, report)]
    _system_users(settings, names.apps, report)
    _stores(settings.stores, report)
    _references(settings, names.stores, report)
    return warnings


def _named(raw: Mapping[str, Any], section: str) -> Collection[str] | None:
    value = raw.get(section)
    return value if isinstance(value, dict) and value else None


def names_of(raw: Mapping[str, Any]) -> AllNames:
    """Return the names that stand in the plain values of the main file."""
    return AllNames(
        Names("app", _named(raw, "apps")),
        Names("system user", _named(raw, "system_users")),
        Names("store", _named(raw, "stores")),
    )


def _jitter(schedule: Schedule, report: Report) -> Iterator[str]:
    if not schedule.jitter:
        return
    if schedule.every is not None and schedule.jitter >= schedule.every:
        report(Finding(0, ("schedule", "jitter"), "bad-schedule", "as long as every or longer, so that cycles would be left out",
                       f"write less than every, which is {duration_text(schedule.every)}"))  # fmt: skip
    elif schedule.cron is not None and schedule.jitter.total_seconds() >= interval_seconds(schedule):
        yield "schedule.jitter: as long as the time between two runs of cron or longer, so that cycles are left out"


def _plain_http(settings: Settings, report: Report) -> Iterator[str]:
    addresses: list[tuple[KeyPath, str | None, bool]] = [
        (("graph", "base_url"), settings.graph.base_url, settings.graph.allow_http)
    ]
    for name, store in settings.stores.items():
        if isinstance(store, VaultStore):
            addresses.append((("stores", name, "address"), store.address, store.allow_http))
        elif isinstance(store, AwsStore):
            addresses.append((("stores", name, "endpoint_url"), store.endpoint_url, store.allow_http))
    for path, address, allowed in addresses:
        if address is None or not is_plain_http(address):
            continue
        if allowed:
            yield f"{'.'.join(map(str, path))}: secrets travel over plain http, as allow_http allows"
        else:
            report(Finding(0, path, "plain-http", "plain http to another machine would show secrets to the network",
                           "write https://, or put allow_http: true beside it where the network is trusted"))  # fmt: skip


def _system_users(settings: Settings, apps: Names, report: Report) -> None:
    renewed = {str(user.token) for user in settings.system_users.values() if not isinstance(user.renew_before, Never)}
    tokens: dict[str, KeyPath] = {}
    for name, user in settings.system_users.items():
        path: KeyPath = ("system_users", name)
        first = tokens.setdefault(str(user.token), path)
        if first is not path and str(user.token) in renewed:
            report(Finding(0, (*path, "token"), "duplicate-target", "another system user has this token, and one of them renews it",
                           "give each a token of its own, or take renew_before away", first=(0, (*first, "token"))))  # fmt: skip
        if user.app is None and apps.known is not None and apps.only() is None:
            report(
                Finding(0, path, "choice-needed", "it is not said which app the token belongs to", "write app: NAME")
            )
        remedy = apps.fault(user.app) if user.app else None
        if remedy:
            report(Finding(0, (*path, "app"), "unknown-name", "no app of this name", remedy))
        if not isinstance(user.renew_before, Never) and not isinstance(user.token, StoreReference):
            report(Finding(0, (*path, "renew_before"), "renewal-needs-store", "the new token has nowhere to go: token is no {store: ...} reference",
                           "write token: {store: STORE, path: PATH, key: KEY}, or renew_before: never"))  # fmt: skip


def _stores(stores: Mapping[str, AnyStore], report: Report) -> None:
    targets: dict[tuple[str, ...], KeyPath] = {}
    for name, store in stores.items():
        path: KeyPath = ("stores", name)
        first = targets.setdefault(target(target_root(store), template(store)), path)
        if first is not path:
            report(Finding(0, path, "duplicate-target", f"leads to the same place as the store {first[1]}",
                           "remove one of the two, or give it another path", first=(0, first)))  # fmt: skip
        filled = fill(template(store), dict.fromkeys(PLACEHOLDERS, "x"))
        if isinstance(store, AwsStore):
            _aws(path, store, aws_name_fault(filled), report)
        if isinstance(store, FileStore) and any(part.startswith(".") for part in filled.split("/")):
            report(Finding(0, (*path, "name"), "bad-path", "a hidden name: those are our own notes beside the secrets",
                           "begin the name with another character than a dot"))  # fmt: skip


def _aws(path: KeyPath, store: AwsStore, fault: str | None, report: Report) -> None:
    if fault:
        report(
            Finding(
                0,
                (*path, "name"),
                "bad-path",
                f"not a name for a secret of AWS: {fault}",
                "write it like meta/pages/{name}",
            )
        )
    for key, value in store.tags.items():
        fault = aws_tag_fault(key, value)
        if fault:
            report(Finding(0, (*path, "tags", key), "label-limit", f"no tag of AWS: {fault}", "shorten or change it"))


def _references(settings: Settings, names: Names, report: Report) -> None:
    needs: dict[str, dict[str, KeyPath]] = {}
    for path, reference in parts_in(settings, skip=("pages", "defaults")):
        if not isinstance(reference, StoreReference):
            continue
        remedy = names.fault(reference.store)
        if remedy:
            report(Finding(0, (*path, "store"), "unknown-name", "no store of this name", remedy))
        if path[0] == "stores":
            needs.setdefault(str(path[1]), {}).setdefault(reference.store, path)
    for name, targets in needs.items():
        for target, path in targets.items():
            if name == target or _reaches(needs, target, name):
                report(Finding(0, path, "reference-loop", "to read this secret the store needs this very secret",
                               "keep a store's own credentials in a file or a variable"))  # fmt: skip


def _reaches(needs: Mapping[str, Mapping[str, Any]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    pending = [start]
    while pending:
        name = pending.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            pending.extend(needs.get(name, ()))
    return False
