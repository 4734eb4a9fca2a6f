"""Check the settings against each other: known names, no plain http, no loops, no two stores with the same secrets."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from sync.config.errors import Finding, KeyPath, shown, shown_path
from sync.config.parse.translate import nearest
from sync.config.schedule import interval_seconds
from sync.config.schema.network import Connection, NetworkConfig
from sync.config.schema.pages import SCOPES, ChecksConfig
from sync.config.schema.references import FileReference, StoreReference, models_in
from sync.config.schema.settings import Schedule, Settings
from sync.config.schema.stores.store import StoreConfig, leads_into, target
from sync.config.schema.types import duration_text, is_plain_http
from sync.core.model import Never

Report = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one section of the file, including those of invalid entries.

    ``known`` is None if the whole section is unusable; then names are not checked.
    """

    word: str
    known: Collection[str] | None

    def only(self) -> str | None:
        """Return the name if there is only one."""
        return next(iter(self.known)) if self.known is not None and len(self.known) == 1 else None

    def fault(self, name: str) -> str | None:
        """Return a hint for an unknown name; None if the name is known."""
        return None if self.known is None or name in self.known else nearest(name, self.known)


class AllNames(NamedTuple):
    """The names of apps, system users and stores."""

    apps: Names
    users: Names
    stores: Names


def check_settings(
    settings: Settings, given: Mapping[str, Any], listed: Sequence[int], names: AllNames, report: Report
) -> list[str]:
    """Report contradictions between parts of the main file; return warnings.

    ``listed`` are the indices in the file of the Pages in ``settings``.
    """
    if given.get("pages", []) == [] and given.get("pages_from", []) == []:
        fault = "empty" if "pages" in given else "missing"
        remedy = "list the Pages here, or name more files in pages_from"
        report(Finding(0, ("pages",), "missing-key", f"pages is {fault}", remedy))
    _one_rhythm(given.get("schedule"), report)
    warnings = [*_jitter(settings.schedule, report), *_plain_http(settings), *_scopes(settings, listed)]
    _deadline(settings, report)
    _system_users(settings, names, report)
    _stores(settings.stores, report)
    _references(settings, names.stores, report)
    _receivers(settings, report)
    return warnings


def _named(raw: Mapping[str, Any], section: str) -> Collection[str] | None:
    value = raw.get(section)
    return value if isinstance(value, dict) and value else None


def names_of(raw: Mapping[str, Any]) -> AllNames:
    """Return the names in the plain values of the main file."""
    return AllNames(
        Names("app", _named(raw, "apps")),
        Names("system user", _named(raw, "system_users")),
        Names("store", _named(raw, "stores")),
    )


def _one_rhythm(schedule: object, report: Report) -> None:
    """Report keys of the schedule that exclude each other, as they are given: one of them may be invalid too."""
    given = {key for key, value in schedule.items() if value is not None} if isinstance(schedule, dict) else set()
    if {"every", "cron"} <= given:
        report(Finding(0, ("schedule",), "bad-schedule", "every and cron exclude each other", "keep one of the two"))
    if "timezone" in given and "cron" not in given:
        report(Finding(0, ("schedule",), "bad-schedule", "timezone applies only with cron",
                       "remove timezone, or write cron instead of every"))  # fmt: skip


def _jitter(schedule: Schedule, report: Report) -> Iterator[str]:
    if not schedule.jitter:
        return
    if schedule.every is not None and schedule.jitter >= schedule.every:
        report(Finding(0, ("schedule", "jitter"), "bad-schedule", "not shorter than every, so that cycles would be skipped",
                       f"write less than every, which is {duration_text(schedule.every)}"))  # fmt: skip
    elif schedule.cron is not None and schedule.jitter.total_seconds() >= interval_seconds(schedule):
        yield "schedule.jitter: not shorter than the time between two runs of cron, so that cycles are skipped"


def _deadline(settings: Settings, report: Report) -> None:
    """Report a deadline by which a cycle that waits for one answer would count as stuck."""
    deadline = settings.schedule.deadline
    timeouts = {"graph.timeout": settings.graph.timeout}
    timeouts |= {f"stores.{name}.timeout": store.timeout for name, store in settings.stores.items()}
    longest, timeout = max(timeouts.items(), key=itemgetter(1))
    if deadline is not None and deadline <= timeout:
        report(Finding(0, ("schedule", "deadline"), "bad-schedule", "not longer than a call may take",
                       f"write more than {longest}, which is {duration_text(timeout)}"))  # fmt: skip


def _receivers(settings: Settings, report: Report) -> None:
    """Report a receiver that would get each message twice."""
    seen: dict[tuple[object, ...], int] = {}
    for index, one in enumerate(settings.notify):
        first = seen.setdefault((str(one.webhook), one.format, frozenset(one.events)), index)
        if first != index:
            report(Finding(0, ("notify", index), "duplicate-target", "the same receiver again, which would get each message twice",
                           "remove one of the two", first=(0, ("notify", first))))  # fmt: skip


def _plain_http(settings: Settings) -> Iterator[str]:
    services: list[tuple[KeyPath, object]] = [(("graph",), settings.graph)]
    services += [(("stores", name), store) for name, store in settings.stores.items()]
    for part, service in services:
        if not isinstance(service, NetworkConfig):
            continue
        address, path = getattr(service, service.address_key), (*part, service.address_key)
        if address is not None and is_plain_http(address):
            yield f"{'.'.join(map(str, path))}: secrets are sent over plain http, as allow_http allows"
    # The address is a secret itself, so that its scheme is not known here.
    if settings.heartbeat is not None and settings.heartbeat.allow_http:
        yield "heartbeat.allow_http: the heartbeat may go over plain http"
    for index, receiver in enumerate(settings.notify):
        if receiver.allow_http:
            yield f"notify[{index}].allow_http: messages may be sent over plain http"


_SIMILAR = 0.9
"""How similar to a permission a word must be to be taken for a mistyped one: about a letter of ten."""


def _scopes(settings: Settings, listed: Sequence[int]) -> Iterator[str]:
    """Warn about a permission that is almost one of Meta's, once for each such word."""
    parts: list[tuple[str, ChecksConfig | None]] = [("defaults", settings.defaults.checks)]
    parts += [(f"pages[{index}]", page.checks) for index, page in zip(listed, settings.pages, strict=True)]
    first: dict[str, str] = {}
    for path, checks in parts:
        for number, scope in enumerate((checks.scopes if checks else None) or ()):
            first.setdefault(scope, f"{path}.checks.scopes[{number}]")
    for scope, path in first.items():
        word = re.sub(r"[^a-z]+", "_", scope.strip().lower())
        near = difflib.get_close_matches(word, SCOPES, 1, _SIMILAR)
        if near and scope not in SCOPES:
            yield f"{path}: {shown(scope)} is not a known permission of Meta's; did you mean {near[0]}?"


def _system_users(settings: Settings, names: AllNames, report: Report) -> None:
    apps, known = names.apps, names.users.known or ()
    renewed = {user.token for user in settings.system_users.values() if not isinstance(user.renew_before, Never)}
    tokens: dict[Any, KeyPath] = {}
    for name, user in settings.system_users.items():
        if name not in known:
            continue  # it stands in for invalid ones
        path: KeyPath = ("system_users", name)
        first = tokens.setdefault(user.token, path)
        if first is not path and user.token in renewed:
            report(Finding(0, (*path, "token"), "duplicate-target", "another system user has the same token, and one of them renews it",
                           "give each its own token, or remove renew_before", first=(0, (*first, "token"))))  # fmt: skip
        if user.app is None and apps.known is not None and apps.only() is None:
            message = "several apps are configured, and none is chosen for this token"
            report(Finding(0, path, "choice-needed", message, "write app: NAME"))
        remedy = apps.fault(user.app) if user.app else None
        if remedy:
            report(Finding(0, (*path, "app"), "unknown-name", "no app of this name", remedy))
        if not isinstance(user.renew_before, Never) and not isinstance(user.token, StoreReference):
            report(Finding(0, (*path, "renew_before"), "renewal-needs-store", "the new token could not be written: token is not a {store: ...} reference",
                           "write token: {store: STORE, path: PATH, key: KEY}, or renew_before: never"))  # fmt: skip


def _stores(stores: Mapping[str, StoreConfig], report: Report) -> None:
    targets: dict[tuple[str, ...], KeyPath] = {}
    roots = {name: store.root() for name, store in stores.items()}
    for name, store in stores.items():
        path: KeyPath = ("stores", name)
        here = target(roots[name], store.template)
        first = targets.setdefault(here, path)
        if first is not path:
            report(Finding(0, path, "duplicate-target", f"leads to the same secrets as the store {first[1]}, {shown_path(store.template)}",
                           "remove one of the two, or give it another path", first=(0, first)))  # fmt: skip
        for other, root in roots.items():
            if leads_into(roots[name], store.template, root) and here != target(root, stores[other].template):
                report(Finding(0, (*path, store.template_key), "bad-path", f"leads into the directory of the store {shown(other)}",
                               "choose a name outside of it, or another directory for one of the two"))  # fmt: skip
        for fault in store.faults():
            report(Finding(0, (*path, *fault.path), fault.code, fault.message, fault.remedy))


def _references(settings: Settings, names: Names, report: Report) -> None:
    needs: dict[str, dict[str, KeyPath]] = {}
    for path, reference in models_in(settings, skip=("pages", "defaults")):
        if not isinstance(reference, StoreReference):
            continue
        remedy = names.fault(reference.store)
        if remedy:
            report(Finding(0, (*path, "store"), "unknown-name", "no store of this name", remedy))
        if path[0] == "stores":
            needs.setdefault(str(path[1]), {}).setdefault(reference.store, path)
    for name, needed in needs.items():
        for other, path in needed.items():
            if name == other or _reaches(needs, other, name):
                report(Finding(0, path, "reference-loop", "the store needs this secret before it can read it",
                               "keep the credentials of a store in a file or variable"))  # fmt: skip


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


def check_state(settings: Settings, base: Path, files: Sequence[Path], report: Report) -> None:
    """Report a state file that would overwrite another file of the configuration, or is in the directory of a store."""
    fault = _state_fault(settings, base, files)
    if fault:
        remedy = "use a separate file, such as /var/lib/page-token-sync/state.json"
        report(Finding(0, ("state", "file"), "bad-state-file", fault, remedy))


def _state_fault(settings: Settings, base: Path, files: Sequence[Path]) -> str | None:
    if settings.state is None:
        return None
    real = os.path.realpath(settings.state.file)
    if Path(real).is_dir():
        return "a directory, where a file is expected"
    if real in {os.path.realpath(file) for file in files}:
        return "this file belongs to the configuration"
    if real in {os.path.realpath(file) for file in needed_files(settings, base)}:
        return "a credential or certificate is read from this file"
    for name, store in settings.stores.items():
        if store.contains(Path(real)):
            return f"it is in the directory of the store {name}"
    return None


def needed_files(settings: Settings, base: Path) -> Iterator[Path]:
    """Yield the files of credentials and certificates that a configuration refers to."""
    for _, part in models_in(settings, skip=("pages", "defaults")):
        if isinstance(part, FileReference):
            yield base / part.file
        if isinstance(part, Connection):
            yield from part.certificate_files()
