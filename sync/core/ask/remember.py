"""From one cycle's memory and what it saw to the memory of the next; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sync.core.ask.inputs import Scene
from sync.core.memory import access
from sync.core.memory.memory import Judged, Memory, TokenId, token_id
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Fetched, Key, Page, Probe, SourceError, State, StoreError, SystemUserToken, TokenFacts
from sync.core.secret import Secret

_UNSEEN_FOR = timedelta(hours=1)
"""So long a token is remembered that is neither fetched nor stored, since a store or Graph may be away."""
_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a cycle adds to the memory.

    ``told`` and ``probed`` are by the app's name and the token. ``alone`` and ``skipped`` name the Pages that were read by
    themselves and not at all. ``overwritten`` are the places where a token that worked was written over. ``whole``: all
    Pages of the configuration were looked at, so that what was not seen may be forgotten. ``renewals`` are the tries of this
    cycle, ``ending`` all that was told of ending tokens. ``short_lists`` names the system users whose list showed too few.
    """

    told: Mapping[tuple[str, Secret], TokenFacts | SourceError]
    probed: Mapping[tuple[str, Secret], Probe]
    individually: frozenset[str]
    skipped: frozenset[str]
    overwritten: Collection[Key]
    pools: Mapping[QuotaKey, Pool]
    started_at: datetime
    whole: bool = True
    renewals: Mapping[str, Renewal] = field(default_factory=dict)
    ending: Mapping[str, int] = field(default_factory=dict)
    short_lists: frozenset[str] = frozenset()


def remember(scene: Scene, lesson: Lesson, now: datetime) -> tuple[Memory, frozenset[str]]:
    """Return the memory after a cycle, and the system users under which too many Pages were lost at once for each to be believed."""
    memory = scene.memory
    lost, degraded = access.advance(
        {name: page for name, page in memory.lost.items() if lesson.whole or name in scene.names},
        _readings(scene, lesson),
        skipped=lesson.skipped,
        proven=_proven(scene, lesson.started_at),
        now=now,
    )
    if not lesson.whole:
        lost = {**{name: page for name, page in memory.lost.items() if name not in scene.names}, **lost}
    after = Memory(
        judged=_judged(scene, lesson, now),
        lost=lost,
        tried=_tried(scene, lesson, now),
        overwritten={
            **{key: when for key, when in memory.overwritten.items() if now - when < _DAY},
            **dict.fromkeys(lesson.overwritten, now),
        },
        pools=lesson.pools,
        renewals=renewals(scene, lesson.renewals),
        ending=lesson.ending,
        short_lists={
            **{user: when for user, when in memory.short_lists.items() if now - when < _DAY},
            **dict.fromkeys(lesson.short_lists, scene.now),
        },
        read_at=scene.now if lesson.whole else memory.read_at,
    )
    return after, degraded


def renewals(scene: Scene, tried: Mapping[str, Renewal]) -> Mapping[str, Renewal]:
    """Return the last try for each system user that there still is; ``tried`` are those of this cycle."""
    known = {**scene.memory.renewals, **tried}
    return {name: last for name, last in known.items() if name in scene.user_tokens or not scene.user_tokens}


def with_later(
    earlier: Mapping[tuple[str, Secret], TokenFacts | SourceError],
    later: Mapping[tuple[str, Secret], TokenFacts | SourceError],
) -> Mapping[tuple[str, Secret], TokenFacts | SourceError]:
    """Join two words on tokens; an answer that could not be had takes nothing from one that was."""
    newer = {key: said for key, said in later.items() if isinstance(said, TokenFacts) or key not in earlier}
    return {**earlier, **newer}


def with_probes(memory: Memory, probed: Mapping[TokenId, Probe], now: datetime) -> Memory:
    """Return the memory with how tokens were taken just now; one of which nothing could be said stays as it was."""
    judged = {
        token: replace(memory.judged[token], probed_at=now, probe=answer)
        for token, answer in probed.items()
        if token in memory.judged and answer != "unknown"
    }
    return replace(memory, judged={**memory.judged, **judged})


def with_told(scene: Scene, told: Mapping[tuple[str, Secret], TokenFacts | SourceError]) -> Memory:
    """Return the memory with what Meta said of tokens just now; one of which nothing could be said stays as it was."""
    judged = dict(scene.memory.judged)
    for page, token in scene.tokens():
        name, facts = token_id(page.app_id, token), told.get((page.app, token))
        if isinstance(facts, TokenFacts):
            judged[name] = _newly(scene.memory.judged.get(name), facts, scene.system_user_fingerprint(page))
    return replace(scene.memory, judged=judged)


def _judged(scene: Scene, lesson: Lesson, now: datetime) -> Mapping[TokenId, Judged]:
    ids = {page.app: page.app_id for page in scene.pages}
    ours = {token_id(ids[app], token): answer for (app, token), answer in lesson.probed.items() if app in ids}
    probed = replace(scene, memory=with_probes(scene.memory, ours, scene.now))
    judged = dict(with_told(probed, lesson.told).judged)
    seen = {token_id(page.app_id, token) for page, token in scene.tokens()}
    for user_token in scene.user_tokens.values():
        facts = user_token.verdict.facts
        if user_token.token is not None and facts is not None and user_token.app in ids:
            name = token_id(ids[user_token.app], user_token.token)
            seen.add(name)
            judged[name] = Judged(facts)
    if not lesson.whole:
        return judged
    return {name: told for name, told in judged.items() if name in seen or now - told.facts.asked_at < _UNSEEN_FOR}


def _newly(known: Judged | None, facts: TokenFacts, user_token: str | None) -> Judged:
    """Judge again; that a token is refused though Meta calls it valid is kept, so that it is not tried over and over."""
    refused = known is not None and known.probe == "refused" and bool(facts.is_valid)
    if known is not None and refused:
        return Judged(facts, user_token, known.probed_at, "refused")
    return Judged(facts, user_token)


def _tried(scene: Scene, lesson: Lesson, now: datetime) -> Mapping[str, datetime]:
    tried = dict(scene.memory.tried)
    for page in scene.pages:
        fetched = scene.fetched.get(page.name)
        if not isinstance(fetched, Fetched) or (page.app, fetched.token) not in lesson.told:
            continue
        if any(token != fetched.token for _, token in scene.stored(page)):
            tried[page.name] = now
    if not lesson.whole:
        return tried
    names = scene.names
    return {name: when for name, when in tried.items() if name in names}


def _readings(scene: Scene, lesson: Lesson) -> Mapping[str, access.Reading]:
    found: dict[str, access.Reading] = {}
    for page in scene.pages:
        fetched = scene.fetched.get(page.name)
        if fetched is None or page.name in lesson.skipped:
            continue
        found[page.name] = access.Reading(
            error=fetched if isinstance(fetched, SourceError) else None,
            system_user=page.system_user,
            worked=_may_have_worked(scene, page),
            individually=page.name in lesson.individually,
        )
    return found


def _may_have_worked(scene: Scene, page: Page) -> bool:
    """Check whether a token of the Page is stored, or may be: a store that is not or cannot be read proves no new Page."""
    if scene.force_verify:
        return True
    return any(isinstance(scene.current[key], StoreError) for key in page.targets) or any(scene.stored(page))


def _proven(scene: Scene, since: datetime) -> frozenset[str]:
    """Return the system users whose token was seen to work in this cycle: judged valid, or a Page was read with it."""
    judged = {name for name, user_token in scene.user_tokens.items() if _was_judged_valid(user_token, since)}
    read = {page.system_user for page in scene.pages if isinstance(scene.fetched.get(page.name), Fetched)}
    return frozenset(judged | read)


def _was_judged_valid(user_token: SystemUserToken, since: datetime) -> bool:
    facts = user_token.verdict.facts
    return user_token.verdict.state is State.VALID and facts is not None and facts.asked_at >= since
