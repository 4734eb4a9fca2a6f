"""Which orphans may be deleted: one pure function, whose result is shown or carried out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sync.core.judge.ownership import blocked_problem, foreign_problem
from sync.core.marks import owner
from sync.core.model import Absent, Content, Key, Marks, Page, Removed, Stored, StoreError, StoreErrorCode, Version
from sync.core.plan.guards import Brake

Owned = Mapping[str, Sequence[tuple[Key, Marks]] | StoreError]
"""The secrets that carry an instance's mark, by store; or why they could not be listed."""

Successors = Mapping[Key, Sequence[tuple[Page, Key]]]
"""For each orphan that a listed Page has left, the secrets that the configuration names for this Page now."""

RemovalKind = Literal["delete", "deleted", "held", "kept", "failed"]
"""What is done with an orphan; "delete" is what --yes would do."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One orphan, and what is done with it.

    ``version`` and ``marks`` are what was read, and what a deletion must find unchanged. ``reason`` says why it is held or kept,
    ``message`` and ``remedy`` the same in sentences; ``error_code`` is set where the action is "failed".
    """

    key: Key
    marks: Marks
    action: RemovalKind
    version: Version = ""
    reason: str | None = None
    message: str = ""
    remedy: str = ""
    error_code: StoreErrorCode | None = None
    removed: Removed | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is to be deleted or was; ``unlisted`` are the stores that could not be listed. ``cut_short``: shutdown left a part undone.

    ``warnings`` are the stores' own, such as about listed secrets whose marks the policy hides.
    """

    removals: tuple[Removal, ...]
    unlisted: Mapping[str, StoreError] = field(default_factory=dict)
    stores: int = 0
    warnings: tuple[str, ...] = ()
    cut_short: bool = False

    @property
    def exit_code(self) -> int:
        """0 where no orphan is left, 3 where no store could be listed, else 1."""
        if self.unlisted and len(self.unlisted) == self.stores:
            return 3
        return 1 if self.unlisted or any(one.action != "deleted" for one in self.removals) else 0


def orphans(owned: Owned, instance: str, named: Collection[Key]) -> list[Key]:
    """Return the secrets of this instance that are not among ``named``, the targets of the whole configuration."""
    return sorted(
        (
            key
            for found in owned.values()
            if not isinstance(found, StoreError)
            for key, marks in found
            if marks.instance == instance and key not in named
        ),
        key=lambda key: (key.store, key.path),
    )


def successors(owned: Owned, found: Collection[Key], pages: Sequence[Page]) -> Successors:
    """Find what replaces each orphan whose Page is listed: its secrets in the same store, else those in other stores."""
    by_id: dict[str, list[Page]] = {}
    for page in pages:
        by_id.setdefault(page.id, []).append(page)
    answer: dict[Key, Sequence[tuple[Page, Key]]] = {}
    for key, marks in _marks(owned).items():
        if key in found and marks.page_id in by_id:
            named = [(page, target) for page in by_id[marks.page_id] for target in page.targets]
            answer[key] = [one for one in named if one[1].store == key.store] or named
    return answer


def _marks(owned: Owned) -> Mapping[Key, Marks]:
    return {key: of for found in owned.values() if not isinstance(found, StoreError) for key, of in found}


def removals(
    owned: Owned,
    current: Mapping[Key, Content],
    replaced_by: Successors,
    *,
    instance: str,
    brake: Brake,
    observe: bool,
) -> tuple[Removal, ...]:
    """Decide for each orphan; one that is gone, or is no longer this instance's, is left out.

    ``current`` has the orphans and their successors: an orphan is kept until each of its successors holds a token. The brake lets through as many of a store as it would let change: a share of all secrets of this instance in that store.
    """
    marks, named = _marks(owned), {key for found in replaced_by.values() for _, key in found}
    decided = [
        _needed(one, replaced_by.get(key, ()), current, instance)
        for key, content in current.items()
        if key not in named and (one := _removal(key, marks[key], content)) is not None
    ]
    allowed = {store: brake.most(len(found)) for store, found in owned.items() if not isinstance(found, StoreError)}
    if observe:
        return tuple(_held(one, "observe") if one.action == "delete" else one for one in decided)
    answer: list[Removal] = []
    for one in decided:
        if one.action == "delete":
            allowed[one.key.store] -= 1
        answer.append(_held(one, "brake") if one.action == "delete" and allowed[one.key.store] < 0 else one)
    return tuple(answer)


_HELD = {
    "brake": (
        "brake.share and brake.min_changes allow no more deletions in this store at a time.",
        "Run prune again for the next ones.",
    ),
    "observe": ("The configuration has mode: observe, so nothing is deleted.", "Set mode: sync."),
}


def _held(one: Removal, reason: Literal["brake", "observe"]) -> Removal:
    message, remedy = _HELD[reason]
    return replace(one, action="held", reason=reason, message=message, remedy=remedy)


def _removal(key: Key, marks: Marks, content: Content) -> Removal | None:
    if isinstance(content, StoreError):
        return failed(Removal(key, marks, "failed"), content)
    if isinstance(content, Absent) or content.state != "live" or content.blocked == "scheduled-deletion":
        return None
    if content.marks is None or owner(content.marks) != owner(marks):
        return None
    one = Removal(key, content.marks, "delete", content.version)
    problem = blocked_problem(content, key)
    if problem is not None:
        return replace(one, action="kept", reason=problem.code, message=problem.message, remedy=problem.remedy)
    if content.replicas:
        regions = " ".join(content.replicas)
        message = (
            f"AWS deletes no secret that is replicated, and this one is replicated to {', '.join(content.replicas)}."
        )
        remedy = (
            f"Remove the replicas first: aws secretsmanager remove-regions-from-replication --secret-id {key.path} "
            f"--remove-replica-regions {regions}"
        )
        return replace(one, action="kept", reason="replicated", message=message, remedy=remedy)
    return one


def _needed(
    one: Removal, replaced_by: Sequence[tuple[Page, Key]], current: Mapping[Key, Content], instance: str
) -> Removal:
    """Keep an orphan that applications may have to read, since a successor holds no token or it is not known whether it does."""
    for page, key in replaced_by:
        content = current[key]
        lack = _lack(page, content, instance)
        if lack is not None and one.action != "failed":
            secret = f"{key.store}:{key.path}"
            message = f"Applications may still read this secret of Page {page.name}: its new one, {secret}, {lack}"
            remedy = f"Run page-token-sync once --page {page.name}, let applications read the new secret, and run prune again."
            if isinstance(content, StoreError):
                remedy = f"{content.remedy} Then run prune again."
            return replace(one, action="kept", reason="not-replaced", message=message, remedy=remedy)
    return one


def _lack(page: Page, content: Content, instance: str) -> str | None:
    """Return what a Page's secret lacks for applications to read a token of this instance there; None where nothing."""
    match content:
        case StoreError(message=message):
            return f"could not be read: {message}"
        case Stored(blocked="scheduled-deletion"):
            return "is scheduled for deletion."
        case Stored(state="live"):
            foreign = foreign_problem(content, page, instance)
            if foreign is not None:
                return f"is not this Page's: {foreign.message}"
            return "holds no token." if page.payload.token_in(content.payload) is None else None
        case _:
            return "does not exist yet."


def failed(one: Removal, error: StoreError) -> Removal:
    """Return the removal as one at which the store failed."""
    return replace(one, action="failed", message=error.message, remedy=error.remedy, error_code=error.error_code)


def removed(one: Removal, answer: Removed | Absent | StoreError) -> Removal:
    """Return the removal with what the store answered."""
    match answer:
        case StoreError():
            return failed(one, answer)
        case Absent():
            return replace(one, action="deleted", message="It was gone already.")
        case Removed():
            return replace(one, action="deleted", removed=answer)
