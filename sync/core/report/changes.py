"""What changed with a cycle, the one value that the log is written from: causes that began, last or ended. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from sync.core.memory.problems import BRAKED, HELD, REJECTED, OpenProblem, ProblemKey, Reported
from sync.core.problems import Scope
from sync.core.report.causes import AnyCause, Warned, is_shared, warned
from sync.core.report.entries import PageEntry
from sync.core.report.served_changes import ServedChange, served_changes, served_now
from sync.core.report.unseen import Configured, Part, Unseen

REMIND_EVERY = timedelta(hours=24)
RECURS_WITHIN = timedelta(hours=1)
"""A cause that comes back so soon after its end recurs: it has ended only when it was away for so long."""
UNSEEN_FOR = timedelta(hours=24)
"""A cause that could not be looked at for so long counts as ended, so that it begins again where it is found again."""
MOST_NAMED = 50
"""A line of the log names at most this many Pages."""

_SAID_ONCE = frozenset({"foreign-write"})
"""What happened once: it is logged again only where it happens again, and has no end."""
_OF_USERS: tuple[Scope, ...] = ("page", "system_user")
"""What Pages have one by one, and what the token of their system user has, can be one cause."""
_EXPIRING = "system-user-expiring"
"""It is logged so many days before the expiry, and not each day."""

How = Literal["over", "unseen"] | Part
"""Why a cause counts as ended: it was looked for and not found, it could not be looked for, or this was removed from the configuration."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A cause that begins, or that is reminded of. ``since`` is when it began; ``recurs``: it was away for less than an hour.

    A cause that begins for another owner, who must act now, is since when the first owner had to.
    """

    cause: AnyCause
    since: datetime
    recurs: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A cause that ended. ``pages`` are the first Pages that had it, and ``page_count`` is the number of all."""

    key: ProblemKey
    since: datetime
    how: How
    pages: Sequence[str]
    page_count: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a cycle changed. ``reported`` is what the next cycle needs to know of it."""

    began: tuple[Begun, ...] = ()
    reminders: tuple[Begun, ...] = ()
    ended: tuple[Ended, ...] = ()
    served: tuple[ServedChange, ...] = ()
    reported: Reported = field(default_factory=Reported)

    @property
    def is_news(self) -> bool:
        """Whether there is anything to log."""
        return bool(self.began or self.reminders or self.ended or self.served)


def changes(
    found: Iterable[AnyCause],
    pages: Sequence[PageEntry],
    before: Reported,
    *,
    configured: Configured,
    unseen: Unseen,
    now: datetime,
    is_check: bool = False,
) -> Changes:
    """Compare what this cycle found with what had been reported before it.

    ``is_check``: only some Pages were looked at, between two cycles. Then a cause that was reported before neither ends for
    other Pages nor is due for a reminder, which names all its Pages.
    """
    present: dict[ProblemKey, AnyCause] = {}
    for cause in found:
        for key in _tracked(cause):
            present.setdefault(key, cause)
    kept = _kept(before, present, configured.pages) if is_check else {}
    left = frozenset(_left(pages))
    away = {key: known for key, known in before.problems.items() if key not in present and key not in kept}
    passed_on = _passed_on(away, present, left)
    absent = {key: known for key, known in away.items() if key not in passed_on and not _is_left(key, known, left)}
    lasting = {**{key: known for key, known in kept.items() if known.ended_at is None}, **passed_on}
    earlier = {_unowned(key): known for key, known in sorted(lasting.items(), key=_since, reverse=True)}
    found_steps = {
        key: _present(
            key,
            _as_reported(key, cause, before.problems),
            cause,
            now,
            _earliest(_unowned(key), cause, earlier) if earlier else None,
        )
        for key, cause in present.items()
        if key not in kept
    }
    absent_steps = {key: _absent(key, known, configured, unseen, now) for key, known in absent.items()}
    recurring = {_unowned(key) for key, step in found_steps.items() if step.known.recurs} if passed_on else set()
    # They last for another owner or in another scope, so that all of them end together.
    absent_steps |= {
        key: _Step("away", replace(known, found_at=now, recurs=known.recurs or _unowned(key) in recurring))
        for key, known in passed_on.items()
    }
    unchanged = {key: _Step("lasts", known) for key, known in kept.items()}
    absent_steps |= _waiting({**unchanged, **found_steps, **absent_steps}, absent)
    steps = _without_removed({**_reminded(found_steps, present, now), **absent_steps})
    return Changes(
        began=tuple(_grouped(steps, present, ("began", "recurs"))),
        reminders=tuple(_grouped(steps, present, ("due",))),
        ended=tuple(_ended(steps)),
        served=tuple(served_changes(pages, before.served)),
        reported=Reported(
            {**kept, **{key: step.known for key, step in steps.items() if step.keep}},
            served_now(pages, before.served if is_check else {}),
        ),
    )


def _kept(before: Reported, present: Container[ProblemKey], names: Container[str]) -> Mapping[ProblemKey, OpenProblem]:
    """Return what a check of some Pages leaves as it was reported: causes that last, and those that other Pages may still have."""
    return {
        key: known
        for key, known in before.problems.items()
        if (key not in present and key.page not in names)
        or (key in present and known.ended_at is None and key.code not in _SAID_ONCE)
    }


def and_warned(changed: Changes, text: str, now: datetime) -> Changes:
    """Return the changes with a warning of what happened after they were found, where it was not warned of before."""
    (cause,) = warned([text])
    return _and_begun(changed, cause, now)


def config_changes(before: Reported, rejected: Warned | None, now: datetime) -> Changes:
    """Return what an edit between two cycles changed: a rejected configuration begins, or ends where none is rejected."""
    changed = Changes(reported=before)
    if rejected is not None:
        return _and_begun(changed, rejected, now)
    found = {key: known for key, known in before.problems.items() if key.code == REJECTED}
    steps = {key: _over(known, now) for key, known in found.items() if known.ended_at is None}
    problems = {**before.problems, **{key: step.known for key, step in steps.items()}}
    return replace(changed, ended=tuple(_ended(steps)), reported=replace(before, problems=problems))


def _and_begun(changed: Changes, cause: Warned, now: datetime) -> Changes:
    problems = changed.reported.problems
    step = _present(cause.key, problems.get(cause.key), cause, now)
    if step.what not in ("began", "recurs"):
        return changed
    begun = Begun(cause, step.known.since, step.what == "recurs")
    reported = replace(changed.reported, problems={**problems, cause.key: step.known})
    return replace(changed, began=(*changed.began, begun), reported=reported)


@dataclass(frozen=True, slots=True)
class _Step:
    """What becomes of one tracked cause in this cycle; ``keep``: it is remembered."""

    what: Literal["began", "recurs", "due", "lasts", "ended", "away"]
    known: OpenProblem
    how: How = "over"
    keep: bool = True


def _tracked(cause: AnyCause) -> Iterable[ProblemKey]:
    if is_shared(cause.key):
        return (cause.key,)
    return (cause.key.of_page(name) for name in cause.pages)


def _left(pages: Iterable[PageEntry]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each Page with each code of its problems, and with the store that has it; empty for any of them."""
    for page in pages:
        for problem in page.problems:
            yield page.name, problem.code, ""
        for entry in page.stores:
            for problem in entry.problems:
                yield page.name, problem.code, ""
                yield page.name, problem.code, entry.key.store


def _is_left(key: ProblemKey, known: OpenProblem, left: Container[tuple[str, str, str]]) -> bool:
    """Check whether a Page still has the problem of a cause that was not found: another owner must act, or it follows from another.

    To log that the problem is over would be untrue.
    """
    if known.ended_at is not None or key.detail:
        return False
    store = key.whose if key.scope == "store" else ""
    return any((name, key.code, store) in left for name in ([key.page] if key.page else known.pages))


def _unowned(key: ProblemKey) -> ProblemKey:
    return ProblemKey(key.code, key.scope, key.whose, "", key.detail, key.page)


def _of_user(key: ProblemKey) -> ProblemKey:
    """Return the key of a Page's cause where its system user's token has it too.

    An error that comes and goes is met now by calls for single Pages alone, now by one for the token: it is one cause.
    """
    return ProblemKey(key.code, "system_user", key.whose, key.owner, key.detail)


def _of_pages(key: ProblemKey, cause: AnyCause) -> list[ProblemKey]:
    """Return the keys of a system user's cause at each of its Pages, as if the token did not have it."""
    return [ProblemKey(key.code, "page", key.whose, key.owner, key.detail, name) for name in cause.pages]


def _passed_on(
    away: Mapping[ProblemKey, OpenProblem], present: Iterable[ProblemKey], left: Container[tuple[str, str, str]]
) -> Mapping[ProblemKey, OpenProblem]:
    """Return the causes that last though they were not found: another owner must act now, or another scope has them."""
    lasting = {_unowned(key) for key in present} if away else set()
    at_pages = {_of_user(key) for key in lasting if key.scope == "page"}

    def lasts(key: ProblemKey, known: OpenProblem) -> bool:
        unowned = _unowned(key)
        if unowned in at_pages or (key.scope == "page" and _of_user(unowned) in lasting):
            return True
        # A token is one; of what Pages or stores share, the part of one owner can be over.
        return unowned in lasting and (key.scope == "system_user" or _is_left(key, known, left))

    return {key: known for key, known in away.items() if known.ended_at is None and lasts(key, known)}


def _as_reported(key: ProblemKey, cause: AnyCause, reported: Mapping[ProblemKey, OpenProblem]) -> OpenProblem | None:
    """Return what was reported of a cause, be it for the system user's token or for each of its Pages."""
    own = reported.get(key)
    if own is not None and own.ended_at is None:
        return own
    other = None
    if key.scope == "page":
        other = reported.get(_of_user(key))
        # A Page that had no part in it is news.
        other = other if other is not None and _concerns(other, key.page) else None
    elif key.scope == "system_user":
        keys = _of_pages(key, cause)
        other = _merged([reported[one] for one in keys]) if keys and all(one in reported for one in keys) else None
    return other if own is None or (other is not None and other.ended_at is None) else own


def _concerns(known: OpenProblem, page: str) -> bool:
    """Check whether a Page had part in a cause of its system user's token.

    Where the token alone had it, and where more Pages had it than are remembered by name, each Page counts as one that did.
    """
    return page in known.pages or not 0 < known.page_count <= MOST_NAMED


def _merged(found: Sequence[OpenProblem]) -> OpenProblem:
    """Return what was reported of some Pages as one; it has ended where it has for one of them, so that it recurs."""
    ended = [one.ended_at for one in found if one.ended_at is not None]
    oldest = min(found, key=lambda one: one.since)
    return replace(oldest, reported_at=min(one.reported_at for one in found), ended_at=max(ended, default=None))


def _earliest(key: ProblemKey, cause: AnyCause, earlier: Mapping[ProblemKey, OpenProblem]) -> OpenProblem | None:
    """Return what lasts of a cause since before another owner had to act, or since before all of its Pages had it."""
    keys = [key, _of_user(key)] if key.scope == "page" else [key]
    if key.scope == "system_user":
        keys += _of_pages(key, cause)
    found = [earlier[one] for one in keys if one in earlier]
    return min(found, key=lambda one: one.since, default=None)


def _since(known: tuple[ProblemKey, OpenProblem]) -> datetime:
    return known[1].since


def _absent(key: ProblemKey, known: OpenProblem, configured: Configured, unseen: Unseen, now: datetime) -> _Step:
    """Return what becomes of a cause that was not found."""
    if known.ended_at is not None:
        return _Step("away", known, keep=_is_within(RECURS_WITHIN, known.ended_at, now))
    if key.code in _SAID_ONCE:
        return _Step("away", known, keep=_is_within(UNSEEN_FOR, known.found_at, now))
    removed = configured.lacks(key)
    if removed is not None:
        return _Step("ended", known, removed, keep=False)
    if unseen.hides(key, known):
        if _is_within(UNSEEN_FOR, known.found_at, now):
            return _Step("away", known)
        return _Step("ended", known, "unseen", keep=False)
    return _over(known, now)


def _waiting(steps: Mapping[ProblemKey, _Step], absent: Mapping[ProblemKey, OpenProblem]) -> Mapping[ProblemKey, _Step]:
    """Return what would end now of causes that a system user's token had too, and that last: all of such a cause ends at once.

    It may last for the token, for a Page that could not be looked at, or for one at which it may recur.
    """
    over = {key for key in absent if key.scope in _OF_USERS and (steps[key].what, steps[key].how) == ("ended", "over")}
    if not over:
        return {}
    open_keys = {
        key
        for key, step in steps.items()
        if key.scope in _OF_USERS and step.what != "ended" and step.known.ended_at is None
    }
    lasting = {_of_user(_unowned(key)) for key in open_keys}
    of_tokens = {_unowned(key) for key in open_keys | over if key.scope == "system_user"}
    return {key: _Step("away", absent[key]) for key in over if _of_user(_unowned(key)) in lasting & of_tokens}


def _without_removed(steps: Mapping[ProblemKey, _Step]) -> Mapping[ProblemKey, _Step]:
    """Return the steps with no part of a removed Page in a token's cause: if it comes back with the cause, that is news."""
    removed = {key.page for key, step in steps.items() if step.what == "ended" and step.how == "Page"}
    if not removed:
        return steps
    return {
        key: replace(
            step, known=replace(step.known, pages=tuple(name for name in step.known.pages if name not in removed))
        )
        if key.scope == "system_user"
        else step
        for key, step in steps.items()
    }


def _over(known: OpenProblem, now: datetime) -> _Step:
    """Return what becomes of a cause that is over: one that recurs has ended once it was away for an hour."""
    if known.recurs and _is_within(RECURS_WITHIN, known.found_at, now):
        return _Step("away", known)
    return _Step("ended", replace(known, ended_at=now))


def _present(
    key: ProblemKey, known: OpenProblem | None, cause: AnyCause, now: datetime, other: OpenProblem | None = None
) -> _Step:
    """Return what becomes of a cause that was found; where it began for another owner, it lasts since then."""
    text = cause.text_of(key.page)
    names = [] if key.page else list(cause.pages)
    count = len(names)
    if known is not None and known.ended_at is None and key.scope == "system_user":
        # Single Pages have it next, where the token no longer has it; those that had part in it are no news then.
        names = list(dict.fromkeys((*names, *known.pages)))
        count = max(len(names), known.page_count)
    found = OpenProblem(now, now, now, text=text, pages=tuple(names[:MOST_NAMED]), page_count=count)
    if known is None:
        return _Step("began", replace(found, since=other.since, recurs=other.recurs) if other is not None else found)
    lasting = replace(found, since=known.since, reported_at=known.reported_at, recurs=known.recurs)
    if key.code in _SAID_ONCE:
        return _Step("lasts", lasting) if text == known.text else _Step("began", found)
    if known.ended_at is not None:
        # It follows from edits alone: whoever corrects one need not wait an hour to learn that it is in force.
        if key.code == REJECTED:
            return _Step("began", found)
        return _Step("recurs", replace(lasting, reported_at=now, recurs=True))
    # Where a person is asked, the remedy names the plan: for another plan it is another command.
    other_plan = key.code in (BRAKED, HELD) and text != known.text
    if key.code != _EXPIRING and (other_plan or not _is_within(REMIND_EVERY, known.reported_at, now)):
        return _Step("due", replace(lasting, reported_at=now))
    return _Step("lasts", lasting)


def _reminded(
    steps: Mapping[ProblemKey, _Step], present: Mapping[ProblemKey, AnyCause], now: datetime
) -> Mapping[ProblemKey, _Step]:
    """Return the steps with a reminder of all that lasts of a cause where one is due, so that it is one line a day."""
    due = {id(present[key]) for key, step in steps.items() if step.what == "due"}
    if not due:
        return steps
    return {
        key: _Step("due", replace(step.known, reported_at=now))
        if step.what == "lasts" and key in present and id(present[key]) in due
        else step
        for key, step in steps.items()
    }


def _grouped(
    steps: Mapping[ProblemKey, _Step], present: Mapping[ProblemKey, AnyCause], wanted: tuple[str, ...]
) -> Iterator[Begun]:
    """Yield one line to log for each cause, with the Pages of which it is news."""
    groups: dict[tuple[int, bool, bool], list[ProblemKey]] = defaultdict(list)
    for key, step in steps.items():
        if step.what in wanted and key.code != _EXPIRING:
            is_new = step.known.since == step.known.reported_at
            groups[id(present[key]), step.what == "recurs", is_new].append(key)
    for (_, recurs, _), keys in groups.items():
        cause = present[keys[0]]
        part = cause if is_shared(cause.key) else cause.only({key.page for key in keys})
        yield Begun(part, min(steps[key].known.since for key in keys), recurs)


def _ended(steps: Mapping[ProblemKey, _Step]) -> Iterator[Ended]:
    groups: dict[tuple[ProblemKey, How], list[ProblemKey]] = defaultdict(list)
    for key, step in steps.items():
        if step.what == "ended":
            # Whoever had to act in the course of it, and whether the token had it too, it ends once.
            scope: Scope = "page" if key.scope == "system_user" else key.scope
            groups[replace(key.of_page(""), owner="", scope=scope), step.how].append(key)
    for (group, how), keys in groups.items():
        scope = next((key.scope for key in keys if key.scope != "page"), "page")
        first = max((steps[key].known for key in keys), key=lambda known: (known.found_at, known.page_count))
        names = list(dict.fromkeys((*(key.page for key in keys if key.page), *first.pages)))
        number = max(len(names), first.page_count)
        since = min(steps[key].known.since for key in keys)
        yield Ended(replace(group, scope=scope), since, how, names[:MOST_NAMED], number, first.text)


def _is_within(limit: timedelta, moment: datetime, now: datetime) -> bool:
    """Check whether a moment is not long ago; one in the future, after a clock was set back, counts as long ago."""
    return timedelta(0) <= now - moment < limit
