"""One cycle: observe, ask, plan, apply exactly the plan, report once, and remember."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from ulid import ULID

from sync.core.ask.inputs import Inputs
from sync.core.ask.remember import remember
from sync.core.memory.memory import Memory, join_answers
from sync.core.memory.problems import Reported
from sync.core.memory.quota import WINDOW
from sync.core.memory.renewal import Renewal, expiry_warnings, is_renewed_in_time
from sync.core.model import Key, StoreError, SystemUserToken, WriteKind, Written
from sync.core.plan.checksum import checksum, line_checksum
from sync.core.plan.guards import is_counted, still_waiting
from sync.core.plan.model import targets
from sync.core.plan.plan import Plan, Policy, plan, refused, withheld, writes
from sync.core.report.build import NotBegun, Outcome, report
from sync.core.report.report import Counts, Frame, Report, Traffic
from sync.cycle.apply import apply
from sync.cycle.ask import ask
from sync.cycle.create import Created, create, to_create, without
from sync.cycle.observe import observe
from sync.cycle.renew import renew
from sync.cycle.task import Task, attempt, store_bug


def run(task: Task, *, write: bool, cycle: str | None = None, if_plan: str | None = None) -> tuple[Report, Memory]:
    """Carry out one cycle; return its report, and the memory for the next one.

    ``write`` False stops after the plan. ``if_plan`` is the checksum of a plan that a person has reviewed: the plan is
    carried out past the brake if it is still that one, and nothing is written otherwise. Raises nothing but Stopping, and
    that only before anything is written: whatever fails at a Page, a store or a system user is in the report, and so is
    what shutdown left undone.
    """
    started_at, started = task.clock.now(), task.clock.monotonic()
    before = {name: store.requests for name, store in task.stores.items()}
    ended = {name: dict(store.outcomes) for name, store in task.stores.items()}
    done = _carry_out(task, write=write, if_plan=if_plan)
    not_begun = sum(isinstance(outcome, NotBegun) for outcome in done.outcomes.values())
    # A person who lets a plan through lets its lines through, and nothing else.
    renews = write and not task.observe and if_plan is None and task.selected_from is None
    user_tokens = done.inputs.user_tokens
    renewals, cut = renew(task, user_tokens) if renews else ({}, False)
    warned_days, expiring = _expiring(task, user_tokens, {**task.memory.renewals, **renewals}, renews=renews)
    # The daemon's log reports what expires and which problems last. A single cycle, or one of selected Pages, uses up
    # none of its reports; a check uses up those of its Pages.
    all_read = task.selected_from is None and not task.confirm_mass_invalid
    looks_once = not all_read and not task.is_check
    memory = remember(
        done.inputs,
        overwritten=_overwritten(done.planned, done.outcomes),
        renewals=renewals,
        warned_days=warned_days if all_read else task.memory.warned_days,
        pools=task.source.pools,
        short_lists=task.source.short_lists,
        started_at=started_at,
        now=task.clock.now(),
        monotonic=task.clock.monotonic(),
    )
    if done.another:
        memory = replace(memory, waiting=task.memory.waiting, let_through=task.memory.let_through)
    else:
        let_through = _let_through(task, done.planned, done.outcomes, released=if_plan is not None)
        memory = replace(memory, waiting=_waiting(task, done.planned), let_through=let_through)
    frame = Frame(
        instance=task.instance,
        cycle=cycle or str(ULID()),
        started_at=started_at,
        finished_at=task.clock.now(),
        duration_seconds=task.clock.monotonic() - started,
        verify_interval_seconds=round(task.rhythm.verify_every.total_seconds()),
        traffic=Traffic(
            graph_requests=task.source.requests,
            graph_calls=task.source.calls,
            store_requests=sum(store.requests - before[name] for name, store in task.stores.items()),
            graph_outcomes=dict(task.source.outcomes),
            calls_by_kind=dict(task.source.calls_by_kind),
            store_outcomes=_ended(task, ended),
        ),
        quota_used=_quota_used(task),
        credentials_expire={
            name: at for name, store in task.stores.items() if (at := store.credential_expires_at) is not None
        },
        warnings=(
            *_warnings(task, done.planned),
            *_cut_short(not_begun, len(done.outcomes) + done.created.written, renewing=cut),
        ),
        another_plan=done.another,
        alarms={name: lost.alarm for name, lost in memory.lost.items() if lost.alarm is not None},
        recovered=tuple(sorted((_alarmed(task.memory) & done.inputs.names) - set(memory.lost))),
        renewals=memory.renewals,
        ending=() if task.is_check else expiring,
        cut_short=cut or not_begun > 0,
        needs_state_file=task.needs_state_file,
    )
    built = report(
        done.planned,
        frame,
        done.outcomes,
        instance=task.instance,
        planned_only=not write,
        before=Reported() if looks_once else task.memory.reported,
        done=done.created.entries,
        order=[page.name for page in task.pages],
        is_check=task.is_check,
        rejected=task.rejected,
    )
    return built, replace(memory, reported=task.memory.reported if looks_once else built.changes.reported)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a cycle decided and did; ``outcomes`` has an entry for each secret that was to be written.

    ``another``: the plan is not the one that a person released. ``created`` are the Pages that were created piece by piece.
    """

    inputs: Inputs
    planned: Plan
    outcomes: Mapping[Key, Outcome]
    another: bool
    created: Created


def _carry_out(task: Task, *, write: bool, if_plan: str | None) -> _Done:
    """Observe, ask, plan, and apply exactly the plan; return one plan and one set of outcomes for all Pages."""
    memory, may_write = task.memory, write and not task.observe
    released = if_plan is not None
    policy = Policy(task.observe, task.brake, memory.overwritten, memory.waiting, memory.let_through, released)
    observed = observe(task, writes=may_write)
    new = to_create(observed) if may_write and not released else ()
    apart = {key for page in new for key in page.targets}
    inputs = ask(_without(task, apart), without(observed, new))
    planned = plan(
        inputs,
        now=task.clock.now(),
        policy=policy,
        named=_targets(task),
        apart=apart,
        in_other_stores=task.in_other_stores,
    )
    if not write or released:
        planned = refused(planned, _refusals(task, planned))
    another = released and planned.checksum != if_plan
    if another or not may_write:
        return _Done(inputs, withheld(planned) if another else planned, {}, another, Created())
    outcomes, answers = apply(task, planned, inputs.answers)
    begun = any(not isinstance(outcome, NotBegun) for outcome in outcomes.values())
    created = create(task, observed, new, policy, begun=begun) if new else Created()
    answers = {**join_answers(inputs.answers, answers), **created.answers}
    inputs = replace(inputs, pages=observed.pages, answers=answers)
    outcomes = {**outcomes, **created.outcomes}
    planned = replace(planned, pages=(*planned.pages, *created.plans))
    written = {key for key, outcome in outcomes.items() if isinstance(outcome, Written)}
    planned = replace(planned, checksum=checksum(planned.pages, written=written))
    return _Done(inputs, planned, outcomes, another, created)


def _ended(task: Task, before: Mapping[str, Counts]) -> Counts:
    """Return the requests to stores that ended in this cycle, by store, operation and outcome."""
    return {
        (name, *labels): count - before[name].get(labels, 0)
        for name, store in task.stores.items()
        for labels, count in dict(store.outcomes).items()
        if count > before[name].get(labels, 0)
    }


def _quota_used(task: Task) -> Mapping[tuple[str, str], float]:
    """Return the share of Meta's quotas in use by app and kind, as reported within the last hour; of many the highest."""
    apps, now = {page.app_id: page.app for page in task.pages}, task.clock.now()
    found: dict[tuple[str, str], float] = {}
    for key, pool in task.source.pools.items():
        if key.app_id in apps and pool.used is not None and pool.age(now) < WINDOW:
            labels = apps[key.app_id], key.kind
            found[labels] = max(found.get(labels, 0.0), pool.used / 100)
    return found


def _targets(task: Task) -> frozenset[Key]:
    """Return the targets of the whole configuration."""
    if task.selected_from is not None:
        return task.selected_from
    return frozenset(key for page in task.pages for key in page.targets)


def _without(task: Task, apart: Collection[Key]) -> Task:
    """Return the task without the targets that are asked about apart, so that they do not count as unread ones."""
    if not apart or task.selected_from is None:
        return task
    return replace(task, selected_from=task.selected_from.difference(apart))


def _refusals(task: Task, planned: Plan) -> Mapping[Key, StoreError]:
    """Ask each store which of the planned writes it would refuse; a store that cannot find out refuses none."""
    by_store: dict[str, dict[Key, WriteKind]] = {}
    for _, target in writes(planned):
        if target.action.write is not None:
            by_store.setdefault(target.key.store, {})[target.key] = target.action.write.kind
    found: dict[Key, StoreError] = {}
    for name, of_store in by_store.items():
        refusals = attempt(partial(task.stores[name].would_refuse, of_store), partial(_unasked, of_store))
        found.update({key: error for key, error in refusals.items() if key in of_store})
    return found


def _unasked(of_store: Mapping[Key, WriteKind], where: str) -> Mapping[Key, StoreError]:
    return {key: store_bug(key.store, where) for key in of_store}


def _expiring(
    task: Task, user_tokens: Mapping[str, SystemUserToken], renewals: Mapping[str, Renewal], *, renews: bool
) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Return the days at which expiring tokens were reported, and whose to report now: none that is renewed in time."""
    now = task.clock.now()
    exclude = [
        name
        for name, wanted in task.renewal_rules.items()
        if renews and name in user_tokens and is_renewed_in_time(user_tokens[name], wanted, renewals.get(name), now)
    ]
    return expiry_warnings(user_tokens, task.memory.warned_days, exclude, now)


def _overwritten(planned: Plan, outcomes: Mapping[Key, Outcome]) -> list[Key]:
    """Return the targets where a token that worked was overwritten, or may have been."""
    return [
        target.key
        for page, target in targets(planned.pages)
        if is_counted(page, target) and _may_be_written(outcomes.get(target.key))
    ]


def _waiting(task: Task, planned: Plan) -> Mapping[Key, datetime]:
    """Return since when the brake holds a write: those of this cycle, and those before about which nothing could be decided."""
    before, now = task.memory.waiting, task.clock.now()
    held = {target.key for _, target in targets(planned.pages) if target.action.reason == "brake"}
    return {key: before.get(key, now) for key in held | _still(task, planned, before)}


def _let_through(task: Task, planned: Plan, outcomes: Mapping[Key, Outcome], *, released: bool) -> Mapping[Key, str]:
    """Return the lines that a person let through and that are not written: of this plan, or of an earlier one."""
    before = task.memory.let_through
    found = {key: before[key] for key in _still(task, planned, before)}
    for page, target in writes(planned):
        line = line_checksum(page, target)
        if line is not None and not isinstance(outcomes.get(target.key), Written):
            found.update({target.key: line} if released or before.get(target.key) == line else {})
    return found


def _still(task: Task, planned: Plan, before: Collection[Key]) -> frozenset[Key]:
    """Return those of the configured targets about which this cycle could decide nothing."""
    return still_waiting(planned.pages, before) & _targets(task)


def _may_be_written(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Written) or (isinstance(outcome, StoreError) and outcome.maybe_written)


def _alarmed(memory: Memory) -> set[str]:
    """Return the Pages that became an alarm some time after their loss; one that never worked is an alarm at once."""
    return {name for name, lost in memory.lost.items() if lost.alarm is not None and lost.alarm > lost.since}


def _cut_short(not_begun: int, of: int, *, renewing: bool) -> Iterator[str]:
    """Yield a warning for what shutdown left undone."""
    if not_begun:
        yield f"Shutdown cut this cycle short: {not_begun:,} of {of:,} writes were not begun. The next start decides again."
    if renewing:
        yield "Shutdown came before each system user's token was renewed that is due. The next start continues."


def _warnings(task: Task, planned: Plan) -> tuple[str, ...]:
    failed = {
        (target.key.store, target.current.content.error_code)
        for _, target in targets(planned.pages)
        if isinstance(target.current.content, StoreError)
    }
    # A store that cannot be read at all is reported as the problem of its secrets.
    unlisted = (
        f"store {name}: orphans could not be listed: {error.message}"
        for name, error in planned.unlisted.items()
        if (name, error.error_code) not in failed
    )
    of_stores = (f"store {name}: {text}" for name, store in task.stores.items() for text in store.warnings)
    return (*task.warnings, *task.source.warnings, *of_stores, *unlisted)
