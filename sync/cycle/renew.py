"""The renewal of system users' tokens that expire: exchanged at Meta, proven, and stored where the next cycle reads them.

The old token is used to the end of the cycle, and is not revoked. A new one that is lost, by a crash or to a faster writer,
does no harm: the old one works until it expires, and Meta gives another one in exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sync.core.judge.ownership import blocked_problem
from sync.core.memory.renewal import Renewal, RenewalRule, is_due, objection
from sync.core.model import Absent, Ask, Content, SourceError, Stored, StoreError, SystemUserToken, Version, Written
from sync.core.payload import Payload
from sync.core.problems import Problem
from sync.core.secret import Secret
from sync.cycle.ask import debug
from sync.cycle.task import Task, attempt, graph_bug, store_bug
from sync.runtime.threads import Stopping


def renew(task: Task, user_tokens: Mapping[str, SystemUserToken]) -> tuple[Mapping[str, Renewal], bool]:
    """Renew what is due, one system user after the other; return each attempt, and whether shutdown cut them short."""
    attempts: dict[str, Renewal] = {}
    for name, rule in task.renewal_rules.items():
        user_token = user_tokens.get(name)
        if user_token is not None and is_due(user_token, rule, task.memory.renewals.get(name), task.clock.now()):
            failed = partial(_bug, task, user_token, rule)
            try:
                task.clock.check()
                attempts[name] = attempt(partial(_renew, task, user_token, rule), failed)
            except Stopping:
                return attempts, True
    return attempts, False


def _renew(task: Task, user_token: SystemUserToken, rule: RenewalRule) -> Renewal:
    """Read, exchange, prove and write; what was read before the exchange is what the write replaces.

    Of two daemons at the same time one writes, and the new token of the other is dropped.
    """
    last = _attempt(task, user_token, rule)
    current = _current(task, rule)
    if isinstance(current, Problem):
        return replace(last, problem=current)
    payload, version = current
    if payload.secret(rule.name) != user_token.token:
        return last
    new = _proven(task, user_token)
    if isinstance(new, Problem):
        return replace(last, problem=new)
    return _written(task, rule, last, payload.renewed(rule.name, new), version)


def _attempt(task: Task, user_token: SystemUserToken, rule: RenewalRule) -> Renewal:
    return Renewal(task.clock.now(), user_token.token.fingerprint if user_token.token else "", rule.target)


def _bug(task: Task, user_token: SystemUserToken, rule: RenewalRule, where: str) -> Renewal:
    return replace(_attempt(task, user_token, rule), problem=_failed(graph_bug(where).problem))


def _current(task: Task, rule: RenewalRule) -> tuple[Payload, Version] | Problem:
    """Read the secret that holds the token; a Problem where it could not be written."""
    found = _read(task, rule)
    match found:
        case StoreError():
            return _not_stored(found)
        case Absent() | Stored(payload=None):
            return Problem("renewal-failed", f"There is no value to renew at {rule.target.path} any more.")
        case Stored(payload=payload, version=version):
            blocked = blocked_problem(found, rule.target)
            if blocked is not None or payload is None:
                return _failed(blocked or Problem("renewal-failed", "There is no value."))
            return payload, version


def _read(task: Task, rule: RenewalRule) -> Content:
    store = task.stores[rule.target.store]
    return attempt(lambda: store.read([rule.target])[rule.target], partial(store_bug, store.name))


def _proven(task: Task, user_token: SystemUserToken) -> Secret | Problem:
    """Exchange the token, and ask debug_token about the new one before anybody uses it."""

    def asked() -> Secret | SourceError:
        return task.source.exchange(user_token.system_user)

    new = attempt(asked, graph_bug)
    if isinstance(new, SourceError):
        return new.problem if new.problem.code == "system-user-invalid" else _failed(new.problem)
    facts = debug(task, user_token.app, [Ask(new, urgent=True)]).get((user_token.app, new))
    reason = objection(user_token.verdict.facts, facts)
    return new if reason is None else Problem("renewal-failed", f"Meta gave a new token, but {reason}.")


def _written(task: Task, rule: RenewalRule, last: Renewal, payload: Payload, version: Version) -> Renewal:
    store, new = task.stores[rule.target.store], payload.secret(rule.name)
    became = new.fingerprint if new is not None else None

    def put() -> Written | StoreError:
        return store.renew(rule.target, payload, replaces=version)

    answer = attempt(put, partial(store_bug, store.name))
    if isinstance(answer, Written):
        return replace(last, became=became, version=answer.version, confirmed=answer.confirmed)
    # A read settles it: another writer's token needs no action, and after a lost answer the token may be the new one.
    now = _read(task, rule)
    stored = now.payload.secret(rule.name) if isinstance(now, Stored) and now.payload is not None else None
    if isinstance(now, Stored) and stored == new:
        return replace(last, became=became, version=now.version, confirmed=True)
    if stored is not None and stored.fingerprint != last.token:
        return last
    return replace(last, problem=_not_stored(answer))


def _failed(cause: Problem) -> Problem:
    """Return the problem that follows from a cause; owner and remedy stay those of the cause."""
    if cause.code == "renewal-failed":
        return cause
    message = f"The system user's token could not be renewed, which is tried again within the hour. {cause.message}"
    problem = replace(cause, code="renewal-failed", message=message, scope="")
    # A cause that nobody acts on is still to be reported where it does not pass by itself.
    return replace(problem, owner="", remedy="") if cause.owner == "nobody" else problem


def _not_stored(error: StoreError) -> Problem:
    message = f"The system user's token could not be renewed where it is stored. {error.message}"
    return Problem("renewal-failed", message, error.owner, error.remedy)
