"""Which earlier version of a secret may be made current again, and what is written for that: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sync.core.judge.ownership import blocked_problem, foreign_problem, is_access_token
from sync.core.marks import ROLLBACK, ROLLBACK_BEGUN, moment
from sync.core.model import (
    Absent,
    Content,
    Key,
    Marks,
    Page,
    PastVersion,
    State,
    Stored,
    StoreError,
    StoreErrorCode,
    TokenFacts,
    Verdict,
    Version,
    Written,
)
from sync.core.payload import Payload
from sync.core.plan.model import TargetPlan
from sync.core.secret import Secret

RollbackKind = Literal["roll-back", "rolled-back", "release", "released", "unchanged", "refused", "held", "failed"]
"""What is done with a secret; "roll-back" is what --yes would do, "release" what is decided and not carried out yet, "unchanged" is a secret that is so already."""

_ON_HOLD = "The configuration has hold: true for this Page, which stops the daemon and not this command."


@dataclass(frozen=True, slots=True)
class Rollback:
    """One secret, the versions that its store keeps, and what is done.

    ``wanted`` is the version that is to be current again, with its ``token`` and what debug_token answered for it. ``system_user``
    is the configured one that the token belongs to, None where it is somebody else or not known. ``reason`` says why nothing is done, ``message`` and ``remedy`` the same in sentences. ``payload`` and ``marks`` are what is written over the
    version that was ``read``; without a payload, where the token is current already, it is the marks alone. ``after`` is what the next cycle does with the result.
    """

    page: Page
    key: Key
    read: Content
    past: Sequence[PastVersion]
    action: RollbackKind
    wanted: PastVersion | None = None
    token: Secret | None = None
    facts: TokenFacts | None = None
    system_user: str | None = None
    reason: str | None = None
    message: str = ""
    remedy: str = ""
    error_code: StoreErrorCode | None = None
    payload: Payload | None = None
    marks: Marks | None = None
    after: TargetPlan | None = None
    written: Written | None = None

    @property
    def before(self) -> Marks | None:
        """The marks that the secret has now."""
        return self.read.marks if isinstance(self.read, Stored) else None

    @property
    def intent(self) -> Marks | None:
        """The marks that are written before the payload: they hold the secret, and name the token that is to be current."""
        return replace(self.marks, reason=ROLLBACK_BEGUN) if self.payload is not None and self.marks else None

    @property
    def exit_code(self) -> int:
        """0 where nothing is left to do, 3 where the secret could not be read, else 1, also where a write was not read back."""
        if isinstance(self.read, StoreError):
            return 3
        if self.written is not None and not self.written.confirmed:
            return 1
        return 0 if self.action in ("rolled-back", "released", "unchanged") else 1


def token_of(page: Page, payload: Payload | None) -> Secret | None:
    """Find the token in a version: where the configuration has it, or under the one other key that holds an access token."""
    if payload is None:
        return None
    found = page.payload.token_in(payload)
    if is_access_token(found):
        return found
    others = {text for name in payload.keys if (text := payload.secret(name)) is not None and is_access_token(text)}
    return next(iter(others)) if len(others) == 1 else None


def choose(page: Page, content: Content, past: Sequence[PastVersion], version: Version | None) -> PastVersion | None:
    """Return the version of this number; without one, the newest version before the current one that holds another token.

    Where a rollback holds the secret it is the version with the token that the marks name: the same command again chooses what
    it chose before, also after a kill between its steps. A token from which a person has gone back already is never chosen
    without its number. None where the marks do not say it.
    """
    if version is not None:
        return next((one for one in past if one.version == version), None)
    tokens = [(one, token_of(page, one.payload)) for one in past]
    current = next((token for one, token in tokens if one.current), None)
    marks = content.marks if isinstance(content, Stored) else None
    if marks is not None and marks.hold is not None:
        named = [one for one, token in tokens if token is not None and token.fingerprint == marks.fingerprint]
        return next(iter(named), None) if marks.reason in _OF_ROLLBACK else None
    earlier = [(one, token) for one, token in tokens if not one.current]
    other = next((index for index, (_, token) in enumerate(earlier) if token not in (None, current)), None)
    if other is None:
        return None
    known = current is not None and marks is not None and marks.fingerprint == current.fingerprint
    if known and marks is not None and marks.reason in _FETCHED:
        return earlier[other][0]
    again = (one for one, token in earlier[other:] if current is not None and token == current)
    return next(again, earlier[other][0])


_OF_ROLLBACK = frozenset({ROLLBACK, ROLLBACK_BEGUN, "adopted"})
"""The reasons of marks that hold a secret and name the token which a rollback wanted."""
_FETCHED = frozenset({"created", "recreated", "repair", "heal", "rotate"})
"""The reasons of writes that put a fetched token into a secret, and so are no way back."""


def as_if(page: Page, content: Content, wanted: PastVersion | None, instance: str) -> Content:
    """Return the secret as if the wanted version were current, so that a look asks Meta about its token."""
    token = token_of(page, wanted.payload) if wanted is not None else None
    if (
        not isinstance(content, Stored)
        or wanted is None
        or token is None
        or _refusal(page, content, instance) is not None
    ):
        return content
    return replace(content, payload=wanted.payload, state="live", marks=_marks(page, token, instance))


def released(page: Page, content: Content, instance: str) -> Content:
    """Return the secret as if it were not held, so that a look says what the next cycle would do."""
    if not isinstance(content, Stored) or content.marks is None or _refusal(page, content, instance) is not None:
        return content
    return replace(content, marks=replace(content.marks, hold=None))


def rollback(
    page: Page,
    target: TargetPlan,
    read: Content,
    past: Sequence[PastVersion],
    wanted: PastVersion | None,
    *,
    instance: str,
    observe: bool,
    now: datetime,
    proof_age: timedelta,
) -> Rollback:
    """Decide whether the wanted version becomes current again, by the verdict on its token that is younger than ``proof_age``."""
    one = Rollback(page, target.key, read, past, "refused", wanted)
    refused = _not_writable(one, page, instance)
    if refused is not None or not isinstance(read, Stored):
        return refused or one
    if read.state == "live" and read.version not in {past.version for past in past if past.current}:
        return _failed(one, _CHANGED)
    if wanted is None and past and read.marks is not None and read.marks.hold is not None:
        message = (
            f"The secret is held since the rollback at {read.marks.hold}, and its marks, which name the token "
            f"{read.marks.fingerprint}, do not say which version is wanted."
        )
        remedy = f"Name it: page-token-sync rollback {page.name} --store {one.key.store} --version VERSION."
        return _refused(one, "unclear-version", message, remedy)
    if wanted is None:
        message = "The store keeps no earlier version of the secret with another token."
        return _refused(
            one,
            "no-version",
            message,
            "There is nothing to go back to. If the current token does not work, a cycle replaces it with the one that Graph "
            f"gives now: page-token-sync once --page {page.name}",
        )
    token = token_of(page, wanted.payload)
    one = replace(one, token=token)
    if token is None or wanted.payload is None:
        message = f"Version {wanted.version} holds no access token of Meta, or was deleted."
        return _refused(one, "no-token", message, _another(one))
    is_current = token in {token_of(page, version.payload) for version in past if version.current}
    marks = read.marks
    if is_current and marks is not None and marks.hold is not None and marks.fingerprint == token.fingerprint:
        return replace(
            one,
            action="unchanged",
            message=f"The token of version {wanted.version} is current, and the secret is held.",
            remedy="To make another version current, name it with --version.",
        )
    verdict = target.current.verdict
    one = replace(one, facts=verdict.facts, after=target)
    refusal = _not_proven(one, verdict, now, proof_age)
    if refusal is not None:
        return refusal
    at = moment(now)
    marks = replace(_marks(page, token, instance), written_at=at, hold=at)
    # A rollback that was killed before its last marks has written the payload already.
    one = replace(one, action="roll-back", payload=None if is_current else wanted.payload, marks=marks)
    one = replace(one, message=_ON_HOLD if page.hold else "")
    return _observed(one) if observe else one


def release(
    page: Page,
    target: TargetPlan,
    read: Content,
    past: Sequence[PastVersion],
    *,
    instance: str,
    observe: bool,
    now: datetime,
) -> Rollback:
    """Decide whether the mark of a rollback is removed."""
    one = Rollback(page, target.key, read, past, "refused", after=target)
    refused = _not_writable(one, page, instance)
    if refused is not None or not isinstance(read, Stored) or read.marks is None:
        return refused or one
    if read.marks.hold is None:
        return replace(one, action="unchanged", message="The secret is not held by a rollback.")
    # Marks of a rollback that was killed before its payload name another token than the current one, until the next cycle.
    reason = ROLLBACK_BEGUN if read.marks.reason == ROLLBACK_BEGUN else "released"
    marks = replace(read.marks, hold=None, written_at=moment(now), reason=reason)
    one = replace(one, action="release", marks=marks, message=_ON_HOLD if page.hold else "")
    return _observed(one) if observe else one


def carried_out(one: Rollback, answer: Written | StoreError) -> Rollback:
    """Return the rollback with what the store answered."""
    if isinstance(answer, StoreError):
        failed = _failed(one, answer)
        if answer.error_code == "conflict":
            failed = replace(failed, remedy=_AGAIN)
        return replace(failed, message=f"{answer.message} {_UNSURE}") if answer.maybe_written else failed
    action: RollbackKind = "rolled-back" if one.action == "roll-back" else "released"
    done = replace(one, action=action, written=answer)
    return done if answer.confirmed else replace(done, message=_UNREAD, remedy=_AGAIN)


_AGAIN = "Run the command again: it shows what is stored, and completes what is missing."
_UNREAD = "What was written could not be read back, or has changed again."
_UNSURE = (
    "The write may have taken effect in part: until the same command ends well, it is not certain which token is current, "
    "and the secret may not be held."
)


_CHANGED = StoreError("conflict", "The secret changed while its versions were read.", "Run the command again.")


def _marks(page: Page, token: Secret, instance: str) -> Marks:
    """Return marks without an origin: it is not known which instance fetched an earlier token, and how."""
    return Marks(instance, page.id, page.app_id, token.fingerprint, reason=ROLLBACK, labels=page.labels)


def _refusal(page: Page, content: Stored, instance: str) -> tuple[str, str, str] | None:
    problem = blocked_problem(content, page.targets[0]) or foreign_problem(content, page, instance)
    return None if problem is None else (problem.code, problem.message, problem.remedy)


def _not_writable(one: Rollback, page: Page, instance: str) -> Rollback | None:
    if isinstance(one.read, StoreError):
        return _failed(one, one.read)
    if isinstance(one.read, Absent):
        return _refused(one, "absent", "There is no secret of this Page in the store.", "The next cycle creates it.")
    refusal = _refusal(page, one.read, instance)
    return None if refusal is None else _refused(one, *refusal)


def _not_proven(one: Rollback, verdict: Verdict, now: datetime, proof_age: timedelta) -> Rollback | None:
    problem = next(
        (problem for problem in (*verdict.problems, *verdict.notices) if problem.code == "probe-failed"), None
    )
    if verdict.state is not State.VALID:
        problem = next(iter(verdict.problems), None)
    elif problem is None and verdict.facts is not None and now - proof_age <= verdict.facts.asked_at <= now:
        return None
    if problem is not None:
        # Where the token is refused, the problem's own remedy is about a token that the daemon fetches or replaces.
        remedy = _another(one) if verdict.state is not State.UNKNOWN else problem.remedy
        return _refused(one, problem.code, _of_version(one, problem.message), remedy)
    message = "Meta was not asked about the token now, to keep within the quota of the app."
    return _refused(one, "unproven", message, "Try again within the hour.")


def _of_version(one: Rollback, message: str) -> str:
    """Return a sentence about a stored token as one about that of the wanted version."""
    token = f"token of version {one.wanted.version if one.wanted else ''}"
    if message.startswith("Its "):
        return f"The {token} does not fit: its {message.removeprefix('Its ')}"
    return message.replace("stored token", token)


def _another(one: Rollback) -> str:
    command = f"page-token-sync rollback {one.page.name} --store {one.key.store} --version VERSION"
    return f"Keep the current version, or choose one whose token works: {command}."


def _refused(one: Rollback, reason: str, message: str, remedy: str) -> Rollback:
    return replace(one, action="refused", reason=reason, message=message, remedy=remedy)


def _observed(one: Rollback) -> Rollback:
    message = "The configuration has mode: observe, so nothing is written."
    return replace(one, action="held", reason="observe", message=message, remedy="Set mode: sync.")


def _failed(one: Rollback, error: StoreError) -> Rollback:
    return replace(one, action="failed", message=error.message, remedy=error.remedy, error_code=error.error_code)


def known_reasons(past: Sequence[PastVersion], marks: Marks | None, page: Page) -> Mapping[Version, str]:
    """Return why a version was written, where the marks say it: they are those of the token that was written last."""
    if marks is None or not marks.reason:
        return {}
    return {
        one.version: marks.reason
        for one in past
        if one.current and (token := token_of(page, one.payload)) is not None and token.fingerprint == marks.fingerprint
    }
