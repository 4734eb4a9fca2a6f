"""A look at selected Pages, which a person asks for: read, ask, use each stored token once, and plan; write nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sync.core.ask.inputs import Inputs
from sync.core.ask.remember import judged_after
from sync.core.model import Content, Key, SourceError
from sync.core.plan.plan import Plan, Policy, plan
from sync.cycle.ask import ask
from sync.cycle.observe import observe
from sync.cycle.task import Task

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""When a refused token counts as last used, so that it is used again now."""


Current = Mapping[Key, Content]


def look(task: Task, assume: Callable[[Current], Current] = dict) -> Plan:
    """Return what the next cycle would decide for the Pages, by what the stores hold and Graph answers now.

    Unlike a plan, it also calls Graph with each stored token that debug_token calls valid. ``assume`` changes what was read, to
    find out what would follow. Raises nothing but Stopping.
    """
    observed = observe(task, writes=False)
    inputs = _probed(task, ask(task, replace(observed, current=assume(observed.current))))
    memory = task.memory
    policy = Policy(task.observe, task.brake, memory.overwritten, memory.waiting, memory.let_through)
    return plan(inputs, now=task.clock.now(), policy=policy, named=task.selected_from)


def _probed(task: Task, inputs: Inputs) -> Inputs:
    """Use each stored token, and ask debug_token again about those that Graph refuses.

    The answers so far count as remembered ones, so that this is what the next cycle does when the probes are due at once.
    """
    judged = {
        name: replace(known, probed_at=_LONG_AGO) if known.probe == "refused" else known
        for name, known in judged_after(inputs, task.clock.now()).items()
    }
    errors = {key: answer for key, answer in inputs.answers.items() if isinstance(answer, SourceError)}
    memory = replace(inputs.memory, judged=judged)
    after = ask(
        replace(task, probe_every=timedelta(0), confirm_mass_invalid=False),
        replace(inputs, memory=memory, answers=errors, probes={}, force_verify=False),
    )
    return replace(after, invalid_twice=frozenset(inputs.invalid_twice) | frozenset(after.invalid_twice))
