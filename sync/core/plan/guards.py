"""The guards that hold a decided write back: the configuration, the brake, and the confirmation of a mass of invalid tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from sync.core.judge.decide import Action, Current, Kind, Would, is_of_another_user
from sync.core.judge.verify import losses
from sync.core.model import AppToken, Key, Page, State, Stored
from sync.core.plan.model import PagePlan, TargetPlan, targets

FOR_A_PERSON = ("brake", "weaker")
"""The reasons of held lines that wait for a person to let them through."""

_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Brake:
    """When too many tokens of one store would change at once: more than this share of them, and at least this many."""

    share: float = 0.3
    min_changes: int = 3

    def holds(self, count: int, of: int) -> bool:
        """Check whether ``count`` among ``of`` tokens are too many."""
        return count >= self.min_changes and count > self.share * of

    def most(self, of: int) -> int:
        """Return how many among ``of`` are not too many."""
        return max(self.min_changes - 1, int(self.share * of))


def held_by_a_person(page: Page, target: TargetPlan, *, observe: bool) -> Action:
    """Hold a write where a person has said that nothing is written: for this Page, for all, or for this secret by a rollback."""
    action, content = target.action, target.current.content
    if action.write is None:
        return action
    if page.hold:
        return hold(action, "hold")
    if isinstance(content, Stored) and content.marks is not None and content.marks.hold is not None:
        return hold(action, "rollback")
    return hold(action, "observe") if observe else action


def held_if_weaker(page: PagePlan, target: TargetPlan) -> Action:
    """Hold a rotation by which applications would lose something: a permission for the Page, or time until the token expires."""
    action = target.action
    lost = lost_by_rotation(page, target) if action.write is not None and action.reason == "rotate" else ()
    return hold(action, "weaker", lost) if lost else action


def lost_by_rotation(page: PagePlan, target: TargetPlan) -> tuple[str, ...]:
    """Return what applications would lose if the fetched token took the stored one's place."""
    stored, fetched = target.current.verdict.facts, page.candidate.verdict.facts
    return () if stored is None or fetched is None else losses(stored, fetched, page_id=page.page.id)


def hold(action: Action, reason: str, loses: tuple[str, ...] = ()) -> Action:
    """Return a write as one that is held, with what it would be."""
    return Action(Kind.HELD, reason, problems=action.problems, would=Would(action.kind, action.reason, loses))


def unread_targets(plans: Sequence[PagePlan], named: Collection[Key] | None) -> Mapping[str, int]:
    """Count the targets of each store that a selection leaves out. ``named`` are those of the whole configuration, None if all are read."""
    read = {target.key for _, target in targets(plans)}
    return Counter(key.store for key in named or () if key not in read)


def braked(
    plans: Sequence[PagePlan],
    *,
    brake: Brake,
    overwritten: Mapping[Key, datetime],
    waiting: Collection[Key] = (),
    now: datetime,
    unread: Mapping[str, int] = MappingProxyType({}),
) -> frozenset[Key]:
    """Return the targets that the brake holds: all that it counts in a store where they are too many, and what it held before.

    ``overwritten`` is when a working token was last overwritten, by target; those of the last 24 hours count too. ``waiting``
    are the targets that it held in the last cycle: they stay held however few they are now, and count where nothing can be
    decided about them now. ``unread`` is the number of targets of a store that a selection leaves out: the share is one of
    the whole store, and they count as holding a token.
    """
    holding: set[Key] = set()
    still = still_waiting(plans, waiting)
    for store, of_store in _by_store(plans).items():
        counted = {target.key for page, target in of_store if is_counted(page, target)}
        earlier = {key for key, when in overwritten.items() if now - when < _DAY} | still
        before = {key for key in earlier if key.store == store}
        tokens = sum(target.current.token is not None for _, target in of_store) + unread.get(store, 0)
        too_many = brake.holds(len(counted | before), tokens)
        holding |= counted if too_many else counted.intersection(waiting)
    return frozenset(holding)


def still_waiting(plans: Sequence[PagePlan], waiting: Collection[Key]) -> frozenset[Key]:
    """Return the targets that the brake held and about which this cycle decides nothing."""
    if not waiting:
        return frozenset()
    decided = {target.key for page, target in targets(plans) if not is_undecided(page, target)}
    return frozenset(waiting) - decided


def is_undecided(page: PagePlan, target: TargetPlan) -> bool:
    """Check whether a target may be written once more is known: it could not be read, or a token could not be judged.

    A stored token that works is no such case: it stays where nothing is known of the fetched one.
    """
    if target.action.kind is Kind.FAILED or target.action.reason == "invalid-once":
        return True
    stored, fetched = target.current, page.candidate.verdict.state
    if target.action.kind is not Kind.KEPT or fetched is State.INVALID:
        return False
    if stored.token is None:
        return fetched is State.UNKNOWN
    return stored.verdict.state is not State.VALID and State.UNKNOWN in (fetched, stored.verdict.state)


def is_counted(page: PagePlan, target: TargetPlan) -> bool:
    """Check whether the brake counts a write: a new payload over a token that debug_token still calls valid.

    A rotation under the same system user of the same app is ordinary work, and is not counted.
    """
    action, facts = target.action, target.current.verdict.facts
    if action.write is None or action.write.payload is None or target.current.token is None:
        return False
    # Another app's token may well work for that app.
    if facts is not None and facts.is_valid is False:
        return False
    if action.kind is Kind.UPDATED:
        return True
    return action.kind is Kind.REPLACED and not (action.reason == "rotate" and _same_origin(page, target))


def unconfirmed(
    plans: Sequence[PagePlan], brake: Brake, unread: Mapping[str, int] = MappingProxyType({})
) -> frozenset[AppToken]:
    """Return the stored tokens that are called invalid in such numbers that a second answer must confirm it."""
    found: set[AppToken] = set()
    for store, of_store in _by_store(plans).items():
        tokens = [(page.page.app, target.current) for page, target in of_store if target.current.token is not None]
        invalid = {
            (app, current.token) for app, current in tokens if current.token is not None and _is_called_invalid(current)
        }
        if brake.holds(len(invalid), len(tokens) + unread.get(store, 0)):
            found |= invalid
    return frozenset(found)


def kept_until_confirmed(page: PagePlan, target: TargetPlan, doubts: Collection[AppToken]) -> Action:
    """Keep what would be healed where only one answer called a mass of tokens invalid."""
    action, token = target.action, target.current.token
    if action.reason != "heal" or token is None or (page.page.app, token) not in doubts:
        return action
    return Action(Kind.KEPT, "invalid-once", problems=action.problems)


def _is_called_invalid(current: Current) -> bool:
    """Check whether debug_token calls the token itself invalid, rather than one of a wrong type, app or Page."""
    facts = current.verdict.facts
    return current.verdict.state is State.INVALID and facts is not None and facts.is_valid is False


def _same_origin(page: PagePlan, target: TargetPlan) -> bool:
    content, user = target.current.content, page.candidate.system_user_id
    marks = content.marks if isinstance(content, Stored) else None
    if marks is None or user is None or target.current.token is None:
        return False
    # Marks that name another token say nothing about the origin of this one.
    return (marks.fingerprint, marks.system_user_id, marks.app_id) == (
        target.current.token.fingerprint,
        user,
        page.page.app_id,
    ) and not is_of_another_user(page.candidate, target.current.verdict)


def _by_store(plans: Sequence[PagePlan]) -> Mapping[str, list[tuple[PagePlan, TargetPlan]]]:
    found: dict[str, list[tuple[PagePlan, TargetPlan]]] = {}
    for page, target in targets(plans):
        found.setdefault(target.key.store, []).append((page, target))
    return found
