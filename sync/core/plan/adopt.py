"""Which secrets that this instance did not write may be marked as its own: pure functions around a look at what would follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sync.core.judge.ownership import (
    DELETE_UNUSED,
    adoptable_token,
    blocked_problem,
    foreign_problem,
    is_access_token,
    system_user_of,
    written_since,
)
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
    SystemUserToken,
    TokenFacts,
    Written,
)
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.problems import Problem
from sync.core.secret import Secret

AdoptionKind = Literal["adopt", "adopted", "unchanged", "refused", "held", "failed"]
"""What is done with a secret; "adopt" is what --yes would do, "unchanged" is this instance's already."""

_AGAIN = "Run the command again: it reads the secret and judges its token again."


@dataclass(frozen=True, slots=True)
class Adoption:
    """One secret of a Page as it was read, what its token is, and what is done.

    ``reason`` says why it is not marked, ``message`` and ``remedy`` the same in sentences. ``facts`` are what debug_token answered
    for the token. ``system_user`` is the configured one that the token hangs on, None where it is somebody else or not known.
    ``others`` are the keys of the payload that the configuration does not have, ``copies`` those of them that hold the same token.
    ``after`` is what the next cycle would do, and ``problems`` are those of the token that it would fetch. ``marks`` are what is written.
    """

    page: Page
    key: Key
    read: Content
    action: AdoptionKind
    reason: str | None = None
    message: str = ""
    remedy: str = ""
    error_code: StoreErrorCode | None = None
    token: Secret | None = None
    facts: TokenFacts | None = None
    system_user: str | None = None
    others: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    after: TargetPlan | None = None
    problems: tuple[Problem, ...] = ()
    marks: Marks | None = None

    @property
    def before(self) -> Marks | None:
        """The marks that the secret has now."""
        return self.read.marks if isinstance(self.read, Stored) else None


def assumed(pages: Sequence[Page], current: Mapping[Key, Content], instance: str) -> dict[Key, Content]:
    """Return what was read as if each secret that may be adopted were marked, so that a look judges it and says what follows."""
    pages_by_key = {key: page for page in pages for key in page.targets}
    return {key: _assumed(pages_by_key[key], content, instance) for key, content in current.items()}


def _assumed(page: Page, content: Content, instance: str) -> Content:
    token = adoptable_token(content, page)
    if not isinstance(content, Stored) or token is None or not _is_foreign(page, content, instance):
        return content
    return replace(content, marks=_marks(page, token, instance, content.marks), first=False)


def _is_foreign(page: Page, content: Stored, instance: str) -> bool:
    return content.blocked is None and foreign_problem(content, page, instance) is not None


def _marks(page: Page, token: Secret, instance: str, before: Marks | None) -> Marks:
    """Return the marks of an adopted secret, without an origin: this instance has not fetched the token.

    What a rollback of this Page held stays held until a person releases it.
    """
    hold = before.hold if before is not None and before.page_id == page.id else None
    return Marks(instance, page.id, page.app_id, token.fingerprint, reason="adopted", hold=hold, labels=page.labels)


def adoptions(
    plans: Sequence[PagePlan],
    read: Mapping[Key, Content],
    *,
    instance: str,
    by_name: bool,
    observe: bool,
    now: datetime,
    user_tokens: Sequence[SystemUserToken] = (),
) -> tuple[Adoption, ...]:
    """Decide for each secret by the plan after its adoption; ``by_name``: a person has named this Page.

    Without a name, a secret of another instance stays that instance's, and what is absent is left out.
    """
    found = []
    for plan in plans:
        for target in plan.targets:
            one = _adoption(plan.page, target, read[target.key], instance, by_name=by_name)
            one = replace(one, system_user=system_user_of(one.facts, user_tokens))
            one = replace(one, problems=plan.candidate.verdict.problems)
            if one.action == "adopt" and one.marks is not None:
                one = replace(one, marks=replace(one.marks, written_at=moment(now)))
                one = (
                    _refused(one, "observe", "The configuration has mode: observe.", "Set mode: sync.", "held")
                    if observe
                    else one
                )
            if by_name or one.reason != "absent":
                found.append(one)
    return tuple(found)


def _adoption(page: Page, target: TargetPlan, content: Content, instance: str, *, by_name: bool) -> Adoption:
    one = Adoption(page, target.key, content, "refused")
    if isinstance(content, StoreError):
        return failed(one, content)
    if isinstance(content, Absent):
        return _refused(one, "absent", "There is no secret to adopt.", "Nothing to do: the next cycle creates it.")
    blocked = blocked_problem(content, target.key)
    if blocked is not None:
        return _refused(one, blocked.code, blocked.message, blocked.remedy)
    if not _is_foreign(page, content, instance):
        return replace(one, action="unchanged")
    marks = content.marks
    if marks is not None and marks.instance != instance and not by_name:
        message = f"The secret belongs to the instance {marks.instance!r}{written_since(marks)}."
        return _refused(
            one, "another-instance", message, "Adopt it by the name of its Page, once that instance has left it."
        )
    token = adoptable_token(content, page)
    others = tuple(sorted(content.payload.keys - page.payload.names)) if content.payload is not None else ()
    copies = tuple(name for name in others if token is not None and _text(content, name) == token)
    one = replace(one, token=token, others=others, copies=copies)
    if token is None:
        return _refused(one, "no-token", *_no_token(content))
    verdict = target.current.verdict
    one = replace(one, facts=verdict.facts, after=target)
    if verdict.state is State.VALID:
        return replace(one, action="adopt", marks=_marks(page, token, instance, marks))
    problem = next(iter(verdict.problems), None)
    if problem is None:
        return _refused(
            one,
            "unproven",
            "Meta was not asked about the token, to keep within the quota of the app.",
            "Try again within the hour.",
        )
    # The problem's own remedy waits for the daemon, which never replaces a secret that is not its own.
    ended = problem.code in ("token-invalid", "token-expired")
    return _refused(one, problem.code, problem.message, DELETE_UNUSED if ended else problem.remedy)


def _refused(one: Adoption, reason: str, message: str, remedy: str, action: AdoptionKind = "refused") -> Adoption:
    return replace(one, action=action, reason=reason, message=message, remedy=remedy)


def failed(one: Adoption, error: StoreError) -> Adoption:
    """Return the adoption as one at which the store failed."""
    return replace(one, action="failed", message=error.message, remedy=error.remedy, error_code=error.error_code)


def _text(content: Stored, name: str) -> Secret | None:
    return content.payload.secret(name) if content.payload is not None else None


def _no_token(content: Stored) -> tuple[str, str]:
    """Return why there is no token to adopt, and under which key one seems to be."""
    if content.payload is None:
        return "The secret has no value that can be read.", "Correct or remove it; the next cycle then creates it."
    elsewhere = [name for name in sorted(content.payload.keys) if is_access_token(_text(content, name))]
    if not elsewhere:
        return (
            "The secret holds no access token of Meta where the configuration has it.",
            f"Check `payload`, and what the secret is. {DELETE_UNUSED}",
        )
    names = " or ".join(elsewhere)
    wanted = f'payload: {{{elsewhere[0]}: "{{token}}"}}'
    return (
        f"Where the configuration has the token the secret has none, but its key {names} holds one.",
        f"Set {wanted}, with the other keys that the applications read, and adopt again.",
    )


def marked(one: Adoption, answer: Written | StoreError) -> Adoption:
    """Return the adoption with what the store answered."""
    if isinstance(answer, StoreError):
        done = failed(one, answer)
        return replace(done, remedy=_AGAIN) if answer.error_code == "conflict" else done
    message = "" if answer.confirmed else "The marks could not be read back yet; the next cycle reads them."
    return replace(one, action="adopted", message=message)


def exit_code(found: Sequence[Adoption]) -> int:
    """Return 0 where nothing is left to do, 3 where no secret could be read, else 1."""
    if found and all(one.action == "failed" and isinstance(one.read, StoreError) for one in found):
        return 3
    return 0 if all(one.action in ("adopted", "unchanged") for one in found) else 1
