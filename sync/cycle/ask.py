"""The second part of a cycle: probe stored tokens and ask debug_token, in rounds, until nothing pressing is unanswered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from sync.core.ask import due
from sync.core.ask.inputs import Inputs
from sync.core.ask.resolve import resolve
from sync.core.memory.memory import join_answers
from sync.core.model import Answers, AppToken, Ask, Probe, SourceError, TokenFacts
from sync.core.plan.guards import unconfirmed, unread_targets
from sync.core.plan.plan import judged_plans
from sync.core.secret import Secret
from sync.cycle.task import Task, attempt, graph_bug

_URGENT_ROUNDS = 2
"""In the first, debug_token judges the tokens that a probe refused. Where it calls one invalid, its replacement is next."""


def ask(task: Task, inputs: Inputs) -> Inputs:
    """Ask Meta what is due, and return the inputs with what is then known of each token."""
    asks = due.asks(inputs)
    inputs = _probe(task, inputs, due.probes(inputs, task.probe_every, exclude=_tokens(asks)))
    if "refused" in inputs.probes.values() or not _tokens(asks).isdisjoint(inputs.probes):
        asks = due.asks(inputs)
    inputs = _debug(task, inputs, asks)
    inputs = _probe_unanswered(task, inputs)
    inputs = _debug_urgent(task, inputs)
    # Where the clock was set back meanwhile, an answer that lies in its future counts as none from now on.
    inputs = resolve(replace(inputs, skew=task.source.skew, now=min(inputs.now, task.clock.now())))
    return _confirm_mass_invalid(task, inputs) if task.confirm_mass_invalid else inputs


def debug(task: Task, app: str, asks: Sequence[Ask]) -> Answers:
    """Ask debug_token about tokens; those that the app's quota does not allow now are not in the answer."""

    def failed(where: str) -> Mapping[Secret, TokenFacts | SourceError]:
        return dict.fromkeys((ask.token for ask in asks), graph_bug(where))

    found = attempt(lambda: task.source.debug(app, asks), failed)
    return {(app, token): facts for token, facts in found.items()}


def _probe(task: Task, inputs: Inputs, wanted: Mapping[str, Mapping[Secret, str]]) -> Inputs:
    """Call Graph with each of these tokens itself."""
    found: dict[AppToken, Probe] = {}
    for app, pages in wanted.items():
        unknown: Mapping[Secret, Probe] = dict.fromkeys(pages, "unknown")
        results = attempt(partial(task.source.probe, app, pages), lambda _, unknown=unknown: unknown)  # type: ignore[misc]
        found.update({(app, token): result for token, result in results.items()})
    if not found:
        return inputs
    return replace(inputs, probes={**inputs.probes, **found}, probe_errors=dict(task.source.probe_errors))


def _debug(task: Task, inputs: Inputs, asks: Mapping[str, Sequence[Ask]]) -> Inputs:
    """Ask debug_token about each of these tokens."""
    return replace(
        inputs, asked=inputs.asked | _tokens(asks), answers=join_answers(inputs.answers, _debug_all(task, asks))
    )


def _probe_unanswered(task: Task, inputs: Inputs) -> Inputs:
    """Probe what the app's quota did not allow to be asked about: a probe counts on the quota of the token's own Page."""
    return _probe(task, inputs, due.probes(inputs, task.probe_every, exclude=inputs.answers.keys()))


def _debug_urgent(task: Task, inputs: Inputs) -> Inputs:
    """Ask about what has become urgent by the results so far."""
    if not inputs.answers and not inputs.probes:
        return inputs
    for _ in range(_URGENT_ROUNDS):
        urgent = {
            app: [ask for ask in of_app if ask.urgent and (app, ask.token) not in inputs.answers]
            for app, of_app in due.asks(inputs).items()
        }
        if not any(urgent.values()):
            break
        inputs = _debug(task, inputs, {app: of_app for app, of_app in urgent.items() if of_app})
    return inputs


def _confirm_mass_invalid(task: Task, inputs: Inputs) -> Inputs:
    """Ask again about a mass of tokens that debug_token called invalid; another answer replaces the first."""
    plans = judged_plans(inputs, now=inputs.now)
    again: dict[str, list[Ask]] = {}
    unread = unread_targets(plans, task.selected_from)
    for app, token in sorted(unconfirmed(plans, task.brake, unread), key=lambda key: (key[0], key[1].fingerprint)):
        again.setdefault(app, []).append(Ask(token, urgent=True))
    second = _debug_all(task, again)
    answered = {key: facts for key, facts in second.items() if isinstance(facts, TokenFacts)}
    twice = {key for key, facts in answered.items() if facts.is_valid is False}
    return replace(
        inputs,
        answers=join_answers(inputs.answers, second),
        facts={**inputs.facts, **answered},
        invalid_twice=frozenset(twice) | set(inputs.invalid_twice),
    )


def _debug_all(task: Task, asks: Mapping[str, Sequence[Ask]]) -> Answers:
    return {key: answer for app, of_app in asks.items() for key, answer in debug(task, app, of_app).items()}


def _tokens(asks: Mapping[str, Sequence[Ask]]) -> frozenset[AppToken]:
    return frozenset((app, ask.token) for app, of_app in asks.items() for ask in of_app)
