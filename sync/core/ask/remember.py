"""From one cycle's inputs to the memory of the next; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from sync.core.ask.inputs import Inputs
from sync.core.memory import access
from sync.core.memory.memory import Judged, Memory, TokenId, token_id
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import Fetched, Key, Page, SourceError, State, StoreError, SystemUserToken

K = TypeVar("K")

_DAY = timedelta(hours=24)
_MOST_UNSEEN = 8
"""How many tokens that are neither fetched nor stored are remembered at most, for each Page and each target."""


def remember(
    inputs: Inputs,
    *,
    overwritten: Collection[Key],
    renewals: Mapping[str, Renewal],
    warned_days: Mapping[str, int],
    pools: Mapping[QuotaKey, Pool],
    short_lists: Collection[str],
    started_at: datetime,
    now: datetime,
    monotonic: float,
) -> Memory:
    """Return the memory after a cycle, but for the open problems, which follow from its report.

    ``overwritten`` are the targets where a token that worked was overwritten. ``renewals`` are the attempts of this cycle,
    ``warned_days`` all that was reported of expiring tokens. ``short_lists`` names the system users whose list of Pages
    showed too few. Where only selected Pages were read, what is remembered of others stays.
    """
    memory, selected = inputs.memory, inputs.force_verify
    others = {name: page for name, page in memory.lost.items() if selected and name not in inputs.names}
    lost, _ = access.advance(
        {name: page for name, page in memory.lost.items() if name not in others},
        _readings(inputs),
        skipped=inputs.skipped,
        proven=_proven(inputs, started_at),
        now=now,
        monotonic=monotonic,
        listed=inputs.listed,
    )
    return Memory(
        judged=judged_after(inputs, now),
        lost={**others, **lost},
        tried=_tried(inputs, now),
        overwritten={**_of_last_day(memory.overwritten, now), **dict.fromkeys(overwritten, now)},
        pools=pools,
        renewals=_renewals(inputs, renewals),
        warned_days=warned_days,
        short_lists={**_of_last_day(memory.short_lists, now), **dict.fromkeys(short_lists, inputs.now)},
        read_at=memory.read_at if selected else inputs.now,
    )


def _of_last_day(moments: Mapping[K, datetime], now: datetime) -> dict[K, datetime]:
    return {key: at for key, at in moments.items() if now - at < _DAY}


def _renewals(inputs: Inputs, attempts: Mapping[str, Renewal]) -> Mapping[str, Renewal]:
    """Return the last attempt for each system user that is still configured."""
    known = {**inputs.memory.renewals, **attempts}
    return {name: last for name, last in known.items() if name in inputs.user_tokens or not inputs.user_tokens}


def judged_after(inputs: Inputs, now: datetime) -> Mapping[TokenId, Judged]:
    """Return what is known of each token: of those that were fetched or stored within a day, and of all while that is unknown."""
    judged = dict(inputs.memory.judged)
    seen: set[TokenId] = set()
    for page, token in inputs.tokens():
        name, known = token_id(page.app_id, token), inputs.judged(page, token)
        seen.add(name)
        if known is not None:
            longest = max(known.counts_for or timedelta(0), inputs.rhythm.stale_after)
            judged[name] = replace(known, last_seen=now, counts_for=longest)
    app_ids = {page.app: page.app_id for page in inputs.pages}
    for user_token in inputs.user_tokens.values():
        if user_token.token is None or user_token.app not in app_ids:
            continue
        name, facts = token_id(app_ids[user_token.app], user_token.token), user_token.verdict.facts
        seen.add(name)
        if facts is not None:
            judged[name] = Judged(facts, last_seen=now)
    if inputs.force_verify:
        return judged
    unseen = {
        name: min(known.last_seen or known.facts.asked_at, now) for name, known in judged.items() if name not in seen
    }
    if _all_was_read(inputs):
        unseen = {name: last for name, last in unseen.items() if now - last < _DAY}
    most = _MOST_UNSEEN * sum(1 + len(page.targets) for page in inputs.pages)
    kept = seen.union(sorted(unseen, key=lambda name: unseen[name], reverse=True)[:most])
    return {name: known for name, known in judged.items() if name in kept}


def _all_was_read(inputs: Inputs) -> bool:
    """Check whether every store and every Page could be read, so that a token that was not seen is neither stored nor given."""
    unread = (isinstance(found, StoreError) for found in inputs.current.values())
    unknown = (isinstance(found, SourceError) and found.state is State.UNKNOWN for found in inputs.fetched.values())
    return not any(unread) and not any(unknown)


def _tried(inputs: Inputs, now: datetime) -> Mapping[str, datetime]:
    tried = dict(inputs.memory.tried)
    for page in inputs.pages:
        candidate = inputs.candidate(page)
        answer = inputs.answers.get((page.app, candidate)) if candidate is not None else None
        # A partial answer, and silence, are asked for again in the next cycle.
        if answer is None or (isinstance(answer, SourceError) and answer.state is State.UNKNOWN):
            continue
        if any(token != candidate for _, token in inputs.stored(page)):
            tried[page.name] = now
    if inputs.force_verify:
        return tried
    names = inputs.names
    return {name: at for name, at in tried.items() if name in names}


def _readings(inputs: Inputs) -> Mapping[str, access.Reading]:
    found: dict[str, access.Reading] = {}
    for page in inputs.pages:
        fetched = inputs.fetched.get(page.name)
        if fetched is None or page.name in inputs.skipped:
            continue
        found[page.name] = access.Reading(
            error=fetched if isinstance(fetched, SourceError) else None,
            system_user=page.system_user,
            worked=_may_have_worked(inputs, page),
            individually=page.name in inputs.individually,
            read_as=access.read_as(page, inputs.user_tokens.get(page.system_user)),
        )
    return found


def _may_have_worked(inputs: Inputs, page: Page) -> bool:
    """Check whether a token of the Page is or may be stored: a store that is not or cannot be read proves no new Page."""
    if inputs.force_verify:
        return True
    return any(isinstance(inputs.current[key], StoreError) for key in page.targets) or any(inputs.stored(page))


def _proven(inputs: Inputs, since: datetime) -> frozenset[str]:
    """Return the system users whose token worked in this cycle: judged valid, or a Page was read with it."""
    judged = {name for name, user_token in inputs.user_tokens.items() if _was_judged_valid(user_token, since)}
    read = {page.system_user for page in inputs.pages if isinstance(inputs.fetched.get(page.name), Fetched)}
    return frozenset(judged | read)


def _was_judged_valid(user_token: SystemUserToken, since: datetime) -> bool:
    facts = user_token.verdict.facts
    return user_token.verdict.state is State.VALID and facts is not None and facts.asked_at >= since
