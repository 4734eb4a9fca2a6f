"""What an examination finds out about a store, from what its service answered; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sync.core.judge.ownership import blocked_problem, foreign_problem, is_interrupted_create
from sync.core.model import Absent, Content, Key, Stored, StoreError, StoreErrorCode, Use
from sync.core.report.finding import Finding, Status, skipped_check
from sync.core.report.text import count, filled

STORE_CHECKS: Mapping[str, str] = {
    "store-reached": "The service answers at its address.",
    "store-server": "The server is unsealed and has an active node, and which server and version it is.",
    "store-login": "The service accepts the credential of the login.",
    "store-credential": "How long the credential of the login is valid, and whether it can be renewed.",
    "store-mount": "The mount is a KV engine of version 2.",
    "store-policy": "The policy allows everything that this configuration does.",
    "store-patch": "Marks can be written: the server and every gateway before it accept PATCH.",
    "store-history": "The store keeps the previous version of a secret.",
    "store-kms": "Secrets are encrypted with the configured KMS key.",
    "store-replicas": "Secrets are replicated to the configured regions, and the replicas are in sync.",
    "store-forwarding": "A read after a write reaches a node that knows the write.",
    "store-secrets": "Each secret can be read, and is this instance's.",
}
"""What each check of a store examines, in their order. A kind of store has those that apply to it."""

_FAILS: Mapping[StoreErrorCode, str] = {
    "sealed": "store-server",
    "no-leader": "store-server",
    "login-refused": "store-login",
    "credentials": "store-login",
    "clock": "store-login",
    "namespace": "store-mount",
    "no-mount": "store-mount",
    "kv-v1": "store-mount",
    "denied": "store-policy",
    "no-patch": "store-policy",
}
"""The check that fails by an error of the whole store, where that is not ``store-reached``."""

_NAMED = 5
"""Secrets with one kind of problem that are listed individually; the others are counted."""


def failure(check: str, store: str, error: StoreError, status: Status = "fail") -> Finding:
    """Return the finding of a check that ended with this error."""
    return Finding(check, store, status, error.message, error.owner, error.remedy)


def skipped(checks: Iterable[str], because: Finding) -> Iterator[Finding]:
    """Return a finding for each check of a store that says nothing because of another one's result."""
    return (skipped_check(check, because.subject, because) for check in checks)


def after_failure(store: str, error: StoreError, checks: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings of these checks where the whole store failed: the ones before the failure are ok."""
    failing = _FAILS.get(error.error_code, "store-reached")
    at = checks.index(failing) if failing in checks else 0
    for check in checks[:at]:
        yield Finding(check, store, "ok", STORE_CHECKS[check])
    failed = failure(checks[at], store, error)
    yield failed
    yield from skipped(checks[at + 1 :], failed)


def raw_keys(uses: Mapping[Key, Use]) -> frozenset[Key]:
    """Return the secrets whose value is raw text."""
    return frozenset(key for key, use in uses.items() if use.page is not None and use.page.payload.raw)


def by_reading(
    store: str, checks: Sequence[str], uses: Mapping[Key, Use], instance: str, answers: Mapping[Key, Content]
) -> Iterator[Finding]:
    """Yield what reading the secrets alone shows; ``checks`` are those before ``store-secrets`` that this kind of store has."""
    whole = next((answer for answer in answers.values() if isinstance(answer, StoreError) and answer.whole), None)
    if whole is not None:
        yield from after_failure(store, whole, [*checks, "store-secrets"])
        return
    for check in checks:
        yield Finding(check, store, "ok", STORE_CHECKS[check])
    yield from secret_findings(store, uses, instance, answers)


def secret_findings(
    store: str, uses: Mapping[Key, Use], instance: str, answers: Mapping[Key, Content]
) -> Iterator[Finding]:
    """Yield what is wrong with secrets, with each kind of problem a few times at most, and one finding for all others."""
    kinds: dict[tuple[str, str], list[tuple[Key, Finding]]] = {}
    absent = good = 0
    for key, use in uses.items():
        answer = answers[key]
        found = _secret(answer, key, use, instance)
        if found is not None:
            kind, finding = found
            kinds.setdefault((kind, finding.status), []).append((key, finding))
        elif isinstance(answer, Absent):
            absent += 1
        else:
            good += 1
    for findings in kinds.values():
        yield from (_filled(finding, key, uses[key]) for key, finding in findings[:_NAMED])
        rest = findings[_NAMED:]
        if rest:
            _, finding = rest[0]
            message = f"The same is true of {count(len(rest), 'more secret')}, such as {finding.subject}."
            remedy = filled(finding.remedy, store, page=None, path=None)
            yield replace(finding, subject=store, message=message, remedy=remedy)
    if good or absent or not kinds:
        texts = [f"{count(good, 'secret')} can be read"] if good or not absent else []
        texts += [f"{count(absent, 'secret')} to be created"] if absent else []
        yield Finding("store-secrets", store, "ok", f"{', '.join(texts)}.")


def _filled(finding: Finding, key: Key, use: Use) -> Finding:
    """Return a finding whose remedy names the Page and the secret."""
    page = use.page.name if use.page is not None else None
    return replace(finding, remedy=filled(finding.remedy, key.store, page=page, path=key.path))


def _secret(answer: Content, key: Key, use: Use, instance: str) -> tuple[str, Finding] | None:
    """Return what is wrong with one secret, and which kind of problem that is; None where nothing is."""
    subject = f"{key.store} {key.path}"
    if isinstance(answer, StoreError):
        return answer.error_code, failure("store-secrets", subject, answer)
    if use.page is None:
        message = _no_credential(answer, key)
        remedy = f"Write the credential to {key.path}, or correct the reference in the configuration."
        wrong = Finding("store-secrets", subject, "fail", message, "operator", remedy)
        return ("no-credential", wrong) if message else None
    if isinstance(answer, Absent):
        return None
    if not is_interrupted_create(answer, use.page):
        problem = blocked_problem(answer, key) or foreign_problem(answer, use.page, instance)
        if problem is not None:
            return problem.code, Finding(
                "store-secrets", subject, "fail", problem.message, problem.owner, problem.remedy
            )
    if answer.state == "deleted":
        message = f"The newest version of {key.path} was deleted or destroyed by someone else; the next cycle writes a new one."
        remedy = "Find out who deleted it. If its secret is not wanted, remove the Page from the configuration."
        return "deleted", Finding("store-secrets", subject, "warn", message, "operator", remedy)
    return None


def _no_credential(answer: Stored | Absent, key: Key) -> str:
    if isinstance(answer, Absent):
        return f"The secret {key.path}, to which a reference of the configuration leads, does not exist."
    if answer.payload is None:
        return f"The secret {key.path}, to which a reference of the configuration leads, has no value that can be read."
    return ""
