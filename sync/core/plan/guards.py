"""What keeps a write back though it was decided: the configuration's word, the brake, and a doubt about a mass of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from sync.core.judge.decide import Action, Current, Kind, Would
from sync.core.model import Key, Page, State, Stored
from sync.core.plan.model import PagePlan, TargetPlan, targets
from sync.core.secret import Secret

_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Brake:
    """When too many tokens of one store would change at once: more than this share of them, and this many."""

    share: float = 0.3
    min_changes: int = 3

    def holds(self, count: int, of: int) -> bool:
        """Check whether ``count`` among ``of`` tokens are too many."""
        return count >= self.min_changes and count > self.share * of


def told_to_hold(action: Action, *, page: Page, observe: bool) -> Action:
    """Hold a write where the configuration says that nothing is written: for this Page, or at all."""
    if action.write is None or not (page.hold or observe):
        return action
    return hold(action, "hold" if page.hold else "observe")


def hold(action: Action, reason: str) -> Action:
    """Turn a write into one that is held, and that says what it would be."""
    return Action(Kind.HELD, reason, problems=action.problems, would=Would(action.kind, action.reason))


def unread_targets(plans: Sequence[PagePlan], named: Collection[Key] | None) -> Mapping[str, int]:
    """Count the places of each store that a selection leaves out; ``named`` are all of the configuration, None for no more."""
    read = {target.key for _, target in targets(plans)}
    return Counter(key.store for key in named or () if key not in read)


def braked(
    plans: Sequence[PagePlan],
    *,
    brake: Brake,
    overwritten: Mapping[Key, datetime],
    now: datetime,
    unread: Mapping[str, int] = MappingProxyType({}),
) -> frozenset[Key]:
    """Return the places that the brake holds: all that it counts in a store where they are too many.

    ``overwritten`` is when a working token was last written over, by place: those of the last 24 hours count too. ``unread``
    is how many places of a store a selection leaves out; a share is one of the whole store, and they count as filled.
    """
    holding: set[Key] = set()
    for store, of_store in _by_store(plans).items():
        counted = {target.key for page, target in of_store if is_counted(page, target)}
        before = {key for key, when in overwritten.items() if key.store == store and now - when < _DAY}
        tokens = sum(target.current.token is not None for _, target in of_store) + unread.get(store, 0)
        if counted and brake.holds(len(counted | before), tokens):
            holding |= counted
    return frozenset(holding)


def is_counted(page: PagePlan, target: TargetPlan) -> bool:
    """Check whether the brake counts a write: a new payload over a token that Meta still calls valid.

    A rotation under the same system user of the same app is what this program is for, and is not counted.
    """
    action, facts = target.action, target.current.verdict.facts
    if action.write is None or action.write.payload is None or target.current.token is None:
        return False
    # Another app's token is one that Meta refuses to judge, and may well work for that app.
    if facts is not None and not facts.is_valid:
        return False
    if action.kind is Kind.UPDATED:
        return True
    return action.kind is Kind.REPLACED and not (action.reason == "rotate" and _same_origin(page, target))


def doubted(
    plans: Sequence[PagePlan], brake: Brake, unread: Mapping[str, int] = MappingProxyType({})
) -> frozenset[tuple[str, Secret]]:
    """Return the stored tokens, with their app's name, that are called invalid in such numbers that Meta must say it twice."""
    found: set[tuple[str, Secret]] = set()
    for store, of_store in _by_store(plans).items():
        tokens = [(page.page.app, target.current) for page, target in of_store if target.current.token is not None]
        invalid = {
            (app, current.token) for app, current in tokens if current.token is not None and _is_called_invalid(current)
        }
        if brake.holds(len(invalid), len(tokens) + unread.get(store, 0)):
            found |= invalid
    return frozenset(found)


def kept_in_doubt(page: PagePlan, target: TargetPlan, doubts: Collection[tuple[str, Secret]]) -> Action:
    """Keep what would be healed where Meta's word on a mass of tokens has been heard only once."""
    action, token = target.action, target.current.token
    if action.reason != "heal" or token is None or (page.page.app, token) not in doubts:
        return action
    return Action(Kind.KEPT, "invalid-once", problems=action.problems)


def _is_called_invalid(current: Current) -> bool:
    """Check whether Meta calls the token itself invalid, and not only one of a wrong type, app or Page."""
    facts = current.verdict.facts
    return current.verdict.state is State.INVALID and facts is not None and facts.is_valid is False


def _same_origin(page: PagePlan, target: TargetPlan) -> bool:
    content, user = target.current.content, page.candidate.system_user_id
    marks = content.marks if isinstance(content, Stored) else None
    return marks is not None and user is not None and (marks.system_user_id, marks.app_id) == (user, page.page.app_id)


def _by_store(plans: Sequence[PagePlan]) -> Mapping[str, list[tuple[PagePlan, TargetPlan]]]:
    found: dict[str, list[tuple[PagePlan, TargetPlan]]] = {}
    for page, target in targets(plans):
        found.setdefault(target.key.store, []).append((page, target))
    return found
