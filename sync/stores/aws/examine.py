"""What a store finds out about itself without a write, as ``doctor`` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.core.model import Content, Key, Stored, StoreError, Use
from sync.core.report.finding import Finding
from sync.core.report.store_findings import failure, secret_findings, skipped
from sync.runtime.threads import Clock, each
from sync.stores.aws import findings
from sync.stores.aws.client import AwsClient
from sync.stores.aws.entry import CURRENT
from sync.stores.aws.errors import FailedCall
from sync.stores.aws.policy import Grants
from sync.stores.aws.settings import AwsSettings

_MOST = 100
"""Secrets that are described for their KMS key and replicas, which no list shows."""


@dataclass(frozen=True)
class AwsExamination:
    """One examination; ``read`` reads secrets."""

    name: str
    settings: AwsSettings
    client: AwsClient
    clock: Clock
    workers: int
    read: Callable[[Mapping[Key, Use]], Mapping[Key, Content]]

    def run(self, uses: Mapping[Key, Use], instance: str) -> Iterator[Finding]:
        """Yield what each check found."""
        pages = {key: use for key, use in uses.items() if use.page is not None}
        tried = dict(self._tried(next(iter(pages)).path)) if pages else {}
        answers = {} if _whole(tried.values()) else self.read(uses)
        whole = _whole([*tried.values(), *answers.values()])
        if whole is not None:
            yield from self._failed(whole)
            return
        region = self.client.region
        yield Finding("store-reached", self.name, "ok", f"Secrets Manager answers in {region}.")
        identity = self.client.identity()
        account = "*" if isinstance(identity, FailedCall) else str(identity.get("Account") or "*")
        yield findings.identity_finding(self.name, identity.error if isinstance(identity, FailedCall) else identity)
        yield findings.lease_finding(self.name, self.client.lease, self.clock.now())
        policy: Finding | None = None
        if pages:
            statements = list(Grants(region, self.settings.name_prefix, instance, account).daemon(pages, exact=False))
            writes = any(use.access == "write" for use in pages.values())
            policy = findings.policy_finding(self.name, statements, tried, writes=writes)
            yield policy
        yield from self._of_secrets(pages, answers, instance, policy)
        yield from secret_findings(self.name, uses, instance, answers)

    @property
    def _checks(self) -> Sequence[str]:
        checks = ["store-reached", "store-login", "store-credential", "store-policy"]
        checks += ["store-kms"] if self.settings.kms_key else []
        checks += ["store-replicas"] if self.settings.replicas else []
        return [*checks, "store-secrets"]

    def _failed(self, error: StoreError) -> Iterator[Finding]:
        """Yield the failure of the whole store: of the credentials, or of the way to AWS."""
        if error.error_code in ("credentials", "clock", "denied"):
            # Without credentials no request is sent, so that whether AWS is reached is not known.
            failed, rest = failure("store-login", self.name, error), self._checks[2:]
        else:
            failed, rest = failure("store-reached", self.name, error), self._checks[1:]
        yield failed
        yield from skipped(rest, failed)

    def _tried(self, name: str) -> Iterator[tuple[str, StoreError | None]]:
        """Yield each reading action with its error, None where it is allowed: an absent secret is an answer."""
        calls: Mapping[str, Mapping[str, Any]] = {
            "ListSecrets": {"MaxResults": 1},
            "BatchGetSecretValue": {"SecretIdList": [name]},
            "DescribeSecret": {"SecretId": name},
            "GetSecretValue": {"SecretId": name, "VersionStage": CURRENT},
        }
        for action, parameters in calls.items():
            answer = self.client.call(action, "", **parameters)
            answered = ("ResourceNotFoundException", "InvalidRequestException")
            if isinstance(answer, FailedCall) and answer.code not in answered and answer.error.error_code != "kms":
                yield action, answer.error
            else:
                yield action, None

    def _of_secrets(
        self, pages: Mapping[Key, Use], answers: Mapping[Key, Content], instance: str, policy: Finding | None
    ) -> Iterator[Finding]:
        """Yield whether this instance's secrets have the configured KMS key and replicas, which each is described for."""
        key, replicas = self.settings.kms_key, self.settings.replicas
        own = [target.path for target in pages if _is_own(answers[target], instance)][:_MOST]
        if not (key or replicas):
            return
        looked = each(
            lambda name: self.client.call("DescribeSecret", name, SecretId=name),
            own,
            workers=self.workers,
            clock=self.clock,
        )
        described = {name: answer for name, answer in looked.items() if not isinstance(answer, FailedCall)}
        if own and not described and policy is not None:
            yield from skipped([check for check in self._checks if check in ("store-kms", "store-replicas")], policy)
            return
        if key:
            yield findings.kms_finding(self.name, key, described)
        if replicas:
            yield findings.replicas_finding(self.name, replicas, described)


def _whole(answers: Any) -> StoreError | None:
    return next((answer for answer in answers if isinstance(answer, StoreError) and answer.whole), None)


def _is_own(answer: Content, instance: str) -> bool:
    return isinstance(answer, Stored) and answer.marks is not None and answer.marks.instance == instance
