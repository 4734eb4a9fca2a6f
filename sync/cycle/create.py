"""The creation of very many secrets: the Pages of which nothing is stored yet, asked about and written piece by piece.

Asked about all at once, the proofs of most tokens would be too old when their writes' turn came, and would cost a second call
each. Creations overwrite nothing, so that neither the brake nor the rule for a mass of invalid tokens needs to see all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest

from sync.core.ask.inputs import Inputs
from sync.core.memory.memory import join_answers
from sync.core.model import Absent, Answers, Fetched, Key, Page, Written
from sync.core.plan.model import PagePlan
from sync.core.plan.plan import Policy, plan
from sync.core.report.build import NotBegun, Outcome, page_entry
from sync.core.report.entries import PageEntry
from sync.cycle.apply import apply
from sync.cycle.ask import ask
from sync.cycle.task import Task
from sync.runtime.threads import Stopping

MANY = 1000
"""Up to so many Pages are asked about and written with all others: their proofs stay young enough."""
_FIRST, _LEAST, _MOST = 200, 25, 1000
"""The Pages in the first piece, and in any."""
_SECONDS = 15.0
"""How long a piece is to take: well within the age of a proof."""


@dataclass(slots=True)
class Created:
    """What became of the Pages. Those with all their secrets written are in ``entries``, the others in ``plans``.

    ``written`` is the number of secrets of the former, ``outcomes`` are those of the latter.
    """

    answers: Answers = field(default_factory=dict)
    entries: list[PageEntry] = field(default_factory=list)
    written: int = 0
    plans: list[PagePlan] = field(default_factory=list)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)


def to_create(inputs: Inputs) -> Sequence[Page]:
    """Return the Pages to create piece by piece, each system user's in turn; none where they are few."""
    found = [page for page in inputs.pages if _is_new(inputs, page)]
    if len(found) <= MANY:
        return ()
    by_user: dict[str, list[Page]] = {}
    for page in found:
        by_user.setdefault(page.system_user, []).append(page)
    return [page for page in chain.from_iterable(zip_longest(*by_user.values())) if page is not None]


def without(inputs: Inputs, pages: Sequence[Page]) -> Inputs:
    """Return the same for all other Pages."""
    names = {page.name for page in pages}
    return replace(inputs, pages=[page for page in inputs.pages if page.name not in names]) if names else inputs


def create(task: Task, inputs: Inputs, pages: Sequence[Page], policy: Policy, *, begun: bool) -> Created:
    """Ask, plan and write piece by piece. ``begun``: something was written before, so that shutdown must not end the cycle.

    Otherwise Stopping is raised as long as nothing is written. Later, shutdown leaves the rest undone.
    """
    created, left, size = Created(), list(pages), _FIRST
    while left:
        piece, left = left[:size], left[size:]
        started = task.clock.monotonic()
        part = replace(inputs, pages=piece, owned={})
        try:
            part = ask(task, part)
        except Stopping:
            if not (begun or created.written or created.outcomes):
                raise
            _leave(created, part, [*piece, *left], policy, task)
            return created
        planned = plan(part, now=task.clock.now(), policy=policy)
        outcomes, answers = apply(task, planned, part.answers)
        created.answers = {**created.answers, **join_answers(part.answers, answers)}
        _note(created, planned.pages, outcomes, task.instance)
        elapsed = task.clock.monotonic() - started
        size = _MOST if elapsed <= 0 else max(_LEAST, min(_MOST, int(len(piece) * _SECONDS / elapsed)))
    return created


def _is_new(inputs: Inputs, page: Page) -> bool:
    if page.hold or not isinstance(inputs.fetched.get(page.name), Fetched):
        return False
    return all(isinstance(inputs.current[key], Absent) for key in page.targets)


def _note(created: Created, plans: Sequence[PagePlan], outcomes: Mapping[Key, Outcome], instance: str) -> None:
    """Note what became of a piece. The entry of a Page that is done takes a fraction of its plan's memory."""
    for page in plans:
        of_page = {target.key: outcomes[target.key] for target in page.targets if target.key in outcomes}
        if len(of_page) == len(page.targets) and all(isinstance(outcome, Written) for outcome in of_page.values()):
            created.entries.append(page_entry(page, of_page, instance))
            created.written += len(of_page)
        else:
            created.plans.append(page)
            created.outcomes.update(of_page)


def _leave(created: Created, inputs: Inputs, pages: Sequence[Page], policy: Policy, task: Task) -> None:
    """Note the Pages that shutdown left undone."""
    planned = plan(replace(inputs, pages=pages), now=task.clock.now(), policy=policy)
    created.plans.extend(planned.pages)
    created.outcomes.update({target.key: NotBegun() for page in planned.pages for target in page.targets})
