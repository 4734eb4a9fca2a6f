"""What to do with one target of a Page: the table of the judgement, row by row; the first match wins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import assert_never

from sync.core.judge.ownership import DELETE_UNUSED, blocked_problem, foreign_problem, is_interrupted_create
from sync.core.judge.verify import expires_soon
from sync.core.marks import moment
from sync.core.model import (
    Absent,
    Content,
    Key,
    Marks,
    Page,
    State,
    Stored,
    StoreError,
    StoreErrorCode,
    Verdict,
    Version,
    WriteKind,
)
from sync.core.payload import Payload
from sync.core.problems import Problem
from sync.core.secret import Secret


class Kind(Enum):
    """What is done with one target, in the words of the report."""

    CREATED = "created"
    UPDATED = "updated"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    REFUSED = "refused"
    HELD = "held"
    FAILED = "failed"


WRITTEN = frozenset({Kind.CREATED, Kind.UPDATED, Kind.REPLACED})
"""What writes to a store."""


@dataclass(frozen=True, slots=True)
class Write:
    """The content of a write. ``payload`` None writes the marks alone; ``replaces`` None creates.

    ``token`` is the one inside the payload; a payload is only written while its proof is recent.
    """

    token: Secret
    payload: Payload | None
    marks: Marks
    replaces: Version | None

    @property
    def kind(self) -> WriteKind:
        """What the write does to the secret."""
        if self.payload is None:
            return "mark"
        return "create" if self.replaces is None else "update"


@dataclass(frozen=True, slots=True)
class Would:
    """What a held write would be; ``loses`` is what applications would lose by it."""

    kind: Kind
    reason: str | None
    loses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """A decision for one target. ``reason`` is of the report's closed list; ``problems`` are those of the target itself.

    ``would`` is set exactly where the kind is HELD, ``error_code`` exactly where it is FAILED.
    """

    kind: Kind
    reason: str | None = None
    write: Write | None = None
    problems: tuple[Problem, ...] = ()
    would: Would | None = None
    error_code: StoreErrorCode | None = None


def is_repair(action: Action) -> bool:
    """Check whether applications have no working token until this write: its proof may use the reserve of the quota."""
    return action.kind is Kind.CREATED or action.reason in ("heal", "repair")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The fetched token and its verdict. ``token`` is None where none was fetched, and then the verdict is not valid.

    ``system_user_fingerprint`` is that of the system user's token which it was fetched with, ``system_user_id`` the system
    user's id. ``judged_at`` is when debug_token last answered for the token, whether or not the answer still counts; None
    if it never did.
    """

    token: Secret | None
    verdict: Verdict
    system_user_fingerprint: str | None = None
    system_user_id: str | None = None
    judged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Current:
    """What a store holds in the target, the token found in it (None: none), and that token's verdict.

    ``judged_at`` is when debug_token last answered for the token, whether or not the answer still counts; None if it never
    did.
    """

    content: Content
    token: Secret | None = None
    verdict: Verdict = field(default_factory=lambda: Verdict(State.UNKNOWN))
    judged_at: datetime | None = None


def decide(*, page: Page, key: Key, instance: str, candidate: Candidate, current: Current, now: datetime) -> Action:
    """Decide for one target. Pure: the same values give the same action, and nothing is done here."""
    case = _Case(page, instance, candidate, current, now)
    content = current.content
    match content:
        case StoreError():
            return failed(content)
        case Absent():
            return case.create(replaces=None)
        case Stored():
            refusal = blocked_problem(content, key)
            if refusal is None and is_interrupted_create(content, page):
                return _interrupted_create(case, content)
            refusal = refusal or foreign_problem(content, page, instance)
            return Action(Kind.REFUSED, problems=(refusal,)) if refusal else _managed(case, content)
        case _:
            assert_never(content)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that one decision depends on."""

    page: Page
    instance: str
    candidate: Candidate
    current: Current
    now: datetime

    @property
    def token(self) -> Secret | None:
        """The fetched token if it is proven valid; None otherwise, and then nothing is written with it."""
        return self.candidate.token if self.candidate.verdict.state is State.VALID else None

    def marks(self, token: Secret, hold: str | None = None) -> Marks:
        """The marks that a secret with this token, fetched now, is to carry."""
        return Marks(
            instance=self.instance,
            page_id=self.page.id,
            app_id=self.page.app_id,
            fingerprint=token.fingerprint,
            system_user_id=self.candidate.system_user_id,
            system_user_fingerprint=self.candidate.system_user_fingerprint,
            hold=hold,
            labels=self.page.labels,
        )

    def stamped(self, marks: Marks, reason: str) -> Marks:
        """The same marks with the time and the reason of this write."""
        return replace(marks, written_at=moment(self.now), reason=reason)

    def create(self, *, replaces: Version | None, reason: str | None = None) -> Action:
        """Write the fetched token where no value is."""
        if self.token is None:
            return Action(Kind.KEPT)
        marks = self.stamped(self.marks(self.token), reason or "created")
        write = Write(self.token, self.page.payload.render(self.token), marks, replaces)
        return Action(Kind.CREATED, reason, write)


def failed(error: StoreError) -> Action:
    """Return the action where a store could not be read, or would refuse the write."""
    return Action(Kind.FAILED, problems=(store_problem(error),), error_code=error.error_code)


def store_problem(error: StoreError) -> Problem:
    """Return a store's failure as a problem."""
    return Problem("store-failed", error.message, owner=error.owner, remedy=error.remedy)


def _interrupted_create(case: _Case, content: Stored) -> Action:
    """Mark what an interrupted create left, once its token is proven to be the Page's; wait while that is unknown."""
    proven = _is_token_of_page(case)
    if proven is False or case.current.token is None:
        foreign = foreign_problem(content, case.page, case.instance)
        if foreign is not None and case.current.verdict.state is State.INVALID:
            foreign = replace(foreign, remedy=f"adopt refuses it, since its token is invalid. {DELETE_UNUSED}")
        return Action(Kind.REFUSED, problems=(foreign,) if foreign else ())
    if case.token is None or proven is None:
        return Action(Kind.KEPT)
    marks = case.marks(case.current.token)
    marks = case.stamped(marks if case.current.token == case.token else _without_origin(marks), "marked")
    return Action(Kind.UPDATED, "marked", Write(case.current.token, None, marks, content.version))


def _is_token_of_page(case: _Case) -> bool | None:
    verdict, wanted_user = case.current.verdict, case.candidate.system_user_id
    if verdict.state is State.INVALID or case.current.token is None:
        return False
    facts = verdict.facts
    if verdict.state is State.UNKNOWN or facts is None or facts.user_id is None or wanted_user is None:
        return None
    wanted = (case.page.id, case.page.app_id, wanted_user)
    return (facts.profile_id, facts.app_id, facts.user_id) == wanted


def _managed(case: _Case, content: Stored) -> Action:
    if case.token is None:
        return Action(Kind.KEPT)
    if content.state != "live":
        reason = "recreated" if content.state == "deleted" else None
        return case.create(replaces=content.version, reason=reason)
    if case.current.token is None:
        return _replaced(case, case.token, content, "repair")
    if case.current.token != case.token:
        return _other_token(case, case.token, case.current.token, content)
    marks = _of_same_token(case, case.token, content.marks)
    return _brought_up_to_date(case, case.token, marks, content) or Action(Kind.UNCHANGED)


def _of_same_token(case: _Case, token: Secret, stored: Marks | None) -> Marks:
    """Return the marks wanted beside a token that stays; where its origin is unknown now, the stored marks keep theirs."""
    wanted = case.marks(token, stored.hold if stored else None)
    if stored is None or stored.fingerprint != token.fingerprint:
        return wanted
    return replace(
        wanted,
        system_user_id=wanted.system_user_id or stored.system_user_id,
        system_user_fingerprint=wanted.system_user_fingerprint or stored.system_user_fingerprint,
    )


def _replaced(case: _Case, token: Secret, content: Stored, reason: str) -> Action:
    hold = content.marks.hold if content.marks else None
    marks = case.stamped(case.marks(token, hold), reason)
    payload = case.page.payload.render(token, over=content.payload)
    return Action(Kind.REPLACED, reason, Write(token, payload, marks, content.version))


def _other_token(case: _Case, fetched: Secret, stored: Secret, content: Stored) -> Action:
    verdict = case.current.verdict
    if verdict.state is State.UNKNOWN or content.marks is None:
        return Action(Kind.KEPT)
    if verdict.state is State.INVALID:
        return _replaced(case, fetched, content, "heal")
    # Marks that name another token were not written with this one: by somebody else's write, or by a kill between data and
    # marks. What they claim of an origin is not this token's.
    marks = content.marks if content.marks.fingerprint == stored.fingerprint else _without_origin(content.marks)
    if _better(case, marks):
        return _replaced(case, fetched, content, "rotate")
    # The token that works stays.
    marks = replace(marks, app_id=case.page.app_id, fingerprint=stored.fingerprint, labels=case.page.labels)
    return _brought_up_to_date(case, stored, marks, content) or Action(Kind.KEPT)


def _without_origin(marks: Marks) -> Marks:
    return replace(marks, system_user_id=None, system_user_fingerprint=None)


def is_of_another_user(candidate: Candidate, stored: Verdict) -> bool:
    """Check whether a stored token hangs on somebody else than the system user, and the fetched one on the system user."""
    wanted = candidate.system_user_id
    new, old = (verdict.facts.user_id if verdict.facts else None for verdict in (candidate.verdict, stored))
    return wanted is not None and new == wanted and old not in (None, wanted)


def _better(case: _Case, marks: Marks) -> bool:
    """Check whether the fetched token is worth a rotation though the stored one works."""
    stored, candidate = case.current.verdict, case.candidate
    if any(problem.code == "missing-scope" for problem in stored.problems) or is_of_another_user(candidate, stored):
        return True
    if (
        marks.system_user_fingerprint is not None
        and candidate.system_user_fingerprint is not None
        and marks.system_user_fingerprint != candidate.system_user_fingerprint
    ):
        return True
    old = stored.facts.expires_at if stored.facts else None
    new = candidate.verdict.facts.expires_at if candidate.verdict.facts else None
    if not expires_soon(old, case.page.checks, case.now):
        return False
    return not isinstance(new, datetime) or (isinstance(old, datetime) and new > old)


def _brought_up_to_date(case: _Case, token: Secret, marks: Marks, content: Stored) -> Action | None:
    """Write payload, labels or marks that differ from the wanted ones, with the stored token; None where none differs."""
    payload = case.page.payload.render(token, over=content.payload)
    stored = content.marks
    if payload != content.payload:
        reason = "payload"
    elif stored is None or dict(stored.labels) != dict(marks.labels):
        reason = "labels"
    elif _origin(stored) != _origin(marks):
        reason = "marks"
    else:
        return None
    changed = payload if reason == "payload" else None
    return Action(Kind.UPDATED, reason, Write(token, changed, case.stamped(marks, reason), content.version))


def _origin(marks: Marks) -> tuple[str | None, ...]:
    """Return the owner of a secret and the origin of its token by its marks; when and why it was written does not count."""
    return (
        marks.instance,
        marks.page_id,
        marks.app_id,
        marks.system_user_id,
        marks.fingerprint,
        marks.system_user_fingerprint,
        marks.hold,
    )
