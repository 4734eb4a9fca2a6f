"""The renewal of system users' tokens that end: exchanged at Meta, proven, and put where the next cycle reads them.

The old token is used to the end of the cycle, and revoked by nobody. A new one that is lost on the way, by a crash or to a
faster writer, does no harm: the old one works until its own end, and another can be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sync.core.judge.decide import blocked_problem
from sync.core.memory.renewal import Renewal, RenewalRule, is_due, objection
from sync.core.model import Absent, Ask, SourceError, Stored, StoreError, SystemUserToken, Version, Written
from sync.core.payload import Payload
from sync.core.problems import Problem
from sync.core.secret import Secret
from sync.cycle.ask import debug
from sync.cycle.task import Task, attempt, graph_mistake, store_mistake
from sync.runtime.threads import Stopping


def renew(task: Task, user_tokens: Mapping[str, SystemUserToken]) -> tuple[Mapping[str, Renewal], bool]:
    """Renew what is due, one system user after the other; give how each try ended, and whether shutdown cut it short."""
    tried: dict[str, Renewal] = {}
    for name, wanted in task.renewal_rules.items():
        user_token = user_tokens.get(name)
        if user_token is not None and is_due(user_token, wanted, task.memory.renewals.get(name), task.clock.now()):
            failed = partial(_mistake, task, user_token, wanted)
            try:
                task.clock.check()
                tried[name] = attempt(partial(_renew, task, user_token, wanted), failed)
            except Stopping:
                return tried, True
    return tried, False


def _renew(task: Task, user_token: SystemUserToken, wanted: RenewalRule) -> Renewal:
    """Read, exchange, prove and write; what was read before the exchange is what the write replaces.

    So of two daemons at once one writes, and the other's new token is dropped.
    """
    last = _begun(task, user_token, wanted)
    held = _held(task, wanted)
    if isinstance(held, Problem):
        return replace(last, problem=held)
    payload, version = held
    if payload.secret(wanted.name) != user_token.token:
        return last
    new = _proven(task, user_token)
    if isinstance(new, Problem):
        return replace(last, problem=new)
    return _written(task, wanted, last, payload.renewed(wanted.name, new), version)


def _begun(task: Task, user_token: SystemUserToken, wanted: RenewalRule) -> Renewal:
    return Renewal(task.clock.now(), user_token.token.fingerprint if user_token.token else "", wanted.target)


def _mistake(task: Task, user_token: SystemUserToken, wanted: RenewalRule, where: str) -> Renewal:
    return replace(_begun(task, user_token, wanted), problem=_failed(graph_mistake(where).problem))


def _held(task: Task, wanted: RenewalRule) -> tuple[Payload, Version] | Problem:
    """Read the secret that the token stands in; a Problem where it could not be written to."""
    found = _read(task, wanted)
    match found:
        case StoreError():
            return _not_stored(found)
        case Absent() | Stored(payload=None):
            return Problem("renewal-failed", f"There is no value to renew at {wanted.target.path} any more.")
        case Stored(payload=payload, version=version):
            blocked = blocked_problem(found, wanted.target)
            if blocked is not None or payload is None:
                return _failed(blocked or Problem("renewal-failed", "There is no value."))
            return payload, version


def _read(task: Task, wanted: RenewalRule) -> Stored | Absent | StoreError:
    store = task.stores[wanted.target.store]
    return attempt(lambda: store.read([wanted.target])[wanted.target], partial(store_mistake, store.name))


def _proven(task: Task, user_token: SystemUserToken) -> Secret | Problem:
    """Exchange the token, and have Meta say what the new one is before anybody uses it."""

    def asked() -> Secret | SourceError:
        return task.source.exchange(user_token.system_user)

    new = attempt(asked, graph_mistake)
    if isinstance(new, SourceError):
        return new.problem if new.problem.code == "system-user-invalid" else _failed(new.problem)
    told = debug(task, user_token.app, [Ask(new, urgent=True)]).get((user_token.app, new))
    against = objection(user_token.verdict.facts, told)
    return new if against is None else Problem("renewal-failed", f"Meta gave a new token, but {against}.")


def _written(task: Task, wanted: RenewalRule, last: Renewal, payload: Payload, version: Version) -> Renewal:
    store, new = task.stores[wanted.target.store], payload.secret(wanted.name)
    became = new.fingerprint if new is not None else None

    def put() -> Written | StoreError:
        return store.renew(wanted.target, payload, replaces=version)

    answer = attempt(put, partial(store_mistake, store.name))
    if isinstance(answer, Written):
        return replace(last, became=became, version=answer.version, confirmed=answer.confirmed)
    # What is there now settles it: another's token needs nobody, and a lost answer's may be ours.
    now = _read(task, wanted)
    there = now.payload.secret(wanted.name) if isinstance(now, Stored) and now.payload is not None else None
    if isinstance(now, Stored) and there == new:
        return replace(last, became=became, version=now.version, confirmed=True)
    if there is not None and there.fingerprint != last.token:
        return last
    return replace(last, problem=_not_stored(answer))


def _failed(cause: Problem) -> Problem:
    """Tell a cause as what it means here; who acts and what that person does stay those of the cause."""
    if cause.code == "renewal-failed":
        return cause
    message = f"The system user's token could not be renewed, which is tried again within the hour. {cause.message}"
    codes = (cause.graph_code, cause.graph_subcode, cause.fbtrace_id)
    # What passes by itself is still to be heard of where it does not.
    owner, remedy = ("", "") if cause.owner == "nobody" else (cause.owner, cause.remedy)
    return Problem("renewal-failed", message, owner, remedy, *codes)


def _not_stored(error: StoreError) -> Problem:
    message = f"The system user's token could not be renewed where it is stored. {error.message}"
    return Problem("renewal-failed", message, error.owner, error.remedy)
