"""Which orphans may be deleted: one pure function, whose result is shown or carried out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sync.core.judge.ownership import blocked_problem
from sync.core.model import Absent, Content, Key, Marks, Removed, StoreError, StoreErrorCode, Version
from sync.core.plan.guards import Brake

Owned = Mapping[str, Sequence[tuple[Key, Marks]] | StoreError]
"""The secrets that carry an instance's mark, by store; or why they could not be listed."""

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


def removals(owned: Owned, current: Mapping[Key, Content], *, brake: Brake, observe: bool) -> tuple[Removal, ...]:
    """Decide for each orphan in ``current``; one that is gone, or is no longer this instance's, is left out.

    The brake lets through as many of a store as it would let change: a share of all secrets of this instance in that store.
    """
    marks = {key: of for found in owned.values() if not isinstance(found, StoreError) for key, of in found}
    decided = [one for key, content in current.items() if (one := _removal(key, marks[key], content)) is not None]
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
    if content.marks is None or content.marks.instance != marks.instance:
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
