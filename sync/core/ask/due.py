"""Which tokens Meta is to be asked about now, and in which order: what waits for a repair first, the longest unasked before others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from sync.core.ask.inputs import Scene
from sync.core.ask.routes import passed
from sync.core.judge.verify import ends_within, verify
from sync.core.memory.memory import Judged
from sync.core.model import Absent, Ask, Checks, Fetched, Key, Never, Page, SourceError, State, Stored
from sync.core.plan.plan import is_to_be_judged, stored_token
from sync.core.plan.served import is_broken
from sync.core.secret import Secret

_HOURLY = timedelta(hours=1)
_GRACE = timedelta(seconds=30)
"""A cycle that comes this much too early leaves no token out."""
_SUSPECTED = timedelta(hours=3)
_TOKEN_REFUSED = 190
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Rank(IntEnum):
    """Why a token is asked about, the most pressing first."""

    NO_SECRET = 1
    KNOWN_BAD = 2
    NEW = 3
    DIFFERS = 4
    ENDING = 5
    DUE = 6
    CURIOUS = 7


_URGENT = (Rank.NO_SECRET, Rank.KNOWN_BAD)


def asks(scene: Scene) -> Mapping[str, Sequence[Ask]]:
    """Return what ``debug_token`` is asked in this cycle, by the app's name, the most pressing first; empty for nothing."""
    best: dict[tuple[str, Secret], tuple[Rank, datetime]] = {}
    for page in scene.pages:
        for token, rank in _of_page(scene, page):
            judged = scene.judged(page, token)
            line = (rank, judged.facts.asked_at if judged else _EPOCH)
            key = (page.app, token)
            best[key] = min(best.get(key, line), line)
    order = sorted(best, key=lambda key: (*best[key], key[1].fingerprint))
    found: dict[str, list[Ask]] = {}
    for app, token in order:
        found.setdefault(app, []).append(Ask(token, urgent=best[app, token][0] in _URGENT))
    return found


def probes(
    scene: Scene, every: timedelta, *, exclude: Collection[tuple[str, Secret]] = ()
) -> Mapping[str, Mapping[Secret, str]]:
    """Return the stored tokens that are to be used once, by the app's name, each with the id of its Page.

    Those in ``spared``, by the app's name and the token, have no need of it; one that Graph refuses though Meta calls it
    valid is used every three hours, since each refusal costs a question to Meta.
    """
    found: dict[str, dict[Secret, str]] = {}
    for page in scene.pages:
        for _, token in scene.stored(page):
            judged = scene.judged(page, token)
            if judged is None or (page.app, token) in exclude or not judged.facts.is_valid:
                continue
            since, wait = judged.seen_at, every
            if judged.probe == "refused" and judged.probed_at is not None:
                since, wait = judged.probed_at, max(every, _SUSPECTED)
            if not timedelta(0) <= scene.now - since < wait - _GRACE:
                found.setdefault(page.app, {})[token] = page.id
    return found


def verify_interval(wanted: timedelta, *, tokens: int, calls_per_hour: float) -> timedelta:
    """Return the interval at which ``tokens`` can be judged: the wanted one, or as long as their number makes it.

    A quarter of the calls is kept for repairs and for what is new.
    """
    return max(wanted, timedelta(hours=tokens / (0.75 * calls_per_hour)))


def _of_page(scene: Scene, page: Page) -> Iterator[tuple[Secret, Rank]]:
    fetched, candidate = scene.fetched.get(page.name), scene.candidate(page)
    stored = list(scene.stored(page))
    lacking = any(_lacks_token(scene, page, key) for key in page.targets)
    dead = frozenset(token for _, token in stored if _is_dead(scene, page, token))
    ready = candidate is not None and not _is_unfit(scene, page, candidate) and not page.hold and scene.writes
    for _, token in stored:
        judged = scene.judged(page, token)
        refused = judged is not None and judged.refused
        # What Meta calls invalid is asked about once more where it is about to be replaced, since a mass of them must be said
        # twice. All else that is dead is asked about hourly, in the turn of all others: somebody may put it right at Meta.
        invalid = judged is not None and judged.facts.is_valid is False
        pressing = refused or (invalid and ready and token != candidate)
        rank = Rank.KNOWN_BAD if pressing else _due(scene, page, token)
        if rank is None and token in dead and not _young(scene, page, token, _HOURLY):
            rank = Rank.DUE
        if candidate is not None and candidate != token and scene.counting(page, token) is None:
            # Nothing is known of it, and whether it is dead decides about a repair that the fetched one is ready for.
            rank = min(rank or Rank.DIFFERS, Rank.DIFFERS)
        if _was_refused(fetched) and token not in dead and not _young(scene, page, token, _HOURLY):
            rank = min(rank or Rank.NEW, Rank.NEW)
        if rank is not None:
            yield token, rank
    if candidate is None:
        return
    rank = _of_candidate(scene, page, candidate, stored, lacking=lacking, dead=dead)
    if rank is not None:
        yield candidate, rank


def _of_candidate(
    scene: Scene,
    page: Page,
    candidate: Secret,
    stored: Sequence[tuple[Stored, Secret]],
    *,
    lacking: bool,
    dead: frozenset[Secret],
) -> Rank | None:
    """Return why a fetched token is asked about; None for not now. What is written is proven once more just before that."""
    if (lacking or dead - {candidate}) and scene.counting(page, candidate) is None:
        return Rank.NO_SECRET if lacking else Rank.KNOWN_BAD
    if (lacking or dead) and _is_unfit(scene, page, candidate) and not _young(scene, page, candidate, _HOURLY):
        return Rank.DUE
    if any(token != candidate for _, token in stored):
        return _of_another_string(scene, page, candidate, stored)
    return _due(scene, page, candidate)


def _lacks_token(scene: Scene, page: Page, key: Key) -> bool:
    """Check whether a place of ours waits for a token: nothing is there, or nothing that holds one."""
    content = scene.current[key]
    if isinstance(content, Absent):
        return True
    if not isinstance(content, Stored) or content.blocked or not is_to_be_judged(page, content, scene.instance):
        return False
    return content.state != "live" or stored_token(page, content) is None


def _is_dead(scene: Scene, page: Page, token: Secret) -> bool:
    """Check whether a stored token serves nobody by Meta's last word."""
    judged = scene.judged(page, token)
    return judged is not None and is_broken(verify(judged.facts, page=page, now=scene.now, stored=True))


def _is_unfit(scene: Scene, page: Page, candidate: Secret) -> bool:
    """Check whether a fetched token is known not to be what is asked for, so that it repairs nothing."""
    facts = scene.counting(page, candidate)
    return facts is not None and verify(facts, page=page, now=scene.now).state is State.INVALID


def _of_another_string(
    scene: Scene, page: Page, candidate: Secret, stored: Sequence[tuple[Stored, Secret]]
) -> Rank | None:
    """Check whether a string that differs from the stored one is to be judged now, and how soon.

    Graph may give another string with each read, and all of them work: while the stored one is good, one of them an
    hour is enough, after all else. Where the system user's token has changed, or nothing is known of the stored one, the
    new string is wanted at once.
    """
    if scene.counting(page, candidate) is not None and not scene.force_verify:
        return None
    tried = scene.memory.tried.get(page.name)
    user_token = scene.system_user_fingerprint(page)
    rotated = any(
        content.marks and content.marks.system_user_fingerprint not in (None, user_token) for content, _ in stored
    )
    if rotated or scene.force_verify:
        return Rank.NEW
    if tried is not None and timedelta(0) <= scene.now - tried < _HOURLY:
        return None
    known = all(scene.counting(page, token) is not None for _, token in stored)
    return Rank.CURIOUS if known else Rank.NEW


def _due(scene: Scene, page: Page, token: Secret) -> Rank | None:
    judged = scene.judged(page, token)
    if judged is None or scene.force_verify or scene.counting(page, token) is None:
        return Rank.DUE
    user_token = scene.system_user_fingerprint(page)
    if user_token is not None and judged.system_user_fingerprint not in (None, user_token):
        return Rank.NEW
    if _ends_soon(judged, page.checks, scene.now) and not _young(scene, page, token, _HOURLY):
        return Rank.ENDING
    asked_at, every = judged.facts.asked_at, scene.rhythm.verify_every
    return Rank.DUE if passed(page.id, every, since=asked_at, now=scene.now) else None


def _ends_soon(judged: Judged, checks: Checks, now: datetime) -> bool:
    life = checks.expires
    return ends_within(judged.facts.expires_at, life if isinstance(life, Never) else 2 * life, now)


def _young(scene: Scene, page: Page, token: Secret, age: timedelta) -> bool:
    facts = scene.counting(page, token)
    return facts is not None and timedelta(0) <= scene.now - facts.asked_at < age


def _was_refused(fetched: Fetched | SourceError | None) -> bool:
    return isinstance(fetched, SourceError) and fetched.problem.graph_code == _TOKEN_REFUSED
