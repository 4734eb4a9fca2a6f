"""Checks the invariants I1 to I8 after every step, with full access to the models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sync.core import marks as mark_map
from sync.core.judge.decide import Kind
from sync.core.judge.skew import MAX_SKEW
from sync.core.memory.memory import Rhythm
from sync.core.model import Marks, Page, StoreError, Written
from sync.core.problems import Problem
from sync.core.report.entries import PageEntry, StoreEntry
from sync.core.report.events import events
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.core.secret import Secret, fingerprint
from sync.sandbox.world.world import World
from sync.stores.aws.entry import PREFIX
from tests.simulation import kv, secrets_manager
from tests.simulation.answers import DebugAnswer
from tests.simulation.process import Life
from tests.simulation.time_and_turns import Simulation

PROOF = 60.0
CREDENTIALS = "graph/"
"""Below it are the system users' tokens that are kept in a store."""
_LATEST = 310.0
"""Seconds after which a list shows what somebody else has changed."""
_REMEMBERED = frozenset({"missing-scope", "token-invalid"})
"""What Meta once answered about a fetched string is asked again after a day, as long as no place waits for a token."""
_OF_APP = frozenset({"app-secret-invalid", "app-blocked"})
"""Under these no answer counts that the app got."""
_NAMED = frozenset({"access_token", "page_id", "app_id"})
"""What the configured payload names; other keys of a stored one are other people's."""


@dataclass(frozen=True, slots=True)
class Current:
    """A secret of any store in one form: the newest content, its version, whether it is live, and the marks."""

    version: str
    data: Mapping[str, Any] | None
    live: bool
    marks: Marks | None
    first: bool = False
    barred: bool = False

    @property
    def token(self) -> str | None:
        """The token that applications read."""
        value = (self.data or {}).get("access_token") if self.live else None
        return value if isinstance(value, str) and value else None


@lru_cache(maxsize=256)
def of_vault(secret: kv.Secret | None) -> Current | None:
    """Convert a secret of the Vault model."""
    if secret is None:
        return None
    newest = secret.newest
    custom = secret.custom or {}
    return Current(
        version=str(secret.current),
        data=newest.data if newest is not None else None,
        live=newest is not None and newest.live,
        marks=mark_map.from_map(custom),
        first=secret.current == 1,
    )


@lru_cache(maxsize=256)
def of_aws(secret: secrets_manager.Secret | None) -> Current | None:
    """Convert a secret of the Secrets Manager model."""
    if secret is None:
        return None
    marks = {key.removeprefix(PREFIX): value for key, value in secret.tags.items() if key.startswith(PREFIX)}
    return Current(
        version=secret.current or "none",
        data=_object(secret.text),
        live=secret.current is not None and secret.deleted is None,
        marks=mark_map.from_map(marks),
        barred=secret.deleted is not None or secret.rotates or secret.primary is not None,
    )


@dataclass
class Checker:
    """Checks each change and each report; ``violations`` is empty as long as every invariant holds."""

    simulation: Simulation
    world: World
    pages: Mapping[tuple[str, str], Page]
    truth: Callable[[str, str], Current | None]
    canaries: Callable[[], Sequence[str]]
    violations: list[str] = field(default_factory=list)
    others: dict[tuple[str, str], list[tuple[float, object]]] = field(default_factory=dict)
    """Who changed what, and when."""
    scope: set[str] = field(default_factory=set)
    """The Pages, by name, that something at Graph has ever gone wrong for; "*" is all."""
    writers: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """The instance that wrote each version that a daemon wrote."""
    removed: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each was last removed with all its versions, whose numbers then begin again."""
    given: dict[str, set[str]] = field(default_factory=dict)
    """The tokens that reads of Pages returned to each instance."""
    in_store: dict[str, str] = field(default_factory=dict)
    """The store that holds a system user's token, by system user."""
    clocks_set: bool = False
    """Whether the wall clock of a daemon was ever set."""
    reports: int = 0

    def gives(self, owner: Life, tokens: Collection[str]) -> None:
        """Record the tokens that Graph gave to a daemon."""
        self.given.setdefault(owner.instance, set()).update(tokens)

    def fail(self, invariant: str, *answers: object) -> None:
        """Record a violation."""
        line = f"{invariant} at {self.simulation.time:.4f}: " + " ".join(str(word) for word in answers)
        self.simulation.note("!!", line)
        self.violations.append(line)

    # Changes.

    def changed(self, owner: object, store: str, path: str, before: Current | None, after: Current | None) -> None:
        """Check one change of a secret's content or marks."""
        self.others.setdefault((store, path), []).append((self.simulation.time, owner))
        if after is None:
            self.removed[store, path] = self.simulation.time
        if not isinstance(owner, Life):
            return
        if before == after:
            return
        data = before is None or after is None or (before.version, before.data) != (after.version, after.data)
        if owner.current_write is not None and owner.current_write.path == path:
            owner.current_write.changes += 1
        page = self.pages.get((store, path))
        if path.startswith(CREDENTIALS):
            self._renewed(owner, path, before, after)
            return
        if page is None or after is None:
            self.fail("I2", owner, "touched", store, path, "which no Page names, or removed it")
            return
        if data:
            self._data(owner, store, page, path, before, after)
        else:
            self._marks(owner, store, page, path, before)
        self._origin(owner, store, path, after)

    def _renewed(self, owner: Life, path: str, before: Current | None, after: Current | None) -> None:
        """Check the renewal of a system user's token: only the token changes, and Meta calls the new one valid."""
        old, new = (dict(one.data or {}) if one is not None else {} for one in (before, after))
        token = new.get("token")
        known = self.world.tokens.get(token) if isinstance(token, str) else None
        if {**old, "token": token} != new or known is None or known.type != "SYSTEM_USER":
            self.fail("I2", owner, "changed more than the token at", path)
        elif self.world.invalid_reason(known) is not None and not owner.debug_answers.get(known.value):
            self.fail("I1", owner, "stored a system user's token that was not proven at", path)

    def _origin(self, owner: Life, store: str, path: str, after: Current) -> None:
        wrong = wrong_origin(after.marks, after.token, self.given.get(owner.instance, ()), self.world)
        if wrong is not None:
            self.fail("I2", owner, "claimed", wrong, "at", store, path)

    def _is_owned(self, owner: Life, page: Page, held: Current | None) -> bool:
        if held is None:
            return True
        marks = held.marks
        return marks is not None and (marks.instance, marks.page_id) == (owner.instance, page.id)

    def _data(self, owner: Life, store: str, page: Page, path: str, before: Current | None, after: Current) -> None:
        self.writers[store, path, after.version] = owner.instance
        # Vault judges a write by the version alone: whoever marks it otherwise meanwhile comes too late.
        seen = owner.current_write.seen[-1:] if owner.current_write is not None else []
        states = seen or owner.states.get((store, path), [])
        if not self._is_owned(owner, page, before) and not any(self._is_owned(owner, page, state) for state in states):
            self.fail("I2", owner, "wrote over", store, path, "which another owner has:", _about(before))
        lost = set(before.data or {}) - _NAMED if before is not None and before.live else set[str]()
        if any((before.data or {}).get(key) != (after.data or {}).get(key) for key in lost) if before else False:
            self.fail("I2", owner, "lost keys of others in", store, path)
        new, old = after.token, before.token if before is not None else None
        if new == old:
            return
        began = owner.current_write.began if owner.current_write is not None else self.simulation.time
        proofs = [
            answer
            for answer in owner.debug_answers.get(new or "", [])
            if answer.good(page.id) and answer.at >= began - PROOF
        ]
        if not proofs:
            valid = "which is valid " if old and self._valid(old) else ""
            self.fail(
                "I1", owner, "replaced", _fp(old), valid + "by", _fp(new), "not proven within 60 s, at", store, path
            )
        if old is not None:
            self._reason(owner, store, page, path, old)

    def _reason(self, owner: Life, store: str, page: Page, path: str, old: str) -> None:
        if self.removed.get((store, path), -1.0) > owner.begun:
            # Vault judges by the number alone, and another secret has it by now.
            return
        last, reason = owner.last_answer(old), owner.current_write.reason if owner.current_write is not None else ""
        if last is None:
            self.fail(
                "I3", owner, "replaced", _fp(old), "which was never judged by debug_token, at", store, path, reason
            )
        elif reason == "heal" and last.good(page.id):
            self.fail("I3", owner, "healed", _fp(old), "which debug_token last called valid, at", store, path)

    def _marks(self, owner: Life, store: str, page: Page, path: str, before: Current | None) -> None:
        seen = owner.shown.get((store, path))
        for state in (before, seen):
            if state is None or self._is_owned(owner, page, state):
                if state is not None:
                    return
                continue
            if state.marks is None and self.writers.get((store, path, state.version)) == owner.instance:
                return
            # An interrupted creation leaves a first version without marks, with the keys and a token that this program writes.
            token = state.token
            interrupted = state.marks is None and state.first and set(state.data or ()) == _NAMED
            if interrupted and token is not None and self._proven(owner, page, token):
                return
        self.fail("I2", owner, "marked", store, path, "which another owner has:", _about(before))

    def _proven(self, owner: Life, page: Page, token: str) -> bool:
        last = owner.last_answer(token)
        return last is not None and last.good(page.id)

    def _valid(self, token: str) -> bool:
        known = self.world.tokens.get(token)
        return known is not None and self.world.invalid_reason(known) is None

    # Answers of a store.

    def answered(self, owner: Life, store: str, path: str, answer: Written | StoreError) -> None:
        """Check a store's answer to a write at the moment it is given (I4)."""
        current_write = owner.current_write
        if current_write is None:
            return
        if isinstance(answer, StoreError):
            if current_write.changes and not answer.maybe_written:
                self.fail(
                    "I4",
                    owner,
                    "got the answer that nothing was written at",
                    store,
                    path,
                    answer.error_code,
                    "though it was written",
                )
            return
        held = self.truth(store, path)
        changed_by_others = self._was_changed_by_others(owner, store, path, current_write.began)
        if not answer.confirmed or changed_by_others:
            return
        if held is None or held.marks is None or current_write.token not in (None, held.token):
            self.fail("I4", owner, "got a confirmed write at", store, path, "and there is", _about(held))

    def _was_changed_by_others(self, owner: Life, store: str, path: str, since: float) -> bool:
        """Check whether anybody else changed the secret since then."""
        return any(when >= since and other is not owner for when, other in self.others.get((store, path), []))

    # Reports.

    def reported(self, owner: Life, report: Report) -> None:
        """Check a report as it is published."""
        self.reports += 1
        self._check_secrecy(owner, report)
        for page in report.pages:
            self._isolated_page(owner, page)
            for entry in page.stores:
                self._served(owner, page, entry)
                self._isolated(owner, page, entry)

    def url(self, url: str) -> None:
        """Check a URL that is requested."""
        if self._shows_secret(url):
            self.fail("I6", "a secret is in an URL")

    def _shows_secret(self, text: str) -> bool:
        """Check for the start of a token, which a trace id may have in its middle, and for each secret as a whole."""
        return re.search(r"\bEAA", text) is not None or any(secret in text for secret in self.canaries())

    def _check_secrecy(self, owner: Life, report: Report) -> None:
        text = json.dumps(as_json(report)) + repr([(event.name, event.fields) for event in events(report)])
        if self._shows_secret(text):
            self.fail("I6", owner, "showed a secret in a report or an event")
        if "Internal error" in text:
            self.fail("I7", owner, "met an internal error:", text[text.index("Internal error") :][:160])

    def _served(self, owner: Life, page: PageEntry, entry: StoreEntry) -> None:
        # What another writer put there after it was read is not what the report speaks of, but what the next one will.
        token = owner.seen.get((entry.key.store, entry.key.path), {}).get(entry.fingerprint or "")
        last = owner.last_answer(token) if token is not None else None
        where = f"{entry.key.store} {entry.key.path}"
        if entry.served == "broken" and token is not None and (last is None or last.good(page.id)):
            self.fail("I3", owner, "called broken", where, _fp(token), "for which debug_token last answered", last)
        readable = entry.action is not Kind.FAILED and entry.confirmed is not False
        if entry.served == "stale" and token is not None and last is not None and readable:
            self._forgotten(owner, (*page.problems, *entry.problems), where, token, last)
        if entry.served != "verified":
            return
        if token is None:
            self.fail(
                "I8", owner, "called verified", entry.fingerprint, "at", where, "where it was not shown in this cycle"
            )
        elif last is None or not last.good(page.id):
            self.fail(
                "I8", owner, "called verified", _fp(token), "at", where, "for which debug_token last answered", last
            )
        elif self.simulation.time - last.at > Rhythm().stale_after.total_seconds():
            self.fail("I8", owner, "called verified", _fp(token), "at", where, "judged too long ago")
        elif owner.refused.get(token, -1.0) > last.at:
            self.fail("I8", owner, "called verified", _fp(token), "at", where, "which was refused since")
        elif entry.verified_at is None or entry.verified_at > self._latest(owner):
            self.fail("I8", owner, "was verified at no time:", where)

    def _latest(self, owner: Life) -> datetime:
        """Return the latest moment that is not in the future for a daemon, whose clock may have been set in this cycle."""
        return self.simulation.now() + max(owner.offset(), owner.began_with) + MAX_SKEW

    def _forgotten(self, owner: Life, problems: Sequence[Problem], where: str, token: str, last: DebugAnswer) -> None:
        """Check that a token is stale only where debug_token's last answer counts no more, or the app itself is refused."""
        young = self.simulation.time - last.at < Rhythm().stale_after.total_seconds()
        refused = owner.refused.get(token, -1.0) >= last.at
        of_app = {problem.code for problem in problems} & _OF_APP
        if young and not (refused or of_app or self.clocks_set):
            self.fail("I8", owner, "called stale", where, _fp(token), "for which debug_token last answered", last)

    def _isolated_page(self, owner: Life, page: PageEntry) -> None:
        if "graph" in owner.disturbed:
            self.scope.add("*")
        if page.system_user in self.in_store and self.in_store[page.system_user] in owner.disturbed:
            return
        if page.fetched.value != "valid" and not self.scope & {"*", page.name, page.system_user}:
            self.fail("I7", owner, page.name, "is", page.fetched.value, "though nothing ever went wrong for it")

    def _isolated(self, owner: Life, page: PageEntry, entry: StoreEntry) -> None:
        store, path = entry.key.store, entry.key.path
        if store in owner.disturbed or entry.action not in (Kind.FAILED, Kind.REFUSED):
            return
        if entry.action is Kind.FAILED and not self._was_changed_by_others(owner, store, path, owner.begun - _LATEST):
            self.fail("I7", owner, store, path, "failed with", entry.error_code, "though the store was well")
        if entry.action is Kind.REFUSED and not self.others.get((store, path)):
            self.fail("I7", owner, store, path, "was refused, though nobody ever touched it")

    # The end.

    def unlike_wanted(self, report: Report) -> Iterator[str]:
        """Return what differs from the wanted state after all faults have ended, people's secrets apart (I5)."""
        for page in report.pages:
            codes = {problem.code for problem in page.problems}
            yield from (why for entry in page.stores for why in self._unlike_entry(report, page, entry, codes))
            needed = any(entry.action is not Kind.REFUSED for entry in page.stores)
            if page.fetched.value != "valid" and needed and not codes <= _REMEMBERED:
                yield f"{page.name} is {page.fetched.value}: {sorted(codes)}"

    def _unlike_entry(
        self, report: Report, page: PageEntry, entry: StoreEntry, codes: Collection[str]
    ) -> Iterator[str]:
        held = self.truth(entry.key.store, entry.key.path)
        where = f"{entry.key.store} {entry.key.path}"
        if entry.action is Kind.HELD and entry.reason == "brake":
            return
        if (
            entry.action is Kind.KEPT
            and codes
            and set(codes) <= _REMEMBERED
            and entry.served in ("verified", "foreign")
        ):
            return
        if (held is not None and held.barred) or self._is_humans(report, page, held):
            if entry.action is not Kind.REFUSED:
                yield f"{where} is a person's to decide, and {entry.action.value}: {_about(held)}"
        elif entry.served != "verified" or entry.action not in (Kind.UNCHANGED, Kind.KEPT):
            yield f"{where} is {entry.served}, {entry.action.value} {entry.reason} {entry.error_code}"
        elif held is None or held.token is None or not self._valid(held.token):
            yield f"{where} holds {_about(held)}, which does not work"
        elif entry.action is Kind.UNCHANGED and self._differs(held, entry.key.store, entry.key.path):
            yield f"{where} is called unchanged, and its payload or labels are not as configured"

    def _differs(self, held: Current, store: str, path: str) -> bool:
        page = self.pages[store, path]
        wanted = page.payload.render(Secret(held.token or "")).reveal()
        same = isinstance(wanted, dict) and {**(held.data or {}), **wanted} == dict(held.data or {})
        return not same or held.marks is None or dict(held.marks.labels) != dict(page.labels)

    def _is_humans(self, report: Report, page: PageEntry, held: Current | None) -> bool:
        if held is None:
            return False
        marks = held.marks
        if marks is not None:
            return (marks.instance, marks.page_id) != (report.frame.instance, page.id)
        # An unmarked first version of this program is marked while its token is valid; after that a person must decide.
        keys = set(held.data or ()) == _NAMED
        return not (held.first and held.live and keys and held.token is not None and self._valid(held.token))


def _about(held: Current | None) -> str:
    if held is None:
        return "nothing"
    marks = held.marks
    whose = f"{marks.instance} {marks.page_id}" if marks else "unmarked"
    return f"version {held.version} ({whose}) with {_fp(held.token)}"


def wrong_origin(marks: Marks | None, token: str | None, given: Collection[str], world: World) -> str | None:
    """Return what is wrong with the origin that marks state of a token; None where nothing is.

    It may be stated only of a token that the instance was ``given`` by Graph.
    """
    known = world.tokens.get(token) if token is not None else None
    if marks is None or token is None or known is None or marks.fingerprint != fingerprint(token):
        return None
    if marks.system_user_fingerprint is None:
        return None
    if token not in given:
        return f"an origin of {_fp(token)}, which it never fetched,"
    if known.derived_from is not None and fingerprint(known.derived_from) != marks.system_user_fingerprint:
        return f"another origin of {_fp(token)} than it has,"
    return None


def _fp(token: str | None) -> str:
    return fingerprint(token) if token is not None else "no token"


def token_in(text: str | None) -> str | None:
    """Return the token in a value of Secrets Manager."""
    value = (_object(text) or {}).get("access_token")
    return value if isinstance(value, str) else None


def _object(text: str | None) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
