"""Find out what the secrets of one Page hold now, and whether a token is one of theirs. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sync.app.app import App
from sync.config.resolve.select import Selected
from sync.core.model import Key, PastVersion, Stored, StoreError, Version
from sync.core.plan.model import PagePlan
from sync.core.report.inspection import Inspection, inspection
from sync.cycle.task import attempt, store_bug


def inspect(app: App, selection: Selected, fingerprint: str | None) -> Inspection:
    """Look at the one selected Page; earlier versions are read only where a secret does not hold the token asked about."""
    (page,) = app.look(selection).pages
    earlier = _earlier(app, page, fingerprint) if fingerprint is not None else {}
    instance, now = app.config.settings.instance, app.clock.now()
    return inspection(page, instance=instance, now=now, fingerprint=fingerprint, earlier=earlier)


def _earlier(app: App, page: PagePlan, fingerprint: str) -> Mapping[Key, Mapping[str, Version]]:
    """Return the tokens of the versions that the stores keep; a store that does not give them is left out."""
    found: dict[Key, Mapping[str, Version]] = {}
    for target in page.targets:
        key, token = target.key, target.current.token
        if not isinstance(target.current.content, Stored) or (token is not None and token.fingerprint == fingerprint):
            continue
        read = partial(app.stores[key.store].versions, key, raw=page.page.payload.raw)
        past = attempt(read, partial(store_bug, key.store))
        if not isinstance(past, StoreError):
            found[key] = _tokens(page, past)
    return found


def _tokens(page: PagePlan, past: Sequence[PastVersion]) -> Mapping[str, Version]:
    """Return the newest version with each token, by fingerprint."""
    tokens = ((page.page.payload.token_in(one.payload), one.version) for one in reversed(past))
    return {token.fingerprint: version for token, version in tokens if token is not None}
