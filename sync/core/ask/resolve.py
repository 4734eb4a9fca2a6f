"""What is known of each token in a cycle: the answers of now, joined with what is remembered and still counts; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sync.core.ask.inputs import Inputs
from sync.core.judge.skew import MAX_SKEW
from sync.core.model import AppToken, GraphErrorFacts, Page, SourceError, State, TokenFacts
from sync.core.problems import Problem
from sync.core.secret import Secret

_NOT_ASKED = SourceError(
    Problem("throttled", "Meta was not asked about the token in this cycle, to keep within the quota of the app."),
    scope="app",
)
_CREDENTIALS_REFUSED = ("app-secret-invalid", "app-blocked")


def resolve(inputs: Inputs) -> Inputs:
    """Return the inputs with what is known of each token.

    A token that was asked about and has no answer is one that the app's quota did not allow.
    """
    refused = _refused_apps(inputs)
    facts: dict[AppToken, TokenFacts | SourceError] = {}
    doubts: dict[AppToken, Problem] = {}
    judged_at: dict[AppToken, datetime] = {}
    invalid_twice: set[AppToken] = set()
    for page, token in inputs.tokens():
        key = (page.app, token)
        judged, error = inputs.judged(page, token), _error(inputs, key)
        if judged is not None:
            invalid_twice |= {key} if judged.invalid_twice else set()
            if key in inputs.answers or judged.facts.asked_at <= inputs.now + MAX_SKEW:
                judged_at[key] = judged.facts.asked_at
        known = inputs.fresh(page, token)
        if page.app in refused:
            # Meta accepts no call of this app, and so none with its tokens: an earlier answer proves nothing now.
            facts[key] = refused[page.app]
        elif error is not None and error.state is State.INVALID:
            facts[key] = error
        elif known is not None:
            facts[key] = known
            if error is not None and error is not _NOT_ASKED:
                doubts[key] = error.problem
            elif known.is_valid and judged is not None and judged.probe == "refused":
                doubts[key] = _probe_failed(judged.probe_error)
        elif error is not None and not (error is _NOT_ASKED and _is_optional(inputs, page, token)):
            facts[key] = error
    return replace(inputs, facts=facts, doubts=doubts, judged_at=judged_at, invalid_twice=frozenset(invalid_twice))


def _error(inputs: Inputs, key: AppToken) -> SourceError | None:
    """Return why debug_token gave no facts about a token in this cycle; None where it did, or was not to be asked."""
    answer = inputs.answers.get(key, _NOT_ASKED if key in inputs.asked else None)
    return answer if isinstance(answer, SourceError) else None


def _probe_failed(error: GraphErrorFacts | None) -> Problem:
    """Return the notice that Graph refuses a token which debug_token calls valid, with Graph's code and message."""
    message = "Graph refuses a call with the stored token, though debug_token calls it valid."
    if error is None:
        return Problem("probe-failed", f"{message} Graph answered for another Page.")
    text = f" Graph says: {error.message}" if error.message else ""
    return Problem("probe-failed", message + text, "", "", error.code, error.subcode, error.fbtrace_id)


def _refused_apps(inputs: Inputs) -> Mapping[str, SourceError]:
    """Return the apps whose credentials Meta refused in this cycle, each with the error."""
    fetched = ((page.app, inputs.fetched.get(page.name)) for page in inputs.pages)
    return {
        app: answer
        for app, answer in (*fetched, *((app, answer) for (app, _), answer in inputs.answers.items()))
        if isinstance(answer, SourceError) and answer.scope == "app" and answer.problem.code in _CREDENTIALS_REFUSED
    }


def _is_optional(inputs: Inputs, page: Page, token: Secret) -> bool:
    """Check whether nothing depends on a fetched token: others are stored, and the facts of all of them still count."""
    stored = [other for _, other in inputs.stored(page)]
    return token not in stored and bool(stored) and all(inputs.fresh(page, other) for other in stored)
