"""What is known of each token in a cycle: what Meta said now, joined with what it said before and what still counts; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from sync.core.ask.inputs import Scene
from sync.core.model import Page, SourceError, State, TokenFacts
from sync.core.plan.plan import Observation
from sync.core.problems import Problem
from sync.core.secret import Secret

Facts = Mapping[tuple[str, Secret], TokenFacts | SourceError]

_NOT_ASKED = SourceError(
    Problem("throttled", "Meta was not asked about the token in this cycle, to keep within the quota of the app."),
    scope="app",
)
_CREDENTIALS_REFUSED = ("app-secret-invalid", "app-blocked")
_REFUSED = Problem("probe-failed", "Graph refuses a call with the token, though debug_token calls it valid.")


def heard(scene: Scene, asked: Collection[tuple[str, Secret]], told: Facts, observation: Observation) -> Observation:
    """Return the observation with what is known of each token; ``asked`` and ``told`` are by the app's name and the token.

    What was asked and is not told had no room in the app's quota.
    """
    refused = _refused_apps(scene, told)
    facts: dict[tuple[str, Secret], TokenFacts | SourceError] = {}
    doubts: dict[tuple[str, Secret], Problem] = {}
    judged_at: dict[tuple[str, Secret], datetime] = {}
    for page, token in scene.tokens():
        key = (page.app, token)
        judged = scene.judged(page, token)
        if judged is not None:
            judged_at[key] = judged.facts.asked_at
        now = told.get(key, _NOT_ASKED if key in asked else None)
        if page.app in refused:
            # Meta takes no call of this app, and so none with its tokens: what was said before says nothing of now.
            facts[key] = refused[page.app]
        elif isinstance(now, TokenFacts) or (isinstance(now, SourceError) and now.state is State.INVALID):
            facts[key] = now
        else:
            before = scene.counting(page, token)
            if before is not None:
                facts[key] = before
            elif now is not None and not (now is _NOT_ASKED and _is_curiosity(scene, page, token)):
                facts[key] = now
            if before is not None and now is not None and now is not _NOT_ASKED:
                doubts[key] = now.problem
        if judged is not None and judged.probe == "refused" and key not in doubts:
            doubts[key] = _REFUSED
    again = {key for key, said in told.items() if isinstance(said, TokenFacts) and said.is_valid is False}
    return replace(observation, facts=facts, doubts=doubts, judged_at=judged_at, twice=_said_before(scene) & again)


def _refused_apps(scene: Scene, told: Facts) -> Mapping[str, SourceError]:
    """Return the apps whose credentials Meta refused in this cycle, each with its word."""
    fetched = ((page.app, scene.fetched.get(page.name)) for page in scene.pages)
    return {
        app: said
        for app, said in (*fetched, *((app, said) for (app, _), said in told.items()))
        if isinstance(said, SourceError) and said.scope == "app" and said.problem.code in _CREDENTIALS_REFUSED
    }


def _is_curiosity(scene: Scene, page: Page, token: Secret) -> bool:
    """Check whether nothing depends on what a fetched string is: others are stored, and Meta's word on all of them counts."""
    stored = [other for _, other in scene.stored(page)]
    return token not in stored and bool(stored) and all(scene.counting(page, other) for other in stored)


def _said_before(scene: Scene) -> frozenset[tuple[str, Secret]]:
    """Return the tokens that Meta called invalid in an earlier cycle."""
    return frozenset(
        (page.app, token)
        for page, token in scene.tokens()
        if (judged := scene.judged(page, token)) is not None and judged.facts.is_valid is False
    )
